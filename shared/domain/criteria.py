"""Campaign criteria, which are an endpoint's content filter too: parsed once, evaluated against a checkout.

Truth has three values. A comparison with something the checkout does not have is unknown, and so is its negation by
``not``; only what is true in the end matches. ``exists`` asks about presence itself, and ``ne`` and ``not_in`` are
true of what is absent. A field with several values (``items.*``, ``discount_codes``) is compared value by value:
``eq in gt gte lt lte contains`` match when any value does, ``ne`` and ``not_in`` when no value equals. Two conditions
about items may be met by two items. Texts are compared without regard to case.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from shared.domain.cart import Item
from shared.domain.checkout import ATTRIBUTION_TEXTS, CUSTOMER_TEXTS, Checkout
from shared.domain.consent import country_of, marketing_consent
from shared.domain.durations import duration_text, parse_duration
from shared.domain.money import exponent, parse_decimal
from shared.domain.pointer import pointer as pointer_to

type Problem = tuple[str, str]
"""What is wrong with a request: an RFC 6901 pointer, and what to say about it."""
type Scalar = str | Decimal | timedelta
type Value = Scalar | tuple[Scalar, ...] | bool

DEEPEST = 8
MOST_CONDITIONS = 100
MOST_VALUES = 500
LONGEST_TEXT = 500
_LARGEST = Decimal(10**15)


class Operator(StrEnum):
    """How a field is compared with a value."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NOT_IN = "not_in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    CONTAINS = "contains"
    EXISTS = "exists"


class FieldKind(StrEnum):
    """What a field's values are, and so what it may be compared with."""

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"
    DURATION = "duration"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. ``value`` is folded text, Decimal or timedelta; a tuple of them; or, for ``exists``, a bool."""

    field: str
    op: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Group:
    """``all`` or ``any`` of the parts."""

    every: bool
    parts: tuple["Criteria", ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The opposite of the part; unknown stays unknown."""

    part: "Criteria"


type Criteria = Condition | Group | Negation

EVERYTHING = Group(every=True, parts=())
"""Criteria that every checkout meets."""

_ORDERED: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
}
_LISTS = frozenset({Operator.IN, Operator.NOT_IN})
_ITEM_TEXTS = ("product_id", "variant_id", "sku", "title")

FIELDS: Mapping[str, FieldKind] = {
    "total": FieldKind.MONEY,
    "item_count": FieldKind.NUMBER,
    "age": FieldKind.DURATION,
    **dict.fromkeys(("stage", "provider", "country", "currency", "cart_type", "discount_codes"), FieldKind.TEXT),
    "consent.marketing": FieldKind.TEXT,
    **dict.fromkeys((f"customer.{name}" for name in CUSTOMER_TEXTS), FieldKind.TEXT),
    **dict.fromkeys((f"attribution.{name}" for name in ATTRIBUTION_TEXTS), FieldKind.TEXT),
    **dict.fromkeys((f"items.{name}" for name in _ITEM_TEXTS), FieldKind.TEXT),
    "items.quantity": FieldKind.NUMBER,
}
"""Every field there is. ``total`` is in major units of the checkout's own currency; ``age`` counts from the shopper's
last activity; ``country`` is the alpha-2 code of the shipping address, else of the billing address."""

_ALLOWED: Mapping[FieldKind, frozenset[Operator]] = {
    kind: frozenset(Operator) - ({Operator.CONTAINS} if kind is not FieldKind.TEXT else set(_ORDERED))
    for kind in FieldKind
}
_WORDS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "country": (re.compile("[a-z]{2}"), 'a country code of two letters, like "IN"'),
    "currency": (re.compile("[a-z]{3}"), 'a currency code of three letters, like "INR"'),
    "consent.marketing": (re.compile("granted|denied|unknown"), "one of granted, denied, unknown"),
}
"""Texts of which only some can be: another would never be met, or always."""
_WHOLE = frozenset({Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN})
_EXPECTED = {
    FieldKind.TEXT: f"a text of at most {LONGEST_TEXT} characters",
    FieldKind.NUMBER: "a number",
    FieldKind.MONEY: 'an amount like "500.00"',
    FieldKind.DURATION: 'an ISO 8601 duration like "PT2H"',
}


def parse(raw: object, pointer: str = "/criteria", *, new: bool = False) -> tuple[Criteria, list[Problem]]:
    """The criteria in ``raw`` (JSON), with what is wrong with them; None and ``{}`` match everything.

    ``new``: they are being set, so a value that the field never has is wrong too. Of what is stored none is.

    Criteria that come with problems are not to be used.
    """
    if raw is None or raw == {}:
        return EVERYTHING, []
    reader = _Reader(new=new)
    criteria = reader.read(raw, pointer, 1)
    if reader.conditions > MOST_CONDITIONS:
        reader.problems.append((pointer, f"at most {MOST_CONDITIONS} conditions"))
    return criteria, reader.problems


def as_json(criteria: Criteria) -> dict[str, Any]:
    """The criteria in the contract's shape: ``parse`` reads them back equal."""
    if isinstance(criteria, Group):
        return {"all" if criteria.every else "any": [as_json(part) for part in criteria.parts]}
    if isinstance(criteria, Negation):
        return {"not": as_json(criteria.part)}
    value = criteria.value
    shown = [_shown(one) for one in value] if isinstance(value, tuple) else _shown(value)
    return {"field": criteria.field, "op": criteria.op.value, "value": shown}


def matches(criteria: Criteria, checkout: Checkout, now: datetime) -> bool:
    """Whether the checkout, as it stands at ``now``, certainly meets the criteria."""
    return evaluate(criteria, checkout, now) is True


def evaluate(criteria: Criteria, checkout: Checkout, now: datetime) -> bool | None:
    """True, false, or None where the checkout does not have what is asked about."""
    if isinstance(criteria, Condition):
        return _compared(criteria, list(_values(criteria.field, checkout, now)))
    if isinstance(criteria, Negation):
        inner = evaluate(criteria.part, checkout, now)
        return None if inner is None else not inner
    results = [evaluate(part, checkout, now) for part in criteria.parts]
    decisive = not criteria.every
    if decisive in results:
        return decisive
    return None if None in results else criteria.every


class _Reader:
    """Reads criteria and collects what is wrong with them."""

    def __init__(self, *, new: bool) -> None:
        self._new = new
        self.problems: list[Problem] = []
        self.conditions = 0

    def read(self, raw: object, pointer: str, depth: int) -> Criteria:
        if depth > DEEPEST:
            return self._wrong(pointer, f"nested more than {DEEPEST} levels")
        if not isinstance(raw, Mapping):
            return self._wrong(pointer, "an object with all, any, not, or field, op and value")
        kinds = [name for name in ("all", "any", "not", "field") if name in raw]
        if len(kinds) != 1:
            return self._wrong(pointer, "exactly one of all, any, not, or field")
        kind = kinds[0]
        known = {"field", "op", "value"} if kind == "field" else {kind}
        unknown = [name for name in raw if name not in known]
        self.problems += [(pointer + pointer_to(str(name)), "unknown field") for name in unknown]
        if kind == "field":
            return self._condition(raw, pointer)
        if kind == "not":
            return Negation(self.read(raw["not"], f"{pointer}/not", depth + 1))
        return self._group(kind, raw[kind], f"{pointer}/{kind}", depth)

    def _group(self, kind: str, parts: object, pointer: str, depth: int) -> Criteria:
        if not isinstance(parts, list) or (kind == "any" and not parts):
            return self._wrong(pointer, "a list of criteria" + (", one or more" if kind == "any" else ""))
        if len(parts) > MOST_CONDITIONS:
            return self._wrong(pointer, f"at most {MOST_CONDITIONS} conditions")
        read = tuple(self.read(part, f"{pointer}/{position}", depth + 1) for position, part in enumerate(parts))
        return Group(every=kind == "all", parts=read)

    def _condition(self, raw: Mapping[str, object], pointer: str) -> Criteria:
        self.conditions += 1
        name, op_name = raw["field"], raw.get("op")
        kind = FIELDS.get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or kind is None:
            return self._wrong(f"{pointer}/field", "no such field")
        if not isinstance(op_name, str) or op_name not in set(Operator):
            return self._wrong(f"{pointer}/op", f"one of {', '.join(Operator)}")
        op = Operator(op_name)
        if op not in _ALLOWED[kind]:
            return self._wrong(f"{pointer}/op", f"{name} cannot be compared by {op}")
        value = self._value(kind, op, raw.get("value"), f"{pointer}/value")
        if self._new and op in _WHOLE and name in _WORDS:
            self._check_words(name, value, f"{pointer}/value")
        return EVERYTHING if value is None else Condition(name, op, value)

    def _value(self, kind: FieldKind, op: Operator, raw: object, pointer: str) -> Value | None:
        if op is Operator.EXISTS:
            if not isinstance(raw, bool):
                self._expected("true or false", pointer)
            return raw if isinstance(raw, bool) else None
        if op in _LISTS:
            return self._several(kind, raw, pointer)
        read = _scalar(kind, raw)
        if read is None:
            self._expected(_EXPECTED[kind], pointer)
        return read

    def _check_words(self, name: str, value: Value | None, pointer: str) -> None:
        pattern, expected = _WORDS[name]
        several = isinstance(value, tuple)
        for position, one in enumerate(value if isinstance(value, tuple) else (value,)):
            if isinstance(one, str) and not pattern.fullmatch(one):
                self._expected(expected, f"{pointer}/{position}" if several else pointer)

    def _several(self, kind: FieldKind, raw: object, pointer: str) -> tuple[Scalar, ...] | None:
        if not isinstance(raw, list) or not 1 <= len(raw) <= MOST_VALUES:
            self._expected(f"a list of 1 to {MOST_VALUES} values", pointer)
            return None
        values = [_scalar(kind, one) for one in raw]
        for position, value in enumerate(values):
            if value is None:
                self._expected(_EXPECTED[kind], f"{pointer}/{position}")
        return tuple(value for value in values if value is not None)

    def _wrong(self, pointer: str, detail: str) -> Criteria:
        self.problems.append((pointer, detail))
        return EVERYTHING

    def _expected(self, what: str, pointer: str) -> None:
        self.problems.append((pointer, f"must be {what}"))


def _scalar(kind: FieldKind, raw: object) -> Scalar | None:
    if kind is FieldKind.TEXT:
        if isinstance(raw, int) and not isinstance(raw, bool):
            raw = str(raw)
        return _folded(raw) if isinstance(raw, str) and 0 < len(raw.strip()) <= LONGEST_TEXT else None
    if kind is FieldKind.DURATION:
        return parse_duration(raw)
    number = parse_decimal(raw)
    return number if number is not None and abs(number) <= _LARGEST else None


def _compared(condition: Condition, values: Sequence[Scalar]) -> bool | None:
    """The condition over the field's values, none where the checkout has none."""
    op, wanted = condition.op, condition.value
    if op is Operator.EXISTS:
        return bool(values) is wanted
    # As sets: five hundred values wanted of a thousand items are not half a million comparisons.
    if op in {Operator.NE, Operator.NOT_IN}:
        return set(values).isdisjoint(wanted if isinstance(wanted, tuple) else (wanted,))
    if not values:
        return None
    if op in {Operator.EQ, Operator.IN}:
        return not set(values).isdisjoint(wanted if isinstance(wanted, tuple) else (wanted,))
    if op is Operator.CONTAINS:
        return any(str(wanted) in str(value) for value in values)
    return any(_ORDERED[op](value, wanted) for value in values)


def _values(name: str, checkout: Checkout, now: datetime) -> Iterator[Scalar]:
    """The values that the checkout has for a field; nothing for an unknown one."""
    if name == "age":
        yield max(now - checkout.last_activity_at, timedelta())
    elif name == "consent.marketing":
        yield marketing_consent(checkout).value
    elif name.startswith(("customer.", "attribution.")) or name == "stage":
        yield from _folded_texts(checkout.text(name))
    elif name == "provider":
        yield _folded(checkout.provider)
    elif name == "country":
        yield from _folded_texts(country_of(checkout))
    else:
        yield from _cart_values(name, checkout)


def _cart_values(name: str, checkout: Checkout) -> Iterator[Scalar]:
    cart = checkout.cart
    if cart is None:
        return
    if name.startswith("items."):
        for item in cart.items:
            yield from _item_values(name.removeprefix("items."), item)
    elif name == "total":
        total = cart.total()
        if total is not None:
            yield Decimal(total.minor).scaleb(-exponent(total.currency))
    elif name == "item_count":
        if cart.items_known:
            yield cart.item_count()
    elif name == "discount_codes":
        yield from map(_folded, cart.discount_codes)
    else:
        yield from _folded_texts({"currency": cart.currency, "cart_type": cart.cart_type}.get(name))


def _item_values(name: str, item: Item) -> Iterator[Scalar]:
    texts: dict[str, str | None] = {
        "product_id": item.product_id,
        "variant_id": item.variant_id,
        "sku": item.sku,
        "title": item.title,
    }
    if name == "quantity":
        yield item.quantity
    else:
        yield from _folded_texts(texts.get(name))


def _folded_texts(*texts: str | None) -> Iterator[str]:
    return (_folded(text) for text in texts if text)


def _folded(text: str) -> str:
    return text.strip().casefold()


def _shown(value: Scalar | bool) -> str | bool:
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value
