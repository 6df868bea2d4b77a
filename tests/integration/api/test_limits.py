"""A merchant has so many of a thing and no more; a request repeated after a lost answer finds its own place."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from functions.merchant_api import limits
from functions.merchant_api.routes import campaigns, endpoints, merchant, sources
from shared.store.idempotency import IdempotencyStore
from shared.store.table import StoreUnavailable
from shared.workflows.campaigns import setup
from tests.integration.api.conftest import Api

FEW = 4
HOOK = "https://bsp.example.com/in"
KEY = {"idempotency-key": "one-more"}


@pytest.fixture
def clock(merchant: Api) -> Iterator[time_machine.Traveller]:
    del merchant  # made by the real clock, before
    with time_machine.travel("2030-11-21T10:00:00Z", tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (sources, "MOST_SOURCES"),
        (endpoints, "MOST_ENDPOINTS"),
        (merchant, "MOST_TOKENS"),
        (campaigns, "MOST_POOLS"),
        (setup, "MOST_CAMPAIGNS"),
    ):
        assert getattr(module, name) == getattr(setup if name == "MOST_CAMPAIGNS" else limits, name)
        monkeypatch.setattr(module, name, FEW)


def body_of(resource: str, own: Api) -> dict[str, Any]:
    if resource != "campaigns":
        bodies: dict[str, dict[str, Any]] = {
            "sources": {"provider": "flexype"},
            "endpoints": {"kind": "webhook", "url": HOOK},
            "tokens": {"name": "a till"},
            "coupon-pools": {"name": "Winter"},
        }
        return bodies[resource]
    endpoint = own("POST", "/v1/endpoints", {"kind": "webhook", "url": HOOK}).json["id"]
    return {
        "name": "Come back",
        "trigger": {"type": "abandonment"},
        "steps": [{"after": "PT1H", "endpoint_id": endpoint}],
    }


RESOURCES = ["sources", "endpoints", "tokens", "coupon-pools", "campaigns"]


@pytest.mark.parametrize("resource", RESOURCES)
def test_one_more_than_there_may_be_is_a_conflict(merchant: Api, resource: str) -> None:
    body = body_of(resource, merchant)
    standing = len(merchant("GET", f"/v1/{resource}").json["data"])
    made = [merchant("POST", f"/v1/{resource}", body).status for _ in range(FEW - standing + 1)]
    assert made == [201] * (FEW - standing) + [409]
    assert len(merchant("GET", f"/v1/{resource}").json["data"]) == FEW


@pytest.mark.parametrize("resource", RESOURCES)
def test_who_made_the_last_one_and_lost_the_answer_is_not_told_that_there_is_no_room(
    merchant: Api, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch, resource: str
) -> None:
    body = body_of(resource, merchant)
    standing = len(merchant("GET", f"/v1/{resource}").json["data"])
    for _ in range(FEW - standing - 1):
        assert merchant("POST", f"/v1/{resource}", body).status == 201

    def lost(*_: object, **__: object) -> None:
        raise StoreUnavailable("throttled")

    with monkeypatch.context() as unlucky:
        unlucky.setattr(IdempotencyStore, "answered", lost)
        unlucky.setattr(IdempotencyStore, "give_up", lost)
        assert merchant("POST", f"/v1/{resource}", body, headers=KEY).status >= 500
    clock.shift(timedelta(minutes=2))
    assert merchant("POST", f"/v1/{resource}", body, headers=KEY).status == 201
    assert len(merchant("GET", f"/v1/{resource}").json["data"]) == FEW
