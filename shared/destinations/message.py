"""What a message is made of: the names templates may use, the recipient, the template itself.

The facts are the event's JSON; the step is the campaign step's own part. Both are of the public contract.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from shared.delivery.outcome import Outcome, Refusal
from shared.destinations.destination import Delivery, Endpoint, Unsendable
from shared.destinations.liquid import TemplateError, TemplateLimit, TemplatesUnavailable, money_text, present, render
from shared.destinations.one_line import clean

TEMPLATE_LIMIT: Final = "template_limit"
"""The reason of a message whose template goes beyond a limit."""
TEMPLATES_UNAVAILABLE: Final = "templates_unavailable"
"""The reason of one whose template could not be rendered just now."""
LONGEST_ITEMS_LINE: Final = 160
LONGEST_FIRST_NAME: Final = 40
VARIABLES: Final = (
    "checkout",
    "customer",
    "items",
    "item_count",
    "items_line",
    "total",
    "currency",
    "first_name",
    "image_url",
    "recovery_url",
    "recovery_code",
    "coupon_code",
    "unsubscribe_url",
    "merchant",
    "event",
    "step",
)
"""The names of ``variables``; all but ``items``, ``customer``, ``checkout``, ``event`` and ``step`` may be absent."""

_NO_NAME: Final = re.compile(
    r"[/\\<>@:{}\[\]|=&%$#]|\d{4}"
    # A domain; S.Kumar and Md.Ali are none.
    r"|\b(?!(?:smt|shri|sri|kum|mrs|miss|prof|mohd)\.)[^\W_]{3,}\.[^\W\d_]{2,}",
    re.IGNORECASE,
)
"""An address, a number or markup. Whoever begins a checkout with somebody else's contact chooses the words that the
shop's own message opens with, and mail clients make a link of whatever looks like one."""
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_UNUSABLE_IMAGES: Final = (".webp", ".gif", ".svg", ".avif", ".bmp", ".tif", ".tiff", ".heic")
_COUNTRY_OF_CURRENCY: Final = {
    "INR": "IN",
    "USD": "US",
    "GBP": "GB",
    "AED": "AE",
    "AUD": "AU",
    "CAD": "CA",
    "SGD": "SG",
}


def checkout_of(delivery: Delivery) -> Mapping[str, Any]:
    """The checkout object of the delivery's event; empty where the event has none (``endpoint.test``)."""
    data = delivery.facts.get("data")
    checkout = data.get("checkout") if isinstance(data, Mapping) else None
    return checkout if isinstance(checkout, Mapping) else {}


def phone_of(delivery: Delivery) -> str:
    """The shopper's E.164 number.

    Raises:
        Unsendable: the checkout has none.
    """
    phone = _part(checkout_of(delivery), "customer").get("phone")
    if not isinstance(phone, str) or not _E164.fullmatch(phone):
        raise Unsendable(Outcome.FAIL_RECIPIENT, "no_contact: the checkout has no phone number")
    return phone


def country_code_and_number(phone: str) -> tuple[str, str]:
    """An E.164 number taken apart: ``+91`` and ``9876543210`` for ``+919876543210``.

    Raises:
        Unsendable: no country's numbers look like this.
    """
    import phonenumbers

    try:
        parsed = phonenumbers.parse(phone, None)
    except phonenumbers.NumberParseException:
        reason = Refusal.INVALID_ADDRESS.because("the phone number has no country code")
        raise Unsendable(Outcome.FAIL_RECIPIENT, reason) from None
    return f"+{parsed.country_code}", phonenumbers.national_significant_number(parsed)


def template_of(delivery: Delivery, endpoint: Endpoint) -> Mapping[str, Any]:
    """The template to send: the step's own, else the endpoint's. A bare name is an object with that ``name``.

    Raises:
        Unsendable: neither has one.
    """
    template = (delivery.step or {}).get("template") or endpoint.settings.get("template")
    if isinstance(template, str) and template.strip():
        return {"name": template.strip()}
    if not isinstance(template, Mapping) or not template:
        raise Unsendable(Outcome.FAIL_CONFIG, "neither the step nor the endpoint names a template")
    return template


def with_template(endpoint: Endpoint, template: Mapping[str, Any]) -> Endpoint:
    """The endpoint as ``Destination.problems`` should see it to judge a campaign step's own template."""
    return replace(endpoint, settings={**endpoint.settings, "template": template})


def variables(delivery: Delivery) -> dict[str, Any]:
    """The names a template may use; what the checkout does not know is absent.

    ``total`` is text in the shopper's notation (``₹1,499.00``) and ``items_line`` all items in one line
    (``Brownie + 2 more``); amounts as data are in ``checkout.totals`` and ``items``.
    """
    checkout = checkout_of(delivery)
    step = delivery.step or {}
    customer = _part(checkout, "customer")
    items = [item for item in _list(checkout.get("items")) if isinstance(item, Mapping)]
    recovery_url = step.get("recovery_url") or checkout.get("recovery_url")
    total = _part(_part(checkout, "totals"), "total")
    return {
        "items": [],
        "customer": {},
        **present(
            {
                "checkout": checkout,
                "customer": customer,
                "items": items,
                "item_count": checkout.get("item_count"),
                "items_line": items_line(items),
                "total": total_text(delivery),
                "currency": total.get("currency"),
                "first_name": _first_name(checkout),
                "image_url": image_url(items),
                "recovery_url": recovery_url,
                "recovery_code": recovery_url.rsplit("/", 1)[-1] if isinstance(recovery_url, str) else None,
                "coupon_code": step.get("coupon_code"),
                "unsubscribe_url": step.get("unsubscribe_url"),
                "merchant": delivery.facts.get("merchant") or step.get("merchant"),
                "event": {"id": delivery.message_id, "type": delivery.event_type},
                "step": {"index": step.get("index")},
            }
        ),
    }


def locale_of(delivery: Delivery, language: str | None = None) -> str:
    """The locale amounts are written in: the template's language, else the shopper's, and the shopper's country."""
    checkout = checkout_of(delivery)
    spoken = language or _part(checkout, "customer").get("locale") or "en"
    primary = str(spoken).replace("-", "_").split("_")[0].lower()
    currency = str(_part(_part(checkout, "totals"), "total").get("currency"))
    country = _COUNTRY_OF_CURRENCY.get(currency) or _part(checkout, "shipping_address").get("country_code")
    return f"{primary}_{country}" if country else primary


def filled(source: str, names: Mapping[str, Any], what: str, locale: str) -> str:
    """A merchant's template filled in; ``what`` names it in the reason.

    Raises:
        Unsendable: it cannot be filled from this checkout.
    """
    return filled_by(render, source, names, what, locale)


def filled_by(renderer: Callable[..., str], source: str, names: Mapping[str, Any], what: str, locale: str) -> str:
    """As ``filled``, by one of the renderers of ``liquid``.

    Raises:
        Unsendable: as ``filled`` does.
    """
    try:
        return renderer(source, names, locale=locale)
    except TemplateLimit:
        raise Unsendable(Outcome.FAIL_MESSAGE, TEMPLATE_LIMIT) from None
    except TemplateError as error:
        raise Unsendable(Outcome.FAIL_MESSAGE, f"{what}: {error}") from None
    except TemplatesUnavailable:
        raise Unsendable(Outcome.RETRY, TEMPLATES_UNAVAILABLE) from None


def items_line(items: Sequence[Mapping[str, Any]]) -> str | None:
    """All items in one line: the first title, and how many other lines there are."""
    more = f" + {len(items) - 1} more" if len(items) > 1 else ""
    room = LONGEST_ITEMS_LINE - len(more)
    titles = (clean(title, room) for item in items if isinstance(title := item.get("title"), str))
    first = next(filter(None, titles), None)
    return None if first is None else first + more


def image_url(items: Sequence[Mapping[str, Any]]) -> str | None:
    """The first item's picture that a message can show: https, and not of a kind known to be refused."""
    found = (item.get("image_url") for item in items)
    return next((url for url in found if isinstance(url, str) and usable_image(url)), None)


def usable_image(url: str) -> bool:
    """Whether WhatsApp may take the picture: JPEG and PNG only, by https. An address without a suffix may be one."""
    path = url.partition("?")[0].partition("#")[0].lower()
    return url.startswith("https://") and len(url) <= 2048 and not path.endswith(_UNUSABLE_IMAGES)


def total_text(delivery: Delivery) -> str | None:
    """The checkout's total in the shopper's notation; None when it is not known."""
    total = _part(_part(checkout_of(delivery), "totals"), "total")
    try:
        return money_text(str(total["amount"]), str(total["currency"]), locale_of(delivery))
    except (KeyError, ValueError):
        return None


def _first_name(checkout: Mapping[str, Any]) -> str | None:
    name = _part(checkout, "customer").get("first_name") or _part(checkout, "shipping_address").get("first_name")
    words = name.split() if isinstance(name, str) else []
    word = clean(words[0], LONGEST_FIRST_NAME) if words else ""
    return None if not word or _NO_NAME.search(word) else word


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
