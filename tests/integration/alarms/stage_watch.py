"""A stage under watch: what its functions write and what AWS would count beside it, and which of its alarms fire."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from infra.functions import FunctionName
from infra.local.engine import PROJECT
from shared.aws import clients
from tests.integration.alarms.access_log import AccessLog
from tests.integration.alarms.cloudwatch import CloudWatch, Series, is_in_alarm, names_of_rule, series_of
from tests.integration.shop import Shop
from tests.unit.infra.conftest import StackTemplate

ANCHOR = "docs/runbook.md#"


class _Refused(AWSResponse):
    """DynamoDB's answer to what it throttles."""

    def __init__(self, url: str) -> None:
        headers = HTTPHeaders()
        headers["content-type"] = "application/x-amz-json-1.0"
        super().__init__(url, 400, headers, None)

    @property
    def content(self) -> bytes:
        """The error that DynamoDB documents."""
        return (
            b'{"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "slow"}'
        )


class StageWatch:
    """A shop on a stage, watched by the alarms of a template."""

    def __init__(self, shop: Shop, service: StackTemplate, captured: pytest.CaptureFixture[str]) -> None:
        self.shop = shop
        self.metrics = CloudWatch()
        self._service = service
        self._access_log = AccessLog(service)
        self._captured = captured
        self._alarms: dict[str, dict[str, Mapping[str, Any]]] = {}
        for logical_id, item in service.resources("CloudWatch::Alarm").items():
            section = item["Properties"]["AlarmDescription"].rpartition(ANCHOR)[2]
            self._alarms.setdefault(section, {})[logical_id] = item["Properties"]

    @property
    def names(self) -> set[str]:
        """Every alarm, by its section of the runbook."""
        return set(self._alarms)

    def firing(self) -> set[str]:
        """The alarms that are in ALARM now."""
        self.metrics.read_log(self._captured.readouterr().out.splitlines())
        return {name for name in self._alarms if self._firing(name)}

    def _firing(self, name: str) -> set[str]:
        """Those of one section, by logical id."""
        return {
            logical_id
            for logical_id, own in self._alarms[name].items()
            if is_in_alarm(own, self.metrics, self.shop.now)
        }

    def pages(self) -> bool:
        """Whether somebody is called."""
        called_by = set(names_of_rule(self._service.only("CloudWatch::CompositeAlarm")["Properties"]))
        return any(self._firing(name) & called_by for name in self.firing())

    def tells(self, name: str) -> bool:
        """Whether an alarm tells of itself, without a page."""
        return all(own.get("AlarmActions") for own in self._alarms[name].values())

    def put(self, name: str, value: float, *, at: datetime | None = None) -> None:
        """A value of the one metric that an alarm watches, which AWS counts."""
        (alarm,) = self._alarms[name].values()
        assert alarm["Namespace"].startswith("AWS/")
        self.metrics.put(series_of(alarm), at or self.shop.now, value)

    def answered(self, milliseconds: int, route: str = "POST /hooks/{source_id}") -> None:
        """A request's line in the access log."""
        self._access_log.write(
            self.metrics, self.shop.now, requestId="q", routeKey=route, status=200, responseLatency=milliseconds
        )

    def of_api(self, name: str, value: float) -> None:
        """A value of the HTTP API's own metric."""
        (api,) = self._service.resources("ApiGatewayV2::Api")
        self.metrics.put(Series.of("AWS/ApiGateway", name, {"ApiId": {"Ref": api}}), self.shop.now, value)

    def names_as_written(self) -> dict[str, str]:
        """Each alarm by its section of the runbook: its name as the runbook writes it."""
        sections = re.findall(r"^### (\w+)$", (PROJECT / "docs" / "runbook.md").read_text(), re.MULTILINE)
        return {own.lower(): own for own in sections}

    @property
    def dashboard(self) -> Mapping[str, Any]:
        """The stage's dashboard, its properties."""
        found: Mapping[str, Any] = self._service.only("CloudWatch::Dashboard")["Properties"]
        return found

    def of_function(self, function: FunctionName, name: str, value: float) -> None:
        """A value of a function's own metric (AWS Lambda Developer Guide, "Types of metrics")."""
        handler = f"functions.{function}.handler.handler"
        (logical_id,) = (
            found
            for found, item in self._service.resources("Lambda::Function").items()
            if item["Properties"].get("Handler") == handler
        )
        self.metrics.put(Series.of("AWS/Lambda", name, {"FunctionName": {"Ref": logical_id}}), self.shop.now, value)

    def posted(self, **changed: Any) -> int:
        """A webhook, and what API Gateway and Lambda count of it; its status."""
        status, _ = self.shop.webhook(**changed)
        self.of_function("ingest", "Invocations", 1)
        self.of_api("Count", 1)
        self.of_api("5xx", float(status >= 500))
        return status

    def swept(self) -> None:
        """The minute's sweep, and what Lambda counts of one that raises."""
        try:
            self.shop.sweep()
        except Exception:  # noqa: BLE001 - whatever it is, Lambda counts an error
            self.put("sweepfailing", 1)
        else:
            self.put("sweepfailing", 0)

    def minutes(self, count: int, deed: Callable[[], object] = lambda: None, *, sweeping: bool = True) -> None:
        """Let minutes pass: in each the deed, and the sweep."""
        for _ in range(count):
            deed()
            if sweeping:
                self.swept()
            self.shop.wait(minutes=1)

    @contextmanager
    def throttled(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """DynamoDB refuses every call; nobody waits between tries."""
        monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
        monkeypatch.setattr("shared.aws.deadline.time.sleep", lambda _: None)
        events: Any = clients.dynamodb().meta.events  # its types know no handler that answers
        events.register_first("before-send.dynamodb", _refuse)
        try:
            yield
        finally:
            events.unregister("before-send.dynamodb", _refuse)


def _refuse(request: Any, **_: Any) -> AWSResponse:
    return _Refused(request.url)
