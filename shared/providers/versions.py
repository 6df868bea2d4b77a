"""Which version of its payloads a provider says a webhook has, and which of them its module was written for.

A version that nobody has read may mean the same fields differently, so its webhooks are kept and not believed; only
what ends a checkout is believed all the same, because it sends nothing to anybody.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.providers.payload import text
from shared.providers.provider import WebhookRequest

ANY = "*"
"""Among the versions that a merchant accepts: whatever comes."""
_DATED = re.compile(r"(\d{4}-\d{2}(?:-\d{2})?)(?:\.([a-z0-9_-]+))?")
_SHOWN = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Versions:
    """``told_in``: where, in words. ``known``: the versions whose page was read; the older of dated ones read alike.

    Of versions with a release's name behind their date (``2026-02-25.clover``), those of a known release read alike.
    """

    told_in: str
    known: tuple[str, ...]
    told: Callable[[Any, WebhookRequest], str | None]

    def new(self, payload: Any, request: WebhookRequest, accepted: Iterable[str]) -> str | None:
        """The version that the webhook says it has, fit to be shown, where neither we nor the merchant know it."""
        told = self.told(payload, request)
        known = (*self.known, *accepted)
        if told is None or ANY in known or _reads(told, known):
            return None
        return _SHOWN.sub("?", told)[:_LONGEST_SHOWN]


def _reads(told: str, known: tuple[str, ...]) -> bool:
    """Whether one of the known versions reads like the one that was told."""
    if told.casefold() in {own.casefold() for own in known}:
        return True
    dated = _DATED.fullmatch(told.casefold())
    others = [own for one in known if (own := _DATED.fullmatch(one.casefold()))]
    if dated is None or not others:
        return False
    released = dated[2] is not None and dated[2] in {own[2] for own in others}
    return released or dated[1] <= max(own[1] for own in others)


def in_header(name: str) -> Callable[[Any, WebhookRequest], str | None]:
    """The version in a header, named in lower case."""
    return lambda _, request: text(request.headers.get(name))


def in_body(name: str) -> Callable[[Any, WebhookRequest], str | None]:
    """The version in a member of the body."""
    return lambda payload, _: text(payload.get(name)) if isinstance(payload, Mapping) else None
