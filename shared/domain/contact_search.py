"""Finding a customer's identifier in bytes nobody could read: quarantined bodies, searched for an erasure."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

from shared.domain.identity import IdentityKind

_SHORTEST_CUSTOMER_ID = 4
"""A shorter id stands in almost any body; such a customer is found by phone or e-mail."""
_SEPARATOR = r"[\s().\-]*"
_NATIONAL_DIGITS = 7
_JWT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class ContactSearch:
    """Searches bodies for identifiers, however the sender writes them."""

    def __init__(self, identifiers: Iterable[tuple[IdentityKind, str]]) -> None:
        """``identifiers``: phones in E.164, e-mail addresses, customer ids."""
        patterns = [own for kind, value in set(identifiers) if (own := _pattern(kind, value)) is not None]
        self._pattern = re.compile("|".join(sorted(patterns)), re.IGNORECASE) if patterns else None

    def found_in(self, body: bytes) -> bool:
        """Whether one of the identifiers stands in the body, also inside a JSON Web Token."""
        if self._pattern is None:
            return False
        return any(self._pattern.search(text) is not None for text in _texts(body))


def _texts(body: bytes) -> Iterator[str]:
    text = body.decode("utf-8", "replace")
    yield text
    if "\\u00" in text or "%" in text:
        yield text.replace("\\u0040", "@").replace("\\u002b", "+").replace("%40", "@").replace("%2B", "+")
    for token in _JWT.findall(body):
        for part in token.split(b"."):
            try:
                yield base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                continue


def _pattern(kind: IdentityKind, value: str) -> str | None:
    if kind is IdentityKind.EMAIL:
        return rf"(?<![\w.+-]){re.escape(value)}(?![\w-]|\.\w)"
    if kind is IdentityKind.CUSTOMER:
        return rf"(?<![\w-]){re.escape(value)}(?![\w-])" if len(value) >= _SHORTEST_CUSTOMER_ID else None
    if kind is not IdentityKind.PHONE:
        return None
    return rf"(?<!\d)(?:{'|'.join(_spellings(value))})(?!\d)"


def _spellings(phone: str) -> Iterator[str]:
    """With its country code, and as dialled at home, with or without the trunk zero; grouped in any way."""
    import phonenumbers

    yield rf"(?:00)?{_SEPARATOR.join(own for own in phone if own.isdigit())}"
    try:
        national = phonenumbers.national_significant_number(phonenumbers.parse(phone))
    except phonenumbers.NumberParseException:
        return
    if len(national) >= _NATIONAL_DIGITS:
        yield rf"0?{_SEPARATOR.join(national)}"
