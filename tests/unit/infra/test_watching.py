"""Alarms and dashboard: whom they call, where they lead, and what they cost."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from infra.local.engine import PROJECT
from tests.unit.infra.conftest import StackTemplate, Synthesise, Templates

RUNBOOK = (PROJECT / "docs" / "runbook.md").read_text()
PER_METRIC, PER_COMPOSITE = 10, 50
"""US cents a month."""


@pytest.fixture(params=["dev", "production"])
def service(request: pytest.FixtureRequest, synthesise: Synthesise) -> StackTemplate:
    return synthesise(request.param).service


def alarms(service: StackTemplate) -> dict[str, Mapping[str, Any]]:
    """Simple alarms by logical id, their properties."""
    return {name: item["Properties"] for name, item in service.resources("CloudWatch::Alarm").items()}


def watched(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The metrics that an alarm pays for."""
    if "Metrics" not in alarm:
        return [alarm]
    return [own["MetricStat"]["Metric"] for own in alarm["Metrics"] if "MetricStat" in own]


def section(name: str) -> str:
    """An alarm's section of the runbook."""
    found = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    assert found is not None, f"docs/runbook.md has no section {name}"
    return found[1]


def test_every_alarm_leads_to_its_section_of_the_runbook(service: StackTemplate) -> None:
    composite = service.only("CloudWatch::CompositeAlarm")["Properties"]
    for alarm in [*alarms(service).values(), composite]:
        text, _, anchor = alarm["AlarmDescription"].rpartition(" docs/runbook.md#")
        assert len(text) > 40
        for part in ("**Means**", "**First look**", "**Mend**", "**Verify**"):
            assert part in section(anchor), anchor


def test_the_runbook_has_no_section_of_an_alarm_that_there_is_not(service: StackTemplate) -> None:
    chapter = RUNBOOK.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    sections = {own.lower() for own in re.findall(r"^### (\w+)$", chapter, re.MULTILINE)}

    watched_on_demand = {"providersilent", "frontrefused", "budget", "eventbus"}
    assert sections - watched_on_demand == {
        own["AlarmDescription"].rpartition("#")[2] for own in alarms(service).values()
    } | {"userhurt"}


def test_what_a_budget_tells_is_in_the_runbook() -> None:
    """A mail of AWS Budgets carries no text of ours."""
    for part in ("**Means**", "**First look**", "**Mend**", "**Verify**"):
        assert part in section("budget")


def test_each_provider_that_never_rests_has_an_alarm(synthesise: Synthesise) -> None:
    usual, named = (synthesise("dev", **own).service for own in ({}, {"never_silent_providers": "flexype, shopify"}))
    more = [own for own in alarms(named).values() if own["AlarmDescription"].endswith("#providersilent")]

    assert len(alarms(named)) == len(alarms(usual)) + 2
    assert {own["Value"] for alarm in more for own in alarm["Dimensions"]} == {
        "ingest/flexype",
        "ingest/shopify",
        "dev",
    }
    assert "**Verify**" in section("providersilent")


def test_an_alarm_either_mails_or_is_part_of_the_one_page(service: StackTemplate) -> None:
    composite = service.only("CloudWatch::CompositeAlarm")["Properties"]
    rule = json.dumps(composite["AlarmRule"])
    paging = {name for name in alarms(service) if f'"{name}"' in rule}

    assert composite["AlarmActions"]
    for name, alarm in alarms(service).items():
        assert bool(alarm.get("AlarmActions")) is (name not in paging), name
        assert (
            section(alarm["AlarmDescription"].rpartition("#")[2])
            .lstrip()
            .startswith("Page." if name in paging else "Day.")
        ), name


def test_metrics_of_ours_are_told_apart_by_service_and_stage_and_nothing_else(service: StackTemplate) -> None:
    """Stages share an account, and each further value of a dimension would be paid for."""
    own = [
        metric for alarm in alarms(service).values() for metric in watched(alarm) if metric["Namespace"] == "Checkback"
    ]

    assert len(own) == 8
    assert {frozenset(item["Name"] for item in metric["Dimensions"]) for metric in own} == {
        frozenset({"service", "stage"})
    }


def test_only_the_sweeps_silence_is_bad(service: StackTemplate) -> None:
    treated = {own["AlarmDescription"].rpartition("#")[2]: own["TreatMissingData"] for own in alarms(service).values()}

    assert {name for name, missing in treated.items() if missing == "breaching"} == {"sweeplate"}
    assert set(treated.values()) == {"breaching", "notBreaching"}


def test_what_watching_costs_is_what_the_runbook_says(service: StackTemplate) -> None:
    metrics = sum(len(watched(own)) for own in alarms(service).values())
    composites = len(service.resources("CloudWatch::CompositeAlarm"))

    assert f"| {len(alarms(service))} alarms of {metrics} metrics | {metrics * PER_METRIC / 100:.2f} |" in RUNBOOK
    assert f"| `UserHurt` | {composites * PER_COMPOSITE / 100:.2f} |" in RUNBOOK
    assert metrics * PER_METRIC + composites * PER_COMPOSITE <= 360


def test_no_alarm_watches_dynamodbs_own_metrics(service: StackTemplate) -> None:
    """Whatever such an alarm says of missing data, it keeps its state: it would never be well again."""
    assert "AWS/DynamoDB" not in {metric["Namespace"] for own in alarms(service).values() for metric in watched(own)}


def test_the_dashboard_shows_every_alarm_and_no_more_than_fifty_metrics(service: StackTemplate) -> None:
    written = service.only("CloudWatch::Dashboard")["Properties"]["DashboardBody"]["Fn::Join"][1]
    body = json.loads("".join(part if isinstance(part, str) else next(iter(part.values()))[0] for part in written))
    kinds = Counter(widget["type"] for widget in body["widgets"])
    shown = next(own for own in body["widgets"] if own["type"] == "alarm")["properties"]["alarms"]
    graphs = [own["properties"] for own in body["widgets"] if own["type"] == "metric"]

    assert kinds == {"alarm": 1, "metric": 8}
    assert len(shown) == len(alarms(service)) + 1
    assert sum(len(own["metrics"]) for own in graphs) <= 50
    assert all(own["title"] and own["yAxis"]["left"]["label"] for own in graphs)


def test_the_engine_gets_what_it_can_deploy(local: Templates) -> None:
    """Neither a composite alarm nor one that computes, nor metrics of a mapping; there each alarm mails by itself."""
    own = alarms(local.service).values()

    assert not local.service.resources("CloudWatch::CompositeAlarm")
    assert not [alarm for alarm in own if "Metrics" in alarm or not alarm.get("AlarmActions")]
    assert len(own) == 29
