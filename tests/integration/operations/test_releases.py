"""Back to what was live before: all functions together, safe to run twice, wherever it broke off."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.awslambda.models import lambda_backends

from infra.operations.deployed import DeployedStage
from infra.operations.releases import MOST_KEPT, NoSuchRelease, Releases
from tests.integration.operations.breaking_off import MOMENTS, broken_off

NAMES = {"ingest": "stage-ingest", "redirect": "stage-redirect"}


def code(text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("handler.py", text)
    return packed.getvalue()


@pytest.fixture
def functions(aws: None) -> Iterator[Any]:
    """Two functions, each with a first version and its alias."""
    assumed = '{"Version":"2012-10-17","Statement":[]}'
    role = boto3.client("iam").create_role(RoleName="functions", AssumeRolePolicyDocument=assumed)["Role"]["Arn"]
    client = boto3.client("lambda")
    for function in NAMES.values():
        client.create_function(
            FunctionName=function, Runtime="python3.13", Role=role, Handler="handler.x", Code={"ZipFile": code("0")}
        )
        version = client.publish_version(FunctionName=function)["Version"]
        client.create_alias(FunctionName=function, Name="live", FunctionVersion=version)
    yield client
    lambda_backends["123456789012"]["ap-south-1"].reset()  # its own removal stumbles over versions that are gone
    boto3.client("iam").delete_role(RoleName="functions")


@pytest.fixture
def ssm(aws: None) -> Iterator[Any]:
    client = boto3.client("ssm")
    yield client
    client.delete_parameters(Names=["/checkback/production/releases"])


@pytest.fixture
def releases(functions: Any, ssm: Any) -> Releases:
    return Releases(functions, ssm, stage="production", names=NAMES)


def deploy(functions: Any, *changed: str) -> None:
    """New versions of some functions go live."""
    for name in changed:
        text = f"{name} {functions.get_alias(FunctionName=NAMES[name], Name='live')['FunctionVersion']}"
        functions.update_function_code(FunctionName=NAMES[name], ZipFile=code(text))
        version = functions.publish_version(FunctionName=NAMES[name])["Version"]
        functions.update_alias(FunctionName=NAMES[name], Name="live", FunctionVersion=version)


def test_a_function_that_the_newest_release_left_alone_stays(functions: Any, releases: Releases) -> None:
    deploy(functions, "redirect")
    before = releases.record().versions
    deploy(functions, "ingest")
    after = releases.record().versions
    assert (before["ingest"], before["redirect"]) != (after["ingest"], after["redirect"])
    assert before["redirect"] == after["redirect"]

    assert releases.go_back().number == 1

    assert releases.live() == before


def test_going_back_twice_goes_back_once(functions: Any, releases: Releases) -> None:
    for _ in range(3):
        releases.record()
        deploy(functions, "ingest", "redirect")
    releases.record()

    assert [releases.go_back().number, releases.go_back().number] == [3, 3]


def test_what_was_left_is_not_come_back_to_after_the_next_deployment(functions: Any, releases: Releases) -> None:
    good = releases.record()
    deploy(functions, "ingest")
    bad = releases.record()
    releases.go_back()
    deploy(functions, "ingest")
    also_bad = releases.record()

    assert releases.go_back().number == good.number
    assert [own.number for own in releases.listed() if own.left] == [bad.number, also_bad.number]


@MOMENTS
@pytest.mark.parametrize("number", range(1, 7))
def test_wherever_it_broke_off_the_next_run_ends_it(
    functions: Any, ssm: Any, releases: Releases, moment: str, number: int
) -> None:
    good = releases.record()
    deploy(functions, "ingest", "redirect")
    releases.record()
    with broken_off(number, moment, functions, ssm):
        releases.go_back()

    assert releases.go_back().number == good.number
    assert releases.live() == good.versions


def test_a_version_that_is_gone_is_noticed_before_anything_is_moved(functions: Any, releases: Releases) -> None:
    good = releases.record()
    deploy(functions, "ingest", "redirect")
    bad = releases.record()
    functions.delete_function(FunctionName=NAMES["redirect"], Qualifier=good.versions["redirect"])

    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        releases.go_back()

    assert releases.live() == bad.versions


def test_recording_twice_is_one_release_and_old_versions_go(functions: Any, releases: Releases) -> None:
    for _ in range(MOST_KEPT + 3):
        deploy(functions, "ingest")
        assert releases.record() == releases.record()

    kept = releases.listed()
    versions = functions.list_versions_by_function(FunctionName=NAMES["ingest"])["Versions"]
    assert len(kept) == MOST_KEPT
    assert {own["Version"] for own in versions} - {"$LATEST"} == {own.versions["ingest"] for own in kept}
    assert functions.list_versions_by_function(FunctionName=NAMES["redirect"])["Versions"][-1]["Version"] == "1"


def test_before_a_second_release_there_is_nothing_to_go_back_to(releases: Releases) -> None:
    with pytest.raises(NoSuchRelease, match="recorded are none"):
        releases.go_back()
    releases.record()
    with pytest.raises(NoSuchRelease, match="recorded are 1"):
        releases.go_back()


def test_going_back_leaves_out_a_function_that_is_no_more(functions: Any, ssm: Any, releases: Releases) -> None:
    good = releases.record()
    deploy(functions, "ingest")
    releases.record()
    without = Releases(functions, ssm, stage="production", names={"ingest": NAMES["ingest"]})

    assert without.go_back().number == good.number
    assert without.live() == {"ingest": good.versions["ingest"]}


def test_every_function_that_the_stack_names_is_of_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = DeployedStage("production")
    outputs = {"ApiUrl": "https://api.test", "MerchantApiFunctionName": "one", "EventBusFunctionName": "other"}
    monkeypatch.setattr(DeployedStage, "outputs", outputs)

    assert stage.functions == {"merchant_api": "one", "event_bus": "other"}
    assert stage.function("merchant_api") == "one"
