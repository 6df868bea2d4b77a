"""Why a signed event of Checkback verifies, or why it does not (Standard Webhooks, ``v1``)."""

import base64
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from checkback.proofs import signing_key

TOLERANCE = timedelta(minutes=5)
"""As the libraries of Standard Webhooks have it."""


class Finding(StrEnum):
    """What is true of a signature."""

    VALID = "valid"
    MISSING_HEADER = "missing_header"
    WRONG_ENCODING = "wrong_encoding"
    STALE_TIMESTAMP = "stale_timestamp"
    ALTERED_BODY = "altered_body"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - a finding


@dataclass(frozen=True, slots=True)
class Examined:
    """A finding, and what it means here."""

    finding: Finding
    detail: str


def examine(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> Examined:
    """The first thing wrong with a signed event, if any. ``headers`` have lower-case names."""
    missing = [own for own in ("webhook-id", "webhook-timestamp", "webhook-signature") if not headers.get(own)]
    if missing:
        return Examined(Finding.MISSING_HEADER, f"without {', '.join(missing)} nothing can be verified")
    keys = [signing_key(own) for own in secrets]
    if not any(keys):
        return Examined(Finding.WRONG_ENCODING, "the secret is not whsec_ and base64: copy it again, whole")
    stamp, message_id = headers["webhook-timestamp"], headers["webhook-id"]
    given = _signatures(headers["webhook-signature"])
    if isinstance(given, str):
        return Examined(Finding.WRONG_ENCODING, given)
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 13:
        return Examined(Finding.WRONG_ENCODING, "webhook-timestamp is not a number of seconds")

    def proves(text: bytes, key: bytes) -> bool:
        made = hmac.new(key, f"{message_id}.{stamp}.".encode() + text, sha256).digest()
        return any(hmac.compare_digest(own, made) for own in given)

    good = [own for own in keys if own is not None]
    if any(proves(body, own) for own in good):
        return _aged(int(stamp), now)
    for altered, how in _variants(body):
        if any(proves(altered, own) for own in good):
            return Examined(Finding.ALTERED_BODY, f"{how}: verify the bytes as they came, before any parsing")
    if any(proves(body, own.encode()) or proves(body, own.removeprefix("whsec_").encode()) for own in secrets):
        text = "the sender used the secret's text as the key: what stands behind whsec_ is base64, and is decoded first"
        return Examined(Finding.WRONG_ENCODING, text)
    named = _named(body)
    if named is None:
        return Examined(Finding.ALTERED_BODY, "the body is not a JSON event any more")
    if named != message_id:
        return Examined(Finding.ALTERED_BODY, f"the body is of event {named}, the headers are of {message_id}")
    return Examined(
        Finding.WRONG_SECRET,
        "no signature was made with this secret over this body: it is another endpoint's, or an older one; "
        "if the secret is certain, something in the body was changed",
    )


def _aged(stamp: int, now: datetime) -> Examined:
    try:
        age = now - datetime.fromtimestamp(stamp, UTC)
    except (OverflowError, ValueError):
        age = timedelta.max
    if abs(age) > TOLERANCE:
        way = "old" if age > timedelta() else "ahead"
        text = f"the signature is right, but {abs(age)} {way}: above {TOLERANCE}. A recording, or a clock that is wrong"
        return Examined(Finding.STALE_TIMESTAMP, text)
    return Examined(Finding.VALID, "the signature proves these bytes")


def _signatures(header: str) -> list[bytes] | str:
    """The ``v1`` signatures of the header, or what is wrong with it."""
    found = []
    for part in header.split():
        version, _, text = part.partition(",")
        if version != "v1":
            continue
        if not text:
            return "webhook-signature is cut off"
        try:
            found.append(base64.b64decode(text, validate=True))
        except ValueError:
            return "a signature in webhook-signature is not base64"
    if not found:
        return "webhook-signature holds no v1,<base64>: separated by spaces, not by commas; hex is not base64"
    return found


def _variants(body: bytes) -> Iterator[tuple[bytes, str]]:
    """What the body may have been before something well-meaning touched it."""
    yield body.strip(), "white space was added around the body"
    yield body.removesuffix(b"\n"), "a line end was added to the body"
    yield body.replace(b"\r\n", b"\n"), "line ends were changed"
    yield body.removeprefix(b"\xef\xbb\xbf"), "a byte order mark was added"
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    for ascii_only in (False, True):
        for separators in ((",", ":"), (", ", ": ")):
            written = json.dumps(document, separators=separators, ensure_ascii=ascii_only)
            yield written.encode("utf-8", "surrogatepass"), "the JSON was parsed and written again"


def _named(body: bytes) -> str | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return str(document.get("id")) if isinstance(document, dict) else None
