"""A sample webhook of a source's provider: received as any, true of nobody, in no figure."""

import base64
from typing import Any

import pytest

from checkback.samples import ProviderSamples, Wanted
from shared.delivery.exchange import Answer
from shared.providers import registry
from shared.store.idempotency import IdempotencyStore
from shared.store.listing import CheckoutListing
from shared.workflows.insight.checkout_pages import CheckoutPages, Selection, Span
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_sources import pem
from tests.integration.shop import Shop, aws_event
from tests.unit.domain.sessions import SOURCE

WHSEC = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, no less").decode()
SECRETS = {"whsec": WHSEC, "plain": "plain-secret"}
OWN = {"phone": "+919820012345", "email": "me@tea.example"}
WITHOUT_CONTACT = {"bigcommerce"}
"""Its webhooks carry ids only."""
WITHOUT_ITEMS = {*WITHOUT_CONTACT, "stripe"}
"""Stripe's tell a total."""


def connected(merchant: Api, provider: str, **settings: Any) -> str:
    """A source, with keys that are needed and given."""
    samples = ProviderSamples(provider)
    credentials = {name: SECRETS[kind] for name, kind in samples.test_keys.items()}
    body = {"provider": provider, "credentials": credentials, "settings": {**samples.settings, **settings}}
    made = merchant("POST", "/v1/sources", body)
    assert made.status == 201, made.text
    source_id: str = made.json["id"]
    return source_id


def sample(merchant: Api, source_id: str, body: Any = None, **headers: str) -> Any:
    return merchant("POST", f"/v1/sources/{source_id}/sample", body, headers=headers)


def checkout_of(merchant: Api, answer: Any) -> dict[str, Any]:
    assert answer.status == 200, answer.text
    found: dict[str, Any] = merchant("GET", f"/v1/checkouts/{answer.json['checkout_id']}").json
    return found


@pytest.fixture
def shop(operator: Api, shop: Shop) -> Shop:
    """The API and the functions over one stage and one merchant."""
    return shop


@pytest.fixture
def merchant(shop: Shop, operator: Api) -> Api:
    """The shop's merchant."""
    return operator.as_(operator("POST", f"/v1/merchants/{shop.merchant.id}/tokens").json["token"])


@pytest.mark.parametrize("provider", [own for own in registry.names() if own != "wix"])
def test_a_sample_of_each_provider_is_proved_and_read_and_names_nobody(merchant: Api, provider: str) -> None:
    source_id = connected(merchant, provider)

    answer = sample(merchant, source_id)

    checkout = checkout_of(merchant, answer)
    assert (answer.json["status"], answer.json["reason"]) == ("accepted", None)
    assert answer.json["sample"] == ProviderSamples(provider).default
    assert checkout["test"] is True
    assert checkout["external_id"].startswith("sample:")
    assert [checkout["customer"][name] for name in ("id", "phone", "email")] == [None, None, None]
    assert not (checkout["shipping_address"] or {}).get("phone")
    assert bool(checkout["items"]) is (provider not in WITHOUT_ITEMS)
    assert checkout["status"] in {"open", "payment_pending", "abandoned"}


@pytest.mark.parametrize("provider", [own for own in registry.names() if own not in {"wix", *WITHOUT_CONTACT}])
def test_a_sample_reaches_only_the_contact_that_asked(merchant: Api, provider: str) -> None:
    source_id = connected(merchant, provider)

    customer = checkout_of(merchant, sample(merchant, source_id, {"contact": {"phone": OWN["phone"]}}))["customer"]

    assert (customer["phone"], customer["email"]) == (OWN["phone"], None)


def test_an_e_mail_finds_its_place_where_the_sample_holds_none(merchant: Api) -> None:
    customer = checkout_of(merchant, sample(merchant, SOURCE, {"contact": {"email": "Me@Tea.example"}}))["customer"]
    assert (customer["phone"], customer["email"]) == (None, "me@tea.example")


@pytest.mark.parametrize(
    ("provider", "api"),
    [
        ("bigcommerce", {"store_hash": "abc1234", "access_token": "token-of-the-shop"}),
        ("emporix", {"tenant": "tea", "client_id": "client", "client_secret": "secret-of-it"}),
    ],
)
def test_the_provider_is_not_asked_for_what_it_does_not_know(
    merchant: Api, shop: Shop, provider: str, api: dict[str, str]
) -> None:
    source_id = connected(merchant, provider)
    assert merchant("PATCH", f"/v1/sources/{source_id}", {"credentials": {"api": api}}).status == 200

    assert sample(merchant, source_id).json["status"] == "accepted"

    assert shop.queued("PULLS_QUEUE_URL") == []


def test_what_only_wix_can_sign_is_said_with_what_to_do_instead(merchant: Api) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = pem(rsa.generate_private_key(65537, 2048))
    made = merchant("POST", "/v1/sources", {"provider": "wix", "credentials": {"public_key": key}}).json

    refused = sample(merchant, made["id"])

    assert refused.status == 409
    assert "Only the provider has the key" in refused.json["detail"]
    assert "checkback trigger wix" in refused.json["detail"]


def test_a_contact_is_checked_and_needs_a_place(merchant: Api) -> None:
    refused = sample(merchant, SOURCE, {"contact": {"phone": "12"}})
    assert [own["pointer"] for own in refused.json["errors"]] == ["/contact/phone"]

    refused = sample(merchant, connected(merchant, "bigcommerce"), {"contact": OWN})
    assert refused.status == 422
    assert [own["pointer"] for own in refused.json["errors"]] == ["/contact/phone", "/contact/email"]


@pytest.mark.parametrize(
    ("provider", "signature"),
    [
        ("cashfree", {"header": "x-mine", "algorithm": "sha512", "encoding": "hex"}),
        ("shopflo", {"header": "x-mine"}),
        ("bigcommerce", {"header": "x-mine"}),
        ("custom", {"header": "x-mine", "signed_parts": ["timestamp", ".", "body"], "timestamp_header": "x-at"}),
    ],
)
def test_it_is_signed_as_the_sources_settings_say(merchant: Api, provider: str, signature: dict[str, Any]) -> None:
    source_id = connected(merchant, provider, signature=signature)
    assert sample(merchant, source_id).json["status"] == "accepted"


def test_emporix_strategy_http_is_signed_in_its_canonical_form(merchant: Api) -> None:
    credentials = {"secret": "not a key of svix"}
    made = merchant("POST", "/v1/sources", {"provider": "emporix", "credentials": credentials}).json
    assert sample(merchant, made["id"]).json["status"] == "accepted"


def test_a_source_whose_settings_refuse_every_webhook_of_the_provider_is_told_so(merchant: Api) -> None:
    source_id = connected(merchant, "cashfree", signature={"header": "x-mine", "algorithm": "plain"})

    refused = sample(merchant, source_id)

    assert refused.status == 409
    assert "do not prove" in refused.json["detail"]
    assert "signature algorithm is unknown" in refused.json["detail"]


def test_a_sample_that_the_mapping_does_not_understand_is_told_and_not_kept(merchant: Api) -> None:
    source_id = connected(merchant, "custom", mapping={"external_id": "nowhere", "status": "status"})

    answer = sample(merchant, source_id)

    assert (answer.status, answer.json["status"], answer.json["checkout_id"]) == (200, "quarantined", None)
    assert answer.json["reason"]
    assert merchant("GET", "/v1/quarantine").json["data"] == []


def test_a_double_click_is_one_sample(merchant: Api, shop: Shop) -> None:
    once = {"idempotency-key": "clicked"}
    first, second = (sample(merchant, SOURCE, **once) for _ in range(2))

    assert first.json == second.json
    assert second.headers["idempotency-replayed"] == "true"
    assert len(merchant("GET", "/v1/checkouts").json["data"]) == 1
    assert sample(merchant, SOURCE).json["checkout_id"] != first.json["checkout_id"]


def test_a_sample_whose_answer_was_lost_is_made_again_as_the_same_checkout(
    merchant: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died before the answer was kept: whoever takes the claim over makes the same."""
    once = {"idempotency-key": "lost"}
    with monkeypatch.context() as dying:
        dying.setattr(IdempotencyStore, "answered", lambda *_: None)
        first = sample(merchant, SOURCE, **once).json
    assert sample(merchant, SOURCE, **once).status == 409
    shop.wait(seconds=61)

    again = sample(merchant, SOURCE, **once)

    assert again.json["checkout_id"] == first["checkout_id"]
    assert len(merchant("GET", "/v1/checkouts").json["data"]) == 1


def test_a_minute_has_room_for_ten(merchant: Api, shop: Shop, operator: Api) -> None:
    assert [sample(merchant, SOURCE).status for _ in range(10)] == [200] * 10

    refused = sample(merchant, SOURCE)

    assert refused.status == 429
    assert refused.headers["retry-after"] == "60"
    other = operator.as_(new_merchant(operator)["token"])
    assert sample(other, connected(other, "flexype")).status == 200
    shop.wait(seconds=61)
    assert sample(merchant, SOURCE).status == 200


def test_a_sample_goes_through_to_endpoints_and_is_in_no_figure(merchant: Api, shop: Shop) -> None:
    shop.endpoint("checkout.abandoned")
    answer = sample(merchant, connected(merchant, "cashfree"))

    shop.settle()
    shop.deliver()

    (told,) = shop.told()
    assert (told["type"], told["data"]["checkout"]["id"]) == ("checkout.abandoned", answer.json["checkout_id"])
    assert told["data"]["checkout"]["test"] is True
    assert merchant("GET", "/v1/facts").text == ""
    recovery = merchant("GET", "/v1/metrics/recovery").json
    assert recovery["total"]["abandoned"] == 0
    assert merchant("GET", "/v1/metrics/funnel").json["total"]["abandoned"] == 0


def test_a_campaign_that_is_tried_counts_no_sample(merchant: Api, shop: Shop) -> None:
    shop.webhook()
    sample(merchant, SOURCE)
    endpoint = shop.endpoint()
    draft = {"name": "Reminder", "steps": [{"after": "PT1H", "endpoint_id": endpoint.id}]}

    played = merchant("POST", "/v1/campaigns/preview", {"campaign": draft})

    assert played.json["page"]["checkouts"] == 1


def test_clients_of_other_platforms_are_shown_no_sample(merchant: Api, shop: Shop) -> None:
    """Their shapes have no mark for it."""
    kept = checkout_of(merchant, sample(merchant, connected(merchant, "cashfree")))
    selection = Selection(shop.merchant, lambda _: True, shop.now)
    pages = CheckoutPages(shop.stores.checkouts, CheckoutListing(shop.table))

    assert kept["status"] == "abandoned"
    assert pages.page(selection, Span()).entries == []
    assert pages.count(selection, 10) == (0, True)


def test_neither_a_webhook_nor_a_purchase_came_of_a_sample(merchant: Api) -> None:
    checkout = checkout_of(merchant, sample(merchant, SOURCE))
    merchant("POST", f"/v1/checkouts/{checkout['id']}/complete")

    (health,) = merchant("GET", "/v1/metrics/sources").json["data"]

    shown = [health[name] for name in ("last_webhook_at", "last_purchase_at", "checkouts", "understood")]
    assert shown == [None, None, 0, None]


def test_a_sample_never_meets_a_checkout_of_the_shop_whatever_the_mapping(merchant: Api) -> None:
    """A mapping that names all checkouts alike: the real one stays in the figures, whoever came first."""
    mapping = {"external_id": "customer.id", "cart_id": "customer.id", "customer.id": "customer.id", "items": "items"}
    source_id = connected(merchant, "custom", mapping=mapping)
    made = checkout_of(merchant, sample(merchant, source_id))
    assert (made["external_id"], made["cart_id"]) == ("sample:42", "sample:42")
    again = sample(merchant, source_id)
    assert again.json["checkout_id"] == made["id"]


@pytest.mark.parametrize("status", ["completed", "refunded"])
def test_a_sample_buys_nothing_whatever_the_mapping(merchant: Api, status: str) -> None:
    source_id = connected(merchant, "custom", mapping={"external_id": "external_id", "status": f"'{status}'"})

    answer = sample(merchant, source_id, {"contact": OWN})

    assert (answer.json["status"], answer.json["checkout_id"]) == ("ignored", None)
    assert merchant("GET", "/v1/checkouts").json["data"] == []


def test_a_phone_that_a_mapping_finds_elsewhere_in_the_sample_is_nobodys(merchant: Api) -> None:
    mapping = {"external_id": "external_id", "customer.phone": "'+919845012345'", "items": "items"}
    source_id = connected(merchant, "custom", mapping=mapping)

    checkout = checkout_of(merchant, sample(merchant, source_id, {"contact": {"email": OWN["email"]}}))

    assert checkout["customer"]["phone"] is None


def test_the_next_purchase_of_whoever_tried_it_is_a_real_one(merchant: Api, shop: Shop) -> None:
    """Razorpay's orders find their checkout by contact: that of a sample is none."""
    made = merchant("POST", "/v1/sources", {"provider": "razorpay", "settings": {"money_unit": "minor"}}).json
    tried = checkout_of(merchant, sample(merchant, made["id"], {"contact": {"phone": OWN["phone"]}}))
    body = ProviderSamples("razorpay").sample("order-paid", Wanted(phone=OWN["phone"]), shop.now).body
    event = aws_event("webhook")
    event |= {"pathParameters": {"source_id": made["id"]}, "body": body.decode(), "isBase64Encoded": False}
    event["rawQueryString"] = made["url"].partition("?")[2]
    event["queryStringParameters"] = dict([event["rawQueryString"].split("=")])

    status, told = shop.posted(event)

    assert status == 200, told
    assert told["checkout_id"] != tried["id"]
    bought = merchant("GET", f"/v1/checkouts/{told['checkout_id']}").json
    assert (bought["status"], bought["test"]) == ("completed", False)
    health = {own["source_id"]: own for own in merchant("GET", "/v1/metrics/sources").json["data"]}
    assert health[made["id"]]["last_purchase_at"] is not None


def test_no_sender_outside_can_mark_a_checkout_as_a_sample(merchant: Api, shop: Shop) -> None:
    """Its name alone is no mark: what the shop's own webhook calls so stays in the figures."""
    shop.webhook(checkout_url="https://flexype.myshopify.com/?flx_s=sample:mine")
    (found,) = merchant("GET", "/v1/checkouts").json["data"]
    assert (found["external_id"], found["test"]) == ("sample:mine", False)
    (health,) = merchant("GET", "/v1/metrics/sources").json["data"]
    assert health["checkouts"] == 1


def test_a_message_of_a_sample_arrives_at_whoever_asked(merchant: Api, shop: Shop) -> None:
    shop.answer = lambda _: Answer(202)
    endpoint = shop.endpoint("checkout.recovered")
    steps = [{"after": "PT10M", "endpoint_id": endpoint.id}]
    made = merchant("POST", "/v1/campaigns", {"name": "Reminder", "steps": steps, "status": "active"})
    assert made.status == 201, made.text
    source_id = connected(merchant, "cashfree")
    nobody = sample(merchant, source_id).json["checkout_id"]
    mine = sample(merchant, source_id, {"contact": OWN}).json["checkout_id"]
    shop.settle()
    shop.wait(minutes=10)
    shop.sweep()
    shop.deliver()

    assert {own["data"]["checkout"]["id"] for own in shop.told()} == {mine}
    eligible = merchant("GET", f"/v1/checkouts/{nobody}/eligibility").json
    assert (eligible["may_send"], eligible["reason"]) == (False, "no_contact")


def test_anothers_source_is_not_there(operator: Api, shop: Shop) -> None:
    other = operator.as_(new_merchant(operator)["token"])
    assert sample(other, SOURCE).status == 404
