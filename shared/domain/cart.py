"""The cart snapshot: items, totals, currency and discount codes, replaced together or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from shared.domain.money import Money, total_of

MOST_UNITS = Decimal(10**9)
"""More units on one line than this are a provider's mistake: they are counted and priced as unknown."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a cart. ``quantity`` may be a fraction (sold by weight); ids are texts, digit for digit."""

    quantity: Decimal
    id: str | None = None
    product_id: str | None = None
    variant_id: str | None = None
    sku: str | None = None
    title: str | None = None
    variant_title: str | None = None
    handle: str | None = None
    unit_price: Money | None = None
    compare_at_price: Money | None = None
    total: Money | None = None
    image_url: str | None = None
    product_url: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def line_total(self) -> Money | None:
        """What the line costs: as sent, else unit price times quantity, else unknown."""
        if self.total is not None or self.unit_price is None or self.quantity > MOST_UNITS:
            return self.total
        return self.unit_price.times(self.quantity)


@dataclass(frozen=True, slots=True)
class Totals:
    """Amounts of a whole cart; None is unknown, which is not zero."""

    subtotal: Money | None = None
    discount: Money | None = None
    shipping: Money | None = None
    tax: Money | None = None
    duties: Money | None = None
    total: Money | None = None
    tax_included: bool | None = None


@dataclass(frozen=True, slots=True)
class TaxLine:
    """One tax of a cart. ``rate`` is a fraction (0.18 is 18 %)."""

    title: str | None
    rate: Decimal | None
    price: Money | None


@dataclass(frozen=True, slots=True)
class Cart:
    """What the shopper saw. ``currency_assumed``: the provider named none and the source's setting was taken."""

    currency: str | None
    currency_assumed: bool = False
    items: tuple[Item, ...] = ()
    totals: Totals = Totals()
    shop_totals: Totals | None = None
    tax_lines: tuple[TaxLine, ...] = ()
    discount_codes: tuple[str, ...] = ()
    cart_type: str | None = None
    items_known: bool = True
    """False when the provider sent totals without lines: no lines is then not an empty cart."""

    def total(self) -> Money | None:
        """The total as sent, else derived from the items, else unknown. A known zero is a real total."""
        if self.totals.total is not None or not self.items:
            return self.totals.total
        return total_of(item.line_total() for item in self.items)

    def item_count(self) -> Decimal:
        """Units in the cart."""
        return sum((item.quantity for item in self.items if item.quantity <= MOST_UNITS), Decimal(0))

    def is_empty(self) -> bool:
        """Whether the provider said that nothing is in the cart."""
        return self.items_known and not any(item.quantity > 0 for item in self.items)


def worth_recovering(cart: Cart | None, minimum: Sequence[Money] = ()) -> bool:
    """Whether a deadline may call this cart abandoned: it holds something and is not known to cost nothing.

    One that costs nothing may where the merchant's ``minimum`` in its currency is zero.
    """
    if cart is None or cart.is_empty():
        return False
    total = cart.total()
    return total is None or total.minor > 0 or reaches_minimum(cart, minimum)


def reaches_minimum(cart: Cart | None, minimum: Sequence[Money]) -> bool:
    """Whether the cart's total is worth a message to the merchant; an unknown total always is.

    ``minimum`` holds one amount per currency; in any other a total must be above zero.
    """
    total = None if cart is None else cart.total()
    if total is None:
        return True
    least = next((own.minor for own in minimum if own.currency == total.currency), 1)
    return total.minor >= least
