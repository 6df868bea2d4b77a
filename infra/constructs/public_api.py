"""The HTTP API: one default stage, a route per public path, and the address the world knows it by."""

import json
from collections.abc import Mapping, Sequence

import jsii
from aws_cdk import RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from aws_cdk.aws_apigateway import AccessLogFormat
from constructs import Construct

from infra.constructs.acknowledged import acknowledge
from infra.constructs.python_function import PythonFunction, retention
from infra.stages import Stage
from shared.aws.embedded_metrics import NAMESPACE

_MACHINES = ("ingest", "callbacks")
"""Whom providers and vendors ask: a vendor tells of a message about as often as webhooks come."""
_DEFAULT_STAGE = "$default"
_LATENCY = "latency_ms"
SERVICE = "api"
"""What the API is called in its own metrics."""
WEBHOOK_LATENCY = "WebhookLatency"
"""Milliseconds that a provider waited for its answer, of each webhook."""


@jsii.implements(apigateway.IAccessLogSettings)
class _AccessLogs:
    """Where and what to log: JSON without the shopper's address. The library has no class for it."""

    def __init__(self, destination: apigateway.IAccessLogDestination, stage: str) -> None:
        self._destination = destination
        fields = {
            "request_id": "$context.requestId",
            "route": "$context.routeKey",
            "status": "$context.status",
            _LATENCY: "$context.responseLatency",
            "integration_error": "$context.integrationErrorMessage",
            "service": SERVICE,
            "stage": stage,
        }
        # A metric is made of a number, not of a text that looks like one.
        number = f'"{_LATENCY}":{{}}'
        written = json.dumps(fields, separators=(",", ":")).replace(
            number.format('"$context.responseLatency"'), number.format("$context.responseLatency")
        )
        self._format = AccessLogFormat.custom(written)

    @property
    def destination(self) -> apigateway.IAccessLogDestination:
        return self._destination

    @property
    def format(self) -> AccessLogFormat:
        return self._format


class PublicApi(Construct):
    """No CORS: nothing here is called from a browser's script. ``url`` has no trailing slash."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage, engine_url: str | None) -> None:
        """``engine_url``: where the local engine answers; only stage ``local`` has one."""
        super().__init__(scope, construct_id)
        self.http_api = apigateway.HttpApi(
            self,
            "HttpApi",
            description=f"Checkback ({stage.name})",
            create_default_stage=False,
            # A second way in would know no front, and links of it would die with this stack.
            disable_execute_api_endpoint=stage.domain_name is not None or None,
        )
        proved = (
            "The functions prove who calls: a provider's or vendor's signature over the bytes, a bearer token that is"
            " revoked within seconds and refused as problem+json; links and descriptions are for everybody."
        )
        acknowledge(self.http_api, {"AwsSolutions-APIG4": proved})
        self._default = default = apigateway.HttpStage(
            self,
            "DefaultStage",
            http_api=self.http_api,
            stage_name=_DEFAULT_STAGE,
            auto_deploy=True,
            throttle=apigateway.ThrottleSettings(rate_limit=stage.throttle_rate, burst_limit=stage.throttle_burst),
            access_log_settings=self._access_logs(stage),
        )
        structured = "Each line is JSON: the one value without quotes in the format is a number."
        acknowledge(default, {"Serverless-APIGWStructuredLogging": structured})
        for name, domain in (("Mapping", stage.domain_name), ("OriginMapping", stage.origin_domain_name)):
            if domain is not None:
                mapping = apigateway.CfnApiMapping(
                    self, name, api_id=self.http_api.api_id, domain_name=domain, stage=_DEFAULT_STAGE
                )
                mapping.node.add_dependency(default)
        self.url = self._public_url(stage, engine_url)
        self._stage = stage
        self._throttles: dict[str, Mapping[str, int]] = {}

    def route(self, function: PythonFunction, routes: Sequence[tuple[apigateway.HttpMethod, str]]) -> None:
        """Sends the requests of ``routes`` (method, path) to ``function``.

        Each route has a bucket of its own: without, all of the API share the stage's, and a flood of one path turns
        providers away. What nobody but people and merchants ask for has a fifth of what webhooks have.
        """
        integration = integrations.HttpLambdaIntegration(
            f"{function.node.id}Integration", function.entry, scope_permission_to_route=False
        )
        rate, burst = self._stage.other_routes_rate, self._stage.other_routes_burst
        if function.name in _MACHINES:
            rate, burst = self._stage.throttle_rate, self._stage.throttle_burst
        for method, path in routes:
            made = self.http_api.add_routes(path=path, methods=[method], integration=integration)
            self._throttles[f"{method.value} {path}"] = {
                "ThrottlingRateLimit": rate,
                "ThrottlingBurstLimit": burst,
            }
            # The stage's settings of a route that is not there yet are refused.
            self._default.node.add_dependency(*made)
        settings = self._default.node.default_child
        if isinstance(settings, apigateway.CfnStage):
            settings.route_settings = self._throttles

    def _access_logs(self, stage: Stage) -> apigateway.IAccessLogSettings | None:
        if not stage.access_logs:
            return None
        group = logs.LogGroup(
            self,
            "AccessLogs",
            retention=retention(stage.log_retention_days),
            removal_policy=RemovalPolicy.DESTROY if stage.removable else RemovalPolicy.RETAIN,
        )
        # API Gateway's own metrics by route are six custom metrics a route, and of all the API they hold what
        # merchants wait for as well. This is one, of the answer as it left, with the start of its worker.
        logs.MetricFilter(
            self,
            "WebhookLatency",
            log_group=group,
            filter_pattern=logs.FilterPattern.literal('{ $.route = "POST /hooks/*" }'),
            metric_namespace=NAMESPACE,
            metric_name=WEBHOOK_LATENCY,
            metric_value=f"$.{_LATENCY}",
            dimensions={"service": "$.service", "stage": "$.stage"},
            unit=cloudwatch.Unit.MILLISECONDS,
        )
        return _AccessLogs(apigateway.LogGroupLogDestination(group), stage.name)

    def _public_url(self, stage: Stage, engine_url: str | None) -> str:
        if stage.domain_name is not None:
            return f"https://{stage.domain_name}"
        if engine_url is not None:
            return f"{engine_url}/_aws/execute-api/{self.http_api.api_id}/{_DEFAULT_STAGE}"
        return self.http_api.api_endpoint
