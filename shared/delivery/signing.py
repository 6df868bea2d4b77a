"""Standard Webhooks signatures: symmetric ``v1`` (HMAC-SHA256) and asymmetric ``v1a`` (Ed25519).

Source: github.com/standard-webhooks/standard-webhooks, ``spec/standard-webhooks.md``. The published Python
package signs with one key, wants a text body and takes a zone-aware time for UTC, and knows no ``v1a``: signatures are
made here. Tests verify ``v1`` with it, ``v1a`` with ``cryptography`` and the specification's own example.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets as random
from collections.abc import Sequence
from datetime import datetime

SECRET_PREFIX = "whsec_"  # noqa: S105  the public prefix of every secret
PRIVATE_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"
GENERATED_KEY_BYTES = 32
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64

_SEED_BYTES = 32
"""Of a private key, which the public key of as many bytes follows."""
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")


class InvalidSecret(ValueError):
    """Not a symmetric Standard Webhooks secret. The message never repeats the secret."""


def generate_secret() -> str:
    """A new signing secret: ``whsec_`` and the base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(random.token_bytes(GENERATED_KEY_BYTES)).decode()


def generate_private_key() -> str:
    """A new key pair of ``v1a``: ``whsk_`` and the base64 of seed and public key, 32 bytes each."""
    # Only who makes or uses such a key pays for the import.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    pair = private.private_bytes_raw() + private.public_key().public_bytes_raw()
    return PRIVATE_PREFIX + base64.b64encode(pair).decode()


def is_private_key(secret: str) -> bool:
    """Whether it is a private key of ``v1a``, and no secret of ``v1``."""
    return secret.startswith(PRIVATE_PREFIX)


def public_key_of(private_key: str) -> str:
    """The public half of a private key as receivers pin it (``whpk_...``). Raises InvalidSecret."""
    return PUBLIC_PREFIX + base64.b64encode(_pair(private_key)[_SEED_BYTES:]).decode()


def public_bytes(public_key: str) -> bytes:
    """The 32 bytes of a public key. Raises InvalidSecret."""
    return _decoded(public_key.removeprefix(PUBLIC_PREFIX), "a public key")


def parse_secret(secret: str) -> bytes:
    """The HMAC key in ``secret``: 24 to 64 bytes, padded base64 of the standard alphabet after ``whsec_``.

    Strict, because verifiers drop foreign characters silently and end up with another key.

    Raises:
        InvalidSecret: anything else, a private ``whsk_`` key included.
    """
    if is_private_key(secret):
        raise InvalidSecret("whsk_ is the private key of the asymmetric scheme; a whsec_ secret is needed")
    if not secret.startswith(SECRET_PREFIX):
        raise InvalidSecret(f"a signing secret starts with {SECRET_PREFIX}")
    key = _decoded(secret.removeprefix(SECRET_PREFIX), "a signing secret")
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise InvalidSecret(f"a signing secret holds {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
    return key


def sign(secrets: Sequence[str], message_id: str, timestamp: datetime, body: bytes) -> str:
    """The ``webhook-signature`` value: one ``v1,<base64>`` or ``v1a,<base64>`` per live secret, separated by a space.

    ``timestamp`` is the aware time of this attempt, ``body`` the bytes as sent.

    Raises:
        InvalidSecret: a secret is malformed.
        ValueError: no secret, a naive time, or an id that could blur the borders of the signed text.
    """
    if not secrets:
        raise ValueError("nothing to sign with: the endpoint has no signing secret")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError("a message id consists of letters, digits, _ and -")
    signed = f"{message_id}.{_unix_seconds(timestamp)}.".encode() + body
    return " ".join(
        _v1a(_pair(secret), signed) if is_private_key(secret) else _v1(parse_secret(secret), signed)
        for secret in secrets
    )


def signature_headers(secrets: Sequence[str], message_id: str, timestamp: datetime, body: bytes) -> dict[str, str]:
    """The three ``webhook-*`` headers of one attempt; raises as ``sign`` does."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(_unix_seconds(timestamp)),
        "webhook-signature": sign(secrets, message_id, timestamp, body),
    }


def _v1(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _v1a(pair: bytes, signed: bytes) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(pair[:_SEED_BYTES])
    return "v1a," + base64.b64encode(private.sign(signed)).decode()


def _pair(private_key: str) -> bytes:
    """Seed and public key. Raises InvalidSecret."""
    pair = _decoded(private_key.removeprefix(PRIVATE_PREFIX), "a private key")
    if not is_private_key(private_key) or len(pair) != 2 * _SEED_BYTES:
        raise InvalidSecret(f"a private key is {PRIVATE_PREFIX} and 64 bytes")
    return pair


def _decoded(encoded: str, what: str) -> bytes:
    """Padded base64 of the standard alphabet. Raises InvalidSecret."""
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidSecret(f"{what} is padded base64 in the standard alphabet") from error
    if base64.b64encode(key).decode() != encoded:
        raise InvalidSecret(f"{what} is padded base64 in the standard alphabet")
    return key


def _unix_seconds(timestamp: datetime) -> int:
    if timestamp.tzinfo is None:
        raise ValueError("the timestamp of an attempt is an aware datetime")
    return int(timestamp.timestamp())
