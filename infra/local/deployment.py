"""Puts the stacks of stage ``local`` on an engine, with the CDK CLI, and writes down where everything is."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from infra.functions import FUNCTION_NAMES, name_output
from infra.local.engine import PROJECT, Engine

ACCOUNT = "000000000000"
CREDENTIALS = {"access_key_id": "test", "secret_access_key": "test"}
"""The engine accepts any; these mean its account ``ACCOUNT``."""

_CDK = PROJECT / "node_modules" / ".bin" / "cdk"
_BOOTSTRAP = PROJECT / "node_modules" / "aws-cdk" / "lib" / "api" / "bootstrap" / "bootstrap-template.yaml"


class DeploymentError(RuntimeError):
    """A step of the deployment failed; the message ends with what the tool said."""


Say = Callable[[str], None]


def deploy(engine: Engine, folder: Path, say: Say, settings: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Deploys or redeploys, and returns (and writes to ``stack.json``) what the contract says of it.

    ``settings`` of the stage stand before those of ``cdk.json``.
    """
    assembly = folder / "cdk.out"
    with ThreadPoolExecutor(max_workers=1) as pool:
        bootstrapped = pool.submit(_bootstrap, engine, say)
        with _timed(say, "bundle and synthesise"):
            _synthesise(engine, assembly, settings or {})
        bootstrapped.result()
    with _timed(say, "deploy"):
        _publish(engine, assembly)
        _cdk(
            engine,
            folder,
            "deploy",
            "--all",
            f"--app={assembly}",
            "--method=direct",
            "--require-approval=never",
            "--progress=events",
            f"--outputs-file={folder / 'outputs.json'}",
        )
    outputs: dict[str, str] = json.loads((folder / "outputs.json").read_text())["checkback-local-service"]
    _enable_ttl(engine, outputs["TableName"])
    stack = _describe(engine, outputs)
    (folder / "stack.json").write_text(json.dumps(stack, indent=2) + "\n")
    (folder / "stack.json").chmod(0o600)  # it holds the admin key
    return stack


def _bootstrap(engine: Engine, say: Say) -> None:
    """The CDK's own stack (asset bucket and roles), once for each engine: by the CLI's template, without its start.

    Raises DeploymentError.
    """
    cloudformation = boto3.client("cloudformation", **_of(engine))
    try:
        cloudformation.describe_stacks(StackName="CDKToolkit")
    except ClientError:
        with _timed(say, "bootstrap"):
            cloudformation.create_stack(
                StackName="CDKToolkit",
                TemplateBody=_BOOTSTRAP.read_text(),
                Parameters=[{"ParameterKey": "FileAssetsBucketKmsKeyId", "ParameterValue": "AWS_MANAGED_KEY"}],
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
            _created(cloudformation)


def _created(cloudformation: Any) -> None:
    try:
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName="CDKToolkit", WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
    except WaiterError as error:
        msg = f"the CDK's own stack was not made: {error}"
        raise DeploymentError(msg) from error


def _synthesise(engine: Engine, assembly: Path, settings: Mapping[str, object]) -> None:
    # Imported here: the CDK takes a second, and stopping an engine does not need it.
    from aws_cdk import App

    from infra.app import build

    context = json.loads((PROJECT / "cdk.json").read_text())["context"]
    stages = {**context["stages"], "local": {**context["stages"]["local"], **settings}}
    app = App(
        outdir=str(assembly),
        context={**context, "stages": stages, "stage": "local", "engine_url": engine.url},
        analytics_reporting=False,
        # It took half the time, and tests look through dev and production so; this one is deployed at once.
        builtin_cloud_formation_validation=False,
    )
    build(app)
    app.synth()


def _publish(engine: Engine, assembly: Path) -> None:
    """The assembly's files where the CLI would put them, which finds them there.

    It would write each that it puts into a message that nobody reads, byte by byte: 2 seconds of a processor.
    """
    s3 = boto3.client("s3", **_of(engine))
    for listed in assembly.glob("*.assets.json"):
        for own in json.loads(listed.read_text())["files"].values():
            if own["source"]["packaging"] != "file":
                continue
            for place in own["destinations"].values():
                bucket = place["bucketName"].replace("${AWS::AccountId}", ACCOUNT)
                bucket, key = bucket.replace("${AWS::Region}", engine.region), place["objectKey"]
                if not s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"]:
                    s3.put_object(Bucket=bucket, Key=key, Body=(assembly / own["source"]["path"]).read_bytes())


def _cdk(engine: Engine, folder: Path, *arguments: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    run = subprocess.run(
        [str(_CDK), *arguments, "--no-notices", "--no-color"],
        check=False,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **kept,
            "AWS_ENDPOINT_URL": engine.url,
            "AWS_ACCESS_KEY_ID": CREDENTIALS["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret_access_key"],
            "AWS_REGION": engine.region,
            "AWS_DEFAULT_REGION": engine.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "NO_PROXY": "127.0.0.1,localhost",
        },
    )
    (folder / f"cdk-{arguments[0]}.log").write_text(run.stdout)
    if run.returncode != 0:
        msg = f"cdk {arguments[0]} ended with {run.returncode}:\n{run.stdout[-4000:]}"
        raise DeploymentError(msg)


def _enable_ttl(engine: Engine, table: str) -> None:
    """The engine's CloudFormation leaves it out."""
    dynamodb = boto3.client("dynamodb", **_of(engine))
    status = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if status == "DISABLED":
        dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"})


def _describe(engine: Engine, outputs: dict[str, str]) -> dict[str, Any]:
    secrets = boto3.client("secretsmanager", **_of(engine))
    secret = secrets.get_secret_value(SecretId=outputs["AdminKeySecretArn"])
    return {
        "engine_url": engine.url,
        "region": engine.region,
        "api_url": outputs["ApiUrl"],
        "admin_key": secret["SecretString"],
        "table": outputs["TableName"],
        "functions": {name: outputs[name_output(name)] for name in FUNCTION_NAMES},
        "queues": {
            "deliveries": outputs["DeliveriesQueueUrl"],
            "retries": outputs["RetriesQueueUrl"],
            "steps": outputs["StepsQueueUrl"],
            "slow": outputs["SlowQueueUrl"],
            "dead_letters": outputs["DeadLettersQueueUrl"],
            "record_dead_letters": outputs["RecordDeadLettersQueueUrl"],
            "pulls": outputs["PullsQueueUrl"],
            "pull_dead_letters": outputs["PullDeadLettersQueueUrl"],
        },
        "aws": CREDENTIALS,
    }


def _of(engine: Engine) -> dict[str, Any]:
    """What makes a client the engine's."""
    return {
        "endpoint_url": engine.url,
        "region_name": engine.region,
        "aws_access_key_id": CREDENTIALS["access_key_id"],
        "aws_secret_access_key": CREDENTIALS["secret_access_key"],
        "config": Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3}, proxies={}),
    }


@contextmanager
def _timed(say: Say, what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - started:.1f} s")
