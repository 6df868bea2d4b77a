"""Asking a provider's API, as data: what to send, and what an answer means. Nothing here sends or waits.

A provider whose content must be asked for has an ``api`` beside its other attributes (``ProviderApi``), in its own
module. The rules that all APIs share (statuses, ``Retry-After``, OAuth client credentials) are here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode

from shared.domain.money import parse_decimal
from shared.providers.payload import mapping, read_json, text
from shared.providers.provider import DEFECTS, Normalised, NotReadable, NotUnderstood, Provider, Pull, SourceContext

JSON = "application/json"
_LONGEST_WAIT = timedelta(days=1)
_SHORTEST_TOKEN = timedelta(minutes=1)
_TEMPORARY = frozenset({408, 409, 423, 425, 429})


class PullFailed(Exception):
    """Asking again will not help until somebody changes something. ``reason`` names no credential and no shopper."""

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason


class TryLater(Exception):
    """The provider cannot answer now; ``after`` is how long it asks to be left alone, where it says so."""

    def __init__(self, reason: str, after: timedelta | None = None) -> None:
        """Keep both."""
        super().__init__(reason)
        self.reason = reason
        self.after = after


class AccessRefused(PullFailed):
    """The credentials do not hold (401): a cached token may have been revoked."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How often one source's API may be asked: ``requests`` in each window of ``per``."""

    requests: int
    per: timedelta


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request. ``headers`` come on top of those that give access; a ``body`` is sent as ``content_type``."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What came back: header names in lower case; ``complete`` is False where the body was cut."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    complete: bool = True


@dataclass(frozen=True, slots=True)
class StaticAccess:
    """Headers that give access as they are: a token that the merchant made."""

    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """OAuth 2 client credentials (RFC 6749, 4.4): ask for a token, then send it in ``header`` after ``prefix``."""

    request: ApiRequest
    header: str = "authorization"
    prefix: str = "Bearer "

    def access(self, answer: ApiAnswer) -> "tuple[StaticAccess, timedelta]":
        """The access in a token answer, and how long it may be used. Raises TryLater, AccessRefused, PullFailed."""
        if answer.status in {400, 401, 403}:
            raise AccessRefused("the provider refuses the client id or secret")
        granted = mapping(json_of(answer))
        token = text(granted.get("access_token"))
        if token is None:
            raise PullFailed("the token answer holds no access_token")
        seconds = parse_decimal(granted.get("expires_in"))
        lasts = timedelta(seconds=min(int(seconds), 86_400)) if seconds is not None and seconds > 0 else timedelta()
        # A token that runs out on the way costs a refusal: the last minute is not used.
        return StaticAccess({self.header: f"{self.prefix}{token}"}), max(lasts - _SHORTEST_TOKEN, _SHORTEST_TOKEN)


type Access = StaticAccess | TokenGrant


@dataclass(frozen=True, slots=True)
class BackfillQuery:
    """What a backfill asks for: checkouts changed since ``since``, by the filters the provider's API offers."""

    since: datetime
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """The checkouts of one page: what they say together, and what each of those failed by that cannot be read."""

    normalised: Normalised
    unread: tuple[str, ...] = ()

    def whole(self) -> Normalised:
        """What a page says that came as a webhook: its body is kept whole. Raises NotUnderstood for a part of it."""
        if self.unread:
            raise NotUnderstood(self.unread[0])
        return self.normalised


def read_each[Part, Said](parts: Iterable[Part], read: Callable[[Part], Said]) -> tuple[list[Said], tuple[str, ...]]:
    """What each part of a list says, and what those failed by that cannot be read: they cost the others nothing.

    Raises NotUnderstood where there are several and none can be read: that is the list, not one of them.
    """
    said: list[Said] = []
    unread: list[str] = []
    for part in parts:
        try:
            said.append(read(part))
        except NotUnderstood as odd:
            unread.append(str(odd))
        except DEFECTS as defect:
            unread.append(f"defect: {type(defect).__name__}")
    if len(unread) > 1 and not said:
        raise NotUnderstood(unread[0])
    return said, tuple(unread)


@dataclass(frozen=True, slots=True)
class ApiPage:
    """One page of a list: what it says, and the cursor of the next page; None at the end.

    ``unread``: what each checkout failed by that cannot be read.
    """

    normalised: Normalised
    next_cursor: str | None = None
    unread: tuple[str, ...] = ()


class ProviderApi(Protocol):
    """One provider's API. Implementations hold no state and read no clock.

    ``lists`` says whether past checkouts can be listed (backfill); ``filters`` names what a list may be narrowed by.
    """

    limit: Limit
    lists: bool
    filters: frozenset[str]

    def access(self, source: SourceContext) -> Access:
        """How to get in. Raises PullFailed, naming the credential that is missing."""
        ...

    def content(self, pull: Pull, source: SourceContext) -> ApiRequest:
        """The request for what a webhook points to. Raises PullFailed."""
        ...

    def read_content(self, content: Any, pull: Pull, at: datetime, source: SourceContext) -> Normalised:
        """What the content says; None stands for content that is gone. Raises NotUnderstood, TryLater, PullFailed."""
        ...

    def page(self, query: BackfillQuery, cursor: str | None, source: SourceContext) -> ApiRequest:
        """The request for one page; ``cursor`` is None for the first. Raises PullFailed."""
        ...

    def read_page(
        self, content: Any, query: BackfillQuery, cursor: str | None, at: datetime, source: SourceContext
    ) -> ApiPage:
        """What the page says. Raises NotUnderstood, TryLater, PullFailed."""
        ...


def api_of(provider: Provider) -> ProviderApi | None:
    """The provider's API, or None where there is nothing to ask it."""
    found: ProviderApi | None = getattr(provider, "api", None)
    return found


def credential(source: SourceContext, name: str) -> str:
    """One of ``credentials.api``. Raises PullFailed."""
    value = source.credentials.api.get(name, "").strip()
    if not value:
        raise PullFailed(f"credentials.api.{name} is not set")
    return value


def root(source: SourceContext, default: str) -> str:
    """Where the API answers: ``credentials.api.base_url`` (a sandbox or a stand-in) or the provider's own."""
    return (source.credentials.api.get("base_url", "").strip() or default).rstrip("/")


def client_credentials(url: str, source: SourceContext, **more: str) -> ApiRequest:
    """A form-encoded request for a token, with ``client_id`` and ``client_secret``. Raises PullFailed."""
    form = {
        "grant_type": "client_credentials",
        "client_id": credential(source, "client_id"),
        "client_secret": credential(source, "client_secret"),
        **more,
    }
    return ApiRequest("POST", url, body=urlencode(form).encode(), content_type="application/x-www-form-urlencoded")


def content_of(answer: ApiAnswer) -> Any:
    """The JSON an answer holds, or None where the content is gone (204, 404, 410).

    Raises AccessRefused for 401, TryLater for what a later try may change, PullFailed for the rest.
    """
    return None if answer.status in {204, 404, 410} else json_of(answer)


def json_of(answer: ApiAnswer) -> Any:
    """The JSON a successful answer holds. Raises AccessRefused, TryLater, PullFailed."""
    if answer.status == 401:
        raise AccessRefused("the provider refuses the credentials (401)")
    if answer.status in _TEMPORARY or answer.status >= 500:
        raise TryLater(f"the provider answered {answer.status}", asked_wait(answer.headers))
    if not 200 <= answer.status < 300:
        raise PullFailed(f"the provider answered {answer.status}")
    if not answer.complete:
        raise TryLater("the answer was cut off")
    try:
        return read_json(answer.body)
    except NotReadable as broken:
        raise TryLater("the answer is not JSON") from broken
    except NotUnderstood as odd:
        raise PullFailed(f"the answer is {odd}") from odd


def asked_wait(headers: Mapping[str, str]) -> timedelta | None:
    """How long the answer asks to be left alone, at most a day: ``Retry-After`` in seconds, or BigCommerce's own."""
    for name, unit in (("retry-after", 1_000), ("x-rate-limit-time-reset-ms", 1)):
        given = parse_decimal(headers.get(name))
        if given is not None and given >= 0:
            return min(timedelta(milliseconds=min(int(given * unit), 10**9)), _LONGEST_WAIT)
    return None
