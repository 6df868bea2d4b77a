"""One shop, one moment and the words of the domain's tests: what a provider's events say of one checkout."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from shared.domain.cart import Cart, Item, Totals
from shared.domain.change import CheckoutChange, OrderKey, Signal, clock_key
from shared.domain.checkout import Checkout, LeafValue, Order
from shared.domain.ids import MerchantId, SourceId
from shared.domain.money import Money
from shared.domain.settings import Settings
from shared.domain.transitions import Applied, Arrival, apply

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MERCHANT = MerchantId("mer_01KAHJ0000000000000000SH0P")
SOURCE = SourceId("src_01KAHJ0000000000000000S0RC")
XID = "331d47df-8461-495b-9c4f-27ed915d9c8e"


def after(**span: float) -> datetime:
    """An instant after noon; negative spans lie before."""
    return NOON + timedelta(**span)


def arrival(at: datetime = NOON, settings: Settings = Settings(), *, feed: bool = False) -> Arrival:
    """A webhook's arrival at the shop's only source."""
    return Arrival(MERCHANT, SOURCE, "flexype", at, settings, feed=feed)


def cart_of(total: int = 63_000, title: str = "Brownie", quantity: int = 1) -> Cart:
    """A cart of one line, in INR; ``total`` in paise."""
    money = Money(total, "INR")
    line = Item(Decimal(quantity), product_id="7516974022740", title=title, unit_price=money)
    return Cart("INR", items=(line,), totals=Totals(total=money))


EMPTY_CART = Cart("INR", totals=Totals(total=Money(0, "INR")))


def told(
    signal: Signal = Signal.ACTIVITY,
    at: datetime = NOON,
    *,
    leaves: Mapping[str, LeafValue] | None = None,
    cart: Cart | None = None,
    **other: Any,
) -> CheckoutChange:
    """What a provider with a clock says at ``at``; a purchase names its order, placed at ``at``."""
    body = repr((signal, at, leaves, cart, sorted(other.items(), key=str))).encode()
    digest = hashlib.sha256(body).digest()[:16]
    given: dict[str, Any] = {"order": Order("1001", at)} if signal is Signal.PURCHASED else {}
    given |= {"external_id": XID, "order_key": clock_key(at, digest), "body_digest": digest, "occurred_at": at}
    if signal is Signal.ABANDONED:
        given["abandoned_at"] = at
    return CheckoutChange(**{**given, "signal": signal, "leaves": leaves or {}, "cart": cart, **other})


def flat(rank: int, signal: Signal = Signal.ACTIVITY, **other: Any) -> CheckoutChange:
    """What FlexyPe's flat body says: a stage, no id and no time. Equal words make an equal body."""
    digest = hashlib.sha256(repr((rank, signal, sorted(other.items(), key=str))).encode()).digest()[:16]
    given: dict[str, Any] = {"order": Order(None, None)} if signal is Signal.PURCHASED else {}
    given |= {"external_id": XID, "order_key": OrderKey(f"{rank:02d}", clockless=True), "body_digest": digest}
    return CheckoutChange(**{**given, "signal": signal, **other})


def begun(change: CheckoutChange | None = None, at: datetime = NOON, settings: Settings = Settings()) -> Checkout:
    """An open checkout with a cart, whose only event arrived at ``at``."""
    return apply(None, change or told(at=at, cart=cart_of()), arrival(at, settings)).checkout


def folded(
    changes: Iterable[tuple[CheckoutChange, datetime]], settings: Settings = Settings(), *, feed: bool = False
) -> list[Applied]:
    """What each arriving event makes of the checkout, in order of arrival."""
    steps: list[Applied] = []
    for change, at in changes:
        old = steps[-1].checkout if steps else None
        steps.append(apply(old, change, arrival(at, settings, feed=feed)))
    return steps
