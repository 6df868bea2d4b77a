"""How many webhooks of a source, and of a merchant, are taken in within any minute, wherever it begins.

Far more than a shop sends; so many that one source, gone wild or hostile, cannot take the whole of a stage. Counted by
slots of five seconds, over all processes together, and never too strictly: who stays below the limit in any 65 seconds
is never refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.instants import to_ms
from shared.domain.merchant import Merchant, Source

WINDOW_MS = 60_000
SLOT_MS = 5_000
"""Of what the others took in, it is known in which slot it came: it counts until all of the slot is a minute old."""
_FEWEST_TOLD = 10
_MOST_TOLD = 100


@dataclass(frozen=True, slots=True)
class WebhookRates:
    """A stage's limits per minute, for whoever has none of their own."""

    per_source: int = 60_000
    per_merchant: int = 120_000

    def of_merchant(self, merchant: Merchant) -> int:
        """The merchant's limit: its own, which only the operator sets."""
        return merchant.settings.webhooks_per_minute or self.per_merchant

    def of_source(self, source: Source, merchant: Merchant) -> int:
        """The source's limit: its own, which the merchant sets, and never above the merchant's."""
        return min(source.settings.webhooks_per_minute or self.per_source, self.of_merchant(merchant))


def share(limit: int) -> int:
    """How many webhooks a process counts for itself before it tells the others: about a hundredth of the limit.

    Of a small limit a tenth: the fewer writes the counting takes, the later a process hears of the rest.
    """
    return min(max(limit // 100, min(_FEWEST_TOLD, limit // 10), 1), _MOST_TOLD)


@dataclass(slots=True)
class _Taken:
    """What one process took in within one slot."""

    count: int = 0
    told: int = 0
    """Those of it that the others may know of."""
    latest_ms: int = 0


@dataclass(slots=True)
class Tally:
    """What one process knows of one source's or merchant's last minute."""

    own: dict[int, _Taken] = field(default_factory=dict)
    others: dict[int, int] = field(default_factory=dict)
    """By slot, as of when this process last told."""
    refused_ms: int | None = None
    """When this process first refused some of it in its last minute of refusing."""
    most_own: int = 0
    """At least what counts of its own, and of all: far below a limit nothing needs to be added up."""
    most_others: int = 0
    most_untold: int = 0

    def take(self, now: datetime, limit: int) -> bool:
        """One more webhook; whether a share of the limit is untold now."""
        at = to_ms(now)
        slot = slot_of(now)
        taken = self.own.get(slot)
        if taken is None:
            self._forget(at)
            taken = self.own[slot] = _Taken()
        taken.count += 1
        taken.latest_ms = max(taken.latest_ms, at)
        self.most_own += 1
        self.most_untold += 1
        if self.most_untold < share(limit):
            return False
        self.most_untold = sum(self.untold(now).values())
        return self.most_untold >= share(limit)

    def untold(self, now: datetime) -> dict[int, int]:
        """What this process took in within the last minute and has told nobody, by slot."""
        begin = to_ms(now) - WINDOW_MS
        return {
            slot: own.count - own.told
            for slot, own in self.own.items()
            if own.count > own.told and own.latest_ms > begin
        }

    def tell(self, now: datetime) -> dict[int, int]:
        """What is untold; it counts as told from now on, whatever becomes of the telling."""
        telling = self.untold(now)
        for slot in telling:
            self.own[slot].told = self.own[slot].count
        self.most_untold = 0
        return telling

    def hear(self, counted: Mapping[int, int]) -> None:
        """What everybody has told by now, by slot, this process among them."""
        told = {slot: own.told for slot, own in self.own.items()}
        self.others = {slot: more for slot, count in counted.items() if (more := count - told.get(slot, 0)) > 0}
        self.most_others = sum(self.others.values())

    def wait(self, limit: int, now: datetime) -> timedelta | None:
        """How long until there is room for one more; None where there is now.

        The limit is reached by this process alone, or surely by all together: a telling that was repeated unseen
        counted twice, so that their sum must exceed it by a share.
        """
        if self.most_own < limit and self.most_own + self.most_others < limit + share(limit):
            return None
        at = to_ms(now)
        known = sorted(self._leaving(at))
        own = sum(count for _, count, mine in known if mine)
        everybody = sum(count for _, count, _ in known)
        for leaves_ms, count, mine in known:
            if own < limit and everybody < limit + share(limit):
                break
            own -= count if mine else 0
            everybody -= count
            at = leaves_ms
        waited = at - to_ms(now)
        return timedelta(milliseconds=waited) if waited > 0 else None

    def refuse(self, now: datetime) -> bool:
        """Note a refusal; whether it is the first within a minute."""
        at = to_ms(now)
        first = self.refused_ms is None or at - self.refused_ms >= WINDOW_MS
        if first:
            self.refused_ms = at
        return first

    def _leaving(self, at: int) -> Iterator[tuple[int, int, bool]]:
        """What counts at an instant: until when, how many, and whether they are this process's own."""
        for own in self.own.values():
            if own.latest_ms + WINDOW_MS > at:
                yield own.latest_ms + WINDOW_MS, own.count, True
        for slot, count in self.others.items():
            if _gone_ms(slot) > at:
                yield _gone_ms(slot), count, False

    def _forget(self, at: int) -> None:
        """Drop what counts no more. An own slot is kept as long as the table shows it: its part in that is known."""
        self.own = {slot: own for slot, own in self.own.items() if _gone_ms(slot) > at}
        self.most_own = sum(own.count for own in self.own.values())


def slot_of(at: datetime) -> int:
    """The slot that counts a webhook of ``at``."""
    return to_ms(at) // SLOT_MS


def counts_at(slot: int, at: datetime) -> bool:
    """Whether what came in the slot may still count at an instant."""
    return _gone_ms(slot) > to_ms(at)


def _gone_ms(slot: int) -> int:
    return (slot + 1) * SLOT_MS + WINDOW_MS
