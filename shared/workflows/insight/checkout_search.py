"""Finding a merchant's checkouts: by identity through its index, else newest first through the list index.

Everything found is read consistently and filtered exactly, and must be the merchant's own and not yet expired.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shared.domain.checkout import Checkout, Status
from shared.domain.identity import IdentityHasher, IdentityKind
from shared.domain.merchant import Merchant
from shared.domain.transitions import retention_end
from shared.store import list_keys
from shared.store.checkouts import CheckoutStore
from shared.store.listing import CheckoutListing

_ROUNDS = 4
"""Index pages read for one page of answers: a page may be short while more follow."""
_AMONG_OTHERS = 50
"""Keys looked at in each round, whatever the page, where others than those asked for lie between."""


@dataclass(frozen=True, slots=True)
class CheckoutQuery:
    """What to find. ``phone`` is in E.164; ``min_total`` in the checkout's own currency, major units."""

    status: Status | None = None
    provider: str | None = None
    customer_id: str | None = None
    phone: str | None = None
    email: str | None = None
    min_total: Decimal | None = None
    updated_since: datetime | None = None
    updated_before: datetime | None = None

    @property
    def identity(self) -> tuple[IdentityKind, str] | None:
        """The identifier to look up, where the query names one."""
        named = {
            IdentityKind.CUSTOMER: self.customer_id,
            IdentityKind.PHONE: self.phone,
            IdentityKind.EMAIL: self.email,
        }
        return next(((kind, value) for kind, value in named.items() if value is not None), None)

    def matches(self, checkout: Checkout) -> bool:
        """Whether the checkout is one of those asked for."""
        texts = {"customer.id": self.customer_id, "customer.phone": self.phone, "customer.email": self.email}
        if any(value is not None and checkout.text(leaf) != value for leaf, value in texts.items()):
            return False
        if self.status is not None and checkout.status is not self.status:
            return False
        if self.provider is not None and checkout.provider != self.provider:
            return False
        if self.updated_since is not None and checkout.last_activity_at < self.updated_since:
            return False
        if self.updated_before is not None and checkout.last_activity_at >= self.updated_before:
            return False
        return self.min_total is None or self._reaches(checkout, self.min_total)

    @staticmethod
    def _reaches(checkout: Checkout, least: Decimal) -> bool:
        total = checkout.cart.total() if checkout.cart else None
        return total is not None and Decimal(total.amount()) >= least


class CheckoutSearch:
    """Searches one merchant's checkouts."""

    def __init__(self, checkouts: CheckoutStore, listing: CheckoutListing, hasher: IdentityHasher) -> None:
        """Share the stores of one process."""
        self._checkouts = checkouts
        self._listing = listing
        self._hasher = hasher

    def find(
        self, merchant: Merchant, query: CheckoutQuery, now: datetime, *, limit: int, after: str | None
    ) -> tuple[list[Checkout], str | None]:
        """One page and the place after which the next begins, None at the end."""
        if query.identity is not None:
            return self._by_identity(merchant, query, now, *query.identity, limit=limit, after=after)
        return self._by_list(merchant, query, now, limit=limit, after=after)

    def _by_identity(
        self,
        merchant: Merchant,
        query: CheckoutQuery,
        now: datetime,
        kind: IdentityKind,
        value: str,
        *,
        limit: int,
        after: str | None,
    ) -> tuple[list[Checkout], str | None]:
        identity = self._hasher.identity(merchant.id, kind, value)
        digests = self._checkouts.by_identity(identity)
        start = digests.index(after) + 1 if after in digests else 0
        if after is not None and start == 0:
            return [], None
        matching: list[Checkout] = []
        for first in range(start, len(digests), limit):
            matching += self._read(merchant, digests[first : first + limit], query, now)
            if len(matching) > limit:
                return matching[:limit], matching[limit - 1].digest
        return matching, None

    def _by_list(
        self, merchant: Merchant, query: CheckoutQuery, now: datetime, *, limit: int, after: str | None
    ) -> tuple[list[Checkout], str | None]:
        statuses = list(Status) if query.status is None else [query.status]
        partitions = list_keys.list_partitions(merchant.id, statuses, merchant.settings.list_shards)
        # Those that are unfinished in one way lie among those that are in another.
        least = _AMONG_OTHERS if query.status is not None and query.status.unfinished else 0
        matching: list[Checkout] = []
        below = after
        for _ in range(_ROUNDS):
            wanted = max(limit - len(matching), least)
            listed = self._listing.newest(
                partitions, query.updated_since, query.updated_before, below=below, limit=wanted
            )
            matching += self._read(merchant, [own.digest for own in listed], query, now)
            if len(matching) > limit:
                places = {own.digest: own.place for own in listed}
                return matching[:limit], places[matching[limit - 1].digest]
            if len(listed) < wanted:
                return matching, None
            below = listed[-1].place
            if len(matching) == limit:
                break
        return matching, below

    def _read(self, merchant: Merchant, digests: list[str], query: CheckoutQuery, now: datetime) -> list[Checkout]:
        found = self._checkouts.get_readable(digests)
        rows = (found[digest] for digest in dict.fromkeys(digests) if digest in found)
        return [own for own in rows if belongs(own, merchant, now) and query.matches(own)]


def belongs(checkout: Checkout, merchant: Merchant, now: datetime) -> bool:
    """Whether the checkout is the merchant's, not erased and not past its retention (the table keeps it a while)."""
    kept = not checkout.erased and retention_end(checkout, merchant.settings) > now
    return kept and checkout.merchant_id == merchant.id
