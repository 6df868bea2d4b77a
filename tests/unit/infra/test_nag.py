"""cdk-nag (AwsSolutions, Serverless) finds nothing but what is acknowledged, with a reason, beside its construct."""

import re
from collections.abc import Iterator

import pytest

from tests.unit.infra.conftest import LOOKED_THROUGH, Synthesise, Templates


@pytest.fixture(params=LOOKED_THROUGH)
def templates(request: pytest.FixtureRequest, synthesise: Synthesise) -> Templates:
    stage, settings = LOOKED_THROUGH[request.param]
    return synthesise(stage, **settings)


def found(templates: Templates) -> Iterator[tuple[str, str]]:
    """Everything that was found, acknowledged or not: its rule, prefixed by its pack, and its construct's path."""
    for report in templates.nag["pluginReports"]:
        for finding in [*report["violations"], *report.get("suppressedViolations", ())]:
            rule = finding["ruleName"]
            pack = rule.partition("-")[0]
            for construct in finding["violatingConstructs"]:
                yield f"{pack}::{rule}", construct["constructPath"]


def covers(acknowledged: str, at: str, rule: str, path: str) -> bool:
    """Whether an acknowledgement at a construct speaks of a finding: the same, but for what ``*`` stands for."""
    pattern = ".*".join(re.escape(part) for part in acknowledged.split("*"))
    return (path == at or path.startswith(f"{at}/")) and re.fullmatch(pattern, rule) is not None


def test_both_packs_looked(templates: Templates) -> None:
    assert {own["pluginName"] for own in templates.nag["pluginReports"]} == {"AwsSolutions", "Serverless"}
    assert len(list(found(templates))) > 40


def test_nothing_is_found_that_nobody_gave_a_reason_for(templates: Templates) -> None:
    unexplained = {
        (rule, path)
        for rule, path in found(templates)
        if not any(
            covers(acknowledged, at, rule, path)
            for at, rules in templates.acknowledged.items()
            for acknowledged in rules
        )
    }

    assert unexplained == set()


def test_no_reason_outlives_what_it_was_given_for(synthesise: Synthesise) -> None:
    """An acknowledgement that no finding of any stage needs would hide the next one."""
    stages = [synthesise(stage, **settings) for stage, settings in LOOKED_THROUGH.values()]
    given = {(at, rule) for stage in stages for at, rules in stage.acknowledged.items() for rule in rules}
    findings = {finding for stage in stages for finding in found(stage)}
    unused = {(at, own) for at, own in given if not any(covers(own, at, rule, path) for rule, path in findings)}

    assert unused == set()


def test_every_reason_is_a_sentence(templates: Templates) -> None:
    reasons = [reason for rules in templates.acknowledged.values() for reason in rules.values()]

    assert all(len(reason) > 25 and reason.endswith(".") for reason in reasons)
