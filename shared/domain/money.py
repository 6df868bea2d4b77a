"""Money: integer minor units and an ISO 4217 code inside, a decimal string outside. No float ever touches it."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal, TypedDict

MoneyUnit = Literal["major", "minor"]

_LONGEST_NUMBER = 400
"""A number of more digits than this is no number anybody sends: arithmetic on it would take for ever."""
_LARGEST = 10**15
"""Minor units beyond this are a provider's mistake, not a cart."""


class MoneyJson(TypedDict):
    """An amount of money."""

    amount: str
    """A decimal number with the currency's own number of decimals: `630.00`, `630` for JPY."""
    currency: str
    """ISO 4217."""


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount of ``currency`` in its minor unit (paise for INR, whole yen for JPY)."""

    minor: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        """The sum. Raises ValueError for two currencies: they are never added."""
        if self.currency != other.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}")
        return Money(self.minor + other.minor, self.currency)

    def times(self, quantity: Decimal) -> "Money":
        """The price of ``quantity`` units, rounded half up to the minor unit."""
        return Money(int((self.minor * quantity).to_integral_value(ROUND_HALF_UP)), self.currency)

    def amount(self) -> str:
        """The contract's decimal string, with the currency's own number of decimals: ``630.00``, ``630`` for JPY."""
        return f"{Decimal(self.minor).scaleb(-exponent(self.currency)):f}"

    def as_json(self) -> MoneyJson:
        """The contract's money object."""
        return {"amount": self.amount(), "currency": self.currency}


@lru_cache(maxsize=256)
def exponent(currency: str) -> int:
    """Decimals of the currency's minor unit by ISO 4217; 2 for a code the standard does not list."""
    from iso4217 import Currency

    try:
        decimals = Currency(currency).exponent
    except ValueError:
        return 2
    return 2 if decimals is None else int(decimals)


def currency_code(value: object) -> str | None:
    """The upper-case three-letter code in ``value``, or None when it holds none (``""`` and null are none)."""
    if not isinstance(value, str):
        return None
    code = value.strip().upper()
    return code if len(code) == 3 and code.isascii() and code.isalpha() else None


def parse_decimal(value: object) -> Decimal | None:
    """A finite Decimal of sane length from a JSON number or a numeric text; None for anything else.

    A float goes through its shortest text, so that ``19.99`` stays ``19.99``.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        number = Decimal(value)
    elif isinstance(value, float):
        number = Decimal(repr(value))
    elif isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            return None
    else:
        return None
    return number if number.is_finite() and abs(number.adjusted()) <= _LONGEST_NUMBER else None


def parse_money(value: object, currency: str, unit: MoneyUnit = "major") -> Money | None:
    """``value`` as Money, rounded half up to the currency's minor unit; None where there is no usable number."""
    number = parse_decimal(value)
    if number is None or number.adjusted() > len(str(_LARGEST)):
        return None
    minor = number if unit == "minor" else number.scaleb(exponent(currency))
    rounded = int(minor.to_integral_value(ROUND_HALF_UP))
    return Money(rounded, currency) if abs(rounded) <= _LARGEST else None


def total_of(amounts: Iterable[Money | None]) -> Money | None:
    """The sum, or None when there is nothing to add or one part is unknown or in another currency."""
    known: Money | None = None
    for amount in amounts:
        if amount is None or (known is not None and amount.currency != known.currency):
            return None
        known = amount if known is None else known + amount
    return known
