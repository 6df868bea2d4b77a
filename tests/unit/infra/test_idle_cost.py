"""What a stage costs that nobody uses: what is billed is counted on the template, and docs/deploy.md says no other sum.

List prices of us-east-1, USD: aws.amazon.com/kms, /secrets-manager, /cloudwatch, /sqs, /lambda, /dynamodb pricing, read
in November 2026. What AWS gives to every account for good (not for a year) is taken off in the second sum.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from infra.local.engine import PROJECT
from tests.unit.infra.conftest import Synthesise, Templates
from tests.unit.infra.test_watching import alarms, watched

DOCUMENT = (PROJECT / "docs" / "deploy.md").read_text()
MINUTES = 30 * 24 * 60
GB = 1e9


@dataclass(frozen=True, slots=True)
class Billed:
    """A line of the bill: at list prices, and with what is free."""

    listed: float
    free: float


def keys(templates: Templates) -> Billed:
    cost = 1.00 * len(templates.state.resources("KMS::Key"))
    return Billed(cost, cost)


def secrets(templates: Templates) -> Billed:
    cost = 0.40 * len(templates.state.resources("SecretsManager::Secret"))
    return Billed(cost, cost)


def watching(templates: Templates) -> Billed:
    """Alarms by the metrics in them, ten free; a composite; the one metric of ours that always has values."""
    metrics = sum(len(watched(own)) for own in alarms(templates.service).values())
    composites = 0.50 * len(templates.service.resources("CloudWatch::CompositeAlarm"))
    assert len(templates.service.resources("CloudWatch::Dashboard")) <= 1, "three of the account are free"
    return Billed(0.10 * metrics + composites + 0.30, 0.10 * (metrics - 10) + composites)


def pollers(templates: Templates) -> Billed:
    """Lambda asks each queue with five pollers, each for 20 seconds at a time; a million requests are free."""
    queues = [own for own in mappings(templates) if is_queue(templates, own)]
    requests = len(queues) * 5 * 3 * MINUTES
    return Billed(0.40 * requests / 1e6, 0.40 * (requests - 1e6) / 1e6)


def mappings(templates: Templates) -> list[dict[str, Any]]:
    return [own["Properties"] for own in templates.service.resources("Lambda::EventSourceMapping").values()]


def is_queue(templates: Templates, mapping: dict[str, Any]) -> bool:
    match mapping["EventSourceArn"]:
        case {"Fn::GetAtt": [str(name), "Arn"]}:
            return bool(templates.service.json["Resources"][name]["Type"] == "AWS::SQS::Queue")
    return False


def ticks(templates: Templates) -> int:
    """Invocations that start by the clock, a month."""
    every = {"rate(1 minute)": MINUTES, "rate(5 minutes)": MINUTES // 5}
    rules = templates.service.resources("Events::Rule").values()
    return sum(
        every[own["Properties"]["ScheduleExpression"]] * len(own["Properties"]["Targets"])
        for own in rules
        if "ScheduleExpression" in own["Properties"]
    )


def sweep(templates: Templates) -> Billed:
    """Requests, of which a million are free, and 0.1 s each of 512 MB, of which 400,000 GB-seconds are free."""
    asked = ticks(templates)
    work = asked * 0.1 * 0.5
    listed = 0.20 * asked / 1e6 + 0.0000133334 * work
    return Billed(listed, 0.20 * max(asked - 1e6, 0) / 1e6 + 0.0000133334 * max(work - 400_000, 0))


def reads(templates: Templates) -> Billed:
    """A query per kind and shard each minute, however many sweeps there are: a unit at most where nothing is due."""
    shards = int(templates.service.function("sweep")["Properties"]["Environment"]["Variables"]["DUE_SHARDS"])
    cost = 0.125 * 3 * shards * MINUTES / 1e6
    return Billed(cost, cost)


def logs(templates: Templates) -> Billed:
    """A line a tick, of a sweep that moved nothing, with what CloudWatch adds; five GB are free."""
    stored = ticks(templates) * 343 / GB
    return Billed(0.50 * stored, 0.50 * max(stored - 5, 0))


LINES = {
    "KMS key": keys,
    "secrets": secrets,
    "watching": watching,
    "Lambda asking six queues": pollers,
    "sweep": sweep,
    "its reads": reads,
    "logs": logs,
}


def bill(templates: Templates) -> dict[str, Billed]:
    return {name: of(templates) for name, of in LINES.items()}


def summed(found: dict[str, Billed]) -> Billed:
    """As a person adds what is printed."""
    return Billed(
        sum(round(own.listed, 2) for own in found.values()), sum(round(own.free, 2) for own in found.values())
    )


def test_an_idle_production_costs_what_the_documentation_says(production: Templates) -> None:
    found = bill(production)
    for name, own in found.items():
        assert f"| {name} | {own.listed:.2f} | {own.free:.2f} |" in DOCUMENT, name
    whole = summed(found)

    assert f"| together | {whole.listed:.2f} | {whole.free:.2f} |" in DOCUMENT
    assert len(mappings(production)) == 7, "six queues and the stream, which Lambda reads for nothing"


def test_an_idle_dev_costs_what_the_documentation_says(synthesise: Synthesise) -> None:
    whole = summed(bill(synthesise("dev")))

    assert f"`dev`, which sweeps once a minute: {whole.listed:.2f} and {whole.free:.2f}" in DOCUMENT


@pytest.mark.parametrize("stage", ["dev", "production"])
def test_nothing_is_billed_by_the_hour_and_no_month_costs_more_than_it_did(synthesise: Synthesise, stage: str) -> None:
    templates = synthesise(stage)
    by_the_hour = {
        "EC2::NatGateway",
        "EC2::VPCEndpoint",
        "RDS::DBInstance",
        "ECS::Service",
        "ElastiCache::CacheCluster",
    }
    kinds = {own["Type"] for of in (templates.state, templates.service) for own in of.json["Resources"].values()}
    aliases = [own["Properties"] for own in templates.service.resources("Lambda::Alias").values()]

    assert not kinds & {f"AWS::{own}" for own in by_the_hour}
    assert not [own for own in aliases if "ProvisionedConcurrencyConfig" in own]
    assert summed(bill(templates)).listed <= 8.75
    assert summed(bill(templates)).free <= 5.75
