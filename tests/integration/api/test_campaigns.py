"""Campaigns and coupon pools through the API, with the schedules that follow them."""

import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions.merchant_api import services
from shared.aws import clients
from shared.aws.schedules import ScheduleRefused
from shared.domain.checkout import Checkout, Status
from shared.domain.ids import CampaignId, MerchantId, SourceId, checkout_digest
from tests.integration.api.conftest import Api, new_merchant
from tests.unit.domain.sessions import cart_of

URL = "https://bsp.example.com/hooks"
SCHEDULE = {
    "type": "schedule",
    "expression": "cron(0 10 * * ? *)",
    "timezone": "Asia/Kolkata",
    "window": {"modified_after": "P1D", "modified_before": "PT1H"},
}


@pytest.fixture
def endpoint_id(merchant: Api) -> str:
    """A webhook of the merchant."""
    made: str = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json["id"]
    return made


def a_campaign(endpoint_id: str, **given: Any) -> dict[str, Any]:
    """The contract's example."""
    return {
        "name": "Come back",
        "trigger": {"type": "abandonment"},
        "criteria": {"all": [{"field": "total", "op": "gte", "value": "500.00"}]},
        "steps": [
            {"after": "PT1H", "endpoint_id": endpoint_id, "template": {"name": "hello"}},
            {"after": "P1D", "endpoint_id": endpoint_id, "coupon": {"type": "static", "code": "BACK10"}},
        ],
        "do_not_send_after": "P3D",
    } | given


def created(merchant: Api, body: dict[str, Any]) -> dict[str, Any]:
    answer = merchant("POST", "/v1/campaigns", body)
    assert answer.status == 201, answer.text
    made: dict[str, Any] = answer.json
    return made


def schedules() -> list[dict[str, Any]]:
    """Every schedule there is, whole."""
    client = clients.scheduler()
    names = [own["Name"] for own in client.list_schedules(GroupName="campaigns")["Schedules"]]
    return [dict(client.get_schedule(Name=name, GroupName="campaigns")) for name in names]


def test_a_campaign_is_shown_as_it_was_made(merchant: Api, endpoint_id: str) -> None:
    made = created(merchant, a_campaign(endpoint_id))
    assert made["id"].startswith("cmp_")
    assert (made["status"], made["version"], made["activated_at"]) == ("active", 1, made["created_at"])
    assert made["criteria"] == {"all": [{"field": "total", "op": "gte", "value": "500.00"}]}
    assert made["steps"][1]["coupon"] == {"type": "static", "code": "BACK10"}
    shown = merchant("GET", f"/v1/campaigns/{made['id']}")
    assert (shown.json, shown.headers["etag"]) == (made, '"1"')
    assert merchant("GET", "/v1/campaigns").json == {"data": [made], "next_cursor": None}
    assert schedules() == [], "an abandonment needs no schedule"


def test_an_edit_is_a_new_version_and_what_it_does_not_name_stays(merchant: Api, endpoint_id: str) -> None:
    made = created(merchant, a_campaign(endpoint_id))
    edited = merchant("PATCH", f"/v1/campaigns/{made['id']}", {"priority": 7, "criteria": {}})
    assert edited.status == 200, edited.text
    assert edited.json == made | {"priority": 7, "criteria": {}, "version": 2}
    assert edited.headers["etag"] == '"2"'
    stale = merchant("PATCH", f"/v1/campaigns/{made['id']}", {"priority": 8}, headers={"if-match": '"1"'})
    assert stale.status == 412


def test_pause_and_resume_make_no_version(merchant: Api, endpoint_id: str) -> None:
    made = created(merchant, a_campaign(endpoint_id, status="paused"))
    assert made["activated_at"] is None
    resumed = merchant("POST", f"/v1/campaigns/{made['id']}/resume")
    assert (resumed.json["status"], resumed.json["version"]) == ("active", 1)
    assert resumed.json["activated_at"] is not None
    again = merchant("POST", f"/v1/campaigns/{made['id']}/resume")
    assert again.headers["etag"] == resumed.headers["etag"], "a repeat changes nothing"
    paused = merchant("POST", f"/v1/campaigns/{made['id']}/pause")
    assert (paused.json["status"], paused.json["activated_at"]) == ("paused", resumed.json["activated_at"])


def test_a_removed_campaign_is_not_found(merchant: Api, endpoint_id: str) -> None:
    made = created(merchant, a_campaign(endpoint_id))
    assert merchant("DELETE", f"/v1/campaigns/{made['id']}").status == 204
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/preview")):
        body = {"name": "x"} if method == "PATCH" else None
        assert merchant(method, f"/v1/campaigns/{made['id']}{path}", body).status == 404


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"criteria": {"all": [{"field": "colour", "op": "eq", "value": "red"}]}}, "/criteria/all/0/field"),
        ({"trigger": SCHEDULE | {"expression": "rate(1 hours)"}}, "/trigger/expression"),
        ({"trigger": SCHEDULE | {"timezone": "Mars/Olympus"}}, "/trigger/timezone"),
        ({"trigger": {"type": "abandonment", "expression": "rate(1 hour)"}}, "/trigger/expression"),
        ({"steps": []}, "/steps"),
        ({"priority": 5000}, "/priority"),
        ({"limits": {"max_per_episode": 0}}, "/limits/max_per_episode"),
        ({"do_not_send_after": "P300D"}, "/do_not_send_after"),
        ({"coupon": {"type": "pool", "pool_id": "pool_none"}}, "/coupon/pool_id"),
        ({"coupon": {"type": "static"}}, "/coupon/code"),
        ({"coupon": {"type": "minted", "endpoint_id": "ep_none"}}, "/coupon/endpoint_id"),
        ({"surprise": 1}, "/surprise"),
        ({"status": "deleted"}, "/status"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_pointer(
    merchant: Api, endpoint_id: str, given: dict[str, Any], pointer: str
) -> None:
    refused = merchant("POST", "/v1/campaigns", a_campaign(endpoint_id, **given))
    assert refused.status == 422, refused.text
    assert pointer in {own["pointer"] for own in refused.json["errors"]}, refused.text
    assert merchant("GET", "/v1/campaigns").json["data"] == []


def test_a_step_that_the_merchants_horizon_would_cut_off_is_refused(merchant: Api, endpoint_id: str) -> None:
    steps = [{"after": after, "endpoint_id": endpoint_id} for after in ("PT1H", "P7D")]
    late = a_campaign(endpoint_id, steps=steps, do_not_send_after="P9D")
    refused = merchant("POST", "/v1/campaigns", late)
    assert refused.status == 422, refused.text
    [wrong] = refused.json["errors"]
    assert wrong == {"pointer": "/steps/1/after", "detail": "must be earlier than the recovery_horizon, P7D"}

    merchant("PATCH", "/v1/merchant", {"settings": {"recovery_horizon": "P10D"}})
    created(merchant, late)


def test_a_steps_own_template_is_judged_like_its_endpoints(merchant: Api) -> None:
    settings = {"bearer_token": "a-token", "phone_number_id": "1234567890"}
    sender = merchant("POST", "/v1/endpoints", {"kind": "meta_cloud", "settings": settings}).json["id"]

    def refused(template: dict[str, Any]) -> list[str]:
        steps = [{"after": "PT1H", "endpoint_id": sender, "template": {"name": "hello"}}]
        steps.append({"after": "P1D", "endpoint_id": sender, "template": template})
        answer = merchant("POST", "/v1/campaigns", a_campaign(sender, steps=steps))
        return [] if answer.status == 201 else [error["pointer"] for error in answer.json["errors"]]

    assert refused({"name": "hello", "body": ["{{ first_name }}"]}) == []
    assert refused({"name": "hello", "body": ["{{ first_name"]}) == ["/steps/1/template/body/0"]
    assert refused({"name": "hello", "head": "x"}) == ["/steps/1/template/head"]
    endless = "{% for i in (1..9) limit:1 offset:1 %}{{ (1..99999999999) | last }}{% endfor %}"
    assert refused({"name": "hello", "body": ["fine", endless]}) == ["/steps/1/template/body/1"]


def test_steps_and_pools_of_another_merchant_do_not_exist(operator: Api, merchant: Api, endpoint_id: str) -> None:
    other = operator.as_(new_merchant(operator, name="Other")["token"])
    pool = other("POST", "/v1/coupon-pools", {"name": "Theirs"}).json["id"]
    refused = other("POST", "/v1/campaigns", a_campaign(endpoint_id))
    assert {own["pointer"] for own in refused.json["errors"]} == {"/steps/0/endpoint_id", "/steps/1/endpoint_id"}
    theirs = a_campaign(endpoint_id, coupon={"type": "pool", "pool_id": pool})
    assert merchant("POST", "/v1/campaigns", theirs).json["errors"][0]["pointer"] == "/coupon/pool_id"
    made = created(merchant, a_campaign(endpoint_id))
    assert other("GET", f"/v1/campaigns/{made['id']}").status == 404
    assert other("POST", f"/v1/coupon-pools/{pool}x/codes", {"codes": ["A"]}).status == 404


def test_only_the_local_stage_sends_within_seconds(merchant: Api, endpoint_id: str) -> None:
    quick = a_campaign(endpoint_id, steps=[{"after": "PT1S", "endpoint_id": endpoint_id}])
    assert merchant("POST", "/v1/campaigns", quick).json["errors"][0]["pointer"] == "/steps/0/after"


def test_criteria_too_large_to_store_are_refused(merchant: Api, endpoint_id: str) -> None:
    values = [f"{number:0>500}" for number in range(500)]
    large = {"field": "items.sku", "op": "in", "value": values}
    refused = merchant("POST", "/v1/campaigns", a_campaign(endpoint_id, criteria={"all": [large]}))
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "")


def test_a_schedule_follows_its_campaign_through_its_life(merchant: Api, endpoint_id: str) -> None:
    made = created(merchant, a_campaign(endpoint_id, trigger=SCHEDULE))
    path = f"/v1/campaigns/{made['id']}"
    (schedule,) = schedules()
    merchant_id = merchant("GET", "/v1/merchant").json["id"]
    assert schedule["Name"] == f"{merchant_id}-{made['id']}"
    assert (schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"]) == (
        "cron(0 10 * * ? *)",
        "Asia/Kolkata",
    )
    assert schedule["State"] == "ENABLED"
    message = json.loads(schedule["Target"]["Input"])
    assert (message["merchant_id"], message["campaign_id"]) == (merchant_id, made["id"])

    merchant("POST", f"{path}/pause")
    assert [own["State"] for own in schedules()] == ["DISABLED"]
    merchant("POST", f"{path}/resume")
    merchant("PATCH", path, {"trigger": SCHEDULE | {"expression": "rate(1 hour)"}})
    assert [(own["State"], own["ScheduleExpression"]) for own in schedules()] == [("ENABLED", "rate(1 hour)")]
    merchant("PATCH", path, {"trigger": {"type": "abandonment"}})
    assert schedules() == []
    merchant("PATCH", path, {"trigger": SCHEDULE})
    assert len(schedules()) == 1
    merchant("DELETE", path)
    assert schedules() == []
    assert services.services().campaigns.unsettled() == []


def test_a_schedule_that_could_not_be_reached_is_repaired_later(
    merchant: Api, endpoint_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = services.services()

    def unreachable(*_: object) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "UpdateSchedule")

    with monkeypatch.context() as broken:
        broken.setattr(own.schedules, "put", unreachable)
        made = created(merchant, a_campaign(endpoint_id, trigger=SCHEDULE))
    assert schedules() == []
    assert [campaign_id for _, campaign_id in own.campaigns.unsettled()] == [made["id"]]
    repair = own.campaign_setup._schedules.repair
    assert (repair(), repair()) == (1, 0)
    assert len(schedules()) == 1


def test_a_schedule_that_is_refused_leaves_the_campaign_as_it_was(
    merchant: Api, endpoint_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = created(merchant, a_campaign(endpoint_id))
    own = services.services()

    def refused(*_: object) -> None:
        raise ScheduleRefused

    monkeypatch.setattr(own.schedules, "put", refused)
    for answer in (
        merchant("POST", "/v1/campaigns", a_campaign(endpoint_id, trigger=SCHEDULE)),
        merchant("PATCH", f"/v1/campaigns/{made['id']}", {"trigger": SCHEDULE}),
    ):
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/trigger/expression")
    (left,) = merchant("GET", "/v1/campaigns").json["data"]
    assert left == made | {"version": 3}
    assert own.campaigns.unsettled() == []


def test_two_writers_at_once_leave_the_schedule_of_the_later_write(merchant: Api, endpoint_id: str) -> None:
    """A writer that is overtaken between reading and settling settles what stands there in the end."""
    made = created(merchant, a_campaign(endpoint_id, trigger=SCHEDULE))
    own = services.services()
    merchant_id = MerchantId(merchant("GET", "/v1/merchant").json["id"])
    put = own.schedules.put
    overtaken: list[object] = []

    def overtaking(schedule: Any) -> None:
        if not overtaken:
            overtaken.append(schedule)
            merchant("POST", f"/v1/campaigns/{made['id']}/pause")
        put(schedule)

    own.schedules.put = overtaking  # type: ignore[method-assign]  # for this test's services alone
    own.campaign_setup._schedules.settle(merchant_id, CampaignId(made["id"]))
    assert [one["State"] for one in schedules()] == ["DISABLED"]
    assert own.campaigns.unsettled() == []


def test_codes_are_counted_and_never_shown(merchant: Api, endpoint_id: str) -> None:
    pool = merchant("POST", "/v1/coupon-pools", {"name": "Winter"})
    assert pool.status == 201, pool.text
    assert pool.json["codes"] == {"total": 0, "claimed": 0, "left": 0}
    path = f"/v1/coupon-pools/{pool.json['id']}"
    codes = [f"WINTER-{number}" for number in range(300)]
    added = merchant("POST", f"{path}/codes", {"codes": [*codes, codes[0]]})
    assert added.status == 200, added.text
    assert (added.json["added"], added.json["duplicates"]) == (300, 1)
    assert merchant("POST", f"{path}/codes", {"codes": codes}).json["added"] == 0
    shown = merchant("GET", path)
    assert shown.json["codes"] == {"total": 300, "claimed": 0, "left": 300}
    assert "WINTER-1" not in shown.text
    assert merchant("GET", "/v1/coupon-pools").json["data"] == [shown.json]
    rule = {"type": "pool", "pool_id": pool.json["id"]}
    assert created(merchant, a_campaign(endpoint_id, coupon=rule))["coupon"] == rule
    assert merchant("POST", f"{path}/codes", {"codes": ["with space"]}).json["errors"][0]["pointer"] == "/codes/0"


def a_cart(merchant: Api, number: int, total: int) -> None:
    """A checkout of the merchant's, written as ingest writes it."""
    own = services.services()
    merchant_id = MerchantId(merchant("GET", "/v1/merchant").json["id"])
    found = own.merchants.get(merchant_id)
    assert found is not None
    at = own.now() - timedelta(hours=3)
    digest = checkout_digest(merchant_id, SourceId("src_1"), str(number))
    fresh = Checkout(
        *(merchant_id, SourceId("src_1"), "flexype", str(number), digest, Status.OPEN, 1, "1"),
        *(at, at, at, at, 1_800_000),
        leaves={"customer.phone": f"+9198765{number:05d}"},
        cart=cart_of(total),
    )
    own.checkouts.replace(None, fresh, None, found.value.settings)


def test_a_preview_says_what_would_be_sent_and_why_not_and_writes_nothing(merchant: Api, endpoint_id: str) -> None:
    settings = {"consent": "unknown_allowed", "quiet_hours": None, "holdout_percent": 0}
    assert merchant("PATCH", "/v1/merchant", {"settings": settings}).status == 200
    made = created(merchant, a_campaign(endpoint_id))
    for number, total in enumerate((63_000, 10_000, 90_000)):
        a_cart(merchant, number, total)
    client, table = clients.dynamodb(), services.services().table.name
    before = client.scan(TableName=table)["Items"]
    path = f"/v1/campaigns/{made['id']}/preview"

    whole = merchant("POST", path, {"days": 1})

    assert whole.status == 200, whole.text
    assert whole.json["page"] == {
        "checkouts": 3,
        "started": 2,
        "messages": 4,
        "reasons": {"criteria_not_met": 1},
    }
    begun = [own for own in whole.json["data"] if own["reason"] is None]
    assert [step["outcome"] for own in begun for step in own["steps"]] == ["sent", "planned"] * 2
    assert client.scan(TableName=table)["Items"] == before

    first = merchant("POST", path, query={"limit": "2"})
    rest = merchant("POST", path, query={"limit": "2", "cursor": first.json["next_cursor"]})
    paged = [*first.json["data"], *rest.json["data"]]
    assert {own["checkout_id"] for own in paged} == {own["checkout_id"] for own in whole.json["data"]}
    assert merchant("POST", path, {"days": 31}).status == 422


def test_a_draft_is_played_before_it_is_created_and_before_it_is_changed(merchant: Api, endpoint_id: str) -> None:
    settings = {"consent": "unknown_allowed", "quiet_hours": None, "holdout_percent": 0}
    assert merchant("PATCH", "/v1/merchant", {"settings": settings}).status == 200
    for number, total in enumerate((63_000, 10_000, 90_000)):
        a_cart(merchant, number, total)
    draft = a_campaign(endpoint_id)
    client, table = clients.dynamodb(), services.services().table.name
    before = client.scan(TableName=table)["Items"]

    played = merchant("POST", "/v1/campaigns/preview", {"campaign": draft, "days": 1})

    assert played.status == 200, played.text
    assert played.json["page"] == {"checkouts": 3, "started": 2, "messages": 4, "reasons": {"criteria_not_met": 1}}
    assert client.scan(TableName=table)["Items"] == before

    made = created(merchant, draft)
    cheaper = {**draft, "criteria": {"field": "total", "op": "gte", "value": "50.00"}}
    changed = merchant("POST", "/v1/campaigns/preview", {"campaign": cheaper, "in_place_of": made["id"]})
    assert (changed.json["page"]["started"], changed.json["page"]["reasons"]) == (3, {})
    assert merchant("GET", f"/v1/campaigns/{made['id']}").json["criteria"] == draft["criteria"]

    first = merchant("POST", "/v1/campaigns/preview", {"campaign": draft}, query={"limit": "2"})
    cursor = {"cursor": first.json["next_cursor"]}
    assert len(merchant("POST", "/v1/campaigns/preview", {"campaign": draft}, query=cursor).json["data"]) == 1
    assert merchant("POST", "/v1/campaigns/preview", {"campaign": cheaper}, query=cursor).status == 422


def test_what_is_wrong_with_a_draft_is_told_where(merchant: Api, operator: Api, endpoint_id: str) -> None:
    draft = a_campaign(endpoint_id)
    late = {**draft, "steps": [{"after": "P20D", "endpoint_id": endpoint_id}]}
    neighbour = operator.as_(new_merchant(operator)["token"])
    their_endpoint = neighbour("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json["id"]
    others = created(neighbour, a_campaign(their_endpoint))

    def pointers(body: dict[str, Any]) -> list[str]:
        refused = merchant("POST", "/v1/campaigns/preview", body)
        assert refused.status == 422
        return [own["pointer"] for own in refused.json["errors"]]

    assert pointers({"campaign": late}) == ["/campaign/steps/0/after"]
    assert pointers({"campaign": draft, "in_place_of": others["id"]}) == ["/in_place_of"]
    assert pointers({"campaign": {**draft, "name": ""}}) == ["/campaign/name"]


def test_a_preview_names_the_campaign_that_has_the_shopper(merchant: Api, endpoint_id: str) -> None:
    settings = {"consent": "unknown_allowed", "quiet_hours": None, "holdout_percent": 0}
    assert merchant("PATCH", "/v1/merchant", {"settings": settings}).status == 200
    at_once = created(merchant, a_campaign(endpoint_id, priority=1))
    hourly = created(merchant, a_campaign(endpoint_id, trigger={"type": "schedule", "expression": "rate(1 hour)"}))
    a_cart(merchant, 1, 63_000)

    (lower,) = merchant("POST", f"/v1/campaigns/{hourly['id']}/preview").json["data"]
    assert (lower["reason"], lower["taken_by"]) == ("another_campaign", at_once["id"])
    merchant("PATCH", f"/v1/campaigns/{hourly['id']}", {"priority": 2})

    (now_higher,) = merchant("POST", f"/v1/campaigns/{hourly['id']}/preview").json["data"]
    assert (now_higher["reason"], now_higher["taken_by"]) == (None, None)


def test_an_erased_merchant_leaves_no_code_and_no_schedule(operator: Api) -> None:
    made = new_merchant(operator)
    own = operator.as_(made["token"])
    endpoint = own("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json["id"]
    created(own, a_campaign(endpoint, trigger=SCHEDULE))
    pool = own("POST", "/v1/coupon-pools", {"name": "Winter"}).json["id"]
    own("POST", f"/v1/coupon-pools/{pool}/codes", {"codes": ["WINTER-1"]})

    assert operator("DELETE", f"/v1/merchants/{made['id']}").status in {202, 204}

    services.services().campaign_setup._schedules.repair()
    assert schedules() == []
    table = services.services().table.name
    assert "WINTER-1" not in json.dumps(clients.dynamodb().scan(TableName=table)["Items"], default=str)
