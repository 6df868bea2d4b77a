"""Samples of every provider with a shopper of one's own in them, in whom nothing stands twice by chance.

A value that may name somebody keeps its shape (digits stay digits, a hexadecimal id stays one), so that the provider's
module reads the body as it reads the sample; but it is another, and the same wherever the same one stood.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.providers import registry
from tests.fuzz.test_ingest import EVENTS

_CONTACT = re.compile(r"mail|phone|mobile|^contact$|^tel$", re.IGNORECASE)
_PERSONAL = re.compile(
    r"mail|phone|mobile|^contact$|^tel$|first_?name|last_?name|full_?name|contact_?name|^name$|address_?(line)?_?[123]?$"
    r"|street|^line_?[123]$|city|zip|postal|pin_?code|company|note|remark|gstin|legal|coupon|promo|discount_?code|^code$"
    r"|^id$|_id$|Id$|token|order_?(id|number)|session|reference|^ref$|^key$|visitor",
    re.IGNORECASE,
)
_NO_PERSON = re.compile(
    r"merchant|instance|store_hash|fqdn|slug|product|variant|sku|site|price|yrn|tax|currency|fulfil|amount|total|paid"
    r"|^key$|^type$"
)
_HEXADECIMAL = re.compile(r"[0-9a-f-]{16,}")
_WORDS = re.compile(r"[a-z]+[._-][a-z._-]+|[a-z]{2}(-[A-Z]{2})?|[A-Z_]+")
"""Kinds, states and codes: what a vendor says in words of its own."""
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T|1[67]\d{8,11}$")
_SHORTEST = 5


@dataclass
class Planter:
    """One shopper's values, by what stood in the sample before."""

    seed: int
    values: dict[str, str] = field(default_factory=dict)
    contacts: set[str] = field(default_factory=set)

    def planted(self, sample: Any) -> Any:
        """The sample with this shopper in it."""
        for key, leaf in _leaves(sample):
            self._take(key, leaf)
        text = json.dumps(sample)
        # The longest first: a short id may be a part of a longer one.
        for old in sorted(self.values, key=len, reverse=True):
            text = text.replace(old, self.values[old])
        return json.loads(text)

    def _take(self, key: str, leaf: Any) -> None:
        old = str(leaf)
        if old in self.values or old in self.values.values() or not _PERSONAL.search(key) or _NO_PERSON.search(key):
            return
        if len(old) < _SHORTEST or _WORDS.fullmatch(old) or isinstance(leaf, bool) or "://" in old or old[0] == "_":
            return
        if _TIME.match(old):
            return
        dice = random.Random(f"{self.seed}:{old[-7:] if _is_phone(old) else old}")
        if _CONTACT.search(key):
            self.contacts.add(old)
        self.values[old] = _another(old, dice, contact=bool(_CONTACT.search(key)))


def _is_phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 8 <= len(digits) <= 14 and re.fullmatch(r"[+()\d\s.-]+", text) is not None


def _another(old: str, dice: random.Random, *, contact: bool) -> str:
    """Another text of the same shape."""
    if contact and "@" in old:
        local, _, domain = old.partition("@")
        return f"{_another(local, dice, contact=False)}@{domain}"
    if contact and _is_phone(old):
        # Who can be dialled stays so: the last four digits alone.
        made = list(old)
        places = [at for at, own in enumerate(made) if own.isdigit()][-4:]
        for at, digit in zip(places, f"{dice.randrange(10_000):04d}", strict=True):
            made[at] = digit
        return "".join(made)
    letters = "abcdef" if _HEXADECIMAL.fullmatch(old) else "abcdefghijklmnopqrstuvwxyz"
    return "".join(
        dice.choice("123456789")
        if own.isdigit()
        else dice.choice(letters.upper() if own.isupper() else letters)
        if own.isascii() and own.isalpha()
        else own
        for own in old
    )


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with the name it stands under; JSON in a text is looked into."""
    if isinstance(value, dict):
        for name, own in value.items():
            yield from _leaves(own, name)
    elif isinstance(value, list):
        for own in value:
            yield from _leaves(own, key)
    elif isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            yield from _leaves(json.loads(value), key)
        except ValueError:
            yield key, value
    elif value is not None:
        yield key, value


def samples() -> Iterator[tuple[str, str, Any]]:
    """Provider, name and body of each sample that a provider would post or answer."""
    for name in registry.names():
        for path in sorted((EVENTS / name).glob("*.json")):
            if not path.name.endswith((".expected.json", ".mapping.json")):
                yield name, path.stem, json.loads(path.read_text())
