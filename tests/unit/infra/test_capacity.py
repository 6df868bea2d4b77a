"""The load model: its arithmetic by hand, and that the documentation holds what it says."""

import json
from dataclasses import replace
from typing import Any

import pytest

from infra.local.engine import PROJECT
from infra.operations import capacity
from infra.operations.capacity import Load, Part, Work, holds, main, parts
from infra.stages import Stage

SMALL = Stage(
    name="small",
    due_shards=4,
    sweep_by_shard=True,
    account_concurrency=500,
    ingest_concurrency=50,
    deliveries_concurrency=10,
    steps_concurrency=10,
    dispatch_parallelization=2,
    callbacks_concurrency=20,
    redirect_concurrency=10,
    merchant_api_concurrency=15,
)
CEILINGS = json.loads((PROJECT / "tests" / "bench" / "ceilings.json").read_text())
LOAD = Load(rate=100)
"""20 checkouts a second: 14 abandoned, 6 bought; 40 deliveries, 28 messages, of which vendors tell 84 times and 8.4
links are followed; 10 requests of merchants."""


def part(stage: Stage, name: str, load: Load = LOAD) -> Part:
    (found,) = (own for own in parts(stage, load) if own.name == name)
    return found


def production() -> Stage:
    return Stage.from_context("production", json.loads((PROJECT / "cdk.json").read_text())["context"]["stages"])


def test_a_load_is_counted_in_checkouts_deliveries_and_messages() -> None:
    found = (LOAD.checkouts, LOAD.abandonments, LOAD.purchases, LOAD.deliveries, LOAD.messages)

    assert found == pytest.approx((20, 14, 6, 40, 28))
    assert (LOAD.status_reports, LOAD.links, LOAD.questions) == pytest.approx((28 * 3, 28 * 0.3, 100 * 0.1))


def test_writes_are_the_sum_of_what_each_thing_that_happens_writes() -> None:
    first, repeats, told, sent = 20 * (5 + 4), 80 * 2, 14 * 16 + 6 * 16, 40 * 2 + 28 * 7
    answered = 84 * 2 + 8.4 * 3

    assert Work().writes(LOAD) == pytest.approx(first + repeats + told + sent + answered)


@pytest.mark.parametrize(
    ("planned", "flows"),
    [
        (Work().first_webhook, ["first webhook"]),
        (Work().repeat, ["repeat that changes the cart"]),
        (Work().abandonment, ["sweep that moves one", "announcing an abandonment"]),
        (Work().purchase, ["purchase", "announcing a purchase"]),
        (Work().delivery, ["delivering it"]),
    ],
)
def test_units_are_planned_with_what_the_flows_are_counted_to_write(planned: int, flows: list[str]) -> None:
    """And with some room: of a checkout of more than 1 KB each write is a unit more."""
    counted = sum(CEILINGS["flows"][flow][place] for flow in flows for place in ("table", "indexes"))

    assert counted < planned <= 1.5 * counted + 1


@pytest.mark.parametrize(
    ("name", "needs", "has"),
    [
        ("requests", 100, 500),
        ("webhooks of the largest merchant", 100 * 0.2 * 60, 6_000),
        ("webhooks of its one source", 1_200, 3_000),
        ("ingest at work", 5, 50),
        ("requests of every kind", 100 + 84 + 8.4 + 10, 10_000),
        ("status callbacks", 84, 500),
        ("status callbacks at work", 84 * 0.06, 20),
        ("recovery links", 8.4, 100),
        ("recovery links at work", 8.4 * 0.05, 10),
        ("merchants' API", 10, 100),
        ("merchants' API at work", 10 * 0.15, 15),
        ("writes of the table", 1_129.2, 40_000),
        ("writes before the table has grown", 1_129.2, 4_000),
        ("one shard of deadlines", 20 * (1 + 2 + 2) / 4, 1_000),
        ("one shard of steps", 14 * 2 * 2 / 4, 1_000),
        ("list of the largest merchant", 20 * 0.2 * (1 + 2), 1_000),
        ("due rows", 40, 4 * 150),
        ("dispatch at work", 20 * 0.08, 4 * 2),
        ("deliveries at work", 40 / 10 * 0.6, 10),
        ("campaign steps at work", 28 / 10 * 1.5, 10),
        ("all at work", 5 + 1.6 + 2.4 + 4.2 + 12 + 5.04 + 0.42 + 1.5, 500),
    ],
)
def test_each_part_is_needed_and_there_as_counted_by_hand(name: str, needs: float, has: float) -> None:
    found = part(SMALL, name)

    assert found.needs == pytest.approx(needs)
    assert found.has == has


def test_no_part_is_without_its_arithmetic_here() -> None:
    assert len(parts(SMALL, LOAD)) == 21


def test_what_is_nearest_to_its_end_stands_first() -> None:
    found = parts(SMALL, LOAD)

    assert [own.used for own in found] == sorted((own.used for own in found), reverse=True)
    assert found[0].name == "campaign steps at work"


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("requests", {"throttle_rate": 1000}),
        ("webhooks of the largest merchant", {"webhooks_per_minute_of_merchant": 12_000}),
        ("webhooks of its one source", {"webhooks_per_minute_of_source": 6_000}),
        ("ingest at work", {"ingest_concurrency": 100}),
        ("status callbacks", {"throttle_rate": 1000}),
        ("status callbacks at work", {"callbacks_concurrency": 40}),
        ("recovery links", {"throttle_rate": 1000}),
        ("recovery links at work", {"redirect_concurrency": 20}),
        ("merchants' API", {"throttle_rate": 1000}),
        ("merchants' API at work", {"merchant_api_concurrency": 30}),
        ("one shard of deadlines", {"due_shards": 8}),
        ("one shard of steps", {"due_shards": 8}),
        ("due rows", {"due_shards": 8}),
        ("dispatch at work", {"dispatch_parallelization": 4}),
        ("deliveries at work", {"deliveries_concurrency": 20}),
        ("campaign steps at work", {"steps_concurrency": 20}),
        ("all at work", {"account_concurrency": 1000}),
    ],
)
def test_twice_the_setting_that_moves_a_part_halves_its_use(name: str, setting: dict[str, Any]) -> None:
    (moving,) = setting
    before, after = part(SMALL, name), part(replace(SMALL, **setting), name)

    assert moving in before.moved_by or name == "all at work"
    if name != "due rows":
        assert after.used == pytest.approx(before.used / 2)
    assert after.used <= before.used / 2 * 1.001


def test_one_sweep_for_all_moves_less() -> None:
    found = part(replace(SMALL, sweep_by_shard=False), "due rows")

    assert found.needs == pytest.approx(40 + 28)
    assert found.has == 150


def test_a_stage_holds_what_uses_up_its_first_part_and_no_more() -> None:
    rate = holds(SMALL, LOAD)

    assert rate == pytest.approx(100 / part(SMALL, "campaign steps at work").used)
    assert (
        parts(SMALL, replace(LOAD, rate=rate * 0.99))[0].used
        < 1
        < parts(SMALL, replace(LOAD, rate=rate * 1.01))[0].used
    )


def test_the_command_names_the_bottleneck_and_fails_where_the_stage_does_not_hold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["100"]) == 0
    assert main(["100", "10000"]) == 1
    told = capsys.readouterr().out
    assert "Stage production holds 100 webhooks/s" in told
    assert "Stage production does not hold 10,000 webhooks/s" in told
    assert "Bottleneck: writes before the table has grown, used up at 354 webhooks/s" in told


@pytest.mark.parametrize("rate", ["0", "-1", "many"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(SystemExit):
        main([rate])


def test_the_documentation_holds_what_the_model_says_of_production() -> None:
    written = (PROJECT / "docs" / "scale.md").read_text()
    said = capacity.table(production(), [Load(rate=rate) for rate in (100, 1_000, 10_000)])

    assert [line for line in said if line not in written] == []
