"""cfn-lint finds nothing wrong in the templates of dev and production."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.infra.conftest import WITH_EVERYTHING, StackTemplate, Synthesise

GENERATED = {
    "W3005": "the CDK writes a dependency beside the reference that already makes it",
}
"""What the CDK writes by itself and nobody can change."""
REGION = "ap-south-1"
BESIDE = "InDev"
TWICE = "E3019"
"""Two resources with one primary identifier: dev's are beside production's here alone."""


def both(dev: StackTemplate, production: StackTemplate) -> Mapping[str, Any]:
    """Production's template and, beside it under names of their own, the resources and outputs that dev has otherwise.

    One reading for both: what they share, which is most, is read once. References of dev's resources lead to
    production's of the same name, which are of the same type.
    """
    spliced = {**production.json}
    spliced["Parameters"] = {**dev.json.get("Parameters", {}), **production.json.get("Parameters", {})}
    for section in ("Resources", "Outputs"):
        own = production.json.get(section, {})
        otherwise = {name: item for name, item in dev.json.get(section, {}).items() if item != own.get(name)}
        spliced[section] = {
            **own,
            **{f"{name}{BESIDE}" if name in own else name: otherwise[name] for name in otherwise},
        }
    return spliced


def complaints(template: Mapping[str, Any], region: str = REGION) -> list[str]:
    """Everything cfn-lint says, warnings too."""
    from cfnlint.api import lint
    from cfnlint.config import ManualArgs

    found = lint(json.dumps(template), config=ManualArgs(regions=[region], ignore_checks=list(GENERATED)))
    return [
        f"{own.rule.id} {own.path}: {own.message}"
        for own in found
        if not (own.rule.id == TWICE and BESIDE in own.message)
    ]


@pytest.mark.long
@pytest.mark.parametrize("stack", ["state", "service"])
def test_nothing_is_wrong_in_the_templates_of_dev_and_production(synthesise: Synthesise, stack: str) -> None:
    dev, production = (getattr(synthesise(stage), stack) for stage in ("dev", "production"))

    assert complaints(both(dev, production)) == []


@pytest.mark.long
def test_nothing_is_wrong_in_what_a_stage_may_have_besides(synthesise: Synthesise) -> None:
    plain, fronted = synthesise("production"), synthesise("production", **WITH_EVERYTHING)

    assert complaints(fronted.front.json, "us-east-1") == []
    assert complaints(both(fronted.state, plain.state)) == []
    assert complaints(fronted.service.json) == []


@pytest.mark.long
def test_a_wrong_resource_of_dev_alone_would_be_found(synthesise: Synthesise) -> None:
    state = synthesise("dev").state.json
    (name,) = (own for own, item in state["Resources"].items() if item["Type"] == "AWS::KMS::Key")
    key = state["Resources"][name]
    broken = {**key, "Properties": {**key["Properties"], "EnableKeyRotation": "perhaps"}}
    dev = StackTemplate({**state, "Resources": {**state["Resources"], name: broken}})

    found = complaints(both(dev, synthesise("production").state))

    assert len(found) == 1
    assert "EnableKeyRotation" in found[0]
