"""The checkouts a scheduled run takes, page by page, with what is remembered of their shoppers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain import criteria
from shared.domain.campaign import Campaign
from shared.domain.cart import reaches_minimum, worth_recovering
from shared.domain.checkout import Checkout, Status
from shared.domain.deadline import given_up
from shared.domain.identity import Identity, IdentityHasher
from shared.domain.merchant import Merchant
from shared.domain.simulation import may_run_over
from shared.domain.transitions import Mark
from shared.store import list_keys
from shared.store.checkouts import CheckoutStore
from shared.store.listing import CheckoutListing
from shared.store.shoppers import ShopperRecord, ShopperStore
from shared.workflows.insight.checkout_search import belongs

_PAGE = 50
_TAKEN = (Status.OPEN, Status.ABANDONED)


@dataclass(frozen=True, slots=True)
class Taken:
    """A checkout the campaign takes; ``shopper`` is empty where nobody is known behind it."""

    checkout: Checkout
    shopper: tuple[ShopperRecord, ...]


@dataclass(frozen=True, slots=True)
class RunPage:
    """What a campaign takes of one page; ``ends_at`` is where the next begins, None at the end of the list."""

    taken: tuple[Taken, ...]
    ends_at: str | None


class RunPages:
    """Reads pages of runs. One per process."""

    def __init__(
        self, checkouts: CheckoutStore, shoppers: ShopperStore, listing: CheckoutListing, hasher: IdentityHasher
    ) -> None:
        """Share the stores of one process."""
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._listing = listing
        self._hasher = hasher

    def read(self, campaign: Campaign, merchant: Merchant, fired_at: datetime, below: str | None) -> RunPage:
        """The page below a place, newest first: open and abandoned checkouts within the campaign's window."""
        partitions = list_keys.list_partitions(merchant.id, _TAKEN, merchant.settings.list_shards)
        since, before = _bounds(campaign, fired_at)
        listed = self._listing.newest(partitions, since, before, below=below, limit=_PAGE)
        taken = self._taken(campaign, merchant, fired_at, [own.digest for own in listed])
        return RunPage(taken, listed[-1].place if len(listed) == _PAGE else None)

    def abandoned(self, checkout: Checkout, merchant: Merchant, now: datetime) -> Checkout:
        """The checkout as an abandoned one: an open one becomes it now. Raises StaleVersion where it moved on."""
        if checkout.status is not Status.OPEN:
            return checkout
        abandoned = given_up(checkout, now, merchant.settings)
        self._checkouts.replace(checkout, abandoned, Mark.ABANDONED, merchant.settings)
        return abandoned

    def _taken(self, campaign: Campaign, merchant: Merchant, at: datetime, digests: Sequence[str]) -> tuple[Taken, ...]:
        rules = campaign.rules()
        wanted = [
            own
            for own in self._checkouts.get_readable(digests).values()
            if belongs(own, merchant, at)
            and own.status in _TAKEN
            and worth_recovering(own.cart, merchant.settings.minimum_total)
            and reaches_minimum(own.cart, merchant.settings.minimum_total)
            and may_run_over(campaign, own, at)
            and criteria.matches(rules, own, at)
        ]
        shoppers = {own.digest: self._shopper_of(own) for own in wanted}
        records = self._shoppers.get_readable(one for several in shoppers.values() for one in several)
        # A shopper whose record cannot be read is left alone: it may hold an opt-out.
        known = [own for own in wanted if all(one in records for one in shoppers[own.digest])]
        return tuple(Taken(own, tuple(records[one] for one in shoppers[own.digest])) for own in known)

    def _shopper_of(self, checkout: Checkout) -> list[Identity]:
        return self._hasher.of_shopper(checkout)


def _bounds(campaign: Campaign, fired_at: datetime) -> tuple[datetime | None, datetime | None]:
    """The activity that a run at ``fired_at`` looks at; the list is read a little wider and filtered exactly."""
    window = campaign.trigger.window
    if window is None:
        return None, None
    since = None if window.modified_after is None else fired_at - window.modified_after
    before = None if window.modified_before is None else fired_at - window.modified_before + timedelta(seconds=1)
    return since, before
