"""Status webhooks of vendors: what became of an accepted message, each vendor's format in one vocabulary.

A kind whose vendor reports back has, beside ``destination``, a module-level ``statuses`` that fits ``StatusSource``.
Reports come late, repeatedly and out of order; whoever folds them keeps the highest state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from shared.destinations.registry import Endpoint


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
    """

    status: Status
    vendor_message_id: str | None = None
    at: datetime | None = None
    reason: str | None = None
    recipient_phone: str | None = field(default=None, repr=False)
    delivery_id: str | None = None


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

    def challenge(self, request: CallbackRequest, endpoint: "Endpoint") -> str | None:
        """The plain-text answer to a vendor's set-up challenge (a GET); None when this is none.

        Raises:
            NotAuthentic: it is a challenge, but not one for this endpoint.
        """
        ...

    def authenticate(self, request: CallbackRequest, endpoint: "Endpoint") -> None:
        """Return when the vendor's own proof is right; fails closed.

        Raises:
            NotAuthentic: anything else, an endpoint without the secret included.
        """
        ...

    def read_statuses(self, request: CallbackRequest) -> list[StatusReport]:
        """The reports in an authentic request; what is not understood is left out. Total over its input."""
        ...


def epoch(value: object) -> datetime | None:
    """A Unix time in seconds or milliseconds, as number or digits, as an aware time; None for anything else."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 13):
        return None
    seconds = int(text) / (1000 if len(text) > 11 else 1)
    return datetime.fromtimestamp(seconds, UTC)


def e164(value: object) -> str | None:
    """A vendor's digits with country code, with or without ``+``, as E.164; None when they are none."""
    digits = value.removeprefix("+") if isinstance(value, str) else ""
    return f"+{digits}" if digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15 else None
