"""Checkback's API: one request at a time, each with a timeout, a refusal as the problem it tells."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import httpx

from checkback.failures import Exit, Failed, of_problem
from checkback.profiles import Profiles
from checkback.secrets_kept import secrets

TIMEOUT = httpx.Timeout(30, connect=5)
"""Seconds. The longest that the API holds an answer back is 10."""
_PAGE = 200
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: its JSON (None where there is no body), its status and headers (lower-case names)."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Api:
    """A stage's API, as the owner of a token."""

    def __init__(self, url: str, token: str | None, *, transport: httpx.BaseTransport | None = None) -> None:
        """Raises Failed for a URL to which no token may be sent: plain http leaves this machine."""
        self.url = url.rstrip("/")
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as wrong:
            raise Failed(f"{self.url}: {wrong}", Exit.USAGE) from wrong
        if parsed.scheme != "https" and not (parsed.scheme == "http" and parsed.host in _LOOPBACK):
            raise Failed(f"{self.url}: a token goes over https, or http to this machine only", Exit.USAGE)
        headers = {"user-agent": "checkback-cli", "accept": "application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        self._http = httpx.Client(headers=headers, timeout=TIMEOUT, transport=transport)

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """The JSON of a successful answer. Raises Failed."""
        return self.ask(method, path, **arguments).body

    def ask(self, method: str, path: str, **arguments: Any) -> Answer:
        """A successful answer with its status and headers. Raises Failed. ``params`` that are None are left out."""
        if "params" in arguments:
            arguments["params"] = {name: own for name, own in arguments["params"].items() if own is not None}
        try:
            answer = self._http.request(method, self.url + path, **arguments)
        except httpx.TimeoutException as late:
            raise Failed(f"{self.url} did not answer in time", Exit.UNREACHABLE) from late
        except (httpx.HTTPError, httpx.InvalidURL) as gone:
            raise Failed(f"{self.url} was not reached: {gone}", Exit.UNREACHABLE) from gone
        if not answer.is_success:
            raise of_problem(answer.status_code, _document(answer))
        body = _document(answer) if answer.content else None
        if body is None and answer.status_code != HTTPStatus.NO_CONTENT and answer.content:
            raise Failed(f"{self.url} answered what is no JSON: is it a Checkback API?", Exit.UNREACHABLE)
        return Answer(answer.status_code, body, answer.headers)

    def listed(self, path: str, *, most: int, **params: Any) -> Iterator[dict[str, Any]]:
        """Entries of a list, page by page, ``most`` of them."""
        cursor: str | None = None
        left = most
        while left > 0:
            asked = {**params, "limit": min(left, _PAGE), "cursor": cursor}
            page = self.call("GET", path, params=asked)
            yield from page["data"][:left]
            left -= len(page["data"])
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _document(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Session:
    """Whose API is called: the profile's name and its API."""

    profile: str
    api: Api

    def secret_name(self, own: str) -> str:
        """Under which name a secret of this profile is kept."""
        return f"{self.profile}/{own}"


def profile_name(given: str | None) -> str:
    """The profile that is meant."""
    return given or os.environ.get("CHECKBACK_PROFILE") or Profiles.read().current or "default"


def opened(profile: str | None) -> Session:
    """The profile's API. ``CHECKBACK_API_URL`` and ``CHECKBACK_TOKEN`` go before what is kept. Raises Failed."""
    name = profile_name(profile)
    url = os.environ.get("CHECKBACK_API_URL") or Profiles.read().urls.get(name)
    token = os.environ.get("CHECKBACK_TOKEN")
    if url is None:
        raise Failed(f"profile {name} is not known: checkback login", Exit.CREDENTIALS)
    if token is None:
        token = secrets().get(f"{name}/token")
    if token is None:
        raise Failed(f"no token is kept for profile {name}: checkback login", Exit.CREDENTIALS)
    return Session(name, Api(url, token))
