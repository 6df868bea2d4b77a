"""Asking a source's API over the guarded client: access tokens kept per process, one shared rate per source."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.delivery.exchange import InvalidRequest, OutboundRequest, RefusedDestination, SendResult
from shared.delivery.retry import parse_retry_after
from shared.domain.ids import SourceId
from shared.providers.provider import SourceContext
from shared.providers.pull import (
    Access,
    ApiAnswer,
    ApiRequest,
    ProviderApi,
    PullFailed,
    StaticAccess,
    TokenGrant,
    TryLater,
    asked_wait,
)
from shared.store.api_limits import ApiLimits

TIMEOUT = timedelta(seconds=20)
LARGEST_ANSWER = 4 * 1024 * 1024
_MOST_TOKENS = 1_000

SendAll = Callable[[Sequence[OutboundRequest]], list[SendResult]]


class Busy(Exception):
    """The source's rate is used up, or the provider asked for a pause: come again at ``until``. No attempt was made.

    ``reserved``: there is a place in the rate then, for whoever brings it back.
    """

    def __init__(self, until: datetime, *, reserved: bool = False) -> None:
        """Keep both."""
        super().__init__("the source's rate is used up")
        self.until = until
        self.reserved = reserved


@dataclass(frozen=True, slots=True)
class _Token:
    access: StaticAccess
    until: datetime


class ApiClient:
    """Sends requests to providers' APIs. One per process."""

    def __init__(self, send_all: SendAll, limits: ApiLimits, now: Callable[[], datetime]) -> None:
        """``send_all`` is the guarded client's; ``now`` the clock."""
        self._send_all = send_all
        self._limits = limits
        self._now = now
        self._tokens: dict[str, _Token] = {}

    def ask(
        self,
        source_id: SourceId,
        api: ProviderApi,
        requests: Sequence[ApiRequest],
        source: SourceContext,
        place: datetime | None = None,
    ) -> list[ApiAnswer]:
        """The answers, in order. ``place``: the one that an earlier Busy gave. Raises Busy, TryLater, PullFailed."""
        refusal = self._limits.take(source_id, len(requests), api.limit.requests, api.limit.per, self._now(), place)
        if refusal is not None:
            raise Busy(refusal.until, reserved=refusal.reserved)
        grant = api.access(source)
        answers = self._answers(source_id, requests, self._access(source_id, grant, source))
        if isinstance(grant, TokenGrant) and any(answer.status == 401 for answer in answers):
            # Revoked before its time: one new token, and then the refusal is the provider's word.
            self._tokens.pop(_token_key(source_id, source), None)
            answers = self._answers(source_id, requests, self._access(source_id, grant, source))
        return answers

    def _access(self, source_id: SourceId, grant: Access, source: SourceContext) -> StaticAccess:
        if isinstance(grant, StaticAccess):
            return grant
        key = _token_key(source_id, source)
        known = self._tokens.get(key)
        if known is not None and known.until > self._now():
            return known.access
        asked_at = self._now()
        (answer,) = self._answers(source_id, [grant.request], StaticAccess({}))
        access, lasts = grant.access(answer)
        if len(self._tokens) >= _MOST_TOKENS:
            self._tokens.clear()
        self._tokens[key] = _Token(access, asked_at + lasts)
        return access

    def _answers(self, source_id: SourceId, requests: Sequence[ApiRequest], access: StaticAccess) -> list[ApiAnswer]:
        results = self._send_all([_outbound(request, access) for request in requests])
        answers = [self._answer(result) for result in results]
        waits = [wait for own in answers if own.status in {429, 503} and (wait := asked_wait(own.headers)) is not None]
        if waits:
            self._limits.pause(source_id, self._now() + max(waits))
        return answers

    def _answer(self, result: SendResult) -> ApiAnswer:
        """The exchange's answer, its ``Retry-After`` in whole seconds. Raises TryLater, PullFailed."""
        if result.answer is None:
            error = result.error
            reason = error.reason if error is not None else "no answer"
            if isinstance(error, RefusedDestination | InvalidRequest):
                raise PullFailed(f"the API's address or a header cannot be used: {reason}")
            raise TryLater(reason)
        answer = result.answer
        if not answer.complete and len(answer.body) >= LARGEST_ANSWER:
            raise PullFailed(f"the answer is larger than {LARGEST_ANSWER} bytes")
        headers = dict(answer.headers)
        until = parse_retry_after(headers.pop("retry-after", ""), self._now())
        if until is not None:
            headers["retry-after"] = str(-(-(until - self._now()) // timedelta(seconds=1)))
        return ApiAnswer(answer.status_code, headers, answer.body, answer.complete)


def _outbound(request: ApiRequest, access: StaticAccess) -> OutboundRequest:
    headers = {"accept": "application/json", "user-agent": "Checkback/1", **request.headers, **access.headers}
    if request.body:
        headers["content-type"] = request.content_type
    return OutboundRequest(
        url=request.url,
        body=request.body,
        headers=headers,
        method=request.method,
        timeout=TIMEOUT,
        max_answer_bytes=LARGEST_ANSWER,
    )


def _token_key(source_id: SourceId, source: SourceContext) -> str:
    """A token belongs to the source and to the credentials it was granted for."""
    held = json.dumps(dict(source.credentials.api), sort_keys=True).encode()
    return f"{source_id}:{hashlib.sha256(held).hexdigest()}"
