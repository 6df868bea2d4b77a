"""cfn-lint finds nothing wrong in the templates of dev and production.

A template without fault is remembered, as linters do: cfn-lint takes five seconds to find the same again.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from infra.local.engine import PROJECT
from tests.selection import ran
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


def faultless(template: Mapping[str, Any], region: str = REGION) -> bool:
    """Whether cfn-lint says nothing at all; what it says stands in the failure."""
    read = (version("cfn-lint"), Path(__file__).read_text(), region, json.dumps(template))
    known = PROJECT / ".pytest_cache" / "faultless" / hashlib.sha256(repr(read).encode()).hexdigest()
    if known.exists() and ran.FOLDER not in os.environ:
        return True
    assert complaints(template, region) == []
    known.parent.mkdir(parents=True, exist_ok=True)
    known.touch()
    return True


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

    assert faultless(both(dev, production))


@pytest.mark.long
def test_nothing_is_wrong_in_what_a_stage_may_have_besides(synthesise: Synthesise) -> None:
    plain, fronted = synthesise("production"), synthesise("production", **WITH_EVERYTHING)

    assert faultless(fronted.front.json, "us-east-1")
    assert faultless(both(fronted.state, plain.state))
    assert faultless(fronted.service.json)


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
