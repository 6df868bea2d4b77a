"""Standard Webhooks signatures, symmetric scheme ``v1``.

Source: github.com/standard-webhooks/standard-webhooks, ``spec/standard-webhooks.md``. The published Python
package signs with one key, wants a text body and takes a zone-aware time for UTC, so the HMAC is made here;
tests verify with it.
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
GENERATED_KEY_BYTES = 32
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64

_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")


class InvalidSecret(ValueError):
    """Not a symmetric Standard Webhooks secret. The message never repeats the secret."""


def generate_secret() -> str:
    """A new signing secret: ``whsec_`` and the base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(random.token_bytes(GENERATED_KEY_BYTES)).decode()


def parse_secret(secret: str) -> bytes:
    """The HMAC key in ``secret``: 24 to 64 bytes, padded base64 of the standard alphabet after ``whsec_``.

    Strict, because verifiers drop foreign characters silently and end up with another key.

    Raises:
        InvalidSecret: anything else, a private ``whsk_`` key included.
    """
    if secret.startswith("whsk_"):
        raise InvalidSecret("whsk_ is the private key of the asymmetric scheme; a whsec_ secret is needed")
    if not secret.startswith(SECRET_PREFIX):
        raise InvalidSecret(f"a signing secret starts with {SECRET_PREFIX}")
    encoded = secret.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidSecret("a signing secret is padded base64 in the standard alphabet") from error
    if base64.b64encode(key).decode() != encoded:
        raise InvalidSecret("a signing secret is padded base64 in the standard alphabet")
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise InvalidSecret(f"a signing secret holds {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
    return key


def sign(secrets: Sequence[str], message_id: str, timestamp: datetime, body: bytes) -> str:
    """The ``webhook-signature`` value: one ``v1,<base64>`` per live secret, separated by a space.

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
    return " ".join(_v1(parse_secret(secret), signed) for secret in secrets)


def signature_headers(secrets: Sequence[str], message_id: str, timestamp: datetime, body: bytes) -> dict[str, str]:
    """The three ``webhook-*`` headers of one attempt; raises as ``sign`` does."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(_unix_seconds(timestamp)),
        "webhook-signature": sign(secrets, message_id, timestamp, body),
    }


def _v1(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _unix_seconds(timestamp: datetime) -> int:
    if timestamp.tzinfo is None:
        raise ValueError("the timestamp of an attempt is an aware datetime")
    return int(timestamp.timestamp())
