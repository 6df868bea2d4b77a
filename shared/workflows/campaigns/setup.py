"""Setting up a campaign: what it says must fit, and what it names must be the merchant's own."""

import json
from collections.abc import Callable, Container, Mapping
from datetime import datetime

from shared.aws.schedules import ScheduleRefused
from shared.destinations.destination import Endpoint as Target
from shared.destinations.message import with_template
from shared.domain.campaign import Campaign, CampaignStatus, problems_of
from shared.domain.coupon import CouponRule
from shared.domain.durations import duration_text
from shared.domain.ids import EndpointId
from shared.domain.merchant import Endpoint
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore, Versioned
from shared.store.coupons import CouponStore
from shared.workflows.campaigns.schedules import CampaignSchedules
from shared.workflows.delivering.refusals import Invalid, check_room

_TEMPLATE = "/settings/template"
MOST_CAMPAIGNS = 100
LARGEST = 100_000
"""Bytes of JSON: two rows hold it, each far below DynamoDB's 400 KB."""


class CampaignSetup:
    """Creates and changes campaigns; the schedule of each follows at once.

    ``unsettled`` is told of a schedule that could not be reached: the campaign is stored, the repair settles it.
    """

    def __init__(
        self,
        campaigns: CampaignStore,
        endpoints: EndpointStore,
        coupons: CouponStore,
        merchants: MerchantStore,
        schedules: CampaignSchedules,
        unsettled: Callable[[Campaign, Exception], None],
        *,
        local: bool,
    ) -> None:
        """``local``: the stage that allows offsets of a second."""
        self._campaigns = campaigns
        self._endpoints = endpoints
        self._coupons = coupons
        self._merchants = merchants
        self._schedules = schedules
        self._unsettled = unsettled
        self._local = local

    def create(self, campaign: Campaign) -> Versioned[Campaign]:
        """Store a new campaign. Raises Invalid, and Conflict where there are too many."""
        self.check(campaign)
        check_room(self._campaigns.ids(campaign.merchant_id), campaign.id, MOST_CAMPAIGNS, "campaigns")
        self._campaigns.create(campaign)
        created = Versioned(campaign, 1)
        try:
            self._follow(campaign)
        except ScheduleRefused as refused:
            self.delete(created)
            raise _refused() from refused
        return created

    def revise(self, before: Versioned[Campaign], after: Campaign) -> Versioned[Campaign]:
        """Store an edit as the next version; without a change there is none. Raises Invalid and VersionConflict."""
        self.check(after)
        if after == before.value:
            self._follow(after)
            return before
        revised = self._campaigns.revise(before, after)
        try:
            self._follow(before.value, after)
        except ScheduleRefused as refused:
            # What was there before is put back, as a version of its own.
            self._campaigns.revise(revised, before.value)
            self._follow(before.value, after)
            raise _refused() from refused
        return revised

    def restate(self, before: Versioned[Campaign], status: CampaignStatus, now: datetime) -> Versioned[Campaign]:
        """Pause or resume at once. Raises VersionConflict."""
        if before.value.status == status:
            return before
        after = self._campaigns.restate(before, status, now)
        self._follow(after.value)
        return after

    def delete(self, before: Versioned[Campaign]) -> None:
        """Remove the campaign and its schedule; open episodes send nothing more of it. Raises VersionConflict."""
        self._campaigns.delete(before)
        self._follow(before.value)

    def _follow(self, *versions: Campaign) -> None:
        """Settle the schedule where one is or was concerned. Raises ScheduleRefused; other failures are repaired."""
        if all(own.trigger.type != "schedule" for own in versions):
            return
        campaign = versions[0]
        try:
            self._schedules.settle(campaign.merchant_id, campaign.id)
        except ScheduleRefused:
            raise
        except Exception as failure:  # noqa: BLE001 - whatever it was: the note in the table outlives it
            self._unsettled(campaign, failure)

    def check(self, campaign: Campaign) -> None:
        """Raises Invalid with everything that is wrong with a campaign about to be stored."""
        problems = problems_of(campaign, local=self._local)
        problems += self._beyond_horizon(campaign)
        size = len(json.dumps([campaign.criteria, [own.template for own in campaign.steps]]).encode())
        if size > LARGEST:
            problems.append(("", f"criteria and templates together are larger than {LARGEST} bytes"))
        rules = (campaign.coupon, *(step.coupon for step in campaign.steps))
        minting = (EndpointId(rule.endpoint_id) for rule in rules if rule is not None and rule.endpoint_id is not None)
        named = (*(step.endpoint_id for step in campaign.steps), *minting)
        endpoints = self._endpoints.named(campaign.merchant_id, named)
        problems += self._strangers(campaign, endpoints) or _template_problems(campaign, endpoints)
        if problems:
            raise Invalid(problems)

    def _beyond_horizon(self, campaign: Campaign) -> list[tuple[str, str]]:
        """Steps that would never be due: with the merchant's horizon every episode ends."""
        merchant = self._merchants.get(campaign.merchant_id)
        horizon = campaign.do_not_send_after if merchant is None else merchant.value.settings.recovery_horizon
        detail = f"must be earlier than the recovery_horizon, {duration_text(horizon)}"
        return [
            (f"/steps/{position}/after", detail)
            for position, step in enumerate(campaign.steps)
            if horizon <= step.after < campaign.do_not_send_after
        ]

    def _strangers(self, campaign: Campaign, endpoints: Mapping[EndpointId, Endpoint]) -> list[tuple[str, str]]:
        """Endpoints and pools that are not the merchant's."""
        rules = [("/coupon", campaign.coupon)]
        rules += [(f"/steps/{position}/coupon", step.coupon) for position, step in enumerate(campaign.steps)]
        named = {rule.pool_id for _, rule in rules if rule is not None and rule.pool_id is not None}
        pools = {str(own.id) for own in self._coupons.listed(campaign.merchant_id)} if named else set()
        problems = [
            (f"/steps/{position}/endpoint_id", "no such endpoint")
            for position, step in enumerate(campaign.steps)
            if step.endpoint_id not in endpoints
        ]
        for pointer, rule in rules:
            problems += _rule_strangers(rule, pointer, endpoints, pools)
        return problems


def _template_problems(campaign: Campaign, endpoints: Mapping[EndpointId, Endpoint]) -> list[tuple[str, str]]:
    """What the kinds of the steps' endpoints find wrong with the steps' own templates."""
    from shared.destinations import registry
    from shared.destinations.liquid import gave_up

    found: list[tuple[str, str]] = []
    for position, step in enumerate(campaign.steps):
        if gave_up(found):
            break
        endpoint = endpoints[step.endpoint_id]
        if step.template:
            target = Target(endpoint.id, endpoint.kind, endpoint.url or "", settings=endpoint.settings)
            # Its credentials are sealed, and what is wrong beside the template is told where the endpoint is set up.
            found += [
                (f"/steps/{position}/template{where.removeprefix(_TEMPLATE)}", detail)
                for where, detail in registry.destination(endpoint.kind).problems(with_template(target, step.template))
                if where == _TEMPLATE or where.startswith(f"{_TEMPLATE}/")
            ]
    return found


def _rule_strangers(
    rule: CouponRule | None, pointer: str, endpoints: Mapping[EndpointId, Endpoint], pools: Container[str]
) -> list[tuple[str, str]]:
    problems = []
    if rule is not None and rule.type == "pool" and rule.pool_id is not None and rule.pool_id not in pools:
        problems.append((f"{pointer}/pool_id", "no such coupon pool"))
    if rule is not None and rule.type == "minted" and rule.endpoint_id is not None:
        mint = endpoints.get(EndpointId(rule.endpoint_id))
        if mint is None or mint.kind != "webhook":
            problems.append((f"{pointer}/endpoint_id", "no such endpoint of kind webhook"))
    return problems


def _refused() -> Invalid:
    return Invalid([("/trigger/expression", "EventBridge Scheduler does not take this schedule")])
