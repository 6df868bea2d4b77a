"""Proofs that several providers share, in constant time and failing closed."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from shared.domain.instants import from_ms
from shared.providers.provider import AuthenticationFailed, SourceContext, WebhookRequest


def shared_secret(given: str | None, secrets: Iterable[str]) -> None:
    """Prove a secret sent as it is. Raises AuthenticationFailed unless it equals one of ``secrets``."""
    if not given or not _any_equal(given.encode("utf-8", "surrogatepass"), (own.encode() for own in secrets if own)):
        raise AuthenticationFailed("missing or wrong secret")


def url_token(request: WebhookRequest, source: SourceContext) -> None:
    """Prove the token in the source's URL, while it is turned over the older one too. Raises AuthenticationFailed."""
    try:
        shared_secret(request.query.get("token"), source.credentials.url_tokens_at(request.arrived_at))
    except AuthenticationFailed:
        raise AuthenticationFailed("missing or wrong token") from None


def hmac_signature(
    given: str | None,
    secrets: Iterable[str],
    message: bytes,
    *,
    algorithm: Callable[..., "hashlib._Hash"] = hashlib.sha256,
    encoding: str = "base64",
) -> None:
    """Prove an HMAC over ``message``. ``encoding`` of the signature: ``base64`` or ``hex``."""
    if not given:
        raise AuthenticationFailed("missing signature")
    try:
        raw = bytes.fromhex(given.strip()) if encoding == "hex" else base64.b64decode(given.strip(), validate=True)
    except (ValueError, binascii.Error) as malformed:
        raise AuthenticationFailed("malformed signature") from malformed
    if not _any_equal(raw, (hmac.new(own.encode(), message, algorithm).digest() for own in secrets if own)):
        raise AuthenticationFailed("wrong signature")


def fresh(given: str | None, now: datetime, tolerance: timedelta, *, milliseconds: bool = False) -> None:
    """Prove that a signed timestamp (epoch seconds, or milliseconds) is within ``tolerance`` of now, either way."""
    if given is None or not given.isascii() or not given.isdigit() or len(given) > 16:
        raise AuthenticationFailed("missing or malformed timestamp")
    try:
        at = from_ms(int(given) * (1 if milliseconds else 1000))
    except OverflowError as absurd:
        raise AuthenticationFailed("stale timestamp") from absurd
    if abs(now - at) > tolerance:
        raise AuthenticationFailed("stale timestamp")


def _any_equal(given: bytes, expected: Iterable[bytes]) -> bool:
    """Compare with every candidate, so that time does not tell which one matched."""
    matched = False
    for own in expected:
        matched |= hmac.compare_digest(given, own)
    return matched
