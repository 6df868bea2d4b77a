"""Sources as ingest needs them: looked up once in a few seconds, with the merchant's settings filled in."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.ids import SourceId
from shared.domain.merchant import Merchant, Source, SourceCredentials
from shared.domain.settings import Settings
from shared.providers.provider import Provider, SourceContext
from shared.store.configuration import SourceStore

REMEMBERED_FOR = timedelta(seconds=5)
"""A revoked or changed source is obeyed within this time (contract: revocation holds within 5 s)."""
ABSENCE_REMEMBERED_FOR = timedelta(minutes=1)
"""An id is made at random when its source is: nobody posts to it before."""
MOST_REMEMBERED = 2_000
"""Sources, and as many ids of none; the one read longest ago goes first."""


def context_of(source: Source, merchant: Merchant, credentials: SourceCredentials, provider: Provider) -> SourceContext:
    """What a provider's module may know of the source: its own settings, the merchant's where it has none."""
    hosts = frozenset(merchant.store_domains) | provider.checkout_hosts
    return SourceContext(
        settings=source.settings,
        credentials=credentials,
        currency=source.settings.currency or merchant.currency,
        country=source.settings.country or merchant.country,
        hosts=hosts,
    )


def settings_of(source: Source, merchant: Merchant) -> Settings:
    """The merchant's settings with the source's own idle time."""
    if source.settings.idle_after is None:
        return merchant.settings
    return replace(merchant.settings, idle_after=source.settings.idle_after)


@dataclass(frozen=True, slots=True)
class _Remembered:
    found: tuple[Source, Merchant] | None
    until: datetime


class SourceDirectory:
    """Sources and their merchants by source id, remembered for five seconds per process.

    That there is no such source is remembered for a minute, and apart: whoever makes up ids, however many, pushes out
    no source that is in use.
    """

    def __init__(self, store: SourceStore, now: Callable[[], datetime]) -> None:
        """``now`` is the clock."""
        self._store = store
        self._now = now
        self._known: dict[SourceId, _Remembered] = {}
        self._unknown: dict[SourceId, _Remembered] = {}

    def find(self, source_id: SourceId) -> tuple[Source, Merchant] | None:
        """The source and its merchant, or None when there is no such source."""
        now = self._now()
        remembered = self._known.get(source_id) or self._unknown.get(source_id)
        if remembered is not None and remembered.until > now:
            return remembered.found
        found = self._store.with_merchant(source_id)
        for memory in (self._known, self._unknown):
            memory.pop(source_id, None)
        memory, kept_for = (self._unknown, ABSENCE_REMEMBERED_FOR) if found is None else (self._known, REMEMBERED_FOR)
        memory[source_id] = _Remembered(found, now + kept_for)
        if len(memory) > MOST_REMEMBERED:
            del memory[next(iter(memory))]
        return found
