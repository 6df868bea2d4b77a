"""The one way a function is made here: runtime, code, logs and rights alike for all."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.concurrency import shares
from infra.constructs.acknowledged import acknowledge
from infra.constructs.bundling import Bundler
from infra.functions import FUNCTIONS, LIVE, FunctionName, construct_id
from infra.stages import RETENTION_DAYS, Stage

_REFERENCE = re.compile(r"\$\{[^}]*\}")
"""A value that only AWS knows, as the CDK writes it into a text."""

CodeFor = Callable[[FunctionName], lambda_.Code]
"""Gives a function's code. Template tests pass one that builds nothing."""


def bundled(bundler: Bundler) -> CodeFor:
    """Code from real bundles; their digest is the asset's, so an unchanged bundle is not uploaded again."""

    bundler.build_all()

    def code_for(name: FunctionName) -> lambda_.Code:
        bundle = bundler.build(name)
        return lambda_.Code.from_asset(str(bundle.path), asset_hash=bundle.digest)

    return code_for


class PythonFunction(Construct):
    """A Lambda function from ``functions/<name>``, with its own role, log group and listed rights.

    ``called`` names it here. ``entry`` is what API, queues, stream and rules lead to: the alias of the version that is
    live. The local engine has none: there running functions are changed in place, as no published version can be.
    """

    def __init__(
        self,
        scope: Construct,
        name: FunctionName,
        *,
        stage: Stage,
        code: lambda_.Code,
        environment: Mapping[str, str],
        part: str | None = None,
    ) -> None:
        """``part``: another module of the folder, whose handler this is; its bundle is the folder's."""
        called = part or name
        super().__init__(scope, construct_id(called))
        spec = FUNCTIONS[name]
        self.name = name
        self.called = called
        self.timeout = Duration.seconds(int(spec.timeout.total_seconds()))
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            retention=retention(stage.log_retention_days),
            removal_policy=RemovalPolicy.DESTROY if stage.removable else RemovalPolicy.RETAIN,
        )
        self.role = iam.Role(
            self,
            "Role",
            description=f"What the function {called} may do",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        # AWS's own policy for it would open every log group of the account.
        self.log_group.grant_write(self.role)
        self.function = lambda_.Function(
            self,
            "Function",
            role=self.role,
            description=spec.purpose,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=_architecture(stage),
            handler=f"functions.{name}.{part or 'handler'}.handler",
            code=code,
            memory_size=spec.memory_mb,
            timeout=self.timeout,
            reserved_concurrent_executions=shares(stage).get(name) if part is None else None,
            log_group=self.log_group,
            # Lambda leaves lines that are JSON already as they are (AWS Lambda Developer Guide, "Configuring JSON and
            # plain text log formats"). At a higher level than INFO it would drop embedded metrics, which have none.
            logging_format=lambda_.LoggingFormat.JSON,
            system_log_level_v2=lambda_.SystemLogLevel.INFO if stage.log_runs else lambda_.SystemLogLevel.WARN,
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
            # What a release replaces stays, for `make rollback`; `infra.operations.releases` removes what is older.
            current_version_options=lambda_.VersionOptions(removal_policy=RemovalPolicy.RETAIN),
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if stage.snap_start and spec.asked else None,
            recursive_loop=lambda_.RecursiveLoop.ALLOW if spec.chains else None,
            tracing=lambda_.Tracing.DISABLED,
            environment={
                "STAGE": stage.name,
                "DUE_SHARDS": str(stage.due_shards),
                "POWERTOOLS_SERVICE_NAME": called,
                **({"PATIENCE_WITH_AWS": "short"} if spec.hurried else {}),
                # Copies of a snapshot would share keys and connections.
                **({"PREPARE_AT_INIT": "1"} if spec.prepares and not stage.snap_start else {}),
                **environment,
            },
        )
        self.entry: lambda_.IFunction = self.function if stage.is_local else self._alias()
        runtime = (
            "The interpreter of all of the project (pyproject.toml): tests, bundles and functions change together."
        )
        not_lost = "What starts it keeps what fails: a caller that asks again, a queue, the stream, the next tick."
        acknowledge(
            self,
            {
                "AwsSolutions-L1": runtime,
                "Serverless-LambdaLatestVersion": runtime,
                "Serverless-LambdaDLQ": not_lost,
                "Serverless-LambdaTracing": "Billed by trace; a correlation id leads through the logs instead.",
            },
        )

    def _alias(self) -> lambda_.Alias:
        return lambda_.Alias(self, "Live", alias_name=LIVE, version=self.function.current_version)

    def allow(
        self,
        actions: Sequence[str],
        resources: Sequence[str],
        conditions: Mapping[str, Any] | None = None,
        *,
        because: str | None = None,
    ) -> None:
        """Lets the function do exactly ``actions`` on ``resources``, as far as ``conditions`` hold.

        ``because``: why a resource with a ``*`` in it cannot be named more closely.
        """
        statement = iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
        self.function.add_to_role_policy(statement)
        for resource in resources:
            if because is not None and "*" in resource:
                acknowledge(self, {f"AwsSolutions-IAM5[Resource::{_REFERENCE.sub('*', resource)}]": because})

    def tell(self, **environment: str) -> None:
        """Adds environment variables."""
        for variable, value in environment.items():
            self.function.add_environment(variable, value)


def _architecture(stage: Stage) -> lambda_.Architecture:
    # The engine runs functions on this machine whatever is declared; x86_64 is what most such machines are.
    declared: lambda_.Architecture = (
        lambda_.Architecture.ARM_64 if stage.architecture == "arm64" else lambda_.Architecture.X86_64
    )
    return declared


def retention(days: int) -> logs.RetentionDays:
    """The CDK's name for a number of days, one of ``RETENTION_DAYS``."""
    names = ("ONE_DAY", "ONE_WEEK", "TWO_WEEKS", "ONE_MONTH", "THREE_MONTHS", "SIX_MONTHS", "ONE_YEAR")
    return logs.RetentionDays[dict(zip(RETENTION_DAYS, names, strict=True))[days]]
