"""Status webhooks of vendors: what became of an accepted message, each vendor's format in one vocabulary.

A kind whose vendor reports back has, beside ``destination``, a module-level ``statuses`` that fits ``StatusSource``.
Reports come late, repeatedly and out of order; whoever folds them keeps the highest state.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from shared.destinations.destination import Endpoint
from shared.domain.instants import from_ms
from shared.domain.opt_out_words import asks_to_stop

_DELIVERY = re.compile(r"dlv_[0-9A-Za-z]{1,64}")


class Status(StrEnum):
    """What a report says. ``opted_in`` takes an earlier ``opted_out`` back."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    CLICKED = "clicked"
    REPLIED = "replied"
    FAILED = "failed"
    OPTED_OUT = "opted_out"
    OPTED_IN = "opted_in"


REPORTED_OF_DELIVERY: Final = frozenset({Status.SENT, Status.DELIVERED, Status.READ, Status.CLICKED, Status.REPLIED})
"""What a delivery keeps as a report; each says that the vendor took the message."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """One report.

    Args:
        status: what happened.
        vendor_message_id: as in ``Attempt.vendor_message_id``; None where the vendor names only the recipient.
        at: aware time by the vendor, None when it gives none.
        reason: of a failure; opens with a ``Refusal`` where the recipient is at fault.
        recipient_phone: E.164.
        delivery_id: our own ``dlv_`` id where the vendor hands it back.
        recipient_email: the address that refused.
    """

    status: Status
    vendor_message_id: str | None = None
    at: datetime | None = None
    reason: str | None = None
    recipient_phone: str | None = field(default=None, repr=False)
    delivery_id: str | None = None
    recipient_email: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """One request to ``/callbacks/{endpoint_id}``. Nothing of it is shown in its repr.

    Header names are lower case; ``query`` has the last value of each parameter, decoded; ``url`` is the whole
    public URL as the vendor called it, which some sign.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class NotAuthentic(Exception):
    """The request is not proved to come from the vendor. The message says what is missing, never a value."""


class StatusSource(Protocol):
    """The status webhooks of one kind."""

    def challenge(self, request: CallbackRequest, endpoint: Endpoint) -> str | None:
        """The plain-text answer to a vendor's set-up challenge (a GET); None when this is none.

        Raises:
            NotAuthentic: it is a challenge, but not one for this endpoint.
        """
        ...

    def authenticate(self, request: CallbackRequest, endpoint: Endpoint) -> None:
        """Return when the vendor's own proof is right; fails closed.

        Raises:
            NotAuthentic: anything else, an endpoint without the secret included.
        """
        ...

    def read_statuses(self, request: CallbackRequest) -> list[StatusReport]:
        """The reports in an authentic request; what is not understood is left out. Total over its input."""
        ...


@runtime_checkable
class Confirming(Protocol):
    """A source whose vendor sends nothing until a request of its own is answered by a call to it."""

    def confirmation(self, request: CallbackRequest) -> str | None:
        """The address to be called, of the vendor's own host; None where the request is no such question."""
        ...


class TokenProved:
    """Proof and set-up of a vendor that signs nothing and sends no challenge: the endpoint's own random token."""

    def challenge(self, request: CallbackRequest, endpoint: Endpoint) -> str | None:  # noqa: ARG002  the Protocol's
        """None: a 2xx answer is all the vendor wants."""
        return None

    def authenticate(self, request: CallbackRequest, endpoint: Endpoint) -> None:
        """The endpoint's ``callback_token`` as ``?token=``.

        Raises:
            NotAuthentic: another token, or none to compare with.
        """
        secret = endpoint.settings.get("callback_token")
        if not isinstance(secret, str) or not secret:
            raise NotAuthentic("the endpoint has no token for status webhooks")
        if not hmac.compare_digest(request.query.get("token", "").encode(), secret.encode()):
            raise NotAuthentic("the token is missing or wrong")


CALLBACK_TOKEN: Final = {
    "type": "string",
    "writeOnly": True,
    "minLength": 16,
    "description": "Your own random word; the callback URL ends in `?token=` and it.",
}
"""The JSON Schema of the setting that ``TokenProved`` compares with."""


def check_hmac(request: CallbackRequest, header: str, secret: object) -> None:
    """Hex HMAC-SHA256 of the body in ``header``, with or without ``sha256=`` before it.

    Raises:
        NotAuthentic: no such header, another signature, or no secret to compare with.
    """
    if not isinstance(secret, str) or not secret:
        raise NotAuthentic("the endpoint has no secret for status webhooks")
    sent = request.headers.get(header, "").strip().removeprefix("sha256=").lower()
    expected = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(sent.encode(), expected.encode()):
        raise NotAuthentic(f"{header} is missing or wrong")


def reply(phone: str | None, text: object, message_id: str | None, at: datetime | None) -> list[StatusReport]:
    """The reports of a shopper's answer: a reply, and an opt-out where it says nothing else."""
    reports = [StatusReport(Status.REPLIED, message_id, at, recipient_phone=phone)]
    if isinstance(text, str) and asks_to_stop(text):
        reports.append(StatusReport(Status.OPTED_OUT, message_id, at, recipient_phone=phone))
    return reports


def own_delivery(value: object) -> str | None:
    """Our delivery's id in a vendor's correlation field, None when it is somebody else's."""
    return value if isinstance(value, str) and _DELIVERY.fullmatch(value) else None


def epoch(value: object) -> datetime | None:
    """A Unix time in seconds or milliseconds, as number or digits, as an aware time; None for anything else."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 13):
        return None
    milliseconds = int(text) if len(text) > 10 else int(text) * 1000
    return from_ms(milliseconds)


def e164(value: object) -> str | None:
    """A vendor's digits with country code, with or without ``+``, as E.164; None when they are none."""
    digits = value.removeprefix("+") if isinstance(value, str) else ""
    return f"+{digits}" if digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15 else None
