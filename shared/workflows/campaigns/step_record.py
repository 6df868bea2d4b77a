"""What is kept of a step's outcome for whoever looks: its delivery, the checkout's timeline, the countable fact."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.delivery.exchange import SendResult
from shared.delivery.outcome import Attempt
from shared.destinations.status import REPORTED_OF_DELIVERY, Status
from shared.domain.checkout import Activity
from shared.domain.consent import Channel
from shared.domain.episode import Episode
from shared.domain.step_state import EpisodeStep, StepState
from shared.domain.transitions import retention_end
from shared.store import keys
from shared.store.activities import ActivityStore
from shared.store.deliveries import DeliveryRecord, DeliveryStatus, DeliveryStore
from shared.store.early_reports import EarlyReportStore
from shared.workflows.campaigns.step_case import StepCase
from shared.workflows.delivering.attempts import attempt_json
from shared.workflows.recovery.facts import FACTS_OF, FactRecorder

_STATUS_OF = {
    StepState.SENT: DeliveryStatus.DELIVERED,
    StepState.PLANNED: DeliveryStatus.RETRYING,
    StepState.UNKNOWN: DeliveryStatus.UNKNOWN,
    StepState.SKIPPED: DeliveryStatus.SKIPPED,
    StepState.FAILED: DeliveryStatus.FAILED,
    StepState.EXPIRED: DeliveryStatus.EXPIRED,
}
_SENT_ACTIVITY = {Channel.EMAIL: "EMAIL_SENT"}
_NOT_SENT_ACTIVITY = {Channel.EMAIL: "EMAIL_NOT_SENT"}


@dataclass(frozen=True, slots=True)
class Answered:
    """An exchange with the receiver, and what its answer means."""

    result: SendResult
    attempt: Attempt


class StepRecord:
    """Writes down what became of steps; repeating any of it changes nothing. One per process."""

    def __init__(
        self, deliveries: DeliveryStore, early: EarlyReportStore, activities: ActivityStore, facts: FactRecorder
    ) -> None:
        """Share the stores of one process."""
        self._deliveries = deliveries
        self._early = early
        self._activities = activities
        self._facts = facts

    def attempted(
        self, case: StepCase, step: EpisodeStep, channel: Channel | None, answered: Answered | None, at: datetime
    ) -> None:
        """The delivery and the timeline after an attempt; ``answered`` is None where nothing was exchanged."""
        earlier = self._deliveries.get(case.delivery_id, case.endpoint_id)
        next_at = step.due_at if step.state is StepState.PLANNED else None
        attempts: tuple[Mapping[str, Any], ...] = earlier.attempts if earlier else ()
        if answered is not None:
            shown = attempt_json(answered.result, answered.attempt, next_at)
            if not attempts or attempts[-1]["at"] != shown["at"]:
                attempts = (*attempts, shown)
        reason = step.reason
        if reason is None and answered is not None and step.state is StepState.PLANNED:
            reason = answered.attempt.reason
        kept = _delivery(case, _STATUS_OF[step.state], reason, attempts, next_at)
        if self._deliveries.keep(kept):
            self._note(case, step, channel, at)
            if step.state.counts_as_sent and case.reports_back:
                self._told_before(case, step, kept)

    def _told_before(self, case: StepCase, step: EpisodeStep, kept: DeliveryRecord) -> None:
        """What the vendor said of the message before its delivery was there."""
        early = self._early.of(kept.id, kept.endpoint_id)
        if early is None:
            return
        episode, checkout, merchant = case.episode, case.checkout, case.merchant
        for status, at in early.at.items():
            if status in REPORTED_OF_DELIVERY:
                self._deliveries.reported(kept, status, at)
            if (kind := FACTS_OF.get(status)) is not None:
                self._facts.reported(kind, episode, step.number, checkout, merchant, case.endpoint_id, at)
        if Status.FAILED in early.at:
            self._deliveries.refused(kept, early.failure or Status.FAILED.value, early.at[Status.FAILED])

    def is_delivered(self, case: StepCase) -> bool:
        """Whether the step's delivery says that the receiver took it."""
        found = self._deliveries.get(case.delivery_id, case.endpoint_id)
        return found is not None and found.status is DeliveryStatus.DELIVERED

    def not_sent(self, case: StepCase, step: EpisodeStep, channel: Channel | None, at: datetime) -> None:
        """The delivery and the timeline of a step that ended before any attempt."""
        if self._deliveries.keep(_delivery(case, DeliveryStatus.SKIPPED, step.reason, (), None)):
            self._note(case, step, channel, at)

    def erased(self, case: StepCase, now: datetime) -> None:
        """The shopper was erased while their message was on its way: nothing is kept of what the vendor answered."""
        self._deliveries.erase([keys.delivery(case.delivery_id, case.endpoint_id)])
        self._activities.clear(case.checkout.digest, now)

    def ended(self, case: StepCase, episode: Episode, step: EpisodeStep) -> None:
        """The fact of the step's last outcome; ``episode`` as it stands after it."""
        self._facts.step_ended(episode, step, case.checkout, case.merchant, case.endpoint_id)

    def _note(self, case: StepCase, step: EpisodeStep, channel: Channel | None, at: datetime) -> None:
        detail: dict[str, str | int] = {"step": case.step.number, "campaign_id": case.campaign.id}
        detail |= {"delivery_id": case.delivery_id}
        if step.reason is not None:
            detail["reason"] = step.reason
        if channel is not None:
            detail["channel"] = channel.value
        expires_at = retention_end(case.checkout, case.settings)
        self._activities.add(case.checkout.digest, Activity(at, _activity(step, channel), detail), expires_at)


def _activity(step: EpisodeStep, channel: Channel | None) -> str:
    """The timeline's word for the outcome."""
    if not step.state.counts_as_sent:
        return _NOT_SENT_ACTIVITY.get(channel or Channel.SMS, "NOT_SENT")
    return _SENT_ACTIVITY.get(channel, "NOTIFICATION_SENT") if channel else "TASK_CREATED"


def _delivery(
    case: StepCase,
    status: DeliveryStatus,
    reason: str | None,
    attempts: tuple[Any, ...],
    next_attempt_at: datetime | None,
) -> DeliveryRecord:
    return DeliveryRecord(
        id=case.delivery_id,
        endpoint_id=case.endpoint_id,
        merchant_id=case.merchant.id,
        event_id=case.event_id,
        event_type="campaign.step",
        checkout_digest=case.checkout.digest,
        event_version=case.checkout.version,
        status=status,
        created_at=case.episode.started_at,
        reason=reason,
        attempt_count=len(attempts),
        attempts=attempts,
        next_attempt_at=next_attempt_at,
        episode_id=case.episode.id,
        step=case.step.number,
        correlation_id=case.episode.correlation_id,
    )
