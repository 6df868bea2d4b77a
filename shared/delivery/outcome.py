"""What an attempt came to, in one vocabulary for every kind, and the part of the answer that is kept."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import quote

from shared.delivery.exchange import Answer

EXCERPT_BYTES = 1024


class Outcome(StrEnum):
    """What follows from an answer.

    ``unknown``: sent, without a usable answer; a message kind never repeats it by itself. ``fail_recipient``,
    ``fail_message``, ``fail_config``: the person, the content, or the endpoint's set-up is at fault.
    ``gone``: the endpoint wants nothing any more.
    """

    DELIVERED = "delivered"
    RETRY = "retry"
    UNKNOWN = "unknown"
    FAIL_RECIPIENT = "fail_recipient"
    FAIL_MESSAGE = "fail_message"
    FAIL_CONFIG = "fail_config"
    GONE = "gone"


class Refusal(StrEnum):
    """Why a vendor refuses one recipient: the closed list that suppressions are derived from.

    It opens the ``reason`` of a ``fail_recipient`` attempt and of a failed status, as in
    ``opted_out: WhatsApp 131050``; ``refusal_of`` reads it back.
    """

    OPTED_OUT = "opted_out"
    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    INVALID_ADDRESS = "invalid_address"
    NOT_ON_CHANNEL = "not_on_channel"
    NO_OPT_IN = "no_opt_in"
    REGION_BLOCKED = "region_blocked"
    FREQUENCY_CAP = "frequency_cap"
    THIS_MESSAGE = "this_message"

    @property
    def permanent(self) -> bool:
        """Whether it stands until the recipient or the merchant changes it."""
        return self in {Refusal.OPTED_OUT, Refusal.HARD_BOUNCE, Refusal.COMPLAINT, Refusal.INVALID_ADDRESS}

    @property
    def lasts(self) -> timedelta | None:
        """For how long trying again is pointless; None for a permanent one, zero when only this message is."""
        return {
            Refusal.NOT_ON_CHANNEL: timedelta(days=30),
            Refusal.NO_OPT_IN: timedelta(days=30),
            Refusal.REGION_BLOCKED: timedelta(days=30),
            Refusal.FREQUENCY_CAP: timedelta(days=1),
            Refusal.THIS_MESSAGE: timedelta(),
        }.get(self)

    def because(self, detail: str) -> str:
        """The reason to store: this refusal and what the vendor said."""
        return f"{self.value}: {detail}"


def refusal_of(reason: str | None) -> Refusal | None:
    """The refusal that opens a stored reason, None when it tells of none."""
    opening = (reason or "").partition(":")[0]
    return Refusal(opening) if opening in Refusal else None


def in_our_words(reason: str) -> str:
    """A reason without what the vendor says in its own: the refusal and the code, as far as it has them."""
    refusal = refusal_of(reason)
    opening = "" if refusal is None else f"{refusal.value}: "
    code = _VENDORS_CODE.match(reason.removeprefix(opening))
    return f"{opening}{code[0]}" if code is not None else opening.removesuffix(": ") or "failed"


_VENDORS_CODE = re.compile(r"[A-Za-z]{1,12} [0-9]{1,9}(?![0-9])")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One classified attempt, fit to store and to show to the merchant.

    ``response_body`` is at most 1 KiB of UTF-8 with secrets and contact data masked; ``retry_after`` the
    instant before which the other side wants no further attempt; ``vendor_message_id`` what its status events
    will name.
    """

    at: datetime
    status_code: int | None
    latency_ms: int
    outcome: Outcome
    reason: str | None = None
    response_body: str | None = field(default=None, repr=False)
    retry_after: datetime | None = None
    vendor_message_id: str | None = None


_EMAIL = re.compile(r"[\w.+%'-]{1,64}(?:@|%40|\\u0040)[\w-]{1,63}(?:\.[\w-]{1,63})+", re.IGNORECASE)
# Eight digits or more, grouped as people group phone numbers; a calendar date is left readable.
_PHONE = re.compile(r"(?<!\d)(?!\d{4}-\d{2}-\d{2}(?![\d]))\+?\d(?:[ \t\u00a0().-]{0,3}\d){7,}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def excerpt(answer: Answer, secrets: Iterable[str] = ()) -> str | None:
    """The first KiB of the answer's body as text, None when there is none.

    Masked are the given secrets (the endpoint's token, signing secrets, header values), e-mail addresses and
    phone-like runs of digits: a careless receiver echoes what it was sent. A compressed body is named, not
    expanded.
    """
    if not answer.body:
        return None
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        return f"[{len(answer.body)} bytes with a content-encoding that was not asked for]"
    # Masking comes before cutting: half a phone number at the cut would escape it.
    text = mask(_CONTROL.sub("", answer.body.decode("utf-8", "replace")), secrets)
    return text.encode()[:EXCERPT_BYTES].decode("utf-8", "ignore")


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without e-mail addresses, phone numbers and the given secrets (also JSON- or URL-escaped)."""
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, "[secret]")
    return _PHONE.sub("[number]", _EMAIL.sub("[email]", text))


def _spellings(secret: str) -> Iterable[str]:
    for core in (secret, secret.removeprefix("whsec_")):
        if core:
            yield core
            yield json.dumps(core)[1:-1]
            yield core.replace("/", "\\/")
            yield quote(core, safe="")
