"""Money: exact in, exact out, and never two currencies in one sum."""

from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cart import Cart, Item, Totals, reaches_minimum, worth_recovering
from shared.domain.money import Money, currency_code, exponent, parse_decimal, parse_money, total_of

CURRENCIES = st.sampled_from(["JPY", "INR", "USD", "KWD", "XTS"])
MINOR = st.integers(-(10**15), 10**15)


@pytest.mark.parametrize(("currency", "decimals"), [("JPY", 0), ("INR", 2), ("KWD", 3), ("ZZZ", 2)])
def test_a_currency_has_its_own_decimals(currency: str, decimals: int) -> None:
    assert exponent(currency) == decimals


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [(63_000, "INR", "630.00"), (5, "INR", "0.05"), (0, "INR", "0.00"), (630, "JPY", "630"), (1, "KWD", "0.001")],
)
def test_the_contract_shows_a_decimal_string(minor: int, currency: str, amount: str) -> None:
    assert Money(minor, currency).as_json() == {"amount": amount, "currency": currency}


@given(MINOR, CURRENCIES)
def test_what_is_shown_reads_back_as_the_same_money(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    assert parse_money(money.amount(), currency) == money
    assert parse_money(minor, currency, "minor") == money


@given(st.integers(-(10**11), 10**11), st.sampled_from(["JPY", "INR", "KWD"]))
def test_a_float_means_its_shortest_text(minor: int, currency: str) -> None:
    as_float = float(Money(minor, currency).amount())
    parsed = parse_money(as_float, currency)
    assert parsed == Money(minor, currency)
    assert parsed is not None
    assert type(parsed.minor) is int


def test_float_noise_rounds_half_up_to_the_minor_unit() -> None:
    assert parse_money(0.1 + 0.2, "INR") == Money(30, "INR")
    assert parse_money("2.675", "INR") == Money(268, "INR")
    assert parse_money("0.5", "JPY") == Money(1, "JPY")


@given(st.one_of(st.none(), st.booleans(), st.text(), st.floats(), st.integers(), st.lists(st.none()), st.decimals()))
def test_any_value_is_money_in_whole_minor_units_or_nothing(value: object) -> None:
    units: tuple[Literal["major", "minor"], ...] = ("major", "minor")
    for unit in units:
        money = parse_money(value, "INR", unit)
        assert money is None or (type(money.minor) is int and abs(money.minor) <= 10**15)


@pytest.mark.parametrize("value", ["1e999999", "-1e999999", "1e-999999", "NaN", "sNaN", "Infinity", 10**400, 1e308])
def test_absurd_numbers_cost_nothing(value: object) -> None:
    assert parse_money(value, "INR") in {None, Money(0, "INR")}


@pytest.mark.parametrize("value", [True, False, None, "", "twelve", "12,50", [], {}, object()])
def test_what_is_no_number_is_no_money(value: object) -> None:
    assert parse_decimal(value) is None
    assert parse_money(value, "INR") is None


def test_two_currencies_are_never_added() -> None:
    with pytest.raises(ValueError, match="cannot add USD to INR"):
        Money(1, "INR") + Money(1, "USD")
    assert total_of([Money(1, "INR"), Money(1, "USD")]) is None


@given(st.lists(MINOR, min_size=1, max_size=5))
def test_a_total_is_the_sum_or_unknown(amounts: list[int]) -> None:
    assert total_of(Money(own, "INR") for own in amounts) == Money(sum(amounts), "INR")
    assert total_of([*(Money(own, "INR") for own in amounts), None]) is None
    assert total_of([]) is None


def test_a_line_sold_by_weight_is_rounded_to_the_minor_unit() -> None:
    assert Item(Decimal("0.335"), unit_price=Money(1000, "INR")).line_total() == Money(335, "INR")
    assert Item(Decimal("0.3335"), unit_price=Money(1000, "INR")).line_total() == Money(334, "INR")


@pytest.mark.parametrize("quantity", ["1e999999", "9e30", "1e16"])
def test_an_absurd_quantity_has_no_total_and_stops_no_deadline(quantity: str) -> None:
    line = Item(Decimal(quantity), unit_price=Money(63_000, "INR"))
    assert line.line_total() is None
    assert worth_recovering(Cart("INR", items=(line,)))
    Cart("INR", items=(line, line)).item_count()


FREE = Cart("INR", items=(Item(Decimal(1)),), totals=Totals(total=Money(0, "INR")))
CHEAP = Cart("INR", items=(Item(Decimal(1)),), totals=Totals(total=Money(49_999, "INR")))


@pytest.mark.parametrize(
    ("cart", "minimum", "abandoned", "messaged"),
    [
        (FREE, (), False, False),
        (FREE, (Money(0, "INR"),), True, True),
        (FREE, (Money(0, "EUR"),), False, False),
        (CHEAP, (), True, True),
        (CHEAP, (Money(49_999, "INR"),), True, True),
        (CHEAP, (Money(50_000, "INR"),), True, False),
        (CHEAP, (Money(50_000, "EUR"), Money(1, "INR")), True, True),
        (Cart("INR", items=(Item(Decimal(1)),)), (Money(50_000, "INR"),), True, True),
    ],
)
def test_from_which_total_on_a_cart_is_worth_a_message_is_the_merchants_to_say(
    cart: Cart, minimum: tuple[Money, ...], abandoned: bool, messaged: bool
) -> None:
    assert worth_recovering(cart, minimum) is abandoned
    assert reaches_minimum(cart, minimum) is messaged


@pytest.mark.parametrize(
    ("cart", "worth"),
    [
        (None, False),
        (Cart("INR"), False),
        (Cart("INR", items_known=False), True),
        (Cart("INR", items=(Item(Decimal(0)),)), False),
        (Cart("INR", items=(Item(Decimal(1)),)), True),
        (Cart("INR", items=(Item(Decimal(1)),), totals=Totals(total=Money(0, "INR"))), False),
        (Cart("INR", items=(Item(Decimal(1), unit_price=Money(0, "INR")),)), False),
        (Cart("INR", items=(Item(Decimal(1), unit_price=Money(1, "INR")),)), True),
    ],
)
def test_a_cart_is_worth_recovering_unless_it_is_known_to_hold_or_cost_nothing(cart: Cart | None, worth: bool) -> None:
    assert worth_recovering(cart) is worth


@pytest.mark.parametrize(
    ("value", "code"),
    [("inr", "INR"), (" USD ", "USD"), ("", None), (None, None), ("RUPEE", None), ("₹₹₹", None), (1, None)],
)
def test_a_currency_code_is_three_letters_or_none(value: object, code: str | None) -> None:
    assert currency_code(value) == code
