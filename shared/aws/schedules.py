"""EventBridge Scheduler: one entry per scheduled campaign, named after it, sending to the queue of runs.

Source: EventBridge Scheduler API reference, CreateSchedule and UpdateSchedule (an update replaces everything).
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from types_boto3_scheduler import EventBridgeSchedulerClient

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
"""Filled in by Scheduler; the local engine leaves it as it is."""
_MAX_EVENT_AGE_SECONDS = 3600
_RETRIES = 5


class ScheduleRefused(ValueError):
    """Scheduler does not take the expression or the time zone."""


@dataclass(frozen=True, slots=True)
class CampaignSchedule:
    """When a campaign runs; ``message`` is what the run's function is sent each time."""

    name: str
    expression: str
    timezone: str
    enabled: bool
    message: dict[str, Any]


class Schedules(Protocol):
    """Where schedules are kept."""

    def put(self, schedule: CampaignSchedule) -> None:
        """Make the schedule, or make it as given. Raises ScheduleRefused."""
        ...

    def delete(self, name: str) -> None:
        """Remove the schedule; its absence is no error."""
        ...


class EventBridgeSchedules:
    """Schedules in one group of EventBridge Scheduler."""

    def __init__(self, client: "EventBridgeSchedulerClient", *, group: str, role_arn: str, queue_arn: str) -> None:
        """``role_arn`` is what Scheduler becomes to send to the queue."""
        self._client = client
        self._group = group
        self._role_arn = role_arn
        self._queue_arn = queue_arn

    def put(self, schedule: CampaignSchedule) -> None:
        """Update, and create where there is nothing to update: the state wanted is whole in each call."""
        wanted: Any = {
            "Name": schedule.name,
            "GroupName": self._group,
            "ScheduleExpression": schedule.expression,
            "ScheduleExpressionTimezone": schedule.timezone,
            "State": "ENABLED" if schedule.enabled else "DISABLED",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": self._queue_arn,
                "RoleArn": self._role_arn,
                "Input": json.dumps(schedule.message, separators=(",", ":")),
                "RetryPolicy": {
                    "MaximumEventAgeInSeconds": _MAX_EVENT_AGE_SECONDS,
                    "MaximumRetryAttempts": _RETRIES,
                },
            },
        }
        errors = self._client.exceptions
        try:
            try:
                self._client.update_schedule(**wanted)
            except errors.ResourceNotFoundException:
                self._create(wanted)
        except errors.ValidationException as refused:
            raise ScheduleRefused("EventBridge Scheduler does not take this schedule") from refused

    def delete(self, name: str) -> None:
        """Remove the schedule; its absence is no error."""
        try:
            self._client.delete_schedule(Name=name, GroupName=self._group)
        except self._client.exceptions.ResourceNotFoundException:
            return

    def _create(self, wanted: Any) -> None:
        try:
            self._client.create_schedule(**wanted)
        except self._client.exceptions.ConflictException:
            # Somebody else made it at this moment.
            self._client.update_schedule(**wanted)
