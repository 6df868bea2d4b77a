"""Every AWS call of setting something up fails once; whoever asked repeats the request: the same end, made once.

A POST is repeated under its Idempotency-Key, as the README tells integrators to; everything else as it was.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from functions.merchant_api import services
from tests.integration.api.conftest import Answer, Api, merchant, operator, stage_name
from tests.integration.api.test_campaigns import SCHEDULE, a_campaign, schedules
from tests.integration.conftest import Stage
from tests.integration.faults.aws_calls import AwsCalls, Fault, Kind, WorkerKilled
from tests.integration.faults.conftest import CASES, EVERYTHING, StageState
from tests.integration.privacy.scanning import rows

__all__ = ["merchant", "operator", "stage_name"]
pytestmark = pytest.mark.long

type Made = Mapping[str, str]
"""Ids of what stands before the request, by what it is."""
PHONE = "+917777788888"
RANDOM = re.compile(r"_[0-9A-Z]{26}(#\d+)?|\b[a-z2-7]{26}\b")
PLACE = re.compile(r"(?<=#events#)\d|(?<=')\d{15}(?=#evt_)")
"""Of an event in the list: its shard follows its id, the rest the clock."""
INSTANT = re.compile(r"Decimal\('1\d{12}'\)")
SEALED = re.compile(r"Binary\([^()]*\)|b'(?:[^'\\]|\\.)*'|b\"(?:[^\"\\]|\\.)*\"|(?<=')[0-9a-f]{64}(?=')")
SCHEDULED = ("Name", "ScheduleExpression", "ScheduleExpressionTimezone", "State", "StartDate", "EndDate")
OF_ITS_TIME = {"v", "version", "ua", "at", "ttl", "created_at", "ca"}


@dataclass(frozen=True)
class Request:
    """What is asked; ``{endpoint}`` and the like in its path are ids of what stands."""

    name: str
    method: str
    path: str
    body: Any = None
    by_operator: bool = False
    again: int | None = None
    """The status of a repeat that finds it done: what was removed is not found, what is there is not new."""


def _endpoint(url: str) -> dict[str, Any]:
    return {"kind": "webhook", "url": url, "event_types": ["checkout.abandoned"]}


CHANGED = {"name": "another name", "trigger": {**SCHEDULE, "expression": "rate(2 hours)"}}
REQUESTS = (
    Request("a merchant", "POST", "/v1/merchants", {"name": "A shop"}, by_operator=True),
    Request("a token", "POST", "/v1/tokens"),
    Request("a token is revoked", "DELETE", "/v1/tokens/{token}", again=404),
    Request("settings", "PATCH", "/v1/merchant", {"settings": {"holdout_percent": 7}}),
    Request("a source", "POST", "/v1/sources", {"provider": "flexype"}),
    Request("a source changes", "PATCH", "/v1/sources/{source}", {"name": "another name"}),
    Request("a source goes", "DELETE", "/v1/sources/{source}", again=404),
    Request("an endpoint", "POST", "/v1/endpoints", _endpoint("https://crm.example/new")),
    Request("an endpoint changes", "PATCH", "/v1/endpoints/{endpoint}", {"event_types": ["checkout.recovered"]}),
    Request("an endpoint's secret", "POST", "/v1/endpoints/{endpoint}/rotate-secret"),
    Request("an endpoint goes", "DELETE", "/v1/endpoints/{lonely}", again=404),
    Request("a test event", "POST", "/v1/endpoints/{endpoint}/test"),
    Request("a campaign", "POST", "/v1/campaigns", {"trigger": SCHEDULE}),
    Request("a campaign changes", "PATCH", "/v1/campaigns/{campaign}", CHANGED),
    Request("a campaign pauses", "POST", "/v1/campaigns/{campaign}/pause"),
    Request("a campaign goes", "DELETE", "/v1/campaigns/{campaign}", again=404),
    Request("a pool", "POST", "/v1/coupon-pools", {"name": "Autumn"}),
    Request("codes", "POST", "/v1/coupon-pools/{pool}/codes", {"codes": [f"CODE{own}" for own in range(30)]}),
    Request("a suppression", "POST", "/v1/suppressions", {"phone": PHONE, "reason": "asked"}, again=200),
)


class SetUp:
    """A merchant with one of everything, and one request about it."""

    def __init__(self, stage: Stage, merchant: Api, operator: Api, calls: AwsCalls, request: Request) -> None:
        self._table, self._request, self._calls = stage.table_name, request, calls
        self._api = operator if request.by_operator else merchant
        self._made = one_of_everything(merchant)
        self._path = request.path.format_map(self._made)
        body = request.body
        self._body = a_campaign(self._made["endpoint"], **body) if request.name == "a campaign" else body
        self._state = StageState.taken(self._table)
        self.expected = self._played(None)
        self.calls = list(calls.names)

    def wrong(self) -> list[str]:
        """What ends otherwise."""
        found = [(own, self._played(own)) for own in self.faults()]
        return [
            f"{fault.kind} {fault.at} {self.calls[fault.at]}: {differing(self.expected, end)}"
            for fault, end in found
            if end != self.expected
        ]

    def faults(self) -> list[Fault]:
        """Two kinds for each call, all of them where everything is played."""
        kinds = tuple(Kind) if EVERYTHING else (Kind.THROTTLED, Kind.UNSEEN)
        return [Fault(at, kind) for at in range(len(self.calls)) for kind in kinds]

    def _played(self, fault: Fault | None) -> dict[str, Any]:
        self._state.restore(self._table)
        services.services.cache_clear()
        with self._calls.watched(fault):
            answer = self._asked()
        for minutes in (0, 2, 4):
            if answer is not None and answer.status < 500 and answer.status != 409:
                break
            with time_machine.travel(datetime.now(UTC) + timedelta(minutes=minutes), tick=True):
                answer = self._asked()  # 409: the first may still be running, until its lease is over
        assert answer is not None
        assert answer.status < 300 or answer.status == self._request.again, (answer.status, answer.text)
        services.services().campaign_setup._schedules.repair()  # as the sweep does each minute
        scheduled = [unnamed({name: own.get(name) for name in SCHEDULED}) for own in schedules()]
        left = {"rows": self._rows(), "schedules": scheduled}
        if answer.status == self._request.again:
            return self.expected | left
        return {"status": answer.status, "answer": shape(json.loads(answer.text or "null")), **left}

    def _asked(self) -> Answer | None:
        key = {"idempotency-key": "one-request"} if self._request.method == "POST" else {}
        try:
            return self._api(self._request.method, self._path, self._body, headers=key)
        except WorkerKilled:
            services.services.cache_clear()
            return None

    def _rows(self) -> Counter[str]:
        """Every row that is left, but for what is remembered of the request itself."""
        return Counter(unnamed(own) for own in rows(self._table) if own["pk"][:2] not in {"X#", "K#"})


def one_of_everything(merchant: Api) -> Made:
    """Set up without a fault; another endpoint that no campaign names."""

    def made(path: str, body: Any = None) -> str:
        answer = merchant("POST", path, body)
        assert answer.status == 201, answer.text
        return str(answer.json["id"])

    endpoint = made("/v1/endpoints", _endpoint("https://crm.example/hooks"))
    return {
        "endpoint": endpoint,
        "lonely": made("/v1/endpoints", _endpoint("https://crm.example/more")),
        "source": made("/v1/sources", {"provider": "flexype"}),
        "token": made("/v1/tokens"),
        "campaign": made("/v1/campaigns", a_campaign(endpoint, trigger=SCHEDULE)),
        "pool": made("/v1/coupon-pools", {"name": "Summer"}),
    }


def shape(body: Any) -> Any:
    """What an answer says; of texts, which are ids, secrets and instants here, only that they are there."""
    if isinstance(body, dict):
        return {name: shape(own) for name, own in body.items()}
    return [shape(own) for own in body] if isinstance(body, list) else type(body).__name__


def unnamed(row: Mapping[str, Any]) -> str:
    """As text, without what was made at random or by the clock."""
    text = RANDOM.sub("_", str(sorted((name, own) for name, own in row.items() if name not in OF_ITS_TIME)))
    return SEALED.sub("sealed", INSTANT.sub("then", PLACE.sub("there", text)))


def differing(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """The parts that are not the same."""
    rows = {"missing": expected["rows"] - found["rows"], "more": found["rows"] - expected["rows"]}
    others = (
        f"{name}: {own} became {found[name]}" for name, own in expected.items() if name != "rows" and own != found[name]
    )
    return "; ".join([*(f"{name}: {list(own)}" for name, own in rows.items() if own), *others])


@pytest.mark.parametrize("request_", REQUESTS, ids=[own.name for own in REQUESTS])
def test_whichever_call_fails_what_was_asked_for_is_made_once(
    request_: Request,
    stage: Stage,
    merchant: Api,
    operator: Api,
    calls: AwsCalls,
    record_property: Callable[[str, object], None],
) -> None:
    made = SetUp(stage, merchant, operator, calls, request_)
    assert len(made.calls) >= 2
    record_property(CASES, (f"set-up, {request_.name}", len(made.faults())))
    wrong = made.wrong()
    assert not wrong, "\n".join(wrong)
