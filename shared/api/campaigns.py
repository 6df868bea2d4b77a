"""Campaigns and coupon pools: request bodies, and how they are shown."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from shared.api.campaign_answers import (
    CampaignJson,
    CampaignStepJson,
    CouponJson,
    PoolJson,
    SimulatedJson,
    TriggerJson,
    WindowJson,
)
from shared.api.fields import (
    CRITERIA,
    SAID,
    STORABLE,
    WHOLE,
    Duration,
    Name,
    Patch,
    Strict,
    by_type,
    described,
    duration_text,
    id_of,
    lasting,
    storable,
    without_default,
)
from shared.domain.campaign import (
    LEAST_OFFSET,
    LONGEST_OFFSET,
    LONGEST_WINDOW,
    MESSAGES_PER_EPISODE,
    MOST_STEPS,
    PRIORITIES,
    Campaign,
    CampaignId,
    CampaignStep,
    Limits,
    Trigger,
    Window,
)
from shared.domain.coupon import LONGEST_CODE, CouponRule, CouponType
from shared.domain.ids import EndpointId, IdKind, MerchantId
from shared.domain.instants import to_rfc3339
from shared.domain.settings import duration_range
from shared.domain.simulation import Simulated
from shared.store.coupons import CouponPool

MOST_CODES_PER_CALL = 5_000
LONGEST_PREVIEW_DAYS = 30

_EndpointId = Annotated[str, StringConstraints(min_length=1, max_length=64), id_of(IdKind.ENDPOINT)]
_CampaignId = Annotated[str, StringConstraints(min_length=1, max_length=64), id_of(IdKind.CAMPAIGN)]
_PoolId = Annotated[str, StringConstraints(min_length=1, max_length=64), id_of(IdKind.POOL)]
_Json = Annotated[dict[str, Any], AfterValidator(storable), STORABLE]
_Code = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_CODE, pattern=r"^[\x21-\x7e]+$")]


class WindowBody(Strict):
    """Which carts a run looks at, by how long ago they were modified."""

    modified_after: Annotated[Duration, lasting(timedelta(), LONGEST_WINDOW, "P1D")] | None = None
    modified_before: Annotated[Duration, lasting(timedelta(), LONGEST_WINDOW, "PT1H")] | None = None


class TriggerBody(Strict):
    """What starts the campaign. ``expression`` and ``timezone`` as EventBridge Scheduler takes them."""

    model_config = ConfigDict(
        json_schema_extra=by_type(
            ("expression", "timezone", "window"),
            abandonment=((), ()),
            schedule=(("expression",), ("timezone", "window")),
        )
    )

    type: Literal["abandonment", "schedule"]
    expression: (
        Annotated[
            str,
            StringConstraints(max_length=256),
            described(
                pattern=r"^\s*(rate\([1-9][0-9]{0,5} (minute|hour|day)s?\)|cron\( *[^()\s]+( +[^()\s]+){5} *\))\s*$",
                description="`rate(value unit)` or `cron(minutes hours day-of-month month day-of-week year)`",
                examples=["rate(1 hour)"],
            ),
        ]
        | None
    ) = None
    timezone: Annotated[str, StringConstraints(max_length=64), described(format="iana-time-zone")] | None = None
    window: WindowBody | None = None

    def trigger(self) -> Trigger:
        """The domain's trigger."""
        window = None if self.window is None else Window(self.window.modified_after, self.window.modified_before)
        return Trigger(self.type, self.expression, self.timezone, window)


class CouponBody(Strict):
    """Where a step's code comes from: each type wants its own field."""

    model_config = ConfigDict(
        json_schema_extra=by_type(
            ("code", "pool_id", "endpoint_id"),
            none=((), ()),
            static=(("code",), ()),
            pool=(("pool_id",), ()),
            minted=(("endpoint_id",), ()),
        )
    )

    type: CouponType
    code: Annotated[
        str, StringConstraints(max_length=LONGEST_CODE), SAID, described(description="Printable characters")
    ] | None = None  # fmt: skip
    pool_id: _PoolId | None = None
    endpoint_id: _EndpointId | None = None

    def rule(self) -> CouponRule:
        """The domain's rule."""
        return CouponRule(self.type, self.code, self.pool_id, self.endpoint_id)


class StepBody(Strict):
    """One message, ``after`` the shopper's last activity."""

    after: Annotated[Duration, lasting(LEAST_OFFSET, LONGEST_OFFSET, "PT1H")]
    endpoint_id: _EndpointId
    template: _Json = Field(default_factory=dict)
    coupon: CouponBody | None = None
    channel: Literal["email", "sms", "whatsapp"] | None = None

    def step(self) -> CampaignStep:
        """The domain's step."""
        rule = None if self.coupon is None else self.coupon.rule()
        return CampaignStep(self.after, EndpointId(self.endpoint_id), self.template, rule, self.channel)


class LimitsBody(Strict):
    """At most so many messages to a shopper in one episode."""

    max_per_episode: Annotated[int, described(minimum=1, maximum=MOST_STEPS), WHOLE] = MESSAGES_PER_EPISODE


_Criteria = Annotated[_Json, CRITERIA]
_UntilWhen = Annotated[Duration, lasting(*duration_range("do_not_send_after", local=False), "P3D")]
_Priority = Annotated[int, described(minimum=PRIORITIES[0], maximum=PRIORITIES[-1]), WHOLE]
_Steps = Annotated[list[StepBody], Field(min_length=1, max_length=MOST_STEPS)]


class CampaignBody(Strict):
    """A new campaign. ``status``: whether it may send at once, or only after ``/resume``."""

    name: Name
    trigger: TriggerBody = Field(default=TriggerBody(type="abandonment"), json_schema_extra=without_default)
    criteria: _Criteria = Field(default_factory=dict)
    steps: _Steps
    do_not_send_after: _UntilWhen = timedelta(days=3)
    priority: _Priority = 0
    limits: LimitsBody = Field(default=LimitsBody(), json_schema_extra=without_default)
    coupon: CouponBody | None = None
    status: Literal["active", "paused"] = "active"

    def campaign(self, campaign_id: CampaignId, merchant_id: MerchantId, now: datetime) -> Campaign:
        """The campaign's first version."""
        return Campaign(
            id=campaign_id,
            merchant_id=merchant_id,
            version=1,
            name=self.name,
            created_at=now,
            status=self.status,
            trigger=self.trigger.trigger(),
            criteria=self.criteria,
            steps=tuple(own.step() for own in self.steps),
            do_not_send_after=self.do_not_send_after,
            priority=self.priority,
            limits=Limits(self.limits.max_per_episode),
            coupon=None if self.coupon is None else self.coupon.rule(),
            activated_at=now if self.status == "active" else None,
        )


class CampaignPatch(Patch):
    """An edit: whatever is named is replaced whole. Open episodes keep the version they began with."""

    name: Name = "unchanged"
    trigger: TriggerBody = Field(default=TriggerBody(type="abandonment"), json_schema_extra=without_default)
    criteria: _Criteria = Field(default_factory=dict)
    steps: _Steps = Field(default_factory=list)
    do_not_send_after: _UntilWhen = timedelta(days=3)
    priority: _Priority = 0
    limits: LimitsBody = Field(default=LimitsBody(), json_schema_extra=without_default)
    coupon: CouponBody | None = None

    @classmethod
    def nullable(cls) -> frozenset[str]:
        """The campaign's own coupon may be dropped."""
        return frozenset({"coupon"})

    def on(self, campaign: Campaign) -> Campaign:
        """The campaign with what the request names."""
        given = self.given()
        if "trigger" in given:
            given["trigger"] = self.trigger.trigger()
        if "steps" in given:
            given["steps"] = tuple(own.step() for own in self.steps)
        if "limits" in given:
            given["limits"] = Limits(self.limits.max_per_episode)
        if self.coupon is not None:
            given["coupon"] = self.coupon.rule()
        return replace(campaign, **given)


class PreviewBody(Strict):
    """How far back the preview looks, by the checkouts' last activity."""

    days: Annotated[int, Field(ge=1, le=LONGEST_PREVIEW_DAYS), WHOLE] = 7


class DraftPreviewBody(Strict):
    """A campaign that is not stored, as it would be created; ``in_place_of`` the stored one that it would change."""

    campaign: CampaignBody
    in_place_of: _CampaignId | None = None
    days: Annotated[int, Field(ge=1, le=LONGEST_PREVIEW_DAYS), WHOLE] = 7


class PoolBody(Strict):
    """A new pool of single-use codes."""

    name: Name


class CodesBody(Strict):
    """Codes to add; what the pool holds already is counted as a duplicate."""

    codes: Annotated[list[_Code], Field(min_length=1, max_length=MOST_CODES_PER_CALL)]


def campaign_json(campaign: Campaign) -> CampaignJson:
    """A campaign as the API shows it."""
    return {
        "id": campaign.id,
        "name": campaign.name,
        "status": campaign.status,
        "version": campaign.version,
        "trigger": _trigger_json(campaign.trigger),
        "criteria": dict(campaign.criteria),
        "steps": [_step_json(own) for own in campaign.steps],
        "do_not_send_after": duration_text(campaign.do_not_send_after),
        "priority": campaign.priority,
        "limits": {"max_per_episode": campaign.limits.max_per_episode},
        "coupon": _coupon_json(campaign.coupon),
        "created_at": to_rfc3339(campaign.created_at),
        "activated_at": None if campaign.activated_at is None else to_rfc3339(campaign.activated_at),
    }


def pool_json(pool: CouponPool, now: datetime) -> PoolJson:
    """A pool, its counts and the pace since yesterday; never its codes."""
    ends = pool.runs_out_at(now)
    return {
        "id": pool.id,
        "name": pool.name,
        "codes": {"total": pool.size, "claimed": pool.claimed, "left": pool.left},
        "pace": {"per_day": round(pool.per_day(now), 2), "runs_out_at": None if ends is None else to_rfc3339(ends)},
        "created_at": to_rfc3339(pool.created_at),
    }


def simulated_json(simulated: Simulated) -> SimulatedJson:
    """What the campaign would have done about one checkout."""
    return {
        "checkout_id": simulated.checkout_id,
        "status": simulated.status,
        "started_at": None if simulated.started_at is None else to_rfc3339(simulated.started_at),
        "reason": simulated.reason,
        "taken_by": simulated.taken_by,
        "steps": [
            {
                "step": own.number,
                "endpoint_id": own.endpoint_id,
                "outcome": own.outcome,
                "at": to_rfc3339(own.at),
                "channels": list(own.channels),
                "reason": own.reason,
                "deferred_by": list(own.deferred_by),
            }
            for own in simulated.steps
        ],
    }


def _trigger_json(trigger: Trigger) -> TriggerJson:
    if trigger.type == "abandonment":
        return {"type": "abandonment"}
    return {
        "type": "schedule",
        "expression": trigger.expression,
        "timezone": trigger.timezone or "UTC",
        "window": None if trigger.window is None else _window_json(trigger.window),
    }


def _window_json(window: Window) -> WindowJson:
    shown: WindowJson = {}
    if window.modified_after is not None:
        shown["modified_after"] = duration_text(window.modified_after)
    if window.modified_before is not None:
        shown["modified_before"] = duration_text(window.modified_before)
    return shown


def _step_json(step: CampaignStep) -> CampaignStepJson:
    return {
        "after": duration_text(step.after),
        "endpoint_id": step.endpoint_id,
        "channel": step.channel,
        "template": dict(step.template),
        "coupon": _coupon_json(step.coupon),
    }


def _coupon_json(rule: CouponRule | None) -> CouponJson | None:
    if rule is None:
        return None
    shown: CouponJson = {"type": rule.type}
    if rule.code is not None:
        shown["code"] = rule.code
    if rule.pool_id is not None:
        shown["pool_id"] = rule.pool_id
    if rule.endpoint_id is not None:
        shown["endpoint_id"] = rule.endpoint_id
    return shown
