"""WhatsApp's error codes, as Meta answers and reports them; several BSPs pass them on unchanged.

Meanings: Meta's page ``whatsapp/support/error-codes`` (May 2026) and pywa's ``errors.py`` (4.5.0). What follows from
each is ours. The same code comes in an answer, in a status webhook, or in both.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.delivery.outcome import Outcome, Refusal


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means: what follows, in words, and for whom or for how long."""

    outcome: Outcome
    words: str
    refusal: Refusal | None = None
    wait: timedelta | None = None

    def reason(self, code: int, detail: str | None = None) -> str:
        """The reason to store; opens with the refusal where the recipient is at fault."""
        told = f"WhatsApp {code}, {self.words}" + (f": {detail}" if detail else "")
        return told if self.refusal is None else self.refusal.because(told)


_CONFIG = Outcome.FAIL_CONFIG
_MESSAGE = Outcome.FAIL_MESSAGE
_PERSON = Outcome.FAIL_RECIPIENT
_RETRY = Outcome.RETRY
_UNKNOWN = Outcome.UNKNOWN

_MEANINGS: Final[dict[int, Meaning]] = {
    0: Meaning(_CONFIG, "the token is invalid or expired"),
    190: Meaning(_CONFIG, "the token is invalid or expired"),
    3: Meaning(_CONFIG, "the token lacks a capability"),
    10: Meaning(_CONFIG, "the token lacks a permission"),
    1: Meaning(_UNKNOWN, "unknown API problem"),
    2: Meaning(_UNKNOWN, "service temporarily down"),
    4: Meaning(_RETRY, "call limit of the app", wait=timedelta(minutes=5)),
    33: Meaning(_CONFIG, "the phone number id was deleted"),
    100: Meaning(_MESSAGE, "bad parameter"),
    368: Meaning(_CONFIG, "temporarily blocked for policy"),
    80007: Meaning(_RETRY, "rate limit of the account", wait=timedelta(minutes=5)),
    130429: Meaning(_RETRY, "throughput of the number", wait=timedelta(seconds=10)),
    130472: Meaning(_PERSON, "recipient in a marketing experiment", Refusal.THIS_MESSAGE),
    130497: Meaning(_PERSON, "the account may not message this country", Refusal.REGION_BLOCKED),
    131000: Meaning(_UNKNOWN, "something went wrong"),
    131005: Meaning(_CONFIG, "access denied"),
    131008: Meaning(_MESSAGE, "parameter missing"),
    131009: Meaning(_MESSAGE, "parameter value invalid"),
    131016: Meaning(_UNKNOWN, "service unavailable"),
    131021: Meaning(_PERSON, "sender and recipient are the same", Refusal.INVALID_ADDRESS),
    131026: Meaning(_PERSON, "undeliverable: not on WhatsApp or an old client", Refusal.NOT_ON_CHANNEL),
    131030: Meaning(_CONFIG, "recipient not on the test number's list"),
    131031: Meaning(_CONFIG, "account locked"),
    131037: Meaning(_CONFIG, "display name not approved"),
    131042: Meaning(_CONFIG, "payment trouble"),
    131045: Meaning(_CONFIG, "number not registered properly"),
    131047: Meaning(_MESSAGE, "not a template, and 24 hours since the user's last message"),
    131048: Meaning(_CONFIG, "sending restricted for quality or spam"),
    131049: Meaning(_PERSON, "marketing cap of this user", Refusal.FREQUENCY_CAP),
    131050: Meaning(_PERSON, "the user stopped marketing messages", Refusal.OPTED_OUT),
    131051: Meaning(_MESSAGE, "unsupported message type"),
    131053: Meaning(_MESSAGE, "the media could not be uploaded"),
    131056: Meaning(_RETRY, "too many messages to this recipient", wait=timedelta(seconds=24)),
    131057: Meaning(_RETRY, "number in maintenance", wait=timedelta(minutes=5)),
    131062: Meaning(_CONFIG, "recipient id type not supported"),
    131063: Meaning(_CONFIG, "marketing templates go through the marketing messages API only"),
    131064: Meaning(_CONFIG, "messaging limit cut for template misclassification"),
    132000: Meaning(_CONFIG, "number of variables differs from the template's"),
    132001: Meaning(_CONFIG, "template missing, not approved, or not in this language"),
    132005: Meaning(_MESSAGE, "filled text too long"),
    132007: Meaning(_CONFIG, "template violates policy"),
    132008: Meaning(_MESSAGE, "value format wrong"),
    132012: Meaning(_MESSAGE, "value format wrong"),
    132015: Meaning(_CONFIG, "template paused"),
    132016: Meaning(_CONFIG, "template disabled"),
    132018: Meaning(_MESSAGE, "a value holds a newline, a tab or more than four spaces"),
    133010: Meaning(_CONFIG, "number not registered"),
    135000: Meaning(_UNKNOWN, "generic user error"),
    137000: Meaning(_MESSAGE, "the recipient's identity key changed"),
}
_PERMISSIONS: Final = range(200, 300)


def meaning_of(code: int) -> Meaning | None:
    """What a code means; None for one that Meta's page does not list."""
    if code in _PERMISSIONS:
        return Meaning(_CONFIG, "the token lacks a permission")
    return _MEANINGS.get(code)


def code_of(value: object) -> int | None:
    """A vendor's error code, be it a number or digits, else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else None


def failure_reason(code: object, detail: str | None) -> str:
    """The reason of a failed status: with the refusal in front where the code tells of one."""
    number = code_of(code)
    meaning = None if number is None else meaning_of(number)
    if number is not None and meaning is not None:
        return meaning.reason(number, detail)
    return detail or "the vendor gave no reason" if number is None else f"code {number}: {detail or 'unknown'}"
