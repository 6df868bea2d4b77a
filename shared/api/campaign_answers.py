"""Campaigns, coupon pools and previews as the API shows them."""

from typing import Any, Literal, NotRequired, TypedDict

from shared.domain.campaign import CampaignStatus
from shared.domain.checkout import Status
from shared.domain.coupon import CouponType
from shared.domain.instants import DurationText, InstantText


class CouponJson(TypedDict):
    """Where a step's code comes from; each type has its own field."""

    type: CouponType
    code: NotRequired[str]
    pool_id: NotRequired[str]
    endpoint_id: NotRequired[str]


class CampaignStepJson(TypedDict):
    """One message."""

    after: DurationText
    """The shopper's last activity; in a scheduled run: the run."""
    endpoint_id: str
    channel: Literal["email", "sms", "whatsapp"] | None
    template: dict[str, Any]
    """The endpoint's kind says what it holds."""
    coupon: CouponJson | None


class AbandonmentTriggerJson(TypedDict):
    """The campaign begins when a checkout is abandoned."""

    type: Literal["abandonment"]


class WindowJson(TypedDict):
    """Which carts a run looks at, by how long ago they were modified."""

    modified_after: NotRequired[DurationText]
    modified_before: NotRequired[DurationText]


class ScheduleTriggerJson(TypedDict):
    """The campaign begins at set times."""

    type: Literal["schedule"]
    expression: str | None
    """As EventBridge Scheduler takes it: `rate(1 hour)`, `cron(0 10 * * ? *)`."""
    timezone: str
    window: WindowJson | None


type TriggerJson = AbandonmentTriggerJson | ScheduleTriggerJson


class CampaignLimitsJson(TypedDict):
    """At most so many messages to a shopper in one episode."""

    max_per_episode: int


class CampaignJson(TypedDict):
    """Whom to win back, when, and with what."""

    id: str
    name: str
    status: CampaignStatus
    version: int
    """Counts its edits; episodes that have begun keep theirs."""
    trigger: TriggerJson
    criteria: dict[str, Any]
    """Which checkouts it is for."""
    steps: list[CampaignStepJson]
    do_not_send_after: DurationText
    priority: int
    """The highest takes the shopper; among equals the older."""
    limits: CampaignLimitsJson
    coupon: CouponJson | None
    """For every step from the second on that names none."""
    created_at: InstantText
    activated_at: InstantText | None
    """The first time: abandonments before it are left alone."""


class CodesJson(TypedDict):
    """How many codes a pool holds."""

    total: int
    claimed: int
    left: int


class PaceJson(TypedDict):
    """How fast a pool empties, by the codes given out since yesterday began (UTC)."""

    per_day: float
    runs_out_at: InstantText | None
    """Null where none is left, or none goes."""


class PoolJson(TypedDict):
    """A pool of single-use codes; the codes themselves are never shown."""

    id: str
    name: str
    codes: CodesJson
    pace: PaceJson
    created_at: InstantText


class FilledPoolJson(PoolJson):
    """A pool to which codes were added."""

    added: int
    duplicates: int
    """Codes that the pool held already, or ever."""


class SimulatedStepJson(TypedDict):
    """What would have become of one step."""

    step: int
    """Counted from 1."""
    endpoint_id: str
    outcome: Literal["sent", "planned", "skipped"]
    """`planned`: its time has not come."""
    at: InstantText
    channels: list[str]
    reason: str | None
    deferred_by: list[str]


class SimulatedJson(TypedDict):
    """What the campaign would have done about one checkout."""

    checkout_id: str
    status: Status
    started_at: InstantText | None
    """When it would have begun; null where it would not."""
    reason: str | None
    taken_by: str | None
    """The campaign that would have taken the shopper instead."""
    steps: list[SimulatedStepJson]


class PreviewTotalsJson(TypedDict):
    """What the preview's page comes to."""

    checkouts: int
    started: int
    messages: int
    reasons: dict[str, int]
    """How often each reason stood against a message."""


class PreviewJson(TypedDict):
    """What a campaign would have sent."""

    data: list[SimulatedJson]
    next_cursor: str | None
    page: PreviewTotalsJson
