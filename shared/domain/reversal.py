"""What was taken back of an order: refunds, and the cancellation of all of it.

Providers tell it in three ways: each refund by its id, how much was refunded so far, that the order is cancelled. They
come repeated, in any order, and before the order itself. What is known of an order is therefore a record that only
grows, whose parts are joined by rules that know no order of arrival: union, the greatest, the latest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce

from shared.domain.checkout import Checkout, Order
from shared.domain.ids import digest
from shared.domain.money import Money

type Amounts = Mapping[str, int]
"""One amount in minor units by currency: as the shopper saw it, and in the shop's own currency where both are told."""


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund by the provider's id. ``amounts`` is one amount, told in one currency or more.

    ``failed``: it came to nothing in the end, whatever else is or was said of it.
    """

    id: str
    amounts: tuple[Money, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Reversal:
    """What one webhook says was taken back of one order, named by its id, else by the checkout that it ended.

    ``refunded`` is what was refunded so far altogether, in one currency or more. ``at`` is the provider's own time of
    a cancellation.
    """

    order_id: str | None
    external_id: str | None = None
    refunds: tuple[Refund, ...] = ()
    refunded: tuple[Money, ...] = ()
    cancelled: bool = False
    at: datetime | None = None
    correlation_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TakenBack:
    """All that is known to be taken back of one order. ``refunds`` are keyed by a digest of their id.

    ``stands_at``: as of when the provider last showed the order as placed. A later cancellation counts, an earlier one
    was undone.
    """

    refunds: Mapping[str, Amounts] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    refunded: Amounts = field(default_factory=dict)
    cancelled_at: datetime | None = None
    stands_at: datetime | None = None

    def joined(self, other: "TakenBack") -> "TakenBack":
        """Both together: the same whichever of them came first, and however often."""
        refunds = {
            own: _greatest(self.refunds.get(own, {}), other.refunds.get(own, {}))
            for own in {*self.refunds, *other.refunds}
        }
        return TakenBack(
            refunds=refunds,
            failed=self.failed | other.failed,
            refunded=_greatest(self.refunded, other.refunded),
            cancelled_at=_latest(self.cancelled_at, other.cancelled_at),
            stands_at=_latest(self.stands_at, other.stands_at),
        )

    @property
    def cancelled(self) -> bool:
        """Whether all of the order is called off."""
        if self.cancelled_at is None:
            return False
        return self.stands_at is None or self.cancelled_at > self.stands_at

    def amounts(self, total: Money | None) -> tuple[Money, ...]:
        """What is taken back of an order of this total, one amount per currency that was ever told of.

        A cancelled order is taken back whole, and none by more than its total. What was told in other currencies than
        the order's alone, stands in its own.
        """
        own = None if total is None else total.currency
        sums: dict[str, int] = {}
        for name, amounts in self.refunds.items():
            if name not in self.failed and amounts:
                code = _shown(amounts, own)
                sums[code] = sums.get(code, 0) + amounts[code]
        if self.refunded:
            code = _shown(self.refunded, own)
            failed = sum(self.refunds.get(name, {}).get(code, 0) for name in self.failed)
            sums[code] = max(sums.get(code, 0), self.refunded[code] - failed)
        if total is not None:
            sums = {total.currency: total.minor} if self.cancelled else sums
            if total.currency in sums:
                sums[total.currency] = min(sums[total.currency], total.minor)
        return tuple(Money(minor, code) for code, minor in sorted(sums.items()) if minor)


def together(*known: TakenBack | None) -> TakenBack | None:
    """All of them as one; None where nothing is known."""
    told = [own for own in known if own is not None]
    return reduce(TakenBack.joined, told) if told else None


def told_by(reversal: Reversal, arrived_at: datetime) -> TakenBack:
    """What one webhook adds to what is known; a cancellation without a time of its own counts from its arrival."""
    refunds = {refund_digest(own.id): _by_currency(own.amounts) for own in reversal.refunds}
    return TakenBack(
        refunds=refunds,
        failed=frozenset(refund_digest(own.id) for own in reversal.refunds if own.failed),
        refunded=_by_currency(reversal.refunded),
        cancelled_at=(reversal.at or arrived_at) if reversal.cancelled else None,
    )


def refund_digest(refund_id: str) -> str:
    """What is kept of a refund's id: enough to know it again."""
    return digest(refund_id)[:8].hex()


def reversed_by(checkout: Checkout, known: TakenBack, total: Money | None, now: datetime) -> Checkout | None:
    """The bought checkout with what is known to be taken back of its order; None where it shows that already.

    ``total``: what the order was worth. A currency that was shown before and is no more is shown as zero.
    """
    order = checkout.order or Order(None, None)
    amounts = known.amounts(total)
    gone = {own.currency for own in order.reversed} - {own.currency for own in amounts}
    amounts = tuple(sorted((*amounts, *(Money(0, code) for code in gone)), key=lambda own: own.currency))
    if (amounts, known.cancelled) == (order.reversed, order.cancelled):
        return None
    shown = replace(order, reversed=amounts, cancelled=known.cancelled)
    return replace(checkout, version=checkout.version + 1, updated_at=max(checkout.updated_at, now), order=shown)


def _by_currency(amounts: Iterable[Money]) -> Amounts:
    return _greatest({}, {own.currency: abs(own.minor) for own in amounts})


def _greatest(one: Amounts, other: Amounts) -> Amounts:
    return {code: max(one.get(code, 0), other.get(code, 0)) for code in sorted({*one, *other})}


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((own for own in (one, other) if own is not None), default=None)


def _shown(amounts: Amounts, own: str | None) -> str:
    """The currency in which an amount counts: the order's, else the first."""
    return own if own is not None and own in amounts else min(amounts)
