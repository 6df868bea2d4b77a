"""Bodies made by merchants' templates: rendered where only their merchant waits, and the same bytes ever after."""

import json
import string
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from shared.delivery.exchange import Answer, OutboundRequest
from shared.destinations import liquid
from shared.destinations.liquid import TemplatesUnavailable
from shared.domain.ids import MerchantId
from shared.domain.merchant import Endpoint
from shared.store import keys
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryStatus, Recorded
from shared.store.events import EventStore
from shared.store.table import Table
from shared.store.writes import Delete, Update
from shared.workflows.delivering.batch import Prepared, Unwritten, in_turn, send_prepared
from tests.integration.shop import MERCHANT, Shop, stranger
from tests.patience import PATIENCE

TEMPLATE = '{"who": "{{ customer.phone }}", "version": 1}'
EDITED = '{"who": "{{ customer.phone }}", "version": 2}'


def templated(shop: Shop, template: str = TEMPLATE) -> Endpoint:
    return shop.endpoint(payload={"liquid": template})


def set_payload(shop: Shop, endpoint: Endpoint, payload: object) -> None:
    """The merchant edits the endpoint."""
    endpoints = EndpointStore(shop.table)
    found = endpoints.get(endpoint.merchant_id, endpoint.id)
    assert found is not None
    endpoints.replace(replace(found.value, settings={**found.value.settings, "payload": payload}), found.version)


def abandoned(shop: Shop) -> None:
    shop.abandon()
    shop.settle()


def sent_bodies(shop: Shop) -> list[Any]:
    return [json.loads(own.body) for own in shop.sent]


def test_dispatch_renders_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    templated(shop)

    def never(*_args: object) -> str:
        raise AssertionError("a template was rendered in dispatch")

    with monkeypatch.context() as patch:
        patch.setattr(liquid._sandbox, "run", never)
        abandoned(shop)
    (event,) = shop.events()
    assert (event.bodies, event.frozen) == ({}, {})
    shop.deliver()
    assert sent_bodies(shop) == [{"who": "+917777788888", "version": 1}]


def test_a_template_edited_before_the_first_attempt_counts_and_after_it_does_not(shop: Shop) -> None:
    endpoint = templated(shop)
    abandoned(shop)
    set_payload(shop, endpoint, {"liquid": EDITED})
    shop.answer = lambda _: Answer(500)
    shop.deliver()
    set_payload(shop, endpoint, {"liquid": TEMPLATE})
    shop.wait(seconds=10)
    shop.deliver(shop.retries())
    first, second = shop.sent
    assert json.loads(first.body)["version"] == 2
    assert second.body == first.body


def test_an_endpoint_that_drops_its_template_gets_the_envelope_and_keeps_getting_it(shop: Shop) -> None:
    endpoint = templated(shop)
    abandoned(shop)
    set_payload(shop, endpoint, "checkback")
    shop.answer = lambda _: Answer(500)
    shop.deliver()
    set_payload(shop, endpoint, {"liquid": TEMPLATE})
    shop.wait(seconds=10)
    shop.deliver(shop.retries())
    first, second = shop.sent
    assert json.loads(first.body)["type"] == "checkout.abandoned"
    assert second.body == first.body


def test_one_that_gets_a_template_after_its_first_attempt_keeps_the_envelope(shop: Shop) -> None:
    endpoint = shop.endpoint()
    abandoned(shop)
    shop.answer = lambda _: Answer(500)
    shop.deliver()
    set_payload(shop, endpoint, {"liquid": TEMPLATE})
    shop.wait(seconds=10)
    shop.deliver(shop.retries())
    first, second = shop.sent
    assert second.body == first.body


def test_who_comes_second_sends_what_the_first_has_kept(shop: Shop) -> None:
    """A worker that died between keeping and sending, or a message that SQS delivered twice."""
    endpoint = templated(shop)
    abandoned(shop)
    (event,) = shop.events()
    events = EventStore(shop.table)
    assert events.freeze(event, endpoint.id, b'{"kept":"first"}') == b'{"kept":"first"}'
    assert events.freeze(event, endpoint.id, b'{"kept":"second"}') == b'{"kept":"first"}'
    shop.deliver()
    assert sent_bodies(shop) == [{"kept": "first"}]


def test_a_worker_that_dies_before_it_sends_leaves_the_bytes_to_the_next(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = templated(shop)
    abandoned(shop)
    queued = shop.queued()

    def dies(_requests: Sequence[OutboundRequest], _answered: object = None) -> list[Any]:
        raise RuntimeError("the worker is gone")

    with monkeypatch.context() as patch:
        patch.setattr(shop, "send_all", dies)
        with pytest.raises(RuntimeError):
            shop.deliver(queued)
    set_payload(shop, endpoint, {"liquid": EDITED})
    shop.deliver(queued)
    assert [own["version"] for own in sent_bodies(shop)] == [1]


def test_an_event_erased_before_its_first_attempt_is_neither_sent_nor_written_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    templated(shop)
    abandoned(shop)
    (event,) = shop.events()
    render = liquid._sandbox.run

    def erased_meanwhile(work: Any) -> str:
        made = render(work)
        shop.table.delete(Delete(keys.event(event.checkout_digest, event.version)))
        return made

    monkeypatch.setattr(liquid._sandbox, "run", erased_meanwhile)
    shop.deliver()
    (own,) = shop.deliveries()
    assert (own.status, own.reason, shop.sent) == (DeliveryStatus.SKIPPED, "erased", [])
    assert shop.events() == []


def test_what_a_template_has_made_goes_with_the_event(shop: Shop) -> None:
    templated(shop, '{"planted": "{{ customer.phone | append: \'-planted\' }}"}')
    abandoned(shop)
    shop.deliver()
    (event,) = shop.events()
    assert b"-planted" in next(iter(event.frozen.values()))
    key = keys.event(event.checkout_digest, event.version)
    row = shop.table.get(key)
    assert int(row["ttl"]) > shop.now.timestamp()
    assert key in shop.stores.checkouts.forget(event.checkout_digest)


def test_keeping_costs_one_write_and_only_where_there_is_a_template(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    update = Table.update

    def noted(table: Table, own: Update) -> None:
        written.append(own.key[1])
        update(table, own)

    monkeypatch.setattr(Table, "update", noted)
    shop.endpoint()
    endpoint = templated(shop)
    abandoned(shop)
    (event,) = shop.events()
    written.clear()
    shop.answer = lambda _: Answer(500)
    shop.deliver()
    assert written.count(keys.event(event.checkout_digest, event.version)[1]) == 1
    written.clear()
    shop.wait(seconds=10)
    shop.deliver(shop.retries())
    assert not [own for own in written if own.startswith("E#")]
    assert len(shop.sent) == 4
    assert endpoint.id in shop.events()[0].frozen


def test_a_template_that_was_mended_is_rendered_when_the_delivery_is_recovered(shop: Shop) -> None:
    endpoint = templated(shop, "{{ nothing_of_the_kind }}")
    abandoned(shop)
    queued = shop.queued()
    shop.deliver(queued)
    (failed,) = shop.deliveries()
    assert (failed.status, failed.reason) == (DeliveryStatus.FAILED, "template_error")
    set_payload(shop, endpoint, {"liquid": TEMPLATE})
    shop.stores.deliveries.record(failed, Recorded(DeliveryStatus.PENDING, None))
    shop.deliver(queued)
    assert [own["version"] for own in sent_bodies(shop)] == [1]


def noisy_templates(count: int) -> list[str]:
    """Templates of 32 KB each that hardly compress."""
    random = Random(7)
    letters = string.ascii_letters + string.digits + "+/"
    return ['{"n": "' + "".join(random.choices(letters, k=32_000)) + '{{ event.id }}"}' for _ in range(count)]


@pytest.mark.long
@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one after another"])
def test_bodies_that_are_too_large_together_fail_alone(shop: Shop, at_once: bool) -> None:
    for template in noisy_templates(18):
        templated(shop, template)
    shop.endpoint()
    abandoned(shop)
    queued = shop.queued()
    for batch in [queued] if at_once else [[own] for own in queued]:
        assert shop.deliver(batch) == []
    outcomes = Counter((own.status, own.reason) for own in shop.deliveries())
    assert set(outcomes) == {(DeliveryStatus.DELIVERED, None), (DeliveryStatus.FAILED, "payload_too_large")}
    assert outcomes[DeliveryStatus.DELIVERED, None] >= 11
    assert shop.retries() == []


def test_where_nothing_can_be_rendered_now_only_that_message_comes_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.endpoint()
    templated(shop)
    abandoned(shop)

    def unavailable(_work: object) -> str:
        raise TemplatesUnavailable("not now")

    queued = shop.queued()
    with monkeypatch.context() as patch:
        patch.setattr(liquid._sandbox, "run", unavailable)
        back = shop.deliver(queued)
    assert len(back) == 1
    assert len(shop.sent) == 1
    shop.deliver(queued)
    assert len(shop.sent) == 2
    assert {own.status for own in shop.deliveries()} == {DeliveryStatus.DELIVERED}


def test_one_slow_template_holds_only_its_own_endpoints_message(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = templated(shop)
    for _ in range(9):
        shop.endpoint()
    abandoned(shop)
    nine_are_out = threading.Event()
    render, send_all = liquid._sandbox.run, shop.send_all

    def slowly(work: Any) -> str:
        assert nine_are_out.wait(PATIENCE), "the others waited for the template"
        return render(work)

    def counted(requests: Sequence[OutboundRequest], answered: Any = None) -> list[Any]:
        results = send_all(requests, answered)
        if len(shop.sent) == 9:
            nine_are_out.set()
        return results

    monkeypatch.setattr(liquid._sandbox, "run", slowly)
    monkeypatch.setattr(shop, "send_all", counted)
    assert shop.deliver() == []
    assert len(shop.sent) == 10
    assert shop.sent[-1].url == slow.url


def test_each_merchants_first_template_comes_before_anybodys_second() -> None:
    def never() -> Prepared:
        raise AssertionError

    owners = ["hostile", "hostile", "hostile", "shop", "hostile", "other", "shop"]
    unwritten = {at: Unwritten(never, MerchantId(own)) for at, own in enumerate(owners)}
    assert [at for at, _ in in_turn(unwritten)] == [0, 3, 5, 1, 6, 2, 4]


def test_a_defect_while_writing_one_request_costs_the_others_nothing() -> None:
    def broken() -> Prepared:
        raise RuntimeError("a defect")

    (handled,) = send_prepared([Unwritten(broken, MerchantId(MERCHANT))], lambda requests, answered=None: [])
    assert handled.retry_message


@pytest.mark.long
def test_a_hostile_template_of_one_merchant_fails_alone_and_is_not_retried(shop: Shop) -> None:
    templated(shop, "{% if " + "(" * 15000 + " %}")
    good = templated(shop)
    shop.webhook(session="s-1", user=stranger(1))
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    assert shop.deliver() == []
    assert {(own.endpoint_id == good.id, own.status, own.reason) for own in shop.deliveries()} == {
        (True, DeliveryStatus.DELIVERED, None),
        (False, DeliveryStatus.FAILED, "template_limit"),
    }
    assert shop.retries() == []
