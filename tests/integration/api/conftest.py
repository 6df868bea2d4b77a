"""A merchant API over a stage on moto, called through the real handler with HTTP API (payload 2.0) events."""

import base64
import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest

from functions.merchant_api import services
from shared.aws.stage_watch import WATCHED_QUEUES, told_of
from shared.store.table import Table
from shared.workflows.privacy.merchant_erasure import Clock
from tests.integration.api import described
from tests.integration.conftest import ADMIN_KEY, DUE_SHARDS, Stage

PUBLIC_URL = "https://api.checkback.example"
API_ID = "abcde12345"


@dataclass(frozen=True)
class Answer:
    """An answer of the API."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)


@dataclass
class Api:
    """Calls the handler; ``credential`` goes with every call."""

    credential: str | None
    handler: Any = field(repr=False)

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """One request; ``body`` is sent as JSON, ``raw`` as it is."""
        given = {"content-type": "application/json"} if body is not None else {}
        if self.credential is not None:
            given["authorization"] = f"Bearer {self.credential}"
        text = json.dumps(body) if body is not None else None
        event = http_event(method, path, query or {}, given | dict(headers or {}), text, raw)
        answer = self.handler(event, None)
        assert isinstance(answer["body"], str)
        lower = {name.lower(): own for name, own in answer["headers"].items()}
        described.check(method, path, answer["statusCode"], lower, answer["body"])
        return Answer(answer["statusCode"], lower, answer["body"])

    def as_(self, credential: str | None) -> "Api":
        """The same API asked by somebody else."""
        return Api(credential, self.handler)


def http_event(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], text: str | None, raw: bytes | None
) -> dict[str, Any]:
    """An HTTP API event as API Gateway sends it."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "ANY /v1/{proxy+}",
        "rawPath": path,
        "rawQueryString": urlencode(query),
        "headers": {"host": "api.checkback.example", **headers},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.checkback.example",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "requestId": "request-1",
            "routeKey": "ANY /v1/{proxy+}",
            "stage": "$default",
            "timeEpoch": 1_780_000_000_000,
        },
        "isBase64Encoded": raw is not None,
    }
    if query:
        event["queryStringParameters"] = dict(query)
    if raw is not None:
        event["body"] = base64.b64encode(raw).decode()
    elif text is not None:
        event["body"] = text
    return event


@pytest.fixture
def stage_name() -> str:
    """The stage's name; tests of what only the local stage allows override it."""
    return "prod"


def _only_looked_at(stage: Stage) -> Iterator[tuple[str, str]]:
    """Queues with which the API does nothing but tell the operator how full they are."""
    yield "STEPS_QUEUE_URL", stage.steps_url
    yield "SLOW_QUEUE_URL", stage.slow_url
    yield "CAMPAIGN_RUNS_QUEUE_URL", stage.campaign_runs_url
    yield "DELIVERY_DEAD_LETTERS_QUEUE_URL", stage.dead_letters_url
    yield "DEAD_LETTERS_QUEUE_URL", stage.record_dead_letters_url
    yield "PULLS_DEAD_LETTERS_QUEUE_URL", stage.pull_dead_letters_url
    yield "CAMPAIGN_DEAD_LETTERS_QUEUE_URL", stage.campaign_dead_letters_url
    yield "MISSED_SCHEDULES_QUEUE_URL", stage.missed_schedules_url


@pytest.fixture
def operator(stage: Stage, stage_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The API as the operator calls it."""
    for name, value in {
        "STAGE": stage_name,
        "TABLE_NAME": stage.table_name,
        "PUBLIC_URL": PUBLIC_URL,
        "API_ID": API_ID,
        "KEYS_SECRET_ARN": stage.keys_secret_arn,
        "ADMIN_SECRET_ARN": stage.admin_secret_arn,
        "CREDENTIALS_KEY_ARN": stage.key_arn,
        "QUARANTINE_BUCKET": stage.bucket,
        "DELIVERIES_QUEUE_URL": stage.deliveries_url,
        "RETRIES_QUEUE_URL": stage.retries_url,
        "PULLS_QUEUE_URL": stage.pulls_url,
        "SCHEDULE_GROUP": stage.schedule_group,
        "SCHEDULER_ROLE_ARN": "arn:aws:iam::123456789012:role/scheduler",
        "CAMPAIGN_RUNS_QUEUE_ARN": stage.campaign_runs_arn,
        "DUE_SHARDS": str(DUE_SHARDS),
        WATCHED_QUEUES: told_of({variable: url.rpartition("/")[2] for variable, url in _only_looked_at(stage)}),
        "DISPATCH_FUNCTION": "dispatch",
        "ALARM_PREFIX": "checkback-prod-service-Alarms",
    }.items():
        monkeypatch.setenv(name, value)
    # An erasure waits until no function remembers its merchant: here none else runs.
    monkeypatch.setattr(services.Services, "clock", Clock(sleep=lambda _: None))
    services.services.cache_clear()
    yield Api(ADMIN_KEY, importlib.import_module("functions.merchant_api.handler").handler)
    services.services.cache_clear()


@pytest.fixture
def merchant(operator: Api) -> Api:
    """The API as a new merchant calls it."""
    return operator.as_(new_merchant(operator)["token"])


def new_merchant(operator: Api, **given: Any) -> dict[str, Any]:
    """A merchant, with its token."""
    body = {"name": "Tea House", "store_domains": ["tea.example"], "country": "IN", "currency": "INR"} | given
    answer = operator("POST", "/v1/merchants", body | {"timezone": "Asia/Kolkata"})
    assert answer.status == 201, answer.text
    made: dict[str, Any] = answer.json
    return made


@pytest.fixture
def rows(table: Table, operator: Api) -> Table:
    """The table behind the API."""
    return table
