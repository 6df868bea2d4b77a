"""Paging through a merchant's abandoned checkouts both ways, exactly and with bounded reading.

The order is that of the list index: by hour of the last activity, then by digest. A page is read from where its cursor
stands: whatever is added elsewhere meanwhile neither repeats nor hides a checkout. What becomes of a checkout (bought,
expired, dismissed) moves it to another partition of the index and to no other place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.domain.checkout import Checkout, Status
from shared.domain.merchant import Merchant
from shared.store import list_keys
from shared.store.checkouts import CheckoutStore
from shared.store.listing import CheckoutListing
from shared.workflows.insight.checkout_search import belongs

ABANDONED: Final = (Status.ABANDONED, Status.RECOVERED, Status.EXPIRED, Status.SUPERSEDED, Status.DISCARDED)
"""What other people's clients call abandoned: what is, and what became of those that were."""
MOST_EXAMINED: Final = 1_000
"""Checkouts looked at for one page, or sorted for one answer: beyond, the page ends early and says that more follow."""
_LEAST_ROUND: Final = 50

type Matches = Callable[[Checkout], bool]
type SortKey = Callable[[Checkout], str]


class TooManyToSort(Exception):
    """More checkouts than can be brought into another order at once."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose checkouts, in which statuses, which of them, and as of when."""

    merchant: Merchant
    matches: Matches
    now: datetime
    statuses: Sequence[Status] = ABANDONED

    def holds(self, checkout: Checkout) -> bool:
        """Whether the checkout, as it stands now, is one of those."""
        # The shapes of others have no mark for what no shopper left.
        kept = checkout.status in self.statuses and was_abandoned(checkout) and not checkout.sample
        return kept and belongs(checkout, self.merchant, self.now) and self.matches(checkout)


@dataclass(frozen=True, slots=True)
class Entry:
    """A checkout and its place in the order that was asked for; places sort as texts."""

    place: str
    checkout: Checkout


@dataclass(frozen=True, slots=True)
class Span:
    """What to read: between two places, neither included, from the lower end on or from the upper."""

    above: str | None = None
    below: str | None = None
    rising: bool = True
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in the order they were read. ``reached`` is the last place looked at, where more may follow it."""

    entries: Sequence[Entry]
    reached: str | None
    more: bool


def was_abandoned(checkout: Checkout) -> bool:
    """Whether the checkout is abandoned, or was and has ended since; bought after the horizon is simply bought."""
    return checkout.status in ABANDONED and (
        checkout.status in {Status.ABANDONED, Status.RECOVERED} or checkout.first_abandoned_at is not None
    )


def by_time(instant: datetime) -> str:
    """An instant as a text that sorts."""
    return instant.strftime("%Y%m%d%H%M%S%f")


def place_of(checkout: Checkout) -> str:
    """The checkout's place in the list."""
    return list_keys.list_hour(checkout.digest, checkout.last_activity_at)


class CheckoutPages:
    """Pages of one merchant's abandoned checkouts."""

    def __init__(self, checkouts: CheckoutStore, listing: CheckoutListing) -> None:
        """Share the stores of one process."""
        self._checkouts = checkouts
        self._listing = listing

    def one(self, merchant: Merchant, digest: str, now: datetime) -> Checkout | None:
        """The merchant's abandoned checkout, consistently read."""
        found = self._checkouts.get(digest)
        return found if found is not None and belongs(found, merchant, now) and was_abandoned(found) else None

    def page(self, selection: Selection, span: Span) -> Page:
        """One page in the list's own order: exactly ``limit`` checkouts while there are so many within reach."""
        own = selection.merchant
        partitions = list_keys.list_partitions(own.id, selection.statuses, own.settings.list_shards)
        if not partitions:
            return Page([], None, more=False)
        above, below = span.above, span.below
        found: dict[str, Entry] = {}
        examined, wanted = 0, span.limit + 1
        while examined < MOST_EXAMINED:
            asked = min(max(wanted - len(found), _LEAST_ROUND if examined else 0), MOST_EXAMINED - examined)
            listed = self._listing.between(partitions, above, below, rising=span.rising, limit=asked)
            examined += len(listed)
            places = {own.digest: own.place for own in listed}
            for checkout in self._read(selection, list(places)):
                found.setdefault(checkout.digest, Entry(places[checkout.digest], checkout))
            if len(found) >= wanted or len(listed) < asked:
                entries = list(found.values())
                shown = entries[: span.limit]
                more = len(entries) > span.limit
                return Page(shown, shown[-1].place if more and shown else None, more)
            above, below = (listed[-1].place, below) if span.rising else (above, listed[-1].place)
        shown = list(found.values())[: span.limit]
        # With a page full to the brim the next begins behind its last, else behind what was looked at in vain.
        return Page(shown, shown[-1].place if len(found) > span.limit else (above if span.rising else below), more=True)

    def sorted(self, selection: Selection, span: Span, sort_key: SortKey) -> Page:
        """One page in another order: all that match are read. Raises TooManyToSort beyond ``MOST_EXAMINED``."""
        everything = self.page(selection, Span(limit=MOST_EXAMINED))
        if everything.more:
            raise TooManyToSort
        entries = [Entry(f"{sort_key(own.checkout)}#{own.checkout.digest}", own.checkout) for own in everything.entries]
        within = [
            own
            for own in sorted(entries, key=lambda own: own.place, reverse=not span.rising)
            if (span.above is None or own.place > span.above) and (span.below is None or own.place < span.below)
        ]
        shown, more = within[: span.limit], len(within) > span.limit
        return Page(shown, shown[-1].place if more else None, more)

    def count(self, selection: Selection, most: int) -> tuple[int, bool]:
        """How many match, counted to ``most`` and within ``MOST_EXAMINED``; and whether that is all of them."""
        page = self.page(selection, Span(limit=min(most, MOST_EXAMINED)))
        return len(page.entries), not page.more

    def _read(self, selection: Selection, digests: list[str]) -> list[Checkout]:
        found = self._checkouts.get_readable(digests)
        return [found[own] for own in digests if own in found and selection.holds(found[own])]
