"""Finding a customer's identifier in bytes nobody could read: quarantined bodies, searched for an erasure."""

import base64
import contextlib
import html
import re
import zlib
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_plus

from shared.domain.identity import IdentityKind

_SHORTEST_CUSTOMER_ID = 4
"""A shorter id stands in almost any body; such a customer is found by phone or e-mail."""
_SHORTEST_NAME = 12
"""A shorter name of a checkout may be anybody's number, and the body of somebody else's cart is not to go with it."""
_SEPARATOR = r"[\s().\-]*"
_NATIONAL_DIGITS = 7
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
"""A run that may be base64, in either alphabet: a whole body, a field, a part of a JSON Web Token."""
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_DEEPEST = 3
"""How often what was found encoded is looked into again: base64 of a compressed body, and what that holds."""
_LARGEST = 8 * 1024 * 1024
"""Bytes that are looked into once they are unpacked: the body of a webhook is smaller."""


class ContactSearch:
    """Searches bodies for identifiers, however the sender writes them."""

    def __init__(self, identifiers: Iterable[tuple[IdentityKind, str]]) -> None:
        """``identifiers``: phones in E.164, e-mail addresses, customer ids, providers' names of checkouts."""
        patterns = [own for kind, value in set(identifiers) if (own := _pattern(kind, value)) is not None]
        self._pattern = re.compile("|".join(sorted(patterns)), re.IGNORECASE) if patterns else None

    def found_in(self, body: bytes) -> bool:
        """Whether one of the identifiers stands in the body: escaped, in base64 (so in a token) or compressed too."""
        if self._pattern is None:
            return False
        return any(self._pattern.search(text) is not None for text in _texts(body, _DEEPEST))


def _texts(body: bytes, depth: int) -> Iterator[str]:
    text = body.decode("utf-8", "replace")
    yield text
    plain = html.unescape(_ESCAPED.sub(lambda own: chr(int(own[1], 16)), text))
    if plain != text:
        yield plain
    if "%" in plain or "+" in plain:
        yield unquote_plus(plain)
    for packed in _packed(body) if depth else ():
        yield from _texts(packed, depth - 1)


def _packed(body: bytes) -> Iterator[bytes]:
    """What may be packed into the bytes: their base64 runs, and themselves where they are compressed."""
    for run in _BASE64.findall(body):
        token = run.rstrip(b"=").translate(_URL_SAFE)
        if len(token) % 4 != 1:
            yield base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4))
    if body[:2] in _COMPRESSED:
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj(wbits=47).decompress(body, _LARGEST)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_COMPRESSED = frozenset({b"\x1f\x8b", b"x\x01", b"x^", b"x\x9c", b"x\xda"})
"""How gzip and zlib begin."""


def _pattern(kind: IdentityKind, value: str) -> str | None:
    if kind is IdentityKind.EMAIL:
        return rf"(?<![\w.+-]){re.escape(value)}(?![\w-]|\.\w)"
    if kind is not IdentityKind.PHONE:
        shortest = _SHORTEST_CUSTOMER_ID if kind is IdentityKind.CUSTOMER else _SHORTEST_NAME
        return rf"(?<![\w-]){re.escape(value)}(?![\w-])" if len(value) >= shortest else None
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
