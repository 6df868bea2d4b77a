"""Connecting checkout providers."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from functions.merchant_api import services
from shared.domain.ids import SourceId
from tests.integration.api.conftest import PUBLIC_URL, Api

EVENTS = Path(__file__).parents[3] / "events"
DOUBLING = "[@,@]" + "|[@,@][]" * 28
"""2^29 values out of one."""
STAMPED = ["timestamp", ".", "body"]


def test_a_generated_secret_is_shown_once(merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "flexype", "name": "Main shop"})

    assert made.status == 201, made.text
    assert made.json["url"] == f"{PUBLIC_URL}/hooks/{made.json['id']}"
    assert len(made.json["credentials"]["secret"]) >= 32
    shown = merchant("GET", f"/v1/sources/{made.json['id']}")
    assert "credentials" not in shown.json
    assert made.json["credentials"]["secret"] not in shown.text
    assert shown.headers["etag"] == '"1"'


def test_a_given_secret_is_kept_encrypted_and_turned_over_with_a_list(merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "flexype", "credentials": {"secret": "first-secret"}}).json
    rotated = merchant(
        "PATCH", f"/v1/sources/{made['id']}", {"credentials": {"secrets": ["new-secret", "first-secret"]}}
    )

    assert rotated.status == 200, rotated.text
    assert "new-secret" not in rotated.text
    own = services.services()
    source = own.sources.get(SourceId(made["id"]))
    assert source is not None
    assert own.cipher.source(source.value).secrets == ("new-secret", "first-secret")
    assert b"first-secret" not in (source.value.sealed or b"")


BAD_EXPRESSIONS = (
    ("customer.phone", "not ][", "customer.phone"),
    ("external_id", DOUBLING, "external_id"),
    ("attributes.a/b~c", "@ |", "attributes.a~1b~0c"),
    ("no/such~field", "a", "no~1such~0field"),
)
INVALID: list[tuple[dict[str, object], str]] = [
    ({"provider": "nobody"}, "/provider"),
    ({}, "/provider"),
    ({"provider": "flexype", "credentials": {"public_key": "-" * 40}}, "/credentials/public_key"),
    ({"provider": "flexype", "credentials": {"secret": "short"}}, "/credentials/secret"),
    ({"provider": "flexype", "credentials": {"password": "x"}}, "/credentials/password"),
    ({"provider": "flexype", "settings": {"currency": "XXXX"}}, "/settings/currency"),
    ({"provider": "flexype", "settings": {"idle_after": "PT1S"}}, "/settings/idle_after"),
    ({"provider": "flexype", "settings": {"on_arrival": "never"}}, "/settings/on_arrival"),
    ({"provider": "flexype", "settings": {"recovery_url_template": "ftp://x"}}, "/settings/recovery_url_template"),
    ({"provider": "flexype", "settings": {"signature": {"header": "a b"}}}, "/settings/signature/header"),
    ({"provider": "razorpay"}, "/settings/money_unit"),
    (
        {"provider": "wix", "credentials": {"public_key": "-----BEGIN PUBLIC KEY-----\nxyz\n"}},
        "/credentials/public_key",
    ),
]


def test_what_does_not_fit_the_provider_is_refused(merchant: Api) -> None:
    for body, pointer in INVALID:
        refused = merchant("POST", "/v1/sources", body)

        assert refused.status == 422, (body, refused.text)
        assert pointer in [error["pointer"] for error in refused.json["errors"]], body
    assert merchant("GET", "/v1/sources").json["data"] == []


@pytest.mark.parametrize(("field", "expression", "place"), BAD_EXPRESSIONS)
def test_a_bad_expression_of_a_mapping_is_pointed_at(merchant: Api, field: str, expression: str, place: str) -> None:
    settings = {"mapping": {"name": "a.name", field: expression}}
    refused = merchant("POST", "/v1/sources", {"provider": "custom", "settings": settings})
    assert refused.status == 422, refused.text
    assert [error["pointer"] for error in refused.json["errors"]] == [f"/settings/mapping/{place}"]


@pytest.mark.parametrize(
    ("signature", "places"),
    [
        ({"timestamp_header": "X-Time"}, ("timestamp_header", "signed_parts")),
        (
            {"timestamp_header": "X-Time", "signed_parts": ["body", "header:x-other"]},
            ("timestamp_header", "signed_parts"),
        ),
        (
            {"timestamp_header": "X-Time", "signed_parts": ["timestamp", "body"], "algorithm": "plain"},
            ("timestamp_header",),
        ),
        ({"signed_parts": ["timestamp"]}, ("signed_parts",)),
        ({"signed_parts": ["timestamp", ".", "body"]}, ("timestamp_header",)),
        ({"signed_parts": ["body", ".", "body"]}, ("signed_parts",)),
    ],
)
def test_a_signature_that_leaves_the_body_or_the_time_unproved_is_refused(
    merchant: Api, signature: dict[str, object], places: tuple[str, ...]
) -> None:
    settings = {"signature": {"header": "X-Sig", **signature}}
    made = merchant("POST", "/v1/sources", {"provider": "custom"}).json
    for refused in (
        merchant("POST", "/v1/sources", {"provider": "custom", "settings": settings}),
        merchant("PATCH", f"/v1/sources/{made['id']}", {"settings": settings}),
    ):
        assert refused.status == 422, refused.text
        pointers = [error["pointer"] for error in refused.json["errors"]]
        assert {f"/settings/signature/{place}" for place in places} <= set(pointers)


def test_a_signed_time_is_taken_by_either_name(merchant: Api) -> None:
    for parts in (["timestamp", ".", "body"], ["header:x-time", "body"]):
        signature = {"header": "X-Sig", "timestamp_header": "X-Time", "signed_parts": parts}
        assert (
            merchant("POST", "/v1/sources", {"provider": "custom", "settings": {"signature": signature}}).status == 201
        )


def test_cashfrees_own_header_holds_the_time_that_is_signed(merchant: Api) -> None:
    signature = {"header": "x-webhook-signature", "signed_parts": ["timestamp", "body"]}
    wanted = {"provider": "cashfree", "credentials": {"secret": "a-secret"}, "settings": {"signature": signature}}
    assert merchant("POST", "/v1/sources", wanted).status == 201


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """The public half."""
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_key_of_wix_is_rsa_of_at_least_2048_bits(merchant: Api) -> None:
    good, weak = (pem(rsa.generate_private_key(65537, bits)) for bits in (2048, 1024))
    curve = pem(ec.generate_private_key(ec.SECP256R1()))
    for bad in (weak, curve, good + weak):
        refused = merchant("POST", "/v1/sources", {"provider": "wix", "credentials": {"public_key": bad}})
        assert refused.status == 422, refused.text
        assert [error["pointer"] for error in refused.json["errors"]] == ["/credentials/public_key"]
    written = [own.replace("\n", "\\n") for own in (pem(rsa.generate_private_key(65537, 2048)), weak)]
    second = {"public_key": good, "secrets": written}
    refused = merchant("POST", "/v1/sources", {"provider": "wix", "credentials": second})
    assert [error["pointer"] for error in refused.json["errors"]] == ["/credentials/secrets/1"]
    assert merchant("POST", "/v1/sources", {"provider": "wix", "credentials": {"public_key": good}}).status == 201


def test_a_link_has_room_for_a_few_ids_only(merchant: Api) -> None:
    for places, status in ((8, 201), (9, 422)):
        settings = {"recovery_url_template": "https://shop.example/" + "{id}" * places}
        assert merchant("POST", "/v1/sources", {"provider": "custom", "settings": settings}).status == status


def test_what_a_providers_api_wants_may_be_short(merchant: Api) -> None:
    """A store's hash at BigCommerce has seven characters in its own documentation."""
    api = {"store_hash": "z4zn3wo", "access_token": "a" * 31}
    made = merchant("POST", "/v1/sources", {"provider": "bigcommerce", "credentials": {"api": api}})
    assert made.status == 201, made.text

    refused = merchant("PATCH", f"/v1/sources/{made.json['id']}", {"credentials": {"api": {"store_hash": " "}}})
    assert refused.status == 422
    assert refused.json["errors"][0]["pointer"] == "/credentials/api/store_hash"


def test_settings_of_a_source_merge_and_null_takes_the_default(merchant: Api) -> None:
    given = {"currency": "eur", "idle_after": "PT1H"}
    made = merchant("POST", "/v1/sources", {"provider": "flexype", "settings": given}).json
    assert made["settings"]["currency"] == "EUR"

    changed = merchant("PATCH", f"/v1/sources/{made['id']}", {"settings": {"currency": None}, "name": None})

    assert changed.json["settings"]["currency"] is None
    assert changed.json["settings"]["idle_after"] == "PT1H"
    assert merchant("PATCH", f"/v1/sources/{made['id']}", {"settings": {"mapping": None}}).status == 422


def test_a_deleted_source_is_gone(merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "flexype"}).json

    assert merchant("DELETE", f"/v1/sources/{made['id']}", headers={"if-match": '"9"'}).status == 412
    assert merchant("DELETE", f"/v1/sources/{made['id']}").status == 204
    assert merchant("GET", f"/v1/sources/{made['id']}").status == 404
    assert merchant("GET", "/v1/sources").json == {"data": [], "next_cursor": None}


def test_a_preview_shows_the_checkout_and_stores_nothing(merchant: Api) -> None:
    source = merchant("POST", "/v1/sources", {"provider": "flexype"}).json["id"]
    payload = (EVENTS / "flexype" / "acr.json").read_bytes()

    for content_type in ("application/json", "application/octet-stream", "text/plain"):
        shown = merchant("POST", f"/v1/sources/{source}/preview", raw=payload, headers={"content-type": content_type})

        assert shown.status == 200, shown.text
        assert shown.json["provider"] == "flexype"
        assert shown.json["totals"]["total"]["currency"] == "INR"
        assert shown.headers["checkback-assumed"] == "currency"
        assert merchant("GET", f"/v1/checkouts/{shown.json['id']}").status == 404
    assert merchant("GET", "/v1/checkouts").json["data"] == []


def test_a_preview_of_what_is_not_understood_says_what_is_missing(merchant: Api) -> None:
    source = merchant("POST", "/v1/sources", {"provider": "flexype"}).json["id"]

    unreadable = merchant("POST", f"/v1/sources/{source}/preview", raw=b"<xml/>")
    strange = merchant("POST", f"/v1/sources/{source}/preview", raw=json.dumps({"hello": 1}).encode())

    assert unreadable.status == 400
    assert strange.status == 422
    assert "session_state" in strange.json["detail"]


def test_every_provider_says_how_it_is_connected(merchant: Api) -> None:
    listed = merchant("GET", "/v1/providers").json["data"]

    assert {"flexype", "wix", "cashfree"} <= {row["provider"] for row in listed}
    assert all(row["setup"] and row["authentication"] and isinstance(row["credentials"], list) for row in listed)
