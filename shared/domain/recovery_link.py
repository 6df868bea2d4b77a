"""Recovery links: a keyed, unforgeable code that names a checkout and a step; nothing is stored for it.

A code is base64url of key version (1 byte), step (1 byte), checkout digest (16 bytes) and a 16-byte HMAC-SHA256 over
them: 46 characters, 128 bits that cannot be guessed. It is valid from the first webhook on. What a code may be used
for is in its key (``LinkPurpose``): one that leads back to the checkout unsubscribes nobody, and the other way round.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from shared.domain.checkout import Checkout, Status
from shared.domain.ids import digest_bytes, digest_text

_MAC_BYTES = 16
_PAYLOAD_BYTES = 18
CODE_LENGTH = 46
LONGEST_DESTINATION = 4_096
"""Characters, percent-encoded: an answer of API Gateway has 10 KB of headers at most, and a coupon may add to it."""
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


class LinkPurpose(StrEnum):
    """What a code is for; each purpose has keys of its own, so that a code works at one address only."""

    RECOVERY = "recovery-link"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """What a genuine code names: a checkout and the step whose message carried it (0: the checkout's own link)."""

    digest: str
    step: int


class RecoveryCodes:
    """Makes and reads codes under versioned keys; the highest version signs."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """``keys`` by version 1-255; an old version stays while its links are alive."""
        self._keys = dict(keys)
        self._newest = max(self._keys)

    def code(self, of_digest: str, step: int = 0) -> str:
        """The code of the checkout with this digest, for this step (0-255)."""
        payload = bytes((self._newest, step)) + digest_bytes(of_digest)
        return base64.urlsafe_b64encode(payload + self._mac(self._newest, payload)).decode().rstrip("=")

    def read(self, code: str) -> LinkTarget | None:
        """What the code names, or None when it was not made under one of our keys."""
        if len(code) != CODE_LENGTH or not code.isascii():
            return None
        try:
            raw = base64.b64decode(code + "==", altchars=b"-_", validate=True)
        except binascii.Error:
            return None
        payload, mac = raw[:_PAYLOAD_BYTES], raw[_PAYLOAD_BYTES:]
        version, step = payload[0], payload[1]
        if version not in self._keys or not hmac.compare_digest(mac, self._mac(version, payload)):
            return None
        if base64.urlsafe_b64encode(raw).decode().rstrip("=") != code:
            # Four bits of the last character carry nothing: of their spellings only our own is a code.
            return None
        return LinkTarget(digest_text(payload[2:]), step)

    def _mac(self, version: int, payload: bytes) -> bytes:
        return hmac.new(self._keys[version], payload, hashlib.sha256).digest()[:_MAC_BYTES]


@dataclass(frozen=True, slots=True)
class ShopperLinks:
    """The links of a message: back to the checkout, and out of further messages. ``public_url`` ends in no slash."""

    public_url: str
    recovery: RecoveryCodes
    unsubscribing: RecoveryCodes

    def back(self, of_digest: str, step: int = 0) -> str:
        """The link back to the checkout; it names the step whose message carries it."""
        return f"{self.public_url}/r/{self.recovery.code(of_digest, step)}"

    def out(self, of_digest: str) -> str:
        """The link that unsubscribes."""
        return f"{self.public_url}/u/{self.unsubscribing.code(of_digest)}"


def allowed_destination(url: str, hosts: frozenset[str]) -> str | None:
    """The https destination of a recovery link, or None when its host is not one of ``hosts`` or under one.

    It is ASCII, fit for a ``location`` header: a path or query in another script is percent-encoded, a host in
    another script is not taken (shops send those as punycode).
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").lower().rstrip(".")
    if parts.scheme.lower() not in {"http", "https"} or parts.username is not None or parts.password is not None:
        return None
    if port not in {None, 80, 443} or not any(host == own or host.endswith(f".{own}") for own in hosts):
        return None
    if not _HOST.fullmatch(host):
        return None
    if any(own.isspace() or ord(own) < 0x20 or own in "\x7f\\" for own in url.strip()):
        return None
    path, query, fragment = (_NOT_ASCII.sub(_encoded, part) for part in (parts.path, parts.query, parts.fragment))
    destination = urlunsplit(("https", host, path, query, fragment))
    return destination if len(destination) <= LONGEST_DESTINATION else None


def _encoded(text: re.Match[str]) -> str:
    return quote(text.group(), errors="replace")


def with_tracking(destination: str, tracking: Mapping[str, str]) -> str:
    """The destination with the tracking parameters it does not carry itself; the rest stays byte for byte."""
    parts = urlsplit(destination)
    carried = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    added = urlencode({name: value for name, value in tracking.items() if name not in carried})
    query = "&".join(text for text in (parts.query, added) if text)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))


def leads_back(checkout: Checkout) -> bool:
    """Whether the link still leads to the checkout itself; a finished one leads to the shop."""
    return checkout.status in {Status.OPEN, Status.PAYMENT_PENDING, Status.ABANDONED, Status.SUPERSEDED}
