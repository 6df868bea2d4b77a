"""A source's own field map: checkout fields by JMESPath over the provider's payload (``settings.mapping``).

Form: ``{"<field>": "<JMESPath over the whole payload>"}``. Fields are those of the contract's checkout, dotted:

- texts: ``external_id``, ``cart_id``, ``cart_type``, ``name``, ``stage``, ``note``, ``checkout_url``, ``customer.*``,
  ``shipping_address.*``, ``billing_address.*``, ``attribution.*``, ``attributes.<any name>``, ``order.id``;
- times (RFC 3339, or epoch seconds or milliseconds): ``started_at``, ``updated_at`` (the event's own time),
  ``abandoned_at``, ``completed_at``, ``expires_at``, ``order.at``, ``refund.at``;
- money in the source's unit and currency (a number, a numeric text, or ``{amount, currency}`` in major units):
  ``totals.*``, ``order.total``, ``refund.amount`` (one refund, by ``refund.id``) and ``refund.total`` (all of the
  order's so far); beside it ``currency`` and ``totals.tax_included``;
- ``consent.marketing`` and ``consent.channels.*``: a boolean, or granted, denied, unknown;
- ``discount_codes``: a list of texts, or one; ``test``: a boolean, or its text;
- ``status``: one of the words in ``SIGNALS`` (``type == 'paid' && 'completed' || 'open'`` makes one of anything);
- beside the checkout object: ``event_id``, ``sequence`` (the provider's own counter), ``join_token`` (the token that
  the order will name).

A group may be given whole, as an object with the contract's names: ``"shipping_address": "to.{city: town}"``.

Items, in one of three ways, which give the same:

- ``"items": "cart.lines[].{title: name, quantity: qty, unit_price: price}"``: objects with the contract's names;
- ``"items": "cart.lines"`` with ``"items[].title": "name"``: the list, and expressions relative to each line;
- ``"items[].title": "cart.lines[].name"`` without ``items``: projections of one list.

Evaluating all of a mapping over one payload is paid for out of one budget (``shared.providers.bounded_search``); what
costs more sets the webhook aside with the reason ``mapping_limit``.

What an expression does not find is not sent: it erases nothing. Numbers are exact; only inside JMESPath functions
(``sum``, ``to_number``) they are doubles, as that language has it, rounded to the currency afterwards. Of null,
``to_string`` and ``to_array`` make null; a list's nulls are no items.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any

from shared.domain.cart import Cart, Item, TaxLine, Totals
from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import (
    ADDRESS_PAIRS,
    ADDRESS_TEXTS,
    ADDRESSES,
    ATTRIBUTION_TEXTS,
    CHANNELS,
    CUSTOMER_TEXTS,
    Order,
)
from shared.domain.instants import from_ms, parse_instant
from shared.domain.money import Money, MoneyUnit, currency_code, parse_decimal, parse_money
from shared.domain.reversal import Refund, Reversal
from shared.providers.bounded_search import (
    FAILURES,
    Budget,
    BudgetSpent,
    NotAnExpression,
    Search,
    calls_functions,
    parsed,
    with_doubles,
)
from shared.providers.payload import Leaves, mapping, names_nothing, objects, quantity, text
from shared.providers.provider import Normalised, NotUnderstood, SourceContext

SIGNALS: Mapping[str, Signal] = {
    **dict.fromkeys(("open", "activity", "started", "created", "updated", "active"), Signal.ACTIVITY),
    **dict.fromkeys(("payment_pending", "payment_started"), Signal.PAYMENT_STARTED),
    "payment_failed": Signal.PAYMENT_FAILED,
    "abandoned": Signal.ABANDONED,
    **dict.fromkeys(("completed", "recovered", "purchased", "paid"), Signal.PURCHASED),
    **dict.fromkeys(("ended", "expired", "discarded", "deleted", "emptied"), Signal.ENDED),
}
"""What ``status`` may say, in any case, and what it means."""

ITEM_TEXTS = (
    *("id", "product_id", "variant_id", "sku", "title", "variant_title", "handle", "image_url", "product_url"),
)
ITEM_MONEY = ("unit_price", "compare_at_price", "total")
ITEM_FIELDS = (*ITEM_TEXTS, *ITEM_MONEY, "quantity", "attributes")
TOTALS_MONEY = ("subtotal", "discount", "shipping", "tax", "duties", "total")
_PLAIN_TEXTS = ("name", "cart_id", "join_token", "stage", "note")
_ADDRESS_PARTS = (*ADDRESS_TEXTS, *ADDRESS_PAIRS, *ADDRESS_PAIRS.values())
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "customer": CUSTOMER_TEXTS,
    **dict.fromkeys(ADDRESSES, _ADDRESS_PARTS),
    "attribution": (*ATTRIBUTION_TEXTS, "click_ids"),
    "totals": (*TOTALS_MONEY, "tax_included"),
    "consent": ("marketing", "channels", "source", "at"),
    "consent.channels": CHANNELS,
    "order": ("id", "at", "total"),
    "refund": ("id", "at", "amount", "total"),
}
ALIASES = {
    **dict.fromkeys(("id", "checkout_id"), "external_id"),
    "occurred_at": "updated_at",
    "created_at": "started_at",
    "total": "totals.total",
    "recovery_url": "checkout_url",
}
FIELDS = frozenset(
    {
        *("external_id", "event_id", "sequence", "status", "test", "currency", "checkout_url", "items", "tax_lines"),
        *("cart_type", "discount_codes", "attributes", "started_at", "updated_at", "last_activity_at", "abandoned_at"),
        *("completed_at", "expires_at", *_PLAIN_TEXTS, *_GROUPS),
        *(f"{group}.{part}" for group, parts in _GROUPS.items() for part in parts),
    }
)
"""Every field a mapping may name, beside ``items[].<field>`` and ``attributes.<name>``."""

_LONGEST_EXPRESSION = 2_000
_LONGEST_MAPPING = 20_000
_MOST_EXPRESSIONS = 200
_MOST_COMPILED = 64
"""Mappings kept compiled in a process: the longest there may be takes some 2 MB of it."""
_ITEM_COST = 40
"""What making an item of the cart costs, in what ``bounded_search`` counts."""
_CELL_COST = 2
"""What looking at one line for one of its fields costs beside the search."""
_EPOCH_IN_MS_FROM = 10**11
_MOST_UNITS_DIGITS = 9


class InvalidMapping(ValueError):
    """A mapping that cannot be used: ``field`` is its key, ``detail`` says what is wrong with it."""

    def __init__(self, field: str, detail: str) -> None:
        """``detail`` is for the merchant."""
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class MappingLimit(NotUnderstood):
    """Evaluating the source's mapping over the payload costs more than any mapping may."""

    def __init__(self) -> None:
        """The reason is the contract's."""
        super().__init__("mapping_limit")


@dataclass(frozen=True, slots=True)
class _Compiled:
    """An expression's tree; ``counts``: it calls functions, which know doubles only."""

    tree: Any
    counts: bool


class _Document:
    """A payload, or a line of one, under evaluation; the copy with doubles is made once, if at all."""

    def __init__(self, payload: Any, budget: Budget, search: Search | None = None) -> None:
        """A line shares the search of its payload, and its budget."""
        self.exact = payload
        self._budget = budget
        self._search = search or Search(budget, absent_stays_absent=True)

    @cached_property
    def doubles(self) -> Any:
        return with_doubles(self.exact, self._budget)

    def search(self, field: str, compiled: _Compiled) -> Any:
        try:
            found = self._search.visit(compiled.tree, self.doubles if compiled.counts else self.exact)
            self._budget.read(found)
        except BudgetSpent as spent:
            raise MappingLimit from spent
        except FAILURES as failed:
            # The library's message quotes the value.
            raise NotUnderstood(f"the mapping of {field} does not fit the payload") from failed
        return found

    def lines(self, found: list[Any], cost: int) -> list["_Document"]:
        """Each of the lines found, as a document of its own, for ``cost`` each."""
        self.spend(cost * len(found))
        return [_Document(line, self._budget, self._search) for line in found]

    def spend(self, cost: int) -> None:
        """Pay for what is made beside the search. Raises MappingLimit."""
        try:
            self._budget.spend(cost)
        except BudgetSpent as spent:
            raise MappingLimit from spent


@dataclass(frozen=True, slots=True)
class Found:
    """What a mapping found: values by dotted field as the payload has them, never null; ``items`` None if unmapped.

    The keys of ``items`` are the contract's.
    """

    values: Mapping[str, Any]
    items: tuple[Mapping[str, Any], ...] | None = None

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self.values) or self.items is not None

    def text(self, field: str) -> str | None:
        """The field as a text, numbers digit for digit."""
        found = text(self.values.get(field))
        return None if found is None or names_nothing(field, found) else found

    @property
    def is_test(self) -> bool | None:
        """Whether the webhook says that it is a test, or none; None where it does not say."""
        return _boolean(self.values.get("test"))

    def instant(self, *fields: str) -> datetime | None:
        """The first of the fields that holds a time."""
        return next((at for field in fields if (at := instant(self.values.get(field))) is not None), None)

    def currency(self, *amounts: str) -> str | None:
        """The currency told beside the amounts, else by the first of them that names its own."""
        told = (self.values.get("currency"), *(mapping(self.values.get(name)).get("currency") for name in amounts))
        return next((code for own in told if (code := currency_code(own)) is not None), None)

    def signal(self) -> Signal | None:
        """What ``status`` means; None where it is not mapped or not sent. Raises NotUnderstood for anything else."""
        sent = self.values.get("status")  # false, or nothing, is what ``paid && 'completed'`` makes of one not paid
        if sent and (isinstance(sent, bool) or not isinstance(sent, str | int | Decimal)):
            raise NotUnderstood("the mapping of status gives no word: make one, as in paid && 'completed' || 'open'")
        word = self.text("status")
        if word is None:
            return None
        signal = SIGNALS.get(word.lower())
        if signal is None:
            raise NotUnderstood("the mapping of status gives an unknown word")
        return signal


NOTHING = Found({})


class CheckoutMapping:
    """A compiled mapping. Immutable."""

    def __init__(self, expressions: Mapping[str, str]) -> None:
        """Compile. Raises InvalidMapping."""
        if len(expressions) > _MOST_EXPRESSIONS:
            raise InvalidMapping("", f"more than {_MOST_EXPRESSIONS} expressions")
        if sum(map(len, expressions.values())) > _LONGEST_MAPPING:
            raise InvalidMapping("", f"longer than {_LONGEST_MAPPING:,} characters together")
        self._fields: dict[str, _Compiled] = {}
        self._items: _Compiled | None = None
        self._parts: dict[str, _Compiled] = {}
        self._lists: dict[str, _Compiled] = {}
        parts: dict[str, tuple[str, Any]] = {}
        for name, expression in expressions.items():
            field, is_part = _target(name)
            tree = _parse(name, expression)
            if is_part:
                parts[field] = (name, tree)
            elif field == "items":
                self._items = _evaluable(tree)
            else:
                self._fields[field] = _evaluable(tree)
        for field, (name, tree) in parts.items():
            self._add_part(field, name, tree)

    def _add_part(self, field: str, name: str, tree: Any) -> None:
        if self._items is None:
            split = _split_projection(tree)
            if split is None:
                raise InvalidMapping(name, "without items this must project a list, like cart.lines[].name")
            lines, tree = split
            self._lists[field] = _evaluable(lines)
        self._parts[field] = _evaluable(tree)

    def read(self, payload: Any) -> Found:
        """Evaluate everything over ``payload``.

        Raises NotUnderstood where an expression does not fit it, MappingLimit where it costs too much.
        """
        document = _Document(payload, Budget())
        values: dict[str, Any] = {}
        for field, compiled in sorted(self._fields.items()):  # a group comes before its members, which override it
            value = document.search(field, compiled)
            if value is not None:
                values.update(_members(field, value))
        return Found(values, self._lines(document))

    def _lines(self, document: _Document) -> tuple[Mapping[str, Any], ...] | None:
        if self._items is not None:
            sent = document.search("items", self._items)
            if sent is None:
                return None
            named = [line for line in sent if line is not None] if isinstance(sent, list) else [sent]
            lines = document.lines(named, _ITEM_COST)
            return tuple(
                {
                    **{name: value for name, value in mapping(line.exact).items() if name in ITEM_FIELDS},
                    **{name: line.search(f"items[].{name}", part) for name, part in self._parts.items()},
                }
                for line in lines
            )
        columns: dict[str, list[Any]] = {}
        for name, part in self._parts.items():
            own = document.search(f"items[].{name}", self._lists[name])
            if isinstance(own, list):
                columns[name] = [line.search(f"items[].{name}", part) for line in document.lines(own, _CELL_COST)]
        if not columns:
            return None
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            raise NotUnderstood("the mappings of items[] project lists of different lengths")
        document.spend(_ITEM_COST * lengths.pop())
        return tuple(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def compiled(expressions: Mapping[str, str]) -> CheckoutMapping:
    """The mapping, compiled once per process. Raises InvalidMapping."""
    for name, expression in expressions.items():
        if not isinstance(expression, str):
            raise InvalidMapping(name, "must be a JMESPath expression")
    return _compiled(tuple(expressions.items()))


@lru_cache(maxsize=_MOST_COMPILED)
def _compiled(expressions: tuple[tuple[str, str], ...]) -> CheckoutMapping:
    return CheckoutMapping(dict(expressions))


def found_in(payload: Any, source: SourceContext) -> Found:
    """What the source's mapping finds in the payload; nothing where it has none. Raises NotUnderstood."""
    if not source.settings.mapping:
        return NOTHING
    try:
        own = compiled(source.settings.mapping)
    except InvalidMapping as invalid:
        raise NotUnderstood(f"the source's mapping is invalid at {invalid.field}") from invalid
    return own.read(payload)


def set_leaves(found: Found, leaves: Leaves) -> None:
    """Set every leaf the mapping found, over what ``leaves`` holds already."""
    values = found.values
    for leaf in (*_PLAIN_TEXTS, "consent.source", *(f"attribution.{name}" for name in ATTRIBUTION_TEXTS)):
        leaves.text(leaf, values.get(leaf))
    for name in CUSTOMER_TEXTS:
        if name not in {"phone", "email"}:
            leaves.text(f"customer.{name}", values.get(f"customer.{name}"))
    leaves.email(values.get("customer.email"))
    country = values.get("shipping_address.country_code") or values.get("billing_address.country_code")
    leaves.phone(values.get("customer.phone"), country=country)
    for address in ADDRESSES:
        leaves.address(address, {part: values.get(f"{address}.{part}") for part in _ADDRESS_PARTS})
    if "checkout_url" in values:
        leaves.checkout_url(values["checkout_url"])
    for leaf in ("started_at", "expires_at", "consent.at"):
        leaves.moment(leaf, instant(values.get(leaf)))
    marketing_consent(leaves, values.get("consent.marketing"))
    for channel in CHANNELS:
        leaves.consent(channel, granted(values.get(f"consent.channels.{channel}")))
    leaves.attribution(mapping(values.get("attribution.click_ids")).items())
    own = {name.removeprefix("attributes."): value for name, value in values.items() if name.startswith("attributes.")}
    kept = leaves.found.get("attributes")
    if own or "attributes" in values:
        leaves.attributes({**mapping(kept), **mapping(values.get("attributes")), **own}.items())


def cart_of(
    found: Found, source: SourceContext, base: Cart | None = None, *, unit: MoneyUnit | None = None
) -> Cart | None:
    """The cart with what the mapping found over ``base``; ``base`` itself where it found nothing of a cart.

    ``unit`` is the provider's own money unit, used where the source sets none.
    """
    values = found.values
    named = found.currency()
    if named is None and (base is None or base.currency is None):
        named = _of_amounts(found)
    touched = any(name == "currency" or name.split(".")[0] in _CART_FIELDS for name in values)
    if found.items is None and not touched:
        return base
    known = named or (base.currency if base else None)
    currency = known or source.currency
    money = _MoneyReader(currency, source.settings.money_unit or unit or "major")
    cart = base or Cart(currency, items_known=False)
    if named is not None and cart.currency not in {None, named}:
        cart = _in_currency(cart, money)
    items = cart.items if found.items is None else tuple(_item(line, money) for line in found.items)
    totals = {name: money(values.get(f"totals.{name}")) for name in TOTALS_MONEY}
    tax_included = _boolean(values.get("totals.tax_included"))
    return replace(
        cart,
        currency=currency,
        currency_assumed=named is None and (base is None or base.currency is None or base.currency_assumed),
        items=items,
        totals=replace(
            cart.totals,
            **{name: amount for name, amount in totals.items() if amount is not None},
            tax_included=cart.totals.tax_included if tax_included is None else tax_included,
        ),
        tax_lines=tuple(_tax_lines(values["tax_lines"], money)) if "tax_lines" in values else cart.tax_lines,
        discount_codes=codes(values["discount_codes"]) if "discount_codes" in values else cart.discount_codes,
        cart_type=found.text("cart_type") or cart.cart_type,
        items_known=cart.items_known or found.items is not None,
    )


def _of_amounts(found: Found) -> str | None:
    """The currency that the total names (``{amount, currency}``), else the subtotal, else the first price."""
    named = found.currency("totals.total", "totals.subtotal")
    lines = (mapping(line.get(name)).get("currency") for line in found.items or () for name in ITEM_MONEY)
    return named or next((code for own in lines if (code := currency_code(own)) is not None), None)


def order_of(found: Found, source: SourceContext, *, currency: str | None, unit: MoneyUnit | None = None) -> Order:
    """The order the mapping names; its time from ``order.at``, else ``completed_at``."""
    paid = found.values.get("order.total")
    own = currency_code(mapping(paid).get("currency")) or currency or source.currency
    total = _MoneyReader(own, source.settings.money_unit or unit or "major")(paid)
    return Order(found.text("order.id"), found.instant("order.at", "completed_at"), total)


def reversal_of(found: Found, source: SourceContext, event: str, *, cancelled: bool) -> Reversal:
    """What the mapping finds to be taken back: one refund, the sum of them so far, or else the whole order.

    ``event`` names the webhook: a refund without an id is known by it. Raises NotUnderstood where no order is named.
    """
    order_id, external_id = found.text("order.id"), found.text("external_id")
    if order_id is None and external_id is None:
        raise NotUnderstood("of a refund, neither order.id nor external_id was found")
    own = found.currency("refund.amount", "refund.total") or source.currency
    money = _MoneyReader(own, source.settings.money_unit or "major")
    amount, so_far = money(found.values.get("refund.amount")), money(found.values.get("refund.total"))
    whole = cancelled or (amount is None and so_far is None)
    return Reversal(
        order_id,
        external_id,
        refunds=() if amount is None else (Refund(found.text("refund.id") or event, (amount,)),),
        refunded=() if so_far is None else (so_far,),
        cancelled=whole,
        at=found.instant("refund.at", "updated_at") if whole else None,
    )


def overridden(
    normalised: Normalised, payload: Any, source: SourceContext, *, unit: MoneyUnit | None = None
) -> Normalised:
    """``normalised`` with the source's own mapping over it, where it has one. Applying it twice changes nothing.

    For a payload of one checkout only: a page of several is left as it is. Raises NotUnderstood.
    """
    if not source.settings.mapping or len(normalised.changes) != 1:
        return normalised
    found = found_in(payload, source)
    if not found:
        return normalised
    change = override(normalised.changes[0], found, source, unit=unit)
    assumed = set(normalised.assumed)
    if change.cart is not None and change.cart.currency_assumed:
        assumed.add("currency")
    else:
        assumed.discard("currency")
    return replace(normalised, changes=(change,), assumed=tuple(sorted(assumed)))


def override(
    change: CheckoutChange, found: Found, source: SourceContext, *, unit: MoneyUnit | None = None
) -> CheckoutChange:
    """``change`` with what the mapping found over it."""
    leaves = Leaves(source)
    leaves.found.update(change.leaves)
    set_leaves(found, leaves)
    signal = found.signal() or change.signal
    cart = cart_of(found, source, change.cart, unit=unit)
    order = None
    if signal is Signal.PURCHASED:
        own = order_of(found, source, currency=cart.currency if cart else None, unit=unit)
        sent = change.order or Order(None, None)
        total = own.total or sent.total or (cart.total() if cart else None)
        order = Order(own.id or sent.id, own.at or sent.at, total)
    return replace(
        change,
        external_id=found.text("external_id") or change.external_id,
        signal=signal,
        event_id=found.text("event_id") or change.event_id,
        occurred_at=found.instant("updated_at", "last_activity_at") or change.occurred_at,
        abandoned_at=found.instant("abandoned_at") or change.abandoned_at,
        order=order,
        leaves=leaves.found,
        cart=cart,
        test=change.test if found.is_test is None else found.is_test,
    )


def instant(value: Any) -> datetime | None:
    """A time as providers write it: RFC 3339 text, or epoch seconds or milliseconds (told apart by their size)."""
    number = parse_decimal(value)
    if number is None:
        return parse_instant(value)
    if not 0 < number < Decimal(_EPOCH_IN_MS_FROM) * 1000:
        return None
    return from_ms(int(number if number >= _EPOCH_IN_MS_FROM else number * 1000))


def granted(value: Any) -> bool | None:
    """Consent as a boolean; None for what is neither given nor refused."""
    if isinstance(value, bool):
        return value
    word = (text(value) or "").lower().replace("-", "_").replace(" ", "_")
    if word in {"granted", "true", "yes", "1", "opt_in", "opted_in", "subscribed"}:
        return True
    return False if word in {"denied", "false", "no", "0", "opt_out", "opted_out", "unsubscribed"} else None


def marketing_consent(leaves: Leaves, value: Any) -> None:
    """Set consent from one flag for all marketing.

    A refusal holds for every channel. A grant holds for e-mail and SMS: WhatsApp wants an opt-in of its own.
    """
    given = granted(value)
    for channel in CHANNELS:
        if given and channel == "whatsapp":
            leaves.text("consent.channels.whatsapp", "unknown")
        else:
            leaves.consent(channel, given)


def units(value: Any) -> Decimal:
    """Units of a line; a number no cart holds (over a thousand million) counts as not sent."""
    number = parse_decimal(value)
    return quantity(None if number is not None and number.adjusted() > _MOST_UNITS_DIGITS else value)


def codes(value: Any) -> tuple[str, ...]:
    """Discount codes from a list of texts or of objects with a ``code``, or from one text; each once."""
    parts = value if isinstance(value, list) else [value]
    named = (text(part.get("code") if isinstance(part, dict) else part) for part in parts)
    return tuple(dict.fromkeys(code for code in named if code is not None))


_CART_FIELDS = frozenset({"totals", "discount_codes", "tax_lines", "cart_type"})


@dataclass(frozen=True, slots=True)
class _MoneyReader:
    currency: str
    unit: MoneyUnit

    def __call__(self, value: Any) -> Money | None:
        """An amount in the source's unit; an ``{amount, currency}`` object of the same currency is in major units."""
        if isinstance(value, dict):
            own = currency_code(value.get("currency"))
            if own not in {None, self.currency}:
                return None
            return parse_money(value.get("amount"), self.currency)
        return parse_money(value, self.currency, self.unit)


def _item(line: Mapping[str, Any], money: _MoneyReader) -> Item:
    texts: dict[str, Any] = {name: text(line.get(name)) for name in ITEM_TEXTS}
    amounts: dict[str, Any] = {name: money(line.get(name)) for name in ITEM_MONEY}
    named = mapping(line.get("attributes"))
    attributes = {name: known for name, value in named.items() if (known := text(value)) is not None}
    return Item(quantity=units(line.get("quantity")), attributes=attributes, **texts, **amounts)


def _tax_lines(value: Any, money: _MoneyReader) -> Iterable[TaxLine]:
    for line in objects(value):
        yield TaxLine(text(line.get("title")), parse_decimal(line.get("rate")), money(line.get("price")))


def _in_currency(cart: Cart, money: _MoneyReader) -> Cart:
    """The same numbers read in the currency that the merchant says they are in."""

    def reread(amount: Money | None) -> Money | None:
        if amount is None:
            return None
        return Money(amount.minor, money.currency) if money.unit == "minor" else money(amount.amount())

    items = tuple(
        replace(
            item,
            unit_price=reread(item.unit_price),
            compare_at_price=reread(item.compare_at_price),
            total=reread(item.total),
        )
        for item in cart.items
    )
    totals = {name: reread(getattr(cart.totals, name)) for name in TOTALS_MONEY}
    tax_lines = tuple(replace(line, price=reread(line.price)) for line in cart.tax_lines)
    return replace(
        cart,
        currency=money.currency,
        items=items,
        totals=Totals(**totals, tax_included=cart.totals.tax_included),
        tax_lines=tax_lines,
    )


def _boolean(value: Any) -> bool | None:
    """A boolean, also as the text that forms and templates make of one; None for anything else."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _target(name: str) -> tuple[str, bool]:
    """The field a key names, and whether it is one of an item. Raises InvalidMapping."""
    for prefix in ("items[].", "items[*].", "items."):
        if name.startswith(prefix):
            part = name.removeprefix(prefix)
            if part not in ITEM_FIELDS:
                raise InvalidMapping(name, _unknown(part, ITEM_FIELDS))
            return part, True
    field = ALIASES.get(name, name)
    if field in FIELDS or (field.startswith("attributes.") and field != "attributes."):
        return field, False
    raise InvalidMapping(name, _unknown(name, FIELDS))


def _unknown(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return "no such field of a checkout" + (f"; did you mean {near[0]}?" if near else "")


def _parse(name: str, expression: str) -> Any:
    """The expression's syntax tree. Raises InvalidMapping."""
    if not expression.strip():
        raise InvalidMapping(name, "must be a JMESPath expression")
    if len(expression) > _LONGEST_EXPRESSION:
        raise InvalidMapping(name, f"longer than {_LONGEST_EXPRESSION} characters")
    try:
        return parsed(expression)
    except NotAnExpression as wrong:
        raise InvalidMapping(name, str(wrong)) from wrong


def _evaluable(tree: Any) -> _Compiled:
    return _Compiled(tree, counts=calls_functions(tree))


def _split_projection(tree: Any) -> tuple[Any, Any] | None:
    """``lines[].name`` as the list ``lines[]`` and the expression ``name``: a line without a name stays in place."""
    children = tree["children"]
    if tree["type"] in {"projection", "filter_projection"}:
        identity = {"type": "identity", "children": []}
        return {**tree, "children": [children[0], identity, *children[2:]]}, children[1]
    if tree["type"] == "subexpression":
        split = _split_projection(children[1])
        return None if split is None else ({**tree, "children": [children[0], split[0]]}, split[1])
    return None


def _members(field: str, value: Any) -> dict[str, Any]:
    """A group given whole as its members; anything else as it is."""
    if field not in _GROUPS:
        return {field: value}
    found: dict[str, Any] = {}
    for part in _GROUPS[field]:
        member = mapping(value).get(part)
        if member is not None:
            found.update(_members(f"{field}.{part}", member))
    return found
