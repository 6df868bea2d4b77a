"""One request of a browser: what was asked, whose session it is, and the API asked on its behalf."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from functions.console.composition import ConsoleServices, pipeline
from shared.api.console_sessions import read_operator_credential
from shared.api.problems import Problem
from shared.aws.front import address_of
from shared.aws.http_api import NotDecodable, body_of, headers_of, query_of, raw_query_of

COOKIE = "__Host-checkback"
CONSOLE = "/console"
ONCE = "once"
"""The field of a form by which two sendings of it are known as one."""
_MOST_FIELDS = 600


class Refused(Exception):
    """The API refused: a problem document's status, title and detail."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        """``problem`` as the API says it."""
        self.status = status
        self.title = str(problem.get("title", "Not possible"))
        told = [str(own.get("detail", "")) for own in problem.get("errors", ())]
        self.detail = " ".join([str(problem.get("detail", "")), *told]).strip()
        self.errors = {
            str(own.get("pointer", own.get("parameter", ""))): str(own.get("detail", ""))
            for own in problem.get("errors", ())
        }
        """What is wrong where: by pointer into the body, or by the parameter's name."""
        super().__init__(self.title)

    @property
    def changed_meanwhile(self) -> bool:
        """Whether the version that was meant is not the current one any more."""
        return self.status == 412


@dataclass(frozen=True)
class Visit:
    """``base``: the path before ``/console``, empty but on the local engine; ``origin``: where the stage answers."""

    method: str
    path: str
    query: Mapping[str, str]
    raw_query: str
    headers: Mapping[str, str]
    credential: str | None
    base: str
    origin: str
    event: Mapping[str, Any] = field(repr=False)
    services: ConsoleServices = field(repr=False)

    @classmethod
    def of(cls, event: Mapping[str, Any], services: ConsoleServices) -> "Visit":
        """Read the event; ``services`` are those of this one request."""
        address = urlsplit(services.environment.public_url)
        headers = headers_of(event)
        return cls(
            method=event["requestContext"]["http"]["method"],
            path=event["rawPath"].removeprefix(address.path).rstrip("/"),
            query=query_of(event),
            raw_query=raw_query_of(event),
            headers=headers,
            credential=_cookie(event, headers),
            base=address.path,
            origin=f"{address.scheme}://{address.netloc}",
            event=event,
            services=services,
        )

    def url(self, path: str = "", **query: Any) -> str:
        """An address of the console; what is None or empty is left out of its query."""
        asked = urlencode({name: value for name, value in query.items() if value not in {None, ""}})
        return f"{self.base}{CONSOLE}{path}" + (f"?{asked}" if asked else "")

    @property
    def here(self) -> str:
        """The address asked for."""
        return f"{self.base}{self.path}" + (f"?{self.raw_query}" if self.raw_query else "")

    @property
    def own_origin(self) -> bool:
        """Whether a page of ours sent this; a browser says so itself, and no page of others can say it for it."""
        site = self.headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        return self.headers.get("origin") == self.origin

    @property
    def source_ip(self) -> str:
        """Who asks, behind the stage's front too."""
        return address_of(dict(self.event))

    @cached_property
    def form(self) -> dict[str, str]:
        """What was filled in; of a field that came twice the first. Empty where the body is none of a form."""
        try:
            fields = parse_qs(body_of(self.event).decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except (NotDecodable, ValueError):
            return {}
        return {name: values[0] for name, values in fields.items()}

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        if_match: str | None = None,
        once: bool = False,
    ) -> Any:
        """The API's answer, read; None where it has none. Raises Refused.

        ``if_match``: the version that is meant; ``once``: the form that was sent twice does the same thing once.
        """
        return self._asked(method, path, query, body, if_match, once=once)[0]

    def versioned(self, path: str) -> tuple[Any, str]:
        """What stands at an address of the API, and its version for ``if_match``. Raises Refused."""
        return self._asked("GET", path)

    def _asked(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        if_match: str | None = None,
        *,
        once: bool = False,
    ) -> tuple[Any, str]:
        """The answer and its entity tag. A ``str`` is sent as it is: a provider's payload."""
        asked = {name: str(value) for name, value in (query or {}).items() if value not in {None, ""}}
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        headers = {"authorization": f"Bearer {self.credential or ''}", "content-type": "application/json"}
        if if_match:
            headers["if-match"] = if_match
        if once and (seed := self.form.get(ONCE)):
            same = f"{seed}\n{method}\n{path}\n{text or ''}"
            headers["idempotency-key"] = hashlib.sha256(same.encode()).hexdigest()
        context = self.event["requestContext"]
        http = {**context["http"], "method": method, "path": path}
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": urlencode(asked),
            "queryStringParameters": asked,
            "headers": headers,
            "requestContext": {**context, "http": http},
            "body": text,
            "isBase64Encoded": False,
        }
        answer = pipeline(self.services).answer(event, None)
        status, told = int(answer["statusCode"]), answer["body"]
        read = json.loads(told) if told else None
        if status >= 400:
            raise Refused(status, read or {})
        return read, str(answer["headers"].get("ETag", ""))

    def remove(self, path: str, body: Any = None) -> bool:
        """Delete what stands at an address of the API; whether it was there. Raises Refused for other reasons."""
        try:
            self.ask("DELETE", path, body=body)
        except Refused as why:
            if why.status != 404:
                raise
            return False
        return True

    def get(self, path: str, **query: Any) -> Any:
        """What stands at an address of the API. Raises Refused."""
        return self.ask("GET", path, query)

    @property
    def is_operator(self) -> bool:
        """Whether the session shown is the operator's, living or not."""
        return read_operator_credential(self.credential or "") is not None

    def demand_operator(self) -> None:
        """Raises Refused for whoever is not the operator, where no operation of the API says so."""
        try:
            principal = self.services.authenticator.principal(f"Bearer {self.credential or ''}")
        except Problem as problem:
            raise Refused(problem.status, {"title": problem.title}) from None
        if principal.merchant_id is not None:
            raise Refused(403, {"title": "The operator's alone"})

    @cached_property
    def may_change(self) -> bool:
        """Whether the session may do more than look: where not, no button is shown. The API refuses by itself."""
        try:
            return not self.services.authenticator.principal(f"Bearer {self.credential or ''}").read_only
        except Problem:
            return False

    def demand_change(self) -> None:
        """Raises Refused for whoever may only look: they are shown no form."""
        if not self.may_change:
            raise Refused(403, {"title": "Only to look at", "detail": "This session may only read."})

    @cached_property
    def merchant(self) -> dict[str, Any]:
        """Whose session it is. Raises Refused 401 where it is over."""
        found: dict[str, Any] = self.get("/v1/merchant")
        return found


def _cookie(event: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """API Gateway gives cookies as a list, the local engine as the header they came in."""
    for text in event.get("cookies") or [headers.get("cookie", "")]:
        try:
            found = SimpleCookie(text).get(COOKIE)
        except CookieError:
            continue
        if found is not None:
            return found.value
    return None
