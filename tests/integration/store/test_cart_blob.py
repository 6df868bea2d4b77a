"""The cart snapshot's bytes: whatever goes in comes out, and little is stored."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cart import Cart, Item, TaxLine, Totals
from shared.domain.money import Money
from shared.store.cart_blob import pack, unpack
from tests.unit.domain.sessions import cart_of

CURRENCIES = st.sampled_from(["INR", "JPY", "KWD"])
MONEY = st.none() | st.builds(Money, st.integers(-(10**15), 10**15), CURRENCIES)
TEXT = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DECIMALS = st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=3)
TOTALS = st.builds(Totals, *[MONEY] * 6, st.none() | st.booleans())
ITEMS = st.builds(
    Item,
    DECIMALS,
    *[TEXT] * 7,
    *[MONEY] * 3,
    *[TEXT] * 2,
    st.dictionaries(st.text("abc", min_size=1), st.text("xyz"), max_size=2),
)
CARTS = st.builds(
    Cart,
    st.none() | CURRENCIES,
    currency_assumed=st.booleans(),
    items=st.lists(ITEMS, max_size=3).map(tuple),
    totals=TOTALS,
    shop_totals=st.none() | TOTALS.filter(lambda own: own != Totals()),
    tax_lines=st.lists(st.builds(TaxLine, TEXT, st.none() | DECIMALS, MONEY), max_size=2).map(tuple),
    discount_codes=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=2).map(tuple),
    cart_type=TEXT,
    items_known=st.booleans(),
)


@given(CARTS)
def test_a_cart_comes_back_as_it_went(cart: Cart) -> None:
    packed = pack(cart)
    assert unpack(packed) == cart
    assert pack(unpack(packed)) == packed


def test_a_version_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown version 9"):
        unpack(bytes((9,)) + pack(cart_of())[1:])


def test_one_line_takes_little_room() -> None:
    assert len(pack(cart_of(quantity=2))) < 100
    assert unpack(pack(cart_of(quantity=2))).items[0].quantity == Decimal(2)
