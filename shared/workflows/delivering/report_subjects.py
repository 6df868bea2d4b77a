"""Whose report it is and what it is about: the vendor's endpoint, the delivery, the shopper, the checkout."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.aws.credential_cipher import CredentialCipher
from shared.delivery.outcome import in_our_words
from shared.destinations import registry
from shared.destinations.destination import Endpoint as Target
from shared.destinations.status import StatusReport, StatusSource
from shared.domain.checkout import Checkout
from shared.domain.consent import Channel
from shared.domain.identity import Identity, IdentityHasher, IdentityKind
from shared.domain.ids import DeliveryId, EndpointId, endpoint_of
from shared.domain.merchant import Endpoint
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryRecord, DeliveryStore
from shared.store.early_reports import EarlyReportStore
from shared.store.vendor_messages import VendorMessageStore
from shared.workflows.delivering.attempts import target_of


class UnknownEndpoint(LookupError):
    """No such endpoint, or its vendor reports nothing."""


@dataclass(frozen=True, slots=True)
class ReportingEndpoint:
    """An endpoint whose vendor reports, and how its reports are proved and read."""

    endpoint: Endpoint
    source: StatusSource
    target: Target


class ReportingEndpoints:
    """Endpoints by what vendors call them: their ids."""

    def __init__(self, endpoints: EndpointStore, cipher: CredentialCipher) -> None:
        """Share the stores of one process."""
        self._endpoints = endpoints
        self._cipher = cipher

    def find(self, endpoint_id: EndpointId, now: datetime) -> ReportingEndpoint:
        """The endpoint with the secrets of ``now``. Raises UnknownEndpoint."""
        endpoint = self._endpoints.owned(endpoint_id)
        source = None if endpoint is None else _source(endpoint.kind)
        if endpoint is None or source is None:
            raise UnknownEndpoint(endpoint_id)
        return ReportingEndpoint(endpoint, source, target_of(endpoint, self._cipher.endpoint(endpoint), now))


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about, as far as it is known: the delivery, the recipient it names, the checkout."""

    delivery: DeliveryRecord | None
    recipient: Identity | None
    checkout: Checkout | None


class ReportSubjects:
    """Finds what reports are about, never beyond the endpoint's own merchant."""

    def __init__(
        self,
        deliveries: DeliveryStore,
        messages: VendorMessageStore,
        early: EarlyReportStore,
        checkouts: CheckoutStore,
        hasher: IdentityHasher,
    ) -> None:
        """Share the stores of one process."""
        self._deliveries = deliveries
        self._messages = messages
        self._early = early
        self._checkouts = checkouts
        self._hasher = hasher

    def of(self, endpoint: Endpoint, report: StatusReport, at: datetime, now: datetime) -> Subject:
        """What the report is about; ``at``: when it says that it was so.

        One about a delivery that is not there yet is kept for whoever writes it.
        """
        delivery = self._delivery(endpoint, report, at, now)
        recipient = self._recipient(endpoint, report)
        return Subject(delivery, recipient, self._checkout(endpoint, delivery, recipient))

    def recipients(self, subject: Subject, channel: Channel) -> Sequence[Identity]:
        """Whose channel a refusal closes: the recipient's, else the address or phone of the delivery's checkout."""
        if subject.recipient is not None:
            return [subject.recipient]
        if subject.checkout is None or subject.delivery is None:
            return []
        reached_by = IdentityKind.EMAIL if channel is Channel.EMAIL else IdentityKind.PHONE
        identities = self._hasher.of_checkout(subject.checkout).items()
        return [own for kind, own in identities if kind is reached_by]

    def _delivery(self, endpoint: Endpoint, report: StatusReport, at: datetime, now: datetime) -> DeliveryRecord | None:
        """The delivery that the vendor names, by our id or its own; never one of another endpoint."""
        found = DeliveryId(report.delivery_id) if report.delivery_id else None
        if found is None and report.vendor_message_id:
            found = self._messages.delivery_of(endpoint.id, report.vendor_message_id)
        if found is None or endpoint_of(found) != endpoint.id:
            return None
        record = self._deliveries.get(found, endpoint.id)
        if record is None and report.delivery_id:
            # Without the vendor's own words: an erasure in between does not find it.
            why = None if report.reason is None else in_our_words(report.reason)
            self._early.note(found, endpoint.id, report.status.value, at, why, now)
            # It may have been written in between; whoever writes it afterwards finds the note.
            record = self._deliveries.get(found, endpoint.id)
        return record if record is not None and record.merchant_id == endpoint.merchant_id else None

    def _recipient(self, endpoint: Endpoint, report: StatusReport) -> Identity | None:
        if report.recipient_phone is not None:
            return self._hasher.identity(endpoint.merchant_id, IdentityKind.PHONE, report.recipient_phone)
        if report.recipient_email is not None:
            return self._hasher.identity(endpoint.merchant_id, IdentityKind.EMAIL, report.recipient_email)
        return None

    def _checkout(self, endpoint: Endpoint, delivery: DeliveryRecord | None, who: Identity | None) -> Checkout | None:
        """The checkout whose timeline it belongs to: the delivery's, else the shopper's newest; never an erased one."""
        if delivery is not None:
            digests = [delivery.checkout_digest]
        else:
            digests = [] if who is None else self._checkouts.by_identity(who)[:1]
        found = self._checkouts.get(digests[0]) if digests else None
        if found is None or found.erased or found.merchant_id != endpoint.merchant_id:
            return None
        return found


def _source(kind: str) -> StatusSource | None:
    try:
        return registry.statuses(kind)
    except registry.UnknownKind:
        return None
