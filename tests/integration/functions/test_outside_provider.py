"""A provider from outside the package is one module: webhooks come in and its API is asked with no other change."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from shared.domain.change import CheckoutChange, Signal, sequence_key
from shared.domain.checkout import Status
from shared.providers import registry
from shared.providers.authentication import shared_secret
from shared.providers.payload import Leaves, read_object
from shared.providers.provider import (
    CredentialField,
    Description,
    Normalised,
    NotUnderstood,
    Pull,
    SourceContext,
    WebhookRequest,
)
from shared.providers.pull import ApiPage, ApiRequest, BackfillQuery, Limit, StaticAccess, credential, root
from shared.workflows.intake.source_setup import describe
from tests.integration.functions.test_pull import SECRET, Desk, desk
from tests.integration.stand_in import Reply

pytestmark = pytest.mark.timed

__all__ = ["desk"]


def _change(basket: dict[str, Any], source: SourceContext) -> CheckoutChange:
    leaves = Leaves(source)
    leaves.email(basket.get("mail"))
    number = int(basket["turn"])
    signal = Signal.PURCHASED if basket.get("paid") else Signal.ACTIVITY
    return CheckoutChange(
        str(basket["nr"]), signal, sequence_key(number, b"walk"), b"%16d" % number, leaves=leaves.found
    )


class MarketStallApi:
    limit = Limit(100, timedelta(seconds=1))
    lists = True
    filters: frozenset[str] = frozenset()

    def access(self, source: SourceContext) -> StaticAccess:
        return StaticAccess({"x-stall": credential(source, "stall_token")})

    def content(self, pull: Pull, source: SourceContext) -> ApiRequest:
        return ApiRequest("GET", f"{root(source, 'https://stall.example')}/baskets/{pull.reference['nr']}")

    def read_content(self, content: Any, pull: Pull, at: datetime, source: SourceContext) -> Normalised:
        return Normalised((_change(content, source),))

    def page(self, query: BackfillQuery, cursor: str | None, source: SourceContext) -> ApiRequest:
        return ApiRequest("GET", f"{root(source, 'https://stall.example')}/baskets?after={cursor or ''}")

    def read_page(
        self, content: Any, query: BackfillQuery, cursor: str | None, at: datetime, source: SourceContext
    ) -> ApiPage:
        return ApiPage(Normalised(tuple(_change(own, source) for own in content["baskets"])), content["next"])


class MarketStall:
    name = "marketstall"
    checkout_hosts: frozenset[str] = frozenset()
    api = MarketStallApi()
    description = Description(
        title="Market stall",
        authentication="a shared secret in x-stall-secret",
        credentials=(CredentialField("secret", "the stall's secret", generated=True), CredentialField("api", "token")),
        setup="Give the stall the url.",
        declares_abandonment=False,
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        shared_secret(request.headers.get("x-stall-secret"), source.credentials.secrets)

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:
        return read_object(request.body)

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        if "nr" not in payload:
            raise NotUnderstood("no basket number")
        if "turn" not in payload:
            return Normalised(pulls=(Pull("basket", {"nr": str(payload["nr"])}),))
        return Normalised((_change(payload, source),))


@pytest.fixture
def stall(desk: Desk) -> Iterator[Desk]:
    module = ModuleType("somewhere_else_marketstall")
    module.PROVIDER = MarketStall()  # type: ignore[attr-defined]  # a module made for the test
    sys.modules[module.__name__] = module
    registry.register("marketstall", module.__name__)
    yield desk
    registry._outside.pop("marketstall")
    registry.provider.cache_clear()
    del sys.modules[module.__name__]


def test_it_is_listed_and_described(stall: Desk) -> None:
    assert "marketstall" in registry.names()
    assert describe("marketstall")["title"] == "Market stall"


def test_its_webhooks_come_in_proved_and_understood(stall: Desk) -> None:
    source = stall.source("marketstall", None)
    basket = {"nr": 7, "turn": 1, "mail": "Asha@Example.com"}

    assert stall.webhook(source, basket, **{"x-stall-secret": "wrong"})[0] == 401
    assert stall.webhook(source, basket, **{"x-stall-secret": SECRET})[1]["status"] == "accepted"
    assert stall.webhook(source, {"n": 1}, **{"x-stall-secret": SECRET})[1]["status"] == "quarantined"
    assert stall.webhook(source, {**basket, "turn": 2, "paid": True}, **{"x-stall-secret": SECRET})[0] == 200
    checkout = stall.checkout(source, "7")
    assert checkout.status is Status.COMPLETED
    assert checkout.leaves["customer.email"] == "asha@example.com"


def test_its_api_is_asked_for_contents_and_for_the_past(stall: Desk) -> None:
    source = stall.source("marketstall", {"stall_token": "t-1", "base_url": stall.api.url})
    stall.api.on("/baskets/9", Reply({"nr": 9, "turn": 3, "mail": "a@example.com"}))
    stall.webhook(source, {"nr": 9}, **{"x-stall-secret": SECRET})
    stall.work()
    assert stall.checkout(source, "9").leaves["customer.email"] == "a@example.com"

    first = {"baskets": [{"nr": 10, "turn": 1}], "next": "10"}
    stall.api.on("/baskets", Reply(first), Reply({"baskets": [{"nr": 11, "turn": 1}], "next": None}))
    done = stall.finish(stall.backfills.start(source, stall.merchant, None, {}))
    assert (done.status, done.counts.created) == ("completed", 2)
    assert {own.headers["x-stall"] for own in stall.api.asked} == {"t-1"}
    assert json.dumps(done.filters) == "{}"
