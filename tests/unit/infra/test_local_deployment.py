"""How the local engine gets the CDK's own stack, and bundles, before anything is deployed to it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from infra.local import deployment
from infra.local.engine import Engine

ENGINE = Engine(pid=1, port=4566, region="ap-south-1")


class CloudFormation:
    """Of one engine; ``fails``: the stack is begun and never stands."""

    def __init__(self, *, fails: bool = False) -> None:
        self.templates: list[str] = []
        self._fails = fails

    def describe_stacks(self, **_: str) -> dict[str, Any]:
        if not self.templates:
            raise ClientError({"Error": {"Code": "ValidationError"}}, "DescribeStacks")
        return {}

    def create_stack(self, TemplateBody: str, **_: Any) -> None:  # noqa: N803
        self.templates.append(TemplateBody)

    def get_waiter(self, _: str) -> "CloudFormation":
        return self

    def wait(self, **_: Any) -> None:
        if self._fails:
            raise WaiterError("StackCreateComplete", "it encountered a terminal failure state", {})


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> Callable[[CloudFormation], None]:
    def run(engine: CloudFormation) -> None:
        monkeypatch.setattr("boto3.client", lambda *_, **__: engine)
        deployment._bootstrap(ENGINE, lambda _: None)

    return run


def test_an_engine_is_bootstrapped_once_by_the_clis_own_template(
    bootstrap: Callable[[CloudFormation], None],
) -> None:
    engine = CloudFormation()
    bootstrap(engine)
    bootstrap(engine)
    (template,) = engine.templates
    assert "StagingBucket:" in template
    assert "/cdk-bootstrap/${Qualifier}/version" in template
    assert len(template) < 51_200, "more is taken from a bucket alone"


def test_a_bootstrap_that_fails_is_said(bootstrap: Callable[[CloudFormation], None]) -> None:
    with pytest.raises(deployment.DeploymentError, match="terminal failure state"):
        bootstrap(CloudFormation(fails=True))


class S3:
    """Buckets of one engine; a key that is put twice is an error."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}

    def list_objects_v2(self, Bucket: str, Prefix: str) -> dict[str, int]:  # noqa: N803
        return {"KeyCount": sum(bucket == Bucket and key.startswith(Prefix) for bucket, key in self.kept)}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        assert (Bucket, Key) not in self.kept
        self.kept[Bucket, Key] = Body


def test_an_assemblys_files_are_put_once_where_the_cli_looks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asset(path: str, packaging: str) -> dict[str, Any]:
        place = {"bucketName": "cdk-assets-${AWS::AccountId}-${AWS::Region}", "objectKey": f"of-{path}"}
        return {"source": {"path": path, "packaging": packaging}, "destinations": {"current": place}}

    (tmp_path / "a.zip").write_bytes(b"a bundle")
    (tmp_path / "folder").mkdir()
    files = {"1": asset("a.zip", "file"), "2": asset("folder", "zip")}
    (tmp_path / "Service.assets.json").write_text(json.dumps({"files": files}))
    engine = S3()
    monkeypatch.setattr("boto3.client", lambda *_, **__: engine)

    deployment._publish(ENGINE, tmp_path)
    deployment._publish(ENGINE, tmp_path)

    assert engine.kept == {("cdk-assets-000000000000-ap-south-1", "of-a.zip"): b"a bundle"}
