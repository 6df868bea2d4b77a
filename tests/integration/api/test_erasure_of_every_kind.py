"""Erasures against the whole table: rows of every kind of work, of what was removed, and of what nobody can read."""

from datetime import timedelta
from typing import Any

import pytest

from shared.delivery.exchange import Answer
from shared.domain.campaign import CampaignId
from shared.domain.ids import JobId, SourceId, new_ulid
from shared.store import keys
from shared.store.campaign_runs import RunStore
from shared.store.jobs import Job, JobStore
from shared.store.writes import Update
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_customers import PHONE, _bucket, erase, everything, merchant, shop
from tests.integration.privacy.scanning import rows
from tests.integration.shop import MERCHANT, SESSION, SOURCE, Shop, stranger
from tests.integration.workflows.campaigns.test_campaign_steps import HOUR, campaign, open_all_day

pytestmark = pytest.mark.long

__all__ = ["_bucket", "merchant", "shop"]


def whole(shop: Shop) -> list[dict[str, Any]]:
    return rows(shop.stores.environment.table_name)


def leases(shop: Shop) -> list[dict[str, Any]]:
    """Of the stage's sweeps, which are nobody's: they hold nothing but when a shard is free again."""
    found = [row for row in whole(shop) if row["sk"] == "SW"]
    assert all(row.keys() == {"pk", "sk", "by", "ttl"} for row in found)
    return found


def kinds(held: list[dict[str, Any]]) -> set[str]:
    """How the keys of rows begin."""
    return {f"{row['pk'].partition('#')[0]} {row['sk'].partition('#')[0]}" for row in held}


def lived(shop: Shop, merchant: Api, operator: Api) -> None:
    """Work of every kind, some of it in the midst; endpoints and sources, some removed."""
    open_all_day(shop)
    gone, kept = shop.endpoint("checkout.abandoned"), shop.endpoint("checkout.abandoned", "checkout.recovered")
    campaign(shop, kept, HOUR)
    shop.answer = lambda _: Answer(400, body=b"no such person")
    shop.abandon()
    shop.settle()
    shop.deliver()
    shop.abandon("two", user=stranger(2))
    shop.settle()
    shop.webhook(session="bought", user=stranger(3), session_state="COMPLETED")
    shop.settle()
    assert merchant("DELETE", f"/v1/endpoints/{gone.id}").status == 204
    assert merchant("POST", f"/v1/endpoints/{kept.id}/recover").status == 202
    other = merchant("POST", "/v1/sources", {"provider": "flexype"}, headers={"idempotency-key": "a"}).json["id"]
    assert merchant("DELETE", f"/v1/sources/{other}").status == 204
    assert operator("POST", f"/v1/merchants/{MERCHANT}/tokens", headers={"idempotency-key": "b"}).status == 201
    runs = RunStore(shop.table)
    run = runs.begin(MERCHANT, CampaignId("cmp_1"), shop.now, shop.now, timedelta(minutes=5))
    assert run is not None
    assert runs.claim(run, shop.digest(), shop.now)
    assert runs.claim(run, shop.digest("two"), shop.now)
    job = Job(JobId(f"job_{new_ulid(shop.now)}"), MERCHANT, SourceId(SOURCE), shop.now, shop.now, shop.now)
    JobStore(shop.table).create(job)


@pytest.fixture
def neighbours(shop: Shop, operator: Api) -> list[dict[str, Any]]:
    """The rows of another merchant, and of the stage."""
    before = whole(shop)
    new_merchant(operator)
    return [row for row in whole(shop) if row not in before or row["pk"] == keys.DATA_KEYS]


def test_a_merchants_work_of_every_kind_goes_and_so_does_what_was_removed_before(
    shop: Shop, merchant: Api, operator: Api, neighbours: list[dict[str, Any]]
) -> None:
    lived(shop, merchant, operator)
    held = kinds(whole(shop))
    assert {"B B", "C A", "C E", "J J", "M WAS", "O O", "P P", "R C", "R R"} <= held
    assert len([row for row in whole(shop) if row["pk"].startswith("X#")]) == 2
    assert len([row for row in whole(shop) if row["pk"].startswith("J#")]) == 2

    assert operator("DELETE", f"/v1/merchants/{MERCHANT}").status == 204

    assert [row for row in whole(shop) if row not in leases(shop)] == neighbours


def test_what_an_endpoint_heard_and_answered_goes_though_it_was_removed(shop: Shop, merchant: Api) -> None:
    gone = shop.endpoint("checkout.abandoned", retry_schedule=[])
    shop.answer = lambda _: Answer(400, body=b"no such person: Asha")
    shop.abandon()
    shop.settle()
    shop.deliver()
    assert "Asha" in everything(shop)
    assert merchant("DELETE", f"/v1/endpoints/{gone.id}").status == 204

    done = erase(merchant, phone=PHONE)

    assert (done["checkouts"], done["endpoints_told"]) == (1, [])
    for personal in ("7777788888", "Gujarat", SESSION, "Asha"):
        assert personal not in everything(shop)


SPOILT: tuple[dict[str, Any], ...] = ({"st": "teleported"}, {"b": b"no zlib"}, {"la": "yesterday"}, {"v": "many"})


@pytest.mark.parametrize("spoilt", SPOILT, ids=lambda own: next(iter(own)))
def test_a_checkout_that_nobody_can_read_is_erased_and_late_webhooks_bring_nothing_back(
    shop: Shop, merchant: Api, spoilt: dict[str, Any]
) -> None:
    shop.endpoint("checkout.abandoned")
    shop.abandon()
    shop.settle()
    shop.deliver()
    shop.table.update(Update(keys.checkout(shop.digest()), set=spoilt))

    assert erase(merchant, phone=PHONE)["checkouts"] == 1

    for personal in ("7777788888", "Gujarat", SESSION):
        assert personal not in everything(shop)
    shop.wait(minutes=5)
    for state in ("PAYMENT_LOADED", "COMPLETED"):
        assert shop.webhook(session_state=state)[1]["status"] == "duplicate"
    shop.wait(hours=1)
    shop.sweep()
    shop.settle()
    assert "7777788888" not in everything(shop)
    assert shop.checkout().erased
