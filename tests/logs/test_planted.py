"""What is looked for is found, however it is spelled, and what is no secret is not looked for."""

import base64
from typing import Any

import pytest

from tests.logs.planted import Planted, places_of, planted_in, planted_in_headers, planted_in_url

PHONE = Planted("contact", "phone_no", "+919812345678")
MAIL = Planted("contact", "email", "Asha.Rao+1@example.com")
STREET = Planted("contact", "address1", "A-11, Šakti Bhawan")
SECRET = Planted("secret", "token", "aB3/xyz==")


@pytest.mark.parametrize(
    ("planted", "line"),
    [
        (PHONE, '{"message":"sent to +919812345678"}'),
        (PHONE, "the phone 9812345678 is refused"),
        (PHONE, "0091 98123-45678"),
        (PHONE, "(+91) 98123 45678"),
        (PHONE, "GET /customers?phone=%2B919812345678"),
        (PHONE, f"body {base64.b64encode(b'+919812345678').decode()}"),
        (MAIL, "asha.rao+1@EXAMPLE.com bounced"),
        (MAIL, "GET /?email=Asha.Rao%2B1%40example.com"),
        (STREET, '{"line":"A-11, \\u0160akti Bhawan"}'),
        (STREET, "a-11, šakti bhawan"),
        (SECRET, "authorization: Bearer aB3/xyz=="),
        (SECRET, "?token=aB3%2Fxyz%3D%3D&x=1"),
        (SECRET, base64.b64encode(b"aB3/xyz==").decode()),
    ],
)
def test_a_value_is_found_in(planted: Planted, line: str) -> None:
    assert places_of([planted], [("deliver", "a line"), ("ingest", line)]) == {planted: {"ingest"}}


@pytest.mark.parametrize(
    "line",
    ['{"timestamp":"2026-11-27 20:01:27,310+0000","service":"ingest"}', "981234567", "example.com", "chk_asha"],
)
def test_no_value_is_found_in(line: str) -> None:
    assert places_of([PHONE, MAIL, STREET, SECRET], [("ingest", line)]) == {}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"user": {"phone_no": "9812345678", "name": "Asha Rao", "address": {"address1": "Shakti Bhawan"}}}, {
            ("contact", "phone_no"), ("contact", "name"), ("contact", "address1"),
        }),
        ({"customer": {"phone": 9812345678}}, {("contact", "phone")}),
        ({"credentials": {"api": {"access_token": "shpat_1"}}}, {("secret", "access_token")}),
        ({"note": '{"email": "asha@example.com"}'}, {("contact", "email")}),
        ({"url": "https://user:pass-word@hook.example/x?token=t0ken-1"}, {("secret", "userinfo"), ("secret", "token")}),
        ({"items": [{"name": "Assam tea"}], "currency": "INR", "key": "2026-11-27"}, set()),
        ({"email": "unknown", "phone": "unknown", "name": "Back again"}, set()),
        ("no object at all", set()),
    ],
)  # fmt: skip
def test_a_body_holds(body: Any, expected: set[tuple[str, str]]) -> None:
    assert {(own.kind, own.field) for own in planted_in(body, shoppers=True)} == expected


def test_only_of_bodies_about_shoppers_contact_data_is_looked_for() -> None:
    assert list(planted_in({"email": "team@shop.example"}, shoppers=False)) == []


def test_a_credential_in_a_header_is_a_secret() -> None:
    headers = {"Authorization": "Bearer mer-token", "X-Flexype-Authorization": "of-the-source", "accept": "any/thing"}

    assert {own.value for own in planted_in_headers(headers)} == {"mer-token", "of-the-source"}


def test_the_code_of_a_link_to_a_shopper_is_a_secret() -> None:
    assert [own.value for own in planted_in_url("https://api.example/r/abcdefghijklmnop1234?utm=1")] == [
        "abcdefghijklmnop1234",
    ]
