"""What a checkout provider's module gives: proof of who sent a webhook, and what it says about checkouts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shared.domain.change import CheckoutChange
from shared.domain.coupon import CouponLink
from shared.domain.merchant import SourceCredentials, SourceSettings
from shared.domain.reversal import Reversal


class AuthenticationFailed(Exception):
    """The webhook is not proved to come from the provider: missing, wrong or stale."""


class NotReadable(Exception):
    """The body is not in the provider's encoding at all: not JSON, not a JWT."""


class NotUnderstood(Exception):
    """Authentic, but of a shape this module does not know. The text says what was missing; never personal data."""


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook as received. ``headers`` have lower-case names; ``body`` is exactly what was sent.

    ``event`` is the vendor's own event name where only the URL carries it. ``id`` is API Gateway's of the request.
    """

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    arrived_at: datetime
    event: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class SourceContext:
    """The source a webhook came to: its settings with the merchant's filled in, and its credentials in the clear.

    ``currency`` and ``country`` are assumed where a payload names none; ``hosts`` are the merchant's own store
    domains, to which a recovery link may lead.
    """

    settings: SourceSettings
    credentials: SourceCredentials
    currency: str
    country: str
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Pull:
    """Content that the webhook only points to and that must be asked from the provider's API."""

    kind: str
    reference: Mapping[str, str]


DEFECTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What we raise over a payload, or a stored row, nobody thought of: it is kept, a retry would not help."""


@dataclass(frozen=True, slots=True)
class Normalised:
    """What a webhook says: changes, or why it changes no checkout; ``missing`` and ``assumed`` explain a preview.

    ``reversals`` are what it says was taken back of orders, beside the changes or without any.
    """

    changes: tuple[CheckoutChange, ...] = ()
    ignored: str | None = None
    pulls: tuple[Pull, ...] = ()
    missing: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    reversals: tuple[Reversal, ...] = ()
    new_version: str | None = None
    """The version of the payload, where nobody has read what it means."""
    misfit: str | None = None
    """Why the source's mapping does not fit the payload, which is read without it here."""


def _fits(_: str) -> None:
    """Nothing is known against any value."""


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One credential a merchant gives or gets. ``generated``: made by us when absent.

    ``unfit`` says why a given value cannot be used, in words for the merchant; None where it can.
    """

    name: str
    description: str
    required: bool = False
    generated: bool = False
    secret: bool = True
    unfit: Callable[[str], str | None] = _fits


@dataclass(frozen=True, slots=True)
class Reading:
    """From which of the vendor's pages the module was written, and when they were read, as far as is known.

    ``order_fields`` and ``contact_fields``: where the vendor's payloads name the order and the shopper.
    """

    pages: tuple[str, ...]
    read: str
    order_fields: tuple[str, ...] = ()
    contact_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """What ``GET /v1/providers`` tells: how to connect, and which credentials and settings it wants."""

    title: str
    authentication: str
    credentials: tuple[CredentialField, ...]
    setup: str
    declares_abandonment: bool
    events: tuple[str, ...] = ()
    required_settings: tuple[str, ...] = ()
    url_token: bool = False
    """The provider signs nothing: the source's URL carries a token."""
    timestamp_header: str | None = None
    """Where a signed timestamp stands, unless the source's ``signature`` names another header."""
    reading: Reading = Reading((), "")


class CouponApplying(Protocol):
    """A provider whose links apply a coupon code by themselves."""

    coupon_link: CouponLink


class Provider(Protocol):
    """One checkout provider. Implementations hold no state and read no clock: everything is in the arguments."""

    name: str
    description: Description
    checkout_hosts: frozenset[str]
    """The provider's own checkout hosts, to which recovery links may lead beside the merchant's."""

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Prove the sender over the exact bytes. Raises AuthenticationFailed."""
        ...

    def read(self, request: WebhookRequest, source: SourceContext) -> Any:
        """The payload, decoded. Raises NotReadable (and AuthenticationFailed where the body is the proof)."""
        ...

    def normalise(self, payload: Any, request: WebhookRequest, source: SourceContext) -> Normalised:
        """What the payload says. Raises NotUnderstood; never guesses."""
        ...
