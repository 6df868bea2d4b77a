"""Tokens signed with RS256, in JWS compact form (RFC 7515): the one algorithm that a provider proves a body with.

PyJWT, by which tests measure this, loads with every algorithm the certificates of ``cryptography.x509``: 27 modules, of
which checking one RSA signature needs none.
"""

import base64
import binascii
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


class WrongToken(Exception):
    """It is no such token, or this key did not sign it."""


def verified(token: bytes, key: "RSAPublicKey") -> bytes:
    """The token's payload, signed by the key with RS256; no other algorithm is tried. Raises WrongToken."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    header, payload, signature = _parts(token)
    _demand_plain_rs256(header)
    try:
        key.verify(signature, token.rpartition(b".")[0], PKCS1v15(), SHA256())
    except InvalidSignature:
        raise WrongToken from None
    return payload


def segment(part: bytes) -> bytes:
    """What a part of a token holds: base64url without padding, written in its one way. Raises WrongToken."""
    try:
        raw = base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise WrongToken from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part:
        raise WrongToken
    return raw


def _parts(token: bytes) -> tuple[bytes, bytes, bytes]:
    parts = token.split(b".")
    if len(parts) != 3:
        raise WrongToken
    header, payload, signature = map(segment, parts)
    return header, payload, signature


def _demand_plain_rs256(header: bytes) -> None:
    """Refuse a header with another algorithm, or with an extension that must be understood (``crit``, ``b64``)."""
    try:
        told = json.loads(header)
    except (ValueError, RecursionError):
        raise WrongToken from None
    if not isinstance(told, dict) or told.get("alg") != "RS256" or "crit" in told or "b64" in told:
        raise WrongToken
