"""Reading payloads of any shape without trusting it: JSON with exact numbers, and leaves that skip blanks."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from shared.domain.checkout import ADDRESS_PAIRS, LeafValue
from shared.domain.instants import to_rfc3339
from shared.domain.money import parse_decimal
from shared.domain.phone import to_e164
from shared.domain.recovery_link import allowed_destination
from shared.providers.provider import NotReadable, NotUnderstood, SourceContext

_LONGEST_INTEGER = 400
_SURROGATES = re.compile("[\ud800-\udfff]")
_LONGEST_TEXT = 4_096
_LONGEST_EMAIL = 320
_PLACE = re.compile(r"\{\{?\s*(cart_id|external_id|id)\s*\}?\}")
_IDS = frozenset({"external_id", "cart_id", "join_token", "customer.id", "order.id"})
_NO_IDS = frozenset({"null", "undefined", "none", "nil", "nan", "[object object]"})
_NO_CUSTOMERS = _NO_IDS | {"0"}
MOST_LINES = 5_000
"""Of a cart. Of 256 KiB, lines that hold anything to speak of take less."""
MOST_PLACES = 8
"""So many ids at most are filled into a recovery link."""
_MOST_UNITS_DIGITS = 9
UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
CLICK_IDS = frozenset(
    {
        *("fbclid", "gclid", "gbraid", "wbraid", "dclid", "msclkid", "ttclid", "twclid", "li_fat_id"),
        *("igshid", "epik", "sccid", "rdt_cid", "fbc", "fbp"),
    }
)


def read_json(body: bytes) -> Any:
    """The JSON document in ``body``: decimals exact, lone surrogates replaced. Raises NotReadable, NotUnderstood."""
    try:
        text = body.decode("utf-8-sig")
        document = json.loads(text, parse_float=_decimal, parse_int=_integer, parse_constant=_refuse)
    except RecursionError as deep:
        raise NotUnderstood("nested too deeply") from deep
    except ValueError as broken:
        raise NotReadable("the body is not JSON in UTF-8") from broken
    return _without_surrogates(document) if "\\ud" in text.lower() else document


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``. Raises NotReadable, and NotUnderstood for any other JSON value."""
    document = read_json(body)
    if not isinstance(document, dict):
        raise NotUnderstood("the body is not a JSON object")
    return document


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _LONGEST_INTEGER else Decimal(text)


def _decimal(text: str) -> Decimal:
    """The exact number; one whose exponent nobody can hold is no number (and read as none later on)."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(part) for part in value]
    return value


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` where it is a JSON object, else an empty one: null and wrong types are absence."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """``value`` where it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The JSON objects in the array ``value``.

    Raises NotUnderstood for more than any cart holds: a body of empty ones would become an event of 24 MB.
    """
    listed = sequence(value)
    if len(listed) > MOST_LINES:
        raise NotUnderstood(f"a list of more than {MOST_LINES:,} objects")
    return [part for part in listed if isinstance(part, dict)]


def text(value: Any) -> str | None:
    """A text, or a number digit for digit; blank, null and everything else is None. Unicode is left as it is."""
    if isinstance(value, str):
        return value.strip()[:_LONGEST_TEXT] or None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        number = parse_decimal(value)
        return None if number is None else f"{number:f}"
    return None


def first_text(*values: Any) -> str | None:
    """The first value that holds a text."""
    for value in values:
        found = text(value)
        if found is not None:
            return found
    return None


def names_nothing(field: str, value: str) -> bool:
    """Whether an id is what shops' templates write for one that is not there, or the customer 0 of their guests.

    Taken for an id, it would be one checkout, cart or shopper for everybody who has none.
    """
    return field in _IDS and value.lower() in (_NO_CUSTOMERS if field == "customer.id" else _NO_IDS)


def quantity(value: Any) -> Decimal:
    """Units of a line: never negative; a line without a quantity, or with one that no cart holds, holds one."""
    number = parse_decimal(value)
    if number is None or number.adjusted() > _MOST_UNITS_DIGITS:
        return Decimal(1)
    return max(number, Decimal(0))


class Leaves:
    """Collects the leaves a payload really sends; what is blank or absent is not named."""

    def __init__(self, source: SourceContext, provider_hosts: frozenset[str] = frozenset()) -> None:
        """``provider_hosts``: the provider's own checkout hosts."""
        self._source = source
        self._hosts = source.hosts | provider_hosts
        self.found: dict[str, LeafValue] = {}

    def text(self, leaf: str, *values: Any) -> None:
        """Set a text leaf from the first value that holds one; where the leaf is an id, from the first that is one."""
        for value in map(text, values):
            if value is not None and (leaf not in _IDS or not names_nothing(leaf, value)):
                self.found[leaf] = value
                return

    def email(self, *values: Any) -> None:
        """Set the customer's e-mail, trimmed and lower-cased, from the first value that can be one."""
        for value in values:
            candidate = text(value)
            if candidate is None or len(candidate) > _LONGEST_EMAIL:  # trying a longer one takes its square of steps
                continue
            if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", candidate):
                self.found["customer.email"] = candidate.lower()
                return

    def phone(self, *values: Any, country: Any = None, dial_code: Any = None, leaf: str = "customer.phone") -> None:
        """Set a phone in E.164 from the first value that is one; ``country`` beats the source's setting."""
        region = country if isinstance(country, str) and len(country.strip()) == 2 else self._source.country
        for value in values:
            number = to_e164(value, region.strip(), dial_code)
            if number is not None:
                self.found[leaf] = number
                return

    def moment(self, leaf: str, instant: datetime | None) -> None:
        """Set a time leaf."""
        if instant is not None:
            self.found[leaf] = to_rfc3339(instant)

    def pair(self, leaf: str, name: Any, code: Any) -> None:
        """Set a pair that moves together: a name and its code."""
        value = (text(name), text(code))
        if value != (None, None):
            self.found[leaf] = value

    def address(self, leaf: str, parts: Mapping[str, Any]) -> None:
        """Set the parts of an address, named as in the contract; its phone is read with its own country."""
        for name, value in parts.items():
            if name == "phone":
                self.phone(value, country=parts.get("country_code"), leaf=f"{leaf}.phone")
            elif name in ADDRESS_PAIRS:
                self.pair(f"{leaf}.{name}", value, parts.get(ADDRESS_PAIRS[name]))
            elif name not in ADDRESS_PAIRS.values():
                self.text(f"{leaf}.{name}", value)

    def checkout_url(self, *values: Any) -> None:
        """Set the link back, and beside it its https destination where its host is allowed.

        One that is too long to be kept whole is not kept: cut off, it leads elsewhere than to the cart.
        """
        url = first_text(*[own for own in values if not isinstance(own, str) or len(own.strip()) <= _LONGEST_TEXT])
        if url is not None:
            self.found["checkout_url"] = (url, allowed_destination(url, self._hosts))

    def consent(self, channel: str, given: Any) -> None:
        """Set a channel's consent from a boolean; anything else says nothing."""
        if isinstance(given, bool):
            self.found[f"consent.channels.{channel}"] = "granted" if given else "denied"

    def attribution(self, named: Iterable[tuple[Any, Any]]) -> None:
        """Set UTM values from name-value pairs; click ids only where the merchant keeps them."""
        click_ids: dict[str, str] = {}
        for name, value in named:
            known = text(value)
            if known is None or not isinstance(name, str):
                continue
            if name in UTM:
                self.found[f"attribution.{name}"] = known
            elif name in CLICK_IDS and self._source.settings.keep_click_ids:
                click_ids[name] = known
        if click_ids:
            self.found["attribution.click_ids"] = click_ids

    def attributes(self, named: Iterable[tuple[Any, Any]]) -> None:
        """Set the merchant's own attributes (note attributes, metadata) from name-value pairs."""
        kept = {str(name): known for name, value in named if name and (known := text(value)) is not None}
        if kept:
            self.found["attributes"] = kept


def recovery_link(template: str | None, cart_id: str, external_id: str | None = None) -> str:
    """The link of a source's ``recovery_url_template``; empty where it has none.

    ``{cart_id}``, and ``{external_id}`` or ``{id}``, each also in doubled braces, are filled in, percent-encoded. Only
    the first few are: the rest could make megabytes of a long id.
    """
    ids = {"cart_id": cart_id, **dict.fromkeys(("external_id", "id"), external_id or cart_id)}
    return _PLACE.sub(lambda place: quote(ids[place[1]], safe="", errors="replace"), template or "", count=MOST_PLACES)


def places_in(template: str) -> int:
    """How many ids a ``recovery_url_template`` wants to be filled in."""
    return len(_PLACE.findall(template))


def query_pairs(url: Any) -> list[tuple[str, str]]:
    """The query parameters of a URL or path; none for what is not one."""
    if not isinstance(url, str):
        return []
    try:
        return parse_qsl(urlsplit(url).query, max_num_fields=200)
    except ValueError:
        return []


def query_value(url: Any, name: str) -> str | None:
    """One query parameter of a URL, or None."""
    return next((text(value) for own, value in query_pairs(url) if own == name), None)
