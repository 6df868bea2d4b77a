"""What may stand in no log: shoppers' contact data and everybody's secrets, collected from what goes in and out.

Contact data is read by the names of fields; a secret by its field, header or place in a URL.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

_MAIL = re.compile(r"(^|_)e?_?mail$", re.IGNORECASE)
_PHONE = re.compile(r"phone|mobile|^contact$|^tel$", re.IGNORECASE)
_ADDRESS = re.compile(r"(first|last|full|contact)_?name$|address_?(line)?_?[123]?$|street|^line_?[123]$", re.IGNORECASE)
_NAME = re.compile(r"name$", re.IGNORECASE)
_SHOPPERS = frozenset({"user", "customer", "shopper", "who", "billing_address", "shipping_address", "address"})
"""Below these a field ``name`` is a person's."""
_SECRET = re.compile(r"secret|token|password|api_?key|access_?key|signature$", re.IGNORECASE)
_SECRET_OF_URL = re.compile(rf"{_SECRET.pattern}|^key$", re.IGNORECASE)
_SECRET_HEADER = re.compile(r"^authorization$|secret|token|signature|hmac|-authorization$|api-?key", re.IGNORECASE)
_SHORTEST = 6
_LINKS = re.compile(r"/[ru]/([A-Za-z0-9_-]{16,})")
"""Recovery and unsubscribe links: whoever has the code is taken for the shopper."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One value, and what it is: ``contact`` or ``secret``, with the name of its field."""

    kind: str
    field: str
    value: str


def planted_in(body: Any, *, shoppers: bool) -> Iterator[Planted]:
    """Secrets of a body, of what lies in JSON within a text too; ``shoppers``: contact data as well."""
    for path, value in _leaves(body):
        name = path[-1] if path else ""
        text = value.strip()
        if _SECRET.search(name) and len(text) >= _SHORTEST:
            yield Planted("secret", name, text)
        elif shoppers and _is_contact(path, text):
            yield Planted("contact", name, text)
        if "://" in text:
            yield from planted_in_url(text)


def planted_in_url(url: str) -> Iterator[Planted]:
    """What proves its holder in a URL: user info, secrets of the query, codes of links to shoppers."""
    parts = urlsplit(url)
    for own in (parts.username, parts.password):
        if own and len(own) >= _SHORTEST:
            yield Planted("secret", "userinfo", own)
    for name, value in parse_qsl(parts.query):
        if _SECRET_OF_URL.search(name) and len(value) >= _SHORTEST:
            yield Planted("secret", name, value)
    for code in _LINKS.findall(parts.path):
        yield Planted("secret", "link", code)


def planted_in_headers(headers: Mapping[str, str]) -> Iterator[Planted]:
    """Credentials of a request or an answer."""
    for name, value in headers.items():
        if _SECRET_HEADER.search(name):
            own = value.rpartition(" ")[2]
            if len(own) >= _SHORTEST:
                yield Planted("secret", name.lower(), own)


def spellings(planted: Planted) -> set[str]:
    """The ways in which a value may stand in a line: as it is, in JSON, in a URL, in base64; phones by their digits."""
    value = planted.value
    found = {value, json.dumps(value)[1:-1], quote(value, safe=""), quote(value), _base64(value)}
    digits = re.sub(r"\D", "", value)
    if planted.kind == "contact" and 10 <= len(digits) <= 15 and re.fullmatch(r"[+()\d\s.-]+", value):
        found.add(digits[-10:])
    return {own.casefold() for own in found}


def places_of(planted: Iterable[Planted], lines: Iterable[tuple[str, str]]) -> dict[Planted, set[str]]:
    """Which values stand in the lines, and in which groups; ``lines`` are pairs of a group and a text."""
    sought = {own: spellings(own) for own in planted}
    found: dict[Planted, set[str]] = {}
    for group, line in lines:
        texts = {line.casefold(), _close_together(line).casefold()}
        for own, spelled in sought.items():
            if any(each in text for text in texts for each in spelled):
                found.setdefault(own, set()).add(group)
    return found


def _is_contact(path: tuple[str, ...], text: str) -> bool:
    """By the field's name, and by what stands there: no address without an @, no phone without digits."""
    name = path[-1] if path else ""
    if len(text) < _SHORTEST:
        return False
    if _MAIL.search(name):
        return "@" in text
    if _PHONE.search(name):
        return len(re.sub(r"\D", "", text)) >= 8
    return bool(_ADDRESS.search(name)) or (bool(_NAME.search(name)) and bool(_SHOPPERS & {*path[:-1]}))


def _close_together(line: str) -> str:
    """Digits without what people write between those of a phone."""
    return re.sub(r"(?<=\d)[ ().-]+(?=\d)", "", line)


def _base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode().rstrip("=")


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        for name, own in value.items():
            yield from _leaves(own, (*path, str(name)))
    elif isinstance(value, list):
        for own in value:
            yield from _leaves(own, path)
    elif isinstance(value, str):
        if value[:1] in {"{", "["}:
            try:
                yield from _leaves(json.loads(value), path)
            except ValueError:
                yield path, value
        else:
            yield path, value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield path, str(value)
