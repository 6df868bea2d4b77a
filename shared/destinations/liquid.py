"""Liquid templates of merchants, rendered in a sandbox: text for messages, HTML for mail, JSON for webhooks.

Templates see plain data only and reach no file, no other template and no attribute of ours. Source, output, loops,
values, memory and time are bounded. A variable that the checkout does not have, or has as null, is an error unless the
template tests for it (``{% if customer.first_name %}``) or names a ``default``.

Language: shopify.github.io/liquid without ``include`` and ``render``, plus the filters ``money`` (a money object, or
an amount and a currency, in the shopper's notation) and ``json``.

Templates are parsed and rendered by ``liquid_engine`` in another process (``liquid_sandbox``), which is started at the
first template and ended when one takes too long.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from shared.destinations.liquid_sandbox import (
    TAKES_TOO_LONG,
    Mode,
    Sandbox,
    TemplateError,
    TemplateLimit,
    TemplatesUnavailable,
    Work,
)
from shared.domain.money import currency_code

__all__ = [
    "MAX_SOURCE",
    "Mode",
    "TemplateError",
    "TemplateLimit",
    "TemplatesUnavailable",
    "gave_up",
    "is_template",
    "money_text",
    "on_behalf_of",
    "present",
    "render",
    "render_html",
    "render_json",
    "syntax_problem",
    "template_problems",
]

MAX_SOURCE: Final = 32_768
DEFAULT_LOCALE: Final = "en"

_sandbox: Final = Sandbox()
_owner: Final[ContextVar[str | None]] = ContextVar("_owner", default=None)

_MONEY: Final = {"amount": "1499.00", "currency": "INR"}
_ITEM: Final = {
    "title": "Brownie",
    "variant_title": "Box of six",
    "sku": "BR-6",
    "product_id": "1",
    "variant_id": "2",
    "quantity": 2,
    "image_url": "https://shop.example/brownie.jpg",
    "unit_price": _MONEY,
    "total": _MONEY,
}
_CUSTOMER: Final = {
    "first_name": "Asha",
    "last_name": "Rao",
    "email": "asha@shop.example",
    "phone": "+919876543210",
    "locale": "en",
    "external_id": "c1",
    "tags": "new",
}
_CHECKOUT: Final = {
    "id": "chk_1",
    "external_id": "1",
    "status": "abandoned",
    "stage": "payment",
    "item_count": 6,
    "items": [_ITEM, _ITEM, _ITEM],
    "customer": _CUSTOMER,
    "discount_codes": ["BACK10"],
    "totals": dict.fromkeys(("total", "subtotal", "discount", "tax", "shipping"), _MONEY),
    "shipping_address": {"first_name": "Asha", "city": "Pune", "country_code": "IN", "postal_code": "411001"},
    "recovery_url": "https://go.example/r/abc",
}
SAMPLE: Final[Mapping[str, Any]] = {
    "checkout": _CHECKOUT,
    "customer": _CUSTOMER,
    "items": [_ITEM, _ITEM, _ITEM],
    "item_count": 6,
    "items_line": "Brownie + 2 more",
    "total": "₹1,499.00",
    "currency": "INR",
    "first_name": "Asha",
    "image_url": "https://shop.example/brownie.jpg",
    "recovery_url": "https://go.example/r/abc",
    "recovery_code": "abc",
    "coupon_code": "BACK10",
    "unsubscribe_url": "https://go.example/u/abc",
    "merchant": {"name": "Shop"},
    "shop": "Shop",
    "step": {"index": 0},
    "event": {
        "id": "evt_1",
        "type": "checkout.abandoned",
        "timestamp": "2026-01-02T03:04:05Z",
        "data": {"checkout": _CHECKOUT},
    },
}
"""An ordinary checkout under every name a template may use: what a template is tried on when it is registered."""


def is_template(text: str) -> bool:
    """Whether ``text`` holds any Liquid; plain text is its own rendering."""
    return "{{" in text or "{%" in text


def syntax_problem(source: str, mode: Mode = "text") -> str | None:
    """What is wrong with the template, for whoever registers it: its syntax, or that it asks for too much.

    It is tried on an ordinary checkout; what that lacks counts as empty, and what comes out is thrown away.

    Raises:
        TemplatesUnavailable: it could not be tried.
    """
    try:
        _sandbox.run(Work("check", mode, source, SAMPLE, DEFAULT_LOCALE))
    except TemplateError as error:
        return str(error)
    return None


def template_problems(
    sources: Iterable[tuple[str, object]], mode: Mode = "text", *, blank: bool = False
) -> list[tuple[str, str]]:
    """What is wrong with several templates, each with its place: (RFC 6901 pointer into the request, detail). Total.

    After one that takes too long the rest is not tried: whoever wrote fifty of them shall not wait for fifty.
    ``blank``: an empty text will do.

    Raises:
        TemplatesUnavailable: one could not be tried.
    """
    found: list[tuple[str, str]] = []
    for where, source in sources:
        if not isinstance(source, str) or not (blank or source.strip()):
            found.append((where, "a text"))
            continue
        problem = syntax_problem(source, mode) if is_template(source) else None
        if problem is not None:
            found.append((where, problem))
        if problem == TAKES_TOO_LONG:
            break
    return found


def gave_up(problems: Iterable[tuple[str, str]]) -> bool:
    """Whether a template among those with ``problems`` took too long, so that no further one should be tried."""
    return any(detail == TAKES_TOO_LONG for _, detail in problems)


@contextmanager
def on_behalf_of(owner: str) -> Iterator[None]:
    """Whose templates are rendered within: only an owner waits for its own that take too long (``liquid_turns``)."""
    before = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(before)


def present(value: Any) -> Any:
    """``value`` without null members: what a checkout does not know counts as undefined, at any depth."""
    if isinstance(value, Mapping):
        return {name: present(part) for name, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [present(part) for part in value]
    return value


def render(source: str, variables: Mapping[str, Any], *, locale: str = DEFAULT_LOCALE) -> str:
    """The template filled with ``variables`` (JSON-like data that ``present`` has seen), as plain text.

    Args:
        source: the template, at most ``MAX_SOURCE`` characters.
        variables: the template's names.
        locale: for the ``money`` filter, e.g. ``en_IN``; an unknown one counts as English.

    Raises:
        TemplateError: it does not parse, or uses an undefined variable.
        TemplateLimit: it goes beyond a limit.
        TemplatesUnavailable: nothing can be rendered now; it may be tried again.
    """
    return _rendered("text", source, variables, locale) if is_template(source) else source


def render_html(source: str, variables: Mapping[str, Any], *, locale: str = DEFAULT_LOCALE) -> str:
    """As ``render``, with every value escaped for HTML text and quoted attributes."""
    return _rendered("html", source, variables, locale)


def render_json(source: str, variables: Mapping[str, Any], *, locale: str = DEFAULT_LOCALE) -> bytes:
    """As ``render``, for a template of a JSON document; the result is compact UTF-8 JSON.

    Values are escaped as the inside of a JSON string, so text of a shopper cannot end the string it stands in;
    ``{{ items | json }}`` writes a whole value, quotes included.

    Raises:
        TemplateError: also when the result is not JSON.
    """
    return _rendered("json", source, variables, locale).encode()


def _rendered(mode: Mode, source: str, variables: Mapping[str, Any], locale: str) -> str:
    return _sandbox.run(Work("render", mode, source, variables, locale, _owner.get()))


def money_text(amount: str | Decimal, currency: str, locale: str = DEFAULT_LOCALE) -> str:
    """An amount as shoppers write it: ``₹1,499.00`` for ``1499.00``, INR, ``en_IN``.

    Raises:
        ValueError: not a decimal number or not a currency code.
    """
    if currency_code(currency) is None:
        raise ValueError("not an amount of money: no currency code")
    from babel.core import Locale, UnknownLocaleError
    from babel.numbers import format_currency

    try:
        known: Locale | str = Locale.parse(locale.replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError):
        known = DEFAULT_LOCALE
    try:
        text: str = format_currency(Decimal(amount), currency, locale=known)
    except (InvalidOperation, TypeError) as error:
        raise ValueError("not an amount of money") from error
    return text.replace("\u00a0", " ").replace("\u202f", " ")
