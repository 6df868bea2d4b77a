"""Figures: every fact once, cohorts by abandonment, definitions beside the numbers, currencies never added."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import duckdb
import pytest
import time_machine

from functions.merchant_api import services
from functions.merchant_api.routes import facts
from infra.local.engine import PROJECT
from shared.domain.attribution import Click
from shared.domain.cart import Cart, Totals
from shared.domain.checkout import Activity, Checkout, Order, Status
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.ids import EpisodeId, MerchantId, SourceId, checkout_digest
from shared.domain.merchant import Merchant
from shared.domain.metrics import FactKind
from shared.domain.money import Money
from shared.domain.step_state import EpisodeStep, StepState
from shared.domain.transitions import Mark
from shared.store.episodes import EpisodeStore
from shared.store.facts import FactStore
from shared.workflows.insight.follow_link import CLICKED
from shared.workflows.recovery.facts import FactRecorder
from tests.integration.api.conftest import Api, new_merchant

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LEFT, LATER = NOON - timedelta(hours=3), NOON - timedelta(hours=1)
TODAY = {"from": "2026-11-21", "to": "2026-11-21"}


@pytest.fixture(autouse=True)
def _noon() -> Any:
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def shop(merchant: Api) -> Merchant:
    found = services.services().merchants.get(MerchantId(merchant("GET", "/v1/merchant").json["id"]))
    assert found is not None
    return found.value


def recorder() -> FactRecorder:
    own = services.services()
    return FactRecorder(FactStore(own.table), EpisodeStore(own.table), own.activities, own.now, lambda _: {1: "BACK10"})


def left(shop: Merchant, name: str = "one", currency: str = "INR", **more: Any) -> Checkout:
    """A checkout that was abandoned three hours ago."""
    fields: dict[str, Any] = {
        "merchant_id": shop.id,
        "source_id": SourceId("src_1"),
        "provider": "flexype",
        "external_id": name,
        "digest": checkout_digest(shop.id, SourceId("src_1"), name),
        "status": Status.ABANDONED,
        "version": 2,
        "order_key": "1",
        "ordered_at": LEFT,
        "created_at": LEFT,
        "updated_at": LEFT,
        "last_activity_at": LEFT,
        "idle_ms": 1,
        "leaves": {"customer.phone": "+917777788888", "stage": "ADDRESS_LOADED"},
        "cart": Cart(currency, totals=Totals(total=Money(63_000, currency))),
        "first_abandoned_at": LEFT,
        "abandoned_at": LEFT,
    }
    return Checkout(**{**fields, **more})


def bought(checkout: Checkout, **more: Any) -> Checkout:
    leaves = {**checkout.leaves, "stage": "COMPLETED"}
    total = checkout.cart.total() if checkout.cart else None
    order = Order("1001", LATER, total)
    fields = {"status": Status.RECOVERED, "completed_at": LATER, "order": order, "leaves": leaves}
    return replace(checkout, **{**fields, **more})


def episode(checkout: Checkout, name: str = "epi_1", *, holdout: bool = False, sent: bool = True) -> Episode:
    """The checkout's stored episode, whose first step was handed over two hours ago."""
    step = EpisodeStep(1, StepState.SENT, LEFT, handed_over_at=NOON - timedelta(hours=2), channel="whatsapp")
    made = Episode(
        id=EpisodeId(name),
        merchant_id=checkout.merchant_id,
        status=EpisodeStatus.ACTIVE,
        version=1,
        anchor=LEFT,
        started_at=LEFT,
        checkouts=(checkout.digest,),
        campaign_id="cmp_1",
        campaign_version=1,
        holdout=holdout,
        steps=(step,) if sent and not holdout else (),
    )
    own = services.services()
    own.table.put(EpisodeStore(own.table, 2).created(made, NOON, NOON + timedelta(days=7)))
    return made


def report(merchant: Api, **query: str) -> Any:
    shown = merchant("GET", "/v1/metrics/recovery", query={**TODAY, **query})
    assert shown.status == 200, shown.text
    return shown.json


def test_nothing_is_nothing_and_every_definition_is_printed(merchant: Api) -> None:
    shown = report(merchant)

    (day,) = shown["data"]
    assert (day["key"], day["immature"], day["abandoned"], day["recovery_rate"]) == ("2026-11-21", True, 0, None)
    assert shown["definitions"]["recovery_rate"] == "recovered / contactable"
    assert set(shown["definitions"]) >= {"lift", "net_revenue", "abandoned", "immature", "coupon_cost"}
    assert shown["timezone"] == "Asia/Kolkata"


def test_an_abandonment_told_twice_counts_once(merchant: Api, shop: Merchant) -> None:
    for _ in range(2):
        recorder().record_facts(left(shop), Mark.ABANDONED, shop, None)
    recorder().record_facts(left(shop, "anonymous", leaves={}), Mark.ABANDONED, shop, None)
    recorder().record_facts(left(shop, "trial", test=True), Mark.ABANDONED, shop, None)
    recorder().record_facts(left(shop, "called off"), Mark.ABANDONED, shop, None)
    recorder().record_facts(left(shop, "called off", status=Status.SUPERSEDED), Mark.SUPERSEDED, shop, None)
    direct = bought(left(shop, "direct", first_abandoned_at=None, abandoned_at=None), status=Status.COMPLETED)
    recorder().record_facts(direct, Mark.COMPLETED, shop, None)

    total = report(merchant)["total"]

    assert (total["abandoned"], total["contactable"], total["direct"]) == (2, 1, 1)
    assert total["abandonment_rate"] == round(2 / 3, 6)
    assert total["contactable_rate"] == 0.5


def test_a_click_before_the_order_is_what_it_is_owed_to(merchant: Api, shop: Merchant) -> None:
    own, facts = services.services(), recorder()
    gone = replace(left(shop), episode_id="epi_1")
    opened = episode(gone)
    facts.record_facts(gone, Mark.ABANDONED, shop, opened)
    facts.step_ended(opened, opened.steps[0], gone, shop, "ep_1")
    for classed, minutes in (("probable_bot", 100), ("human", 90)):
        visit = Click(NOON - timedelta(minutes=minutes), 1, classed)  # type: ignore[arg-type]  # one of its literals
        own.activities.add(
            gone.digest, Activity(visit.at, CLICKED, {"visitor": classed, "step": 1}), NOON + timedelta(days=9)
        )
        facts.clicked(gone, shop, visit)
    for _ in range(2):
        facts.record_facts(bought(gone), Mark.RECOVERED, shop, None)

    shown = report(merchant, group_by="campaign")

    (row,) = shown["data"]
    assert row["key"] == "cmp_1"
    assert (row["treated"], row["messaged"], row["clicked"], row["recovered"], row["attributed"]) == (1, 1, 1, 1, 1)
    assert row["attributed_rate"] == 1.0
    assert row["recovered_revenue"] == row["net_revenue"] == [{"amount": "630.00", "currency": "INR"}]
    assert shown["total"]["recovery_rate"] == 1.0
    assert [own["key"] for own in report(merchant, group_by="endpoint")["data"]] == ["ep_1"]
    assert report(merchant, group_by="endpoint")["data"][0]["recovered"] == 1
    assert [own["key"] for own in report(merchant, group_by="step")["data"]] == ["cmp_1/1"]
    assert [own["key"] for own in report(merchant, group_by="provider")["data"]] == ["flexype"]


@pytest.mark.parametrize(("delivered", "tier"), [(True, 2), (False, 3)])
def test_without_a_click_a_delivered_message_is_tier_2_and_nothing_tier_3(
    merchant: Api, shop: Merchant, delivered: bool, tier: int
) -> None:
    facts = recorder()
    gone = replace(left(shop), episode_id="epi_1")
    opened = episode(gone)
    facts.record_facts(gone, Mark.ABANDONED, shop, opened)
    facts.step_ended(opened, opened.steps[0], gone, shop, "ep_1")
    if delivered:
        facts.reported(FactKind.DELIVERED, opened, 1, gone, shop, "ep_1", NOON - timedelta(hours=2))
    facts.record_facts(bought(gone), Mark.RECOVERED, shop, opened)

    known = FactStore(services.services().table).of_cohort(shop.id, date(2026, 11, 21))

    assert [own.tier for own in known if own.kind is FactKind.RECOVERED] == [tier]
    assert report(merchant)["total"]["attributed"] == 0


def test_our_coupon_on_the_order_counts_and_its_cost_stands_beside(merchant: Api, shop: Merchant) -> None:
    gone = replace(left(shop), episode_id="epi_1")
    opened = episode(gone)
    cart = Cart(
        "INR", totals=Totals(total=Money(56_700, "INR"), discount=Money(6_300, "INR")), discount_codes=("back10",)
    )
    order = Order("1001", LATER, None)
    recorder().record_facts(bought(gone, cart=cart, order=order), Mark.RECOVERED, shop, opened)

    total = report(merchant)["total"]

    assert (total["abandoned"], total["recovered"], total["attributed"]) == (1, 1, 1)
    assert total["coupon_cost"] == [{"amount": "63.00", "currency": "INR"}]
    assert total["net_revenue"] == [{"amount": "567.00", "currency": "INR"}]


def test_currencies_are_never_added(merchant: Api, shop: Merchant) -> None:
    for name, currency in (("a", "INR"), ("b", "JPY"), ("c", "INR")):
        recorder().record_facts(bought(left(shop, name, currency)), Mark.RECOVERED, shop, None)

    assert report(merchant)["total"]["net_revenue"] == [
        {"amount": "1260.00", "currency": "INR"},
        {"amount": "63000", "currency": "JPY"},
    ]


def test_lift_is_treated_against_holdout_with_an_interval(merchant: Api, shop: Merchant) -> None:
    facts = recorder()
    for number in range(6):
        gone = replace(left(shop, str(number)), episode_id=f"epi_{number}")
        opened = episode(gone, f"epi_{number}", holdout=number >= 4)
        facts.record_facts(gone, Mark.ABANDONED, shop, opened)
        if number in {0, 1, 4}:
            facts.record_facts(bought(gone), Mark.RECOVERED, shop, opened)

    total = report(merchant)["total"]

    assert (total["treated"], total["treated_converted"], total["holdout"], total["holdout_converted"]) == (4, 2, 2, 1)
    assert total["lift"]["difference"] == 0
    assert total["lift"]["low"] < 0 < total["lift"]["high"]


def test_the_funnel_names_the_stage_at_which_the_shopper_left(merchant: Api, shop: Merchant) -> None:
    facts = recorder()
    for number in range(3):
        facts.record_facts(left(shop, str(number)), Mark.ABANDONED, shop, None)
    facts.record_facts(left(shop, "pay", leaves={"stage": "PAYMENT_LOADED"}), Mark.ABANDONED, shop, None)
    facts.record_facts(bought(left(shop, "0")), Mark.RECOVERED, shop, None)

    shown = merchant("GET", "/v1/metrics/funnel", query=TODAY).json

    stages = [(own["stage"], own["abandoned"], own["recovered"], own["share"]) for own in shown["data"]]
    assert stages == [("ADDRESS_LOADED", 3, 1, 0.75), ("PAYMENT_LOADED", 1, 0, 0.25)]
    assert shown["total"]["abandoned"] == 4


def test_a_mature_cohort_is_summed_once_and_again_after_a_late_fact(merchant: Api, shop: Merchant) -> None:
    store = FactStore(services.services().table)
    day = date(2026, 11, 21)
    recorder().record_facts(left(shop), Mark.ABANDONED, shop, None)
    assert report(merchant)["total"]["immature"] is True
    assert store.rolled_up(shop.id, [day]) == {}
    with time_machine.travel(NOON + timedelta(days=9), tick=False):
        assert report(merchant)["total"]["immature"] is False
        assert store.rolled_up(shop.id, [day])[day]["all"].count("abandoned") == 1
        recorder().record_facts(left(shop, "late"), Mark.ABANDONED, shop, None)
        assert report(merchant)["total"]["abandoned"] == 2


def test_figures_nobody_looked_at_outlive_their_facts(merchant: Api, shop: Merchant) -> None:
    recorder().record_facts(left(shop), Mark.ABANDONED, shop, None)
    with time_machine.travel(NOON + timedelta(days=9), tick=False):
        recorder().record_facts(left(shop, "other", abandoned_at=NOON + timedelta(days=9)), Mark.EXPIRED, shop, None)
    own = services.services()
    for fact in FactStore(own.table).of_cohort(shop.id, date(2026, 11, 21)):
        from shared.store import keys

        own.table.delete_all([keys.fact(shop.id, fact.cohort, fact.id, keys.FACT_SHARDS)])
    with time_machine.travel(NOON + timedelta(days=200), tick=False):
        assert report(merchant)["total"]["abandoned"] == 1


def test_figures_are_the_merchants_own(operator: Api, merchant: Api, shop: Merchant) -> None:
    recorder().record_facts(left(shop), Mark.ABANDONED, shop, None)
    other = operator.as_(new_merchant(operator)["token"])
    assert report(other)["total"]["abandoned"] == 0


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-13-01"}, "from"),
        ({"from": "2026-11-22", "to": "2026-11-21"}, "from"),
        ({"from": "2020-01-01"}, "from"),
        ({"group_by": "moon"}, "group_by"),
        ({"form": "2026-11-01"}, "form"),
    ],
)
def test_a_wrong_parameter_is_named(merchant: Api, query: dict[str, str], parameter: str) -> None:
    refused = merchant("GET", "/v1/metrics/recovery", query=query)
    assert refused.status == 422, refused.text
    assert [own["parameter"] for own in refused.json["errors"]] == [parameter]


def test_instants_name_days_on_the_merchants_clock(merchant: Api) -> None:
    shown = report(merchant, **{"from": "2026-11-20T18:29:59Z", "to": "2026-11-20T18:30:00Z"})
    assert [own["key"] for own in shown["data"]] == ["2026-11-20", "2026-11-21"]


def test_facts_are_lines_without_personal_data_and_go_on_where_a_page_ends(
    merchant: Api, shop: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted in them is what the report counts."""
    for name in ("one", "two"):
        recorder().record_facts(left(shop, name), Mark.ABANDONED, shop, None)
    recorder().record_facts(bought(left(shop)), Mark.RECOVERED, shop, None)
    monkeypatch.setattr(facts, "MOST_LINES", 2)

    lines: list[str] = []
    query: dict[str, str] | None = TODAY
    while query is not None:
        page = merchant("GET", "/v1/facts", query=query)
        assert (page.status, page.headers["content-type"]) == (200, "application/x-ndjson")
        lines += page.text.splitlines()
        link = page.headers.get("link", "")
        query = dict(parse_qsl(urlsplit(link.partition(">")[0]).query)) if link else None

    assert len(lines) == len(set(lines)) > 2
    assert not any("917777788888" in line for line in lines)
    told = [json.loads(line) for line in lines]
    kinds = [fact["kind"] for fact in told]
    total = report(merchant)["total"]
    assert (kinds.count("abandoned"), kinds.count("recovered")) == (total["abandoned"], total["recovered"])
    assert [fact["amount"] for fact in told if fact["kind"] == "recovered"] == ["630.00"]


def test_the_queries_of_the_page_on_facts_find_what_the_report_says(
    merchant: Api, shop: Merchant, tmp_path: Path
) -> None:
    a_day_ago = LEFT - timedelta(days=1)
    yesterday: dict[str, Any] = {"abandoned_at": a_day_ago, "first_abandoned_at": a_day_ago}
    for own in (left(shop), left(shop, "two"), left(shop, "quiet", leaves={}), left(shop, "before", **yesterday)):
        recorder().record_facts(own, Mark.ABANDONED, shop, None)
    dinars = Cart("KWD", totals=Totals(total=Money(1_234, "KWD")))
    for own in (left(shop), left(shop, "before", **yesterday), left(shop, "abroad", "KWD", cart=dinars)):
        recorder().record_facts(bought(own), Mark.RECOVERED, shop, None)
    days = {"from": "2026-11-20", "to": "2026-11-21"}
    (tmp_path / "facts.ndjson").write_text(merchant("GET", "/v1/facts", query=days).text)
    page = (PROJECT / "docs/facts.md").read_text()
    queries = re.findall(r"```sql\n(.*?)```", page, flags=re.DOTALL)
    by_day, revenue = (own for own in queries if "'facts.ndjson'" in own)

    def asked(query: str) -> list[tuple[Any, ...]]:
        at_the_file = query.replace("facts.ndjson", str(tmp_path / "facts.ndjson"))
        with duckdb.connect() as database:
            return database.execute(at_the_file).fetchall()

    told = report(merchant, **days)["data"]
    assert [row["recovered"] for row in told] == [1, 2]
    assert [(str(day), *counts) for day, *counts in asked(by_day)] == [
        (row["key"], row["abandoned"], row["contactable"], row["recovered"], row["recovery_rate"]) for row in told
    ]
    assert {(str(day), code, amount) for day, code, amount in asked(revenue)} == {
        (row["key"], own["currency"], Decimal(own["amount"])) for row in told for own in row["recovered_revenue"]
    }
