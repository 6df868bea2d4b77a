"""Recovering an endpoint: what failed or was held goes out again, with its own id and bytes, if it is still true."""

from dataclasses import replace
from typing import Any, Literal

import pytest

from shared.delivery.exchange import Answer
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryStatus
from shared.store.resend_jobs import ResendJobStore
from shared.workflows.delivering.refusals import Conflict, Invalid
from shared.workflows.delivering.resend import ResendJobs
from tests.integration.conftest import DUE_SHARDS
from tests.integration.shop import MERCHANT, Shop, stranger


class Killed(BaseException):
    """The process is gone: nothing that catches errors sees it."""


def jobs(shop: Shop) -> ResendJobs:
    return ResendJobs(ResendJobStore(shop.table, DUE_SHARDS), lambda: shop.now)


def switch(shop: Shop, endpoint: Endpoint, status: Literal["active", "disabled"]) -> Endpoint:
    store = EndpointStore(shop.table)
    found = store.get(MERCHANT, endpoint.id)
    assert found is not None
    changed = replace(found.value, status=status)
    store.replace(changed, found.version)
    return changed


def recovered(shop: Shop, endpoint: Endpoint, **wanted: Any) -> Any:
    job = jobs(shop).start(endpoint, wanted.get("since"), wanted.get("statuses"))
    shop.sweep()
    shop.deliver(shop.retries())
    return jobs(shop).read(MERCHANT, job.id)


def abandon(shop: Shop, count: int) -> None:
    for number in range(count):
        shop.webhook(session=f"session-{number}", user=stranger(number))
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()


def test_what_was_held_and_what_failed_goes_out_with_its_own_id_and_bytes(shop: Shop) -> None:
    endpoint = shop.endpoint(retry_schedule=[])
    shop.abandon("failed-one", user=stranger(100))
    shop.settle()
    shop.answer = lambda _: Answer(500)
    shop.deliver()
    (first,) = shop.sent
    switch(shop, endpoint, "disabled")
    shop.abandon("held-one", user=stranger(101))
    shop.settle()
    shop.deliver()
    assert {own.status for own in shop.deliveries()} == {DeliveryStatus.FAILED, DeliveryStatus.HELD}
    active = switch(shop, endpoint, "active")
    shop.answer = lambda _: Answer(200)
    shop.wait(seconds=1)
    job = recovered(shop, active)
    assert {own.status for own in shop.deliveries()} == {DeliveryStatus.DELIVERED}
    assert (job.status, job.examined, job.resent) == ("completed", 2, 2)
    again = next(own for own in shop.sent[1:] if own.headers["webhook-id"] == first.headers["webhook-id"])
    assert again.body == first.body
    assert shop.sweep() == {}


def test_what_is_true_no_more_is_not_sent(shop: Shop) -> None:
    endpoint = switch(shop, shop.endpoint(), "disabled")
    shop.abandon()
    shop.settle()
    shop.webhook(session_state="COMPLETED")
    job = recovered(shop, switch(shop, endpoint, "active"))
    assert job.resent == 1
    (own,) = [one for one in shop.deliveries() if one.event_type == "checkout.abandoned"]
    assert (own.status, own.reason) == (DeliveryStatus.SKIPPED, "purchased")
    assert shop.sent == []


def test_a_long_job_goes_on_at_the_next_sweep(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.workflows.delivering.resend._PAGE", 2)
    endpoint = switch(shop, shop.endpoint(), "disabled")
    abandon(shop, 5)
    active = switch(shop, endpoint, "active")
    job = jobs(shop).start(active, None, None)
    shop.wait(seconds=1)
    monkeypatch.setattr("functions.sweep.handler.SPARE_MS", 10**9)
    shop.sweep(kind="R", shard=0)
    shop.sweep(kind="R", shard=1)
    half = jobs(shop).read(MERCHANT, job.id)
    assert (half.status, half.examined) == ("running", 2)
    monkeypatch.undo()


def test_only_the_named_statuses_and_only_since_then(shop: Shop) -> None:
    endpoint = switch(shop, shop.endpoint(), "disabled")
    shop.abandon("before", user=stranger(102))
    shop.settle()
    shop.wait(minutes=5)
    since = shop.now
    shop.abandon("after", user=stranger(103))
    shop.settle()
    shop.wait(minutes=1)
    active = switch(shop, endpoint, "active")
    assert recovered(shop, active, since=since, statuses=[DeliveryStatus.FAILED]).resent == 0
    assert recovered(shop, active, since=since, statuses=[DeliveryStatus.HELD]).resent == 1
    assert len(shop.sent) == 1


def test_a_disabled_endpoint_and_delivered_ones_are_refused(shop: Shop) -> None:
    endpoint = shop.endpoint()
    with pytest.raises(Invalid):
        jobs(shop).start(endpoint, None, [DeliveryStatus.DELIVERED])
    with pytest.raises(Conflict):
        jobs(shop).start(switch(shop, endpoint, "disabled"), None, None)


@pytest.mark.long
def test_a_crash_between_page_and_cursor_sends_nothing_twice(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = switch(shop, shop.endpoint(), "disabled")
    abandon(shop, 3)
    active = switch(shop, endpoint, "active")
    shop.wait(seconds=1)
    jobs(shop).start(active, None, None)
    with monkeypatch.context() as crashing:

        def crash(*_: Any) -> None:
            raise Killed

        crashing.setattr(ResendJobStore, "save", crash)
        with pytest.raises(Killed):
            shop.sweep()
    shop.deliver(shop.retries())
    shop.wait(minutes=6)
    shop.sweep()
    shop.deliver(shop.retries())
    assert len(shop.sent) == 3
    assert {own.status for own in shop.deliveries()} == {DeliveryStatus.DELIVERED}
