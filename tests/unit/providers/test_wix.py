"""Wix: one signed token per event; Wix declares abandonment, an approved order ends it."""

import base64
import contextlib
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from jwt.warnings import InsecureKeyLengthWarning

from shared.domain.change import Signal, sequence_key
from shared.domain.merchant import SourceCredentials
from shared.providers.provider import AuthenticationFailed, NotReadable, NotUnderstood
from tests.unit.providers.conftest import ARRIVED_AT, Bench, mutations

SAMPLES = (
    *("abandoned-checkout-created", "abandoned-checkout-updated", "abandoned-checkout-recovered"),
    *("abandoned-checkout-deleted", "order-approved", "get-abandoned-checkout"),
)
NOW = int(ARRIVED_AT.timestamp())


@pytest.fixture
def bench() -> Bench:
    return Bench("wix")


def new_key(bits: int = 2048) -> tuple[str, str]:
    """A private key and its public half, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


PRIVATE, PUBLIC = new_key()
OTHER_PRIVATE, OTHER_PUBLIC = new_key()


def unwrapped(claims: dict[str, Any]) -> dict[str, Any]:
    """The event inside a sample's claims."""
    event: dict[str, Any] = json.loads(json.loads(claims["data"])["data"])
    return event


def wrapped(event: Any, kind: str = "wix.ecom.v1.abandoned_checkout_created") -> dict[str, Any]:
    """An event as the claims carry it."""
    return {"data": json.dumps({"data": json.dumps(event), "instanceId": "site-1", "eventType": kind})}


def created(**entity: Any) -> dict[str, Any]:
    """A created event with this entity's parts."""
    whole = {"id": "ac-1", "status": "ABANDONED", **entity}
    event = {"id": "e-1", "entityFqdn": "wix.ecom.v1.abandoned_checkout", "slug": "created", "entityId": "ac-1"}
    return wrapped({**event, "createdEvent": {"entity": whole}, "entityEventSequence": "12"})


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sample_becomes_the_expected_checkout(bench: Bench, name: str) -> None:
    assert bench.checkout(bench.sample_bytes(name)) == bench.expected(name)


class TestAuthentication:
    def signed(self, bench: Bench, key: str = PRIVATE, algorithm: str = "RS256", **claims: Any) -> bytes:
        whole = {**bench.sample("abandoned-checkout-created"), "iat": NOW, "exp": NOW + 3600, **claims}
        present = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(present, key, algorithm=algorithm).encode()

    def prove(self, bench: Bench, body: bytes, public: str | None = PUBLIC, *others: str) -> None:
        bench.credentials = SourceCredentials(secrets=others, public_key=public)
        bench.authenticate(bench.request(body))

    def test_a_token_signed_by_the_app_is_proved_and_read(self, bench: Bench) -> None:
        body = self.signed(bench)
        self.prove(bench, body)
        assert bench.checkout(body) == bench.expected("abandoned-checkout-created")

    def test_a_key_that_can_be_broken_proves_nothing(self, bench: Bench) -> None:
        private, public = new_key(1024)
        with pytest.warns(InsecureKeyLengthWarning):
            body = self.signed(bench, private)
        for others in ((), (PUBLIC,)):
            with pytest.raises(AuthenticationFailed):
                self.prove(bench, body, public, *others)

    @pytest.mark.parametrize(
        "shape", [lambda t: b" " + t + b"\n", lambda t: b'"' + t + b'"', lambda t: b'{"data":"' + t + b'"}']
    )
    def test_hosts_that_wrap_the_token(self, bench: Bench, shape: Any) -> None:
        body = shape(self.signed(bench))
        self.prove(bench, body)
        assert bench.change(body).external_id == "6d1f0f9a-5a9a-4f3f-9a37-3c2b1d6e0a01"

    @pytest.mark.parametrize(
        "public",
        [
            PUBLIC.replace("\n", "\\n"),
            base64.b64encode(PUBLIC.encode()).decode(),
            OTHER_PUBLIC + PUBLIC,
        ],
        ids=["escaped", "base64", "two keys"],
    )
    def test_the_forms_a_dashboard_shows_the_key_in(self, bench: Bench, public: str) -> None:
        self.prove(bench, self.signed(bench), public)

    def test_during_rotation_a_second_key_is_tried(self, bench: Bench) -> None:
        self.prove(bench, self.signed(bench), OTHER_PUBLIC, PUBLIC)

    def test_another_key_is_refused(self, bench: Bench) -> None:
        with pytest.raises(AuthenticationFailed):
            self.prove(bench, self.signed(bench, OTHER_PRIVATE))

    def test_no_key_configured_is_refused(self, bench: Bench) -> None:
        for public in (None, "", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"):
            with pytest.raises(AuthenticationFailed):
                self.prove(bench, self.signed(bench), public)

    def test_no_other_algorithm_is_accepted(self, bench: Bench) -> None:
        unsigned = jwt.encode({"data": "{}", "exp": NOW + 60}, "", algorithm="none").encode()
        header, payload = (
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
            for part in ({"alg": "HS256", "typ": "JWT"}, {"data": "{}", "exp": NOW + 60})
        )
        import hashlib
        import hmac

        mac = hmac.new(PUBLIC.encode(), header + b"." + payload, hashlib.sha256).digest()
        confused = header + b"." + payload + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")
        for body in (unsigned, confused, self.signed(bench, algorithm="PS256"), self.signed(bench, algorithm="RS512")):
            with pytest.raises(AuthenticationFailed):
                self.prove(bench, body)

    @pytest.mark.parametrize(
        "claims", [{"exp": NOW - 61}, {"exp": None}, {"exp": "soon"}, {"exp": True}, {"nbf": NOW + 3600}]
    )
    def test_stale_early_and_endless_tokens_are_refused(self, bench: Bench, claims: dict[str, Any]) -> None:
        raw = {**bench.sample("abandoned-checkout-created"), "exp": NOW + 3600, **claims}
        present = {name: value for name, value in raw.items() if value is not None}
        body = jwt.PyJWS().encode(json.dumps(present).encode(), PRIVATE, algorithm="RS256").encode()
        with pytest.raises(AuthenticationFailed):
            self.prove(bench, body)

    def test_a_changed_payload_is_refused(self, bench: Bench) -> None:
        header, payload, signature = self.signed(bench).split(b".")
        with pytest.raises(AuthenticationFailed):
            self.prove(bench, header + b"." + payload[:-2] + b"AA." + signature)

    def test_json_without_a_token_is_unproved_and_anything_else_unreadable(self, bench: Bench) -> None:
        with pytest.raises(AuthenticationFailed):
            self.prove(bench, bench.sample_bytes("abandoned-checkout-created"))
        with pytest.raises(NotReadable):
            self.prove(bench, b"hello world")


class TestMeaning:
    @pytest.mark.parametrize(
        ("kind", "slug", "entity", "signal"),
        [
            ("abandoned_checkout", "created", {"status": "ABANDONED"}, Signal.ABANDONED),
            ("abandoned_checkout", "updated", {"status": "ABANDONED"}, Signal.ABANDONED),
            ("abandoned_checkout", "updated", {}, Signal.ABANDONED),
            ("abandoned_checkout", "updated", {"status": "RECOVERED"}, Signal.PURCHASED),
            ("abandoned_checkout", "recovered", {"status": "RECOVERED"}, Signal.PURCHASED),
            ("abandoned_checkout", "deleted", {}, Signal.ENDED),
            ("order", "approved", {"status": "APPROVED"}, Signal.PURCHASED),
            ("order", "approved", {}, Signal.PURCHASED),
            ("order", "created", {"status": "APPROVED"}, Signal.PURCHASED),
            ("order", "payment_status_updated", {"status": "APPROVED"}, Signal.PURCHASED),
            ("order", "created", {"status": "INITIALIZED"}, None),
            ("order", "updated", {"status": "PENDING"}, None),
            ("order", "updated", {"status": "APPROVED", "createdDate": "2026-10-01T00:00:00Z"}, None),
            ("order", "canceled", {"status": "CANCELED"}, None),
            ("cart", "created", {}, None),
        ],
    )
    def test_event(self, bench: Bench, kind: str, slug: str, entity: dict[str, Any], signal: Signal | None) -> None:
        event = {"id": "e", "entityFqdn": f"wix.ecom.v1.{kind}", "slug": slug, "entityId": "x"}
        said = bench.normalise(wrapped({**event, "actionEvent": {"body": {"order": {"id": "x", **entity}}}}))
        assert [change.signal for change in said.changes] == ([signal] if signal else [])
        assert (said.ignored is None) == (signal is not None)

    @pytest.mark.parametrize(
        "event",
        [
            {},
            {"slug": "created"},
            {"entityFqdn": "wix.ecom.v1.abandoned_checkout", "slug": "created"},
            {"entityFqdn": "wix.ecom.v1.abandoned_checkout", "slug": "exploded", "entityId": "x"},
            {"entityFqdn": "wix.ecom.v1.order", "slug": "approved"},
        ],
    )
    def test_unknown_shapes_are_not_guessed(self, bench: Bench, event: dict[str, Any]) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(wrapped(event, kind=""))

    def test_a_source_may_run_its_own_timer(self, bench: Bench) -> None:
        assert bench.configure(on_arrival="timer").change(created()).signal is Signal.ACTIVITY

    def test_the_sequence_is_compared_as_a_number(self, bench: Bench) -> None:
        later, body = bench.change(created()), json.dumps(created()).encode()
        assert later.order_key == sequence_key(12, bench.digest(body))
        assert later.order_key.value > sequence_key(9, b"\xff" * 16).value
        assert later.event_id == "e-1"

    def test_an_order_joins_on_its_checkout_id(self, bench: Bench) -> None:
        order = bench.change(bench.sample_bytes("order-approved"))
        checkout = bench.change(bench.sample_bytes("abandoned-checkout-created"))
        assert order.join_tokens == (checkout.leaves["join_token"],)
        assert order.join_contact

    def test_an_anonymised_checkout_is_over_and_carries_nobody(self, bench: Bench) -> None:
        claims = bench.sample("abandoned-checkout-created")
        change = bench.change(wrapped({**unwrapped(claims), "triggeredByAnonymizeRequest": True}))
        assert change.signal is Signal.ENDED
        assert not change.leaves

    def test_only_the_configured_site_counts(self, bench: Bench) -> None:
        context = bench.context
        request = bench.request(created())
        payload = bench.provider.read(request, context)
        bench.credentials = SourceCredentials(api={"instance_id": "site-2"})
        assert bench.provider.normalise(payload, request, bench.context).ignored == "another site's event"
        bench.credentials = SourceCredentials(api={"instance_id": "site-1"})
        assert bench.provider.normalise(payload, request, bench.context).changes

    def test_a_page_from_the_api_fills_gaps_only(self, bench: Bench) -> None:
        one = bench.sample("get-abandoned-checkout")["abandonedCheckout"]
        said = bench.normalise({"abandonedCheckouts": [one, {**one, "id": "second"}]})
        assert [change.external_id for change in said.changes] == [one["id"], "second"]
        assert all(change.order_key.value == "" for change in said.changes)


class TestAwkwardValues:
    def test_a_member_with_only_a_cart(self, bench: Bench) -> None:
        shown = bench.checkout(created(cartId="c-1", buyerInfo={"memberId": "m-1"}, contactDetails=None))
        assert shown["cart_id"] == "c-1"
        assert shown["customer"]["id"] == "m-1"
        assert shown["items"] == []

    def test_sdk_names_and_image_objects(self, bench: Bench) -> None:
        line = {"_id": "l", "quantity": 1, "price": {"amount": "0"}, "image": {"url": "https://img.example.com/a.png"}}
        entity = {"_createdDate": "2026-11-21T09:00:00Z", "currency": "JPY", "lineItems": [line] * 30}
        shown = bench.checkout(created(**entity, totalPrice={"amount": "0"}))
        assert shown["item_count"] == 30
        assert shown["totals"]["total"] == {"amount": "0", "currency": "JPY"}
        assert shown["items"][0]["image_url"] == "https://img.example.com/a.png"
        assert shown["started_at"] == "2026-11-21T09:00:00Z"

    def test_prices_of_two_currencies_are_never_mixed(self, bench: Bench) -> None:
        entity = {"currency": "USD", "conversionCurrency": "EUR", "totalPrice": {"amount": "10"}}
        shown = bench.checkout(created(**entity, lineItems=[{"price": {"amount": "10", "convertedAmount": "9"}}]))
        assert shown["totals"]["total"] == {"amount": "10.00", "currency": "USD"}
        assert shown["items"][0]["unit_price"] == {"amount": "10.00", "currency": "USD"}
        assert shown["shop_totals"] is None

    def test_blanks_are_null_and_a_local_phone_takes_the_sources_country(self, bench: Bench) -> None:
        contact = {"firstName": " ", "lastName": "", "phone": "098450 12345"}
        shown = bench.checkout(created(buyerInfo={"email": ""}, contactDetails=contact, cartId=""))
        assert shown["customer"]["phone"] == "+919845012345"
        assert shown["customer"]["email"] is shown["customer"]["first_name"] is shown["cart_id"] is None

    def test_a_missing_currency_is_assumed_and_said_so(self, bench: Bench) -> None:
        said = bench.normalise(created(totalPrice={"amount": "12.345"}))
        assert said.assumed == ("currency",)
        assert bench.checkout(created(totalPrice={"amount": "12.345"}))["totals"]["total"]["amount"] == "12.35"


@pytest.mark.timed
@pytest.mark.parametrize("name", SAMPLES)
def test_any_authentic_body_has_an_answer(name: str) -> None:
    bench = Bench("wix")
    answered = name.startswith("get")
    payload = bench.sample(name) if answered else unwrapped(bench.sample(name))

    @settings(max_examples=40, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.too_slow])
    @given(mutations(payload))
    def holds(body: Any) -> None:
        with contextlib.suppress(NotUnderstood):
            bench.preview(body if answered else wrapped(body))

    holds()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"a.b.c", b"....", b"eyJ.eyJ.x", b"[]", b'"x"', b"[" * 100_000])
def test_any_bytes_have_an_answer(bench: Bench, body: bytes) -> None:
    with pytest.raises((NotReadable, NotUnderstood)):
        bench.normalise(body)
    with pytest.raises((NotReadable, AuthenticationFailed)):
        bench.authenticate(bench.request(body))
