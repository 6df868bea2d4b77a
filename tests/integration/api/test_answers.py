"""Every operation once, with success: the client of these tests holds each answer against the description."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.ids import JobId
from shared.store.deliveries import DeliveryStatus, Recorded
from shared.store.jobs import JobStore
from tests.integration.api import described
from tests.integration.api.conftest import Api
from tests.integration.api.full_bodies import bodies_of
from tests.integration.api.town import Town, a_town
from tests.integration.api.written import ANEW, PAGE, Examples, pretty, shown_examples, write
from tests.integration.shop import Shop, aws_event

OTHER = "7c0f2a80-61a5-4a9a-8a2e-2b8f9f6a7b11"


@pytest.fixture
def town(operator: Api, shop: Shop) -> Town:
    return a_town(operator, shop)


def _work_on(shop: Shop, job_id: JobId) -> None:
    """A worker writes down that the backfill waits: not heard of for half an hour it would be told as stalled."""
    store = JobStore(shop.table)
    job = store.get(job_id)
    assert job is not None
    assert store.save(replace(job, status="running", updated_at=shop.now, reason="the provider answered 503"), job.page)


def walk(town: Town, shop: Shop) -> Iterator[tuple[Api, str, str, Any]]:
    """What reads, what changes, what removes: in an order in which each can succeed."""
    shop.abandon(OTHER)
    (waiting, *_) = shop.deliveries()
    shop.stores.deliveries.record(waiting, Recorded(DeliveryStatus.FAILED, "attempts_exhausted"))
    _work_on(shop, JobId(town.ids["job_id"]))
    ids, sample = town.ids, aws_event("webhook")["body"]
    shop.stores.bucket.keep_body("body", sample.encode(), "application/json")
    for own in town.operations:
        if own.method == "GET":
            yield town.operator if own.operators else town.victim, "GET", own.path, None
    yield town.operator.as_(None), "GET", "/healthz", None
    keyed = {"kind": "webhook", "url": "https://bsp.example.com/", "settings": {"signatures": ["v1a"]}}
    named = town.victim("POST", "/v1/endpoints", keyed).json["id"]
    yield town.operator.as_(None), "GET", f"/v1/endpoints/{named}/public-keys", None
    yield town.operator, "POST", f"/v1/merchants/{ids['merchant_id']}/tokens", {}
    yield town.victim, "POST", f"/v1/checkouts/chk_{shop.digest(OTHER)}/discard", None
    yield town.victim, "POST", f"/v1/deliveries/{ids['delivery_id']}/retry", None
    yield town.victim, "POST", f"/v1/quarantine/{ids['quarantine_id']}/replay", None
    yield town.victim, "POST", f"/v1/quarantine/{ids['quarantine_id']}/preview", {"mapping": {}}
    yield town.victim, "POST", f"/v1/sources/{ids['source_id']}/preview", json.loads(sample)
    shown = {"checkout_id": f"chk_{shop.digest(OTHER)}"}
    yield town.victim, "POST", f"/v1/endpoints/{ids['endpoint_id']}/preview", shown
    for ending in ("pause", "resume"):
        yield town.victim, "POST", f"/v1/campaigns/{ids['campaign_id']}/{ending}", None
    for ending in ("disable", "enable", "test"):
        yield town.victim, "POST", f"/v1/endpoints/{ids['endpoint_id']}/{ending}", None
    yield town.victim, "POST", "/v1/portal-links", {"capabilities": ["read"]}
    yield town.victim, "POST", "/v1/sources", {"provider": "flexype", "name": "Tea House"}
    told = {"event_types": ["checkout.abandoned", "checkout.recovered"], "settings": {"timeout": "PT5S"}}
    yield town.victim, "POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/hooks"} | told
    step = {"after": "PT1H", "endpoint_id": ids["endpoint_id"], "coupon": {"type": "static", "code": "BACK10"}}
    criteria = {"all": [{"field": "total", "op": "gte", "value": "500.00"}]}
    yield town.victim, "POST", "/v1/campaigns", {"name": "Come back", "criteria": criteria, "steps": [step]}
    yield from bodies_of(town)
    yield town.victim, "POST", f"/v1/sources/{ids['source_id']}/sample", {"contact": {"phone": "+917777788888"}}
    tokened = town.victim("POST", "/v1/sources", {"provider": "custom"}).json["id"]
    yield town.victim, "POST", f"/v1/sources/{tokened}/rotate-token", {"overlap": "PT1H"}
    removing = [own for own in town.operations if own.method == "DELETE" and own.template != "/v1/suppressions"]
    for own in sorted(removing, key=lambda own: (own.operators, "token" in own.template)):
        yield town.operator if own.operators else town.victim, "DELETE", own.path, None


def test_every_operation_answers_as_it_is_described(town: Town, shop: Shop) -> None:
    answered, examples = set(), Examples()
    for caller, method, path, body in walk(town, shop):
        answer = caller(method, path, body)
        assert answer.status < 300, (method, path, answer.text)
        operation = described.operation_at(method, path)
        assert operation is not None
        answered.add(operation)
        examples.note(described.operations()[operation]["operationId"], body, {answer.status: answer.text})

    assert answered == set(described.operations())
    examples.check(frozenset(own["operationId"] for own in described.operations().values()))


def test_an_answer_that_says_more_or_less_than_described_is_noticed(merchant: Api) -> None:
    answer = merchant("GET", "/v1/merchant")
    path, headers = "/v1/merchant", dict(answer.headers)
    more, fewer = answer.json | {"tier": "gold"}, {"id": answer.json["id"]}
    settings = answer.json | {"settings": answer.json["settings"] | {"idle_after": "30 minutes"}}

    described.check("GET", path, 200, headers, answer.text)
    for body in (more, fewer, settings):
        with pytest.raises(AssertionError, match="/v1/merchant"):
            described.check("GET", path, 200, headers, json.dumps(body))
    for status, heard in (
        (201, headers),
        (200, headers | {"x-more": "1"}),
        (200, {"content-type": "application/json"}),
    ):
        with pytest.raises(AssertionError, match="/v1/merchant"):
            described.check("GET", path, status, heard, answer.text)


def test_every_example_is_one(operator: Api) -> None:
    names = set()
    for name, schema, example in shown_examples():
        errors = [own.message for own in described.validator(schema).iter_errors(example)]
        assert errors == [], (name, errors)
        names.add(name)
    assert len(names) > 75


def test_the_description_in_the_documentation_is_the_one_that_is_served(operator: Api) -> None:
    served = operator.as_(None)("GET", "/openapi.json").json
    if ANEW:
        write(PAGE, served)
    assert PAGE.read_text() == pretty(served), "run `make openapi`"
