"""Vendors' status webhooks: proved by the vendor's own scheme, then told to delivery, timeline and suppressions.

Reports come late, repeatedly and out of order; everything here may run any number of times for one of them.
"""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from shared.aws.faults import code_of, is_temporary
from shared.aws.set_aside import count_set_aside
from shared.delivery.outcome import Refusal, refusal_of
from shared.destinations import registry
from shared.destinations.status import (
    REPORTED_OF_DELIVERY,
    CallbackRequest,
    Confirming,
    NotAuthentic,
    Status,
    StatusReport,
)
from shared.domain.checkout import Activity, Checkout
from shared.domain.consent import Channel
from shared.domain.identity import Identity
from shared.domain.ids import EndpointId, EpisodeId, endpoint_of
from shared.domain.merchant import Endpoint
from shared.domain.suppression import SHOPPERS_OWN, SuppressionReason
from shared.store.activities import ActivityStore
from shared.store.deliveries import ARRIVED, DeliveryRecord, DeliveryStore
from shared.workflows.delivering.report_subjects import (
    ReportingEndpoint,
    ReportingEndpoints,
    ReportSubjects,
    Subject,
    UnknownEndpoint,
)

_ACTIVITY_KEPT_FOR = timedelta(days=37)
_NOT_AHEAD = timedelta(minutes=5)
_SUPPRESSED_AS = {
    Refusal.OPTED_OUT: SuppressionReason.OPT_OUT,
    Refusal.HARD_BOUNCE: SuppressionReason.HARD_BOUNCE,
    Refusal.COMPLAINT: SuppressionReason.COMPLAINT,
    Refusal.INVALID_ADDRESS: SuppressionReason.REFUSED_BY_VENDOR,
}


class Suppresses(Protocol):
    """What closes and opens a shopper's channels."""

    def suppress(
        self,
        identities: Iterable[Identity],
        channels: Iterable[Channel],
        reason: str,
        *,
        episode_ids: Iterable[EpisodeId] = (),
    ) -> bool:
        """Never contact these identifiers over these channels again; False where that was so already."""
        ...

    def lift(
        self, identities: Iterable[Identity], channels: Iterable[Channel], reasons: Container[str] | None = None
    ) -> bool:
        """Allow contact again, of what is suppressed for one of the reasons; False where nothing was."""
        ...

    def rest(self, identities: Iterable[Identity], channels: Iterable[Channel], until: datetime) -> None:
        """Not before ``until`` over these channels."""
        ...


class Hears(Protocol):
    """Who else wants to know what became of a message: figures, and the episode of a shopper who replied."""

    def reported(self, delivery: DeliveryRecord, checkout: Checkout | None, status: Status, at: datetime) -> None:
        """A report about a delivery that is known."""
        ...

    def replied(self, who: Identity) -> None:
        """A shopper's message that names none of ours: most answers quote nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """What to answer: ``challenge`` is the text of a vendor's set-up challenge.

    ``unknown`` reports are about nothing we know, ``refused`` ones could not be told and were set aside.
    """

    challenge: str | None = None
    reports: int = 0
    unknown: int = 0
    refused: int = 0


class StatusReports:
    """Takes status webhooks. One per process."""

    def __init__(
        self,
        *,
        endpoints: ReportingEndpoints,
        subjects: ReportSubjects,
        deliveries: DeliveryStore,
        activities: ActivityStore,
        suppressions: Suppresses,
        hears: Hears,
        confirm: Callable[[str], None],
        now: Callable[[], datetime],
    ) -> None:
        """Share the stores of one process; ``confirm`` calls a vendor's address, ``now`` is the clock."""
        self._endpoints = endpoints
        self._subjects = subjects
        self._deliveries = deliveries
        self._activities = activities
        self._suppressions = suppressions
        self._hears = hears
        self._confirm = confirm
        self._now = now

    def take(self, endpoint_id: EndpointId, request: CallbackRequest) -> Answered:
        """Take one request in.

        Raises UnknownEndpoint and NotAuthentic, and, after the other reports, what one failed by for now: the vendor
        must repeat it.
        """
        own = self._endpoints.find(endpoint_id, self._now())
        if request.method == "GET":
            challenge = own.source.challenge(request, own.target)
            if challenge is None:
                raise NotAuthentic("not a challenge")
            return Answered(challenge)
        own.source.authenticate(request, own.target)
        asked = own.source.confirmation(request) if isinstance(own.source, Confirming) else None
        if asked is not None:
            self._confirm(asked)
            return Answered()
        return self._take(own, request)

    def hear(self, endpoint_id: EndpointId, request: CallbackRequest) -> Answered:
        """Take in what a service of the stage's own account told us of an endpoint: nobody else could have.

        Raises UnknownEndpoint, also where the endpoint sends by an account of its own, and as ``take``.
        """
        own = self._endpoints.find(endpoint_id, self._now())
        if own.endpoint.kind != "ses" or own.target.settings.get("access_key_id"):
            raise UnknownEndpoint(endpoint_id)
        return self._take(own, request)

    def _take(self, own: ReportingEndpoint, request: CallbackRequest) -> Answered:
        reports = own.source.read_statuses(request)
        told = [self._alone(own.endpoint, report) for report in reports]
        temporary = [failure for failure in told if isinstance(failure, Exception)]
        if temporary:
            raise temporary[0]
        return Answered(reports=len(reports), unknown=told.count(False), refused=told.count(None))

    def _alone(self, endpoint: Endpoint, report: StatusReport) -> bool | Exception | None:
        """Whether one report is about something we know; what it failed by for now; None where it was set aside.

        A vendor that is asked to repeat repeats the whole request, and in the end switches its webhook off: one report
        that nothing can be done with must not cost the others.
        """
        try:
            return self._told(endpoint, report)
        except Exception as failure:  # noqa: BLE001 - the other reports are told
            if is_temporary(failure):
                return failure
            count_set_aside("status report", code_of(failure), endpoint.id)
            return None

    def _told(self, endpoint: Endpoint, report: StatusReport) -> bool:
        """Tell one report; False where it belongs to nothing we know."""
        now = self._now()
        at = report.at if report.at is not None and report.at <= now + _NOT_AHEAD else now
        subject = self._subjects.of(endpoint, report, at, now)
        delivery, checkout = subject.delivery, subject.checkout
        if delivery is not None and report.status in REPORTED_OF_DELIVERY:
            self._deliveries.reported(delivery, report.status.value, at)
        if delivery is not None and report.status is Status.FAILED:
            self._deliveries.refused(delivery, report.reason or "failed", at)
        self._suppress(endpoint, report, subject, at)
        if checkout is not None and (_of_the_person(report) or _is_ours(endpoint, report, delivery)):
            detail: dict[str, str] = {"endpoint_id": endpoint.id, "channel": _channel(endpoint)}
            if delivery is not None:
                detail["delivery_id"] = delivery.id
            if report.reason:
                detail["reason"] = report.reason[:256]
            noted = Activity(at, f"MESSAGE_{report.status.name}", detail)
            self._activities.add(checkout.digest, noted, now + _ACTIVITY_KEPT_FOR)
        if delivery is not None:
            self._hears.reported(delivery, checkout, report.status, at)
        elif report.status is Status.REPLIED and subject.recipient is not None:
            self._hears.replied(subject.recipient)
        return delivery is not None or checkout is not None

    def _suppress(self, endpoint: Endpoint, report: StatusReport, subject: Subject, at: datetime) -> None:
        """An opt-out, or a refusal for good, closes the channel; taking it back opens it. One that passes rests it."""
        channel = Channel(_channel(endpoint))
        identities, channels = self._subjects.recipients(subject, channel), [channel]
        if not identities:
            return
        if report.status is Status.OPTED_IN:
            self._suppressions.lift(identities, channels, SHOPPERS_OWN)
            return
        refusal = refusal_of(report.reason)
        if report.status is Status.OPTED_OUT:
            refusal = refusal or Refusal.OPTED_OUT
        elif report.status is not Status.FAILED:
            refusal = None
        reason = None if refusal is None else _SUPPRESSED_AS.get(refusal)
        if reason is not None:
            checkout = subject.checkout
            named = {checkout.episode_id} if checkout is not None and checkout.episode_id else set()
            episodes = {EpisodeId(own) for own in named}
            self._suppressions.suppress(identities, channels, reason.value, episode_ids=episodes)
        elif refusal is not None and refusal.lasts and not _arrived(subject.delivery):
            self._suppressions.rest(identities, channels, at + refusal.lasts)


def _of_the_person(report: StatusReport) -> bool:
    """Whether it says something of the shopper, whichever message it was about: what they did, or a refusal of them."""
    refused = report.status is Status.FAILED and refusal_of(report.reason) is not None
    return refused or report.status in {Status.REPLIED, Status.OPTED_OUT, Status.OPTED_IN}


def _is_ours(endpoint: Endpoint, report: StatusReport, delivery: DeliveryRecord | None) -> bool:
    """Whether it is about a message of ours: a vendor reports on all that the merchant sends, by whatever tool."""
    return delivery is not None or (report.delivery_id is not None and endpoint_of(report.delivery_id) == endpoint.id)


def _arrived(delivery: DeliveryRecord | None) -> bool:
    """Whether the vendor has said that the shopper got it: a failure told afterwards is of no consequence."""
    return delivery is not None and not delivery.reports.keys().isdisjoint(ARRIVED)


def _channel(endpoint: Endpoint) -> str:
    """Every vendor that reports on its messages reports on WhatsApp, unless its kind says otherwise."""
    return registry.channel(endpoint.kind) or Channel.WHATSAPP.value
