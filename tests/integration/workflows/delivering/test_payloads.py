"""What each endpoint receives: our envelope, the provider's own body or a template's; and which checkouts at all."""

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.delivery.exchange import Answer
from shared.domain.ids import MerchantId
from shared.store.configuration import MerchantStore
from shared.store.deliveries import DeliveryStatus
from shared.workflows.delivering.endpoint_setup import Draft, check
from shared.workflows.delivering.refusals import Invalid
from tests.integration.shop import MERCHANT, SESSION, Shop

TEMPLATE = (
    '{"who": "{{ customer.phone }}", "amount": {{ checkout.totals.total.amount | json }}, "id": "{{ event.id }}"}'
)


def bodies(shop: Shop) -> dict[str, Any]:
    """The newest body by the address it went to."""
    return {own.url: json.loads(own.body) for own in shop.sent}


@pytest.fixture
def raw(shop: Shop) -> None:
    """The merchant has an endpoint that asks for the provider's body."""
    MerchantStore(shop.table).flag(MerchantId(MERCHANT), feed=False, raw=True)


def row(shop: Shop) -> dict[str, Any]:
    found: dict[str, Any] = shop.table.get((f"C#{shop.digest()}", "C"))
    return found


def abandoned(shop: Shop, **changed: Any) -> None:
    shop.abandon(**changed)
    shop.settle()


def test_each_endpoint_gets_its_own_format_and_a_retry_the_same_bytes(shop: Shop, raw: None) -> None:
    shop.endpoint()
    shop.sent.append(None)  # type: ignore[arg-type]  # the next endpoint's address counts what was sent
    provider = shop.endpoint(payload="provider")
    shop.sent.append(None)  # type: ignore[arg-type]
    liquid = shop.endpoint(payload={"liquid": TEMPLATE})
    shop.sent.clear()
    abandoned(shop, ip_address="203.0.113.7", user_agent="Mozilla/5.0")
    shop.answer = lambda _: Answer(500)
    shop.deliver()
    first = {own.url: own.body for own in shop.sent}
    (event,) = shop.events()
    told = bodies(shop)
    assert "203.0.113.7" not in first[str(provider.url)].decode()
    assert "Mozilla" not in first[str(provider.url)].decode()
    assert told[str(provider.url)]["checkout_url"].endswith(SESSION)
    assert told[str(liquid.url)] == {"who": "+917777788888", "amount": "630.00", "id": event.id}
    shop.sent.clear()
    shop.wait(seconds=10)
    shop.deliver(shop.retries())
    assert {own.url: own.body for own in shop.sent} == first
    assert {own.headers["webhook-id"] for own in shop.sent} == {event.id}


def test_the_body_is_kept_only_while_somebody_asks_and_is_the_last_one_in_order(shop: Shop) -> None:
    shop.webhook()
    assert "raw" not in row(shop)
    MerchantStore(shop.table).flag(MERCHANT, feed=False, raw=True)
    from tests.integration.shop import forget_compositions

    forget_compositions()
    shop.webhook(session_state="ADDRESS_LOADED", note="first")
    first = row(shop)["raw"]
    shop.wait(seconds=1)
    shop.webhook(session_state="ADDRESS_LOADED", note="second")
    second = row(shop)["raw"]
    assert first != second
    shop.webhook(session_state="CONTACT_LOADED", note="stale")
    assert row(shop)["raw"] == second, "a body out of order does not take the place of a newer one"
    MerchantStore(shop.table).flag(MERCHANT, feed=False, raw=False)
    forget_compositions()
    shop.wait(minutes=3)
    shop.webhook(session_state="ADDRESS_LOADED", note="third")
    assert "raw" not in row(shop)


def test_a_body_that_was_never_kept_fails_with_its_reason(shop: Shop) -> None:
    shop.endpoint(payload="provider")
    abandoned(shop)
    shop.deliver()
    (own,) = shop.deliveries()
    assert (own.status, own.reason, shop.sent) == (DeliveryStatus.FAILED, "provider_payload_unavailable", [])


@pytest.mark.parametrize("template", ["{{ nothing_of_the_kind }}", "not json", '{"a": {{ customer.phone }}'])
def test_a_template_that_makes_no_json_fails_alone(shop: Shop, template: str) -> None:
    shop.endpoint(payload={"liquid": template})
    shop.endpoint()
    abandoned(shop)
    shop.deliver()
    assert len(shop.sent) == 1
    assert sorted((own.status, own.reason) for own in shop.deliveries()) == [
        (DeliveryStatus.DELIVERED, None),
        (DeliveryStatus.FAILED, "template_error"),
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    "template",
    [
        "{% for i in (1..100000000000000) limit:1 offset:100000000000 %}x{% endfor %}",
        "{% for i in (1..2000) %}{% for j in (1..2000) %}{% endfor %}{% endfor %}{}",
        "{{" * 9000,
    ],
)
def test_a_template_that_may_not_end_is_refused_and_fails_alone_where_it_came_through(
    shop: Shop, template: str
) -> None:
    draft = Draft("webhook", "https://receiver.example/", settings={"payload": {"liquid": template}})
    with pytest.raises(Invalid) as wrong:
        check(draft, local=False)
    assert {pointer for pointer, _ in wrong.value.problems} == {"/settings/payload/liquid"}
    hostile = shop.endpoint(payload={"liquid": template})
    shop.endpoint()
    abandoned(shop)
    shop.deliver()
    assert len(shop.sent) == 1
    failed = next(own for own in shop.deliveries() if own.endpoint_id == hostile.id)
    assert (failed.status, failed.reason) == (DeliveryStatus.FAILED, "template_limit")
    assert shop.retries() == []


def test_a_content_filter_lets_through_what_matches_and_what_follows_it(shop: Shop) -> None:
    types = ("checkout.abandoned", "checkout.recovered")
    big = shop.endpoint(*types, filter={"field": "total", "op": "gte", "value": "500.00"})
    small = shop.endpoint(*types, filter={"field": "total", "op": "lt", "value": "500.00"})
    abandoned(shop)
    shop.webhook(session_state="COMPLETED")
    shop.settle()
    told = {(own.endpoint_id, own.event_type) for own in shop.deliveries()}
    assert told == {(big.id, "checkout.abandoned"), (big.id, "checkout.recovered")}
    assert small.id not in {own.endpoint_id for own in shop.deliveries()}


def test_the_update_that_reopens_follows_who_received_the_abandonment(shop: Shop) -> None:
    big = shop.endpoint(filter={"field": "total", "op": "gte", "value": "500.00"})
    shop.endpoint(filter={"field": "total", "op": "lt", "value": "500.00"})
    abandoned(shop)
    shop.webhook(session_state="PAYMENT_LOADED")
    shop.settle()
    assert {(own.endpoint_id, own.event_type) for own in shop.deliveries()} == {
        (big.id, "checkout.abandoned"),
        (big.id, "checkout.updated"),
    }


def test_filters_and_templates_that_cannot_be_are_refused_with_their_place() -> None:
    draft = Draft("webhook", "https://receiver.example/")
    with pytest.raises(Invalid) as wrong:
        check(replace(draft, settings={"filter": {"field": "colour", "op": "eq", "value": "red"}}), local=False)
    assert wrong.value.problems[0][0].startswith("/settings/filter")
    with pytest.raises(Invalid) as wrong:
        check(replace(draft, settings={"payload": {"liquid": '{"a": "{% if %}"}'}}), local=False)
    assert wrong.value.problems[0][0] == "/settings/payload/liquid"
