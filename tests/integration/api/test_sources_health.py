"""How each source is doing, read from what it brought."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.store.quarantine import QuarantineRecord, QuarantineStore
from shared.workflows.insight import source_health
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.shop import Shop
from tests.unit.domain.sessions import SOURCE


@pytest.fixture
def told(operator: Api, shop: Shop) -> Callable[[], dict[str, Any]]:
    """What the API tells the shop's merchant."""
    merchant = operator.as_(operator("POST", f"/v1/merchants/{shop.merchant.id}/tokens").json["token"])

    def ask() -> dict[str, Any]:
        answer = merchant("GET", "/v1/metrics/sources")
        assert answer.status == 200
        found: dict[str, Any] = answer.json
        return found

    return ask


def test_nothing_is_known_of_a_source_that_sent_nothing(told: Callable[[], dict[str, Any]]) -> None:
    (own,) = told()["data"]

    assert (own["source_id"], own["provider"]) == (SOURCE, "flexype")
    assert own["last_webhook_at"] is own["last_purchase_at"] is own["understood"] is None
    assert set(told()["looked_at"].values()) == {None}


def test_a_purchase_a_checkout_and_what_was_not_understood_are_told_apart(
    told: Callable[[], dict[str, Any]], shop: Shop
) -> None:
    shop.webhook(session="one")
    shop.wait(minutes=1)
    shop.webhook(session="two", session_state="COMPLETED")
    bought = shop.now
    shop.wait(minutes=1)
    shop.webhook(event_type="SOMETHING_NEW")

    (own,) = told()["data"]

    assert (own["checkouts"], own["quarantined"], own["understood"]) == (2, 1, pytest.approx(2 / 3))
    assert datetime.fromisoformat(own["last_purchase_at"]) == bought
    assert datetime.fromisoformat(own["last_webhook_at"]) == shop.now


def test_what_a_replay_understood_is_understood(told: Callable[[], dict[str, Any]], shop: Shop) -> None:
    shop.webhook(event_type="SOMETHING_NEW")
    store = QuarantineStore(shop.table)
    (row,), _ = store.listed(shop.merchant.id, limit=5, start=None)
    store.replayed(row.id, shop.now, "quarantined")
    assert told()["data"][0]["quarantined"] == 1

    store.replayed(row.id, shop.now, "accepted")

    assert told()["data"][0]["quarantined"] == 0


def test_how_far_back_was_looked_is_said(
    told: Callable[[], dict[str, Any]], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_health, "MOST_LOOKED_AT", 2)
    for number in range(3):
        shop.webhook(session=f"s-{number}", session_state="COMPLETED")
        shop.wait(minutes=1)
    for _ in range(3):
        at = datetime.now(UTC)
        named: Any = f"qrn_01M8GJX3KXBDA8YZHGZC3FGZ{at.minute:02d}"
        record = QuarantineRecord(named, shop.merchant.id, SOURCE, "flexype", "new", "quarantine/x", 1, at)
        QuarantineStore(shop.table).add(record)
        shop.wait(minutes=1)

    told_now = told()

    (own,) = told_now["data"]
    assert (own["checkouts"], own["quarantined"]) == (2, 2)
    assert None not in told_now["looked_at"].values()
    assert own["last_webhook_at"] > told_now["looked_at"]["quarantined_since"]


def test_another_merchants_sources_are_not_told(operator: Api, shop: Shop) -> None:
    shop.webhook()

    assert operator.as_(new_merchant(operator)["token"])("GET", "/v1/metrics/sources").json["data"] == []
