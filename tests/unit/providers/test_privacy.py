"""A provider's body as a merchant's own system gets it: all of it but what we never keep."""

import json
import zlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.providers.payload import read_json
from shared.providers.privacy import provider_body, without_private

PRIVATE = {
    "browser_ip": "203.0.113.7",
    "clientIp": "203.0.113.7",
    "client_ip_address": "203.0.113.7",
    "user_agent": "Mozilla/5.0",
    "userAgent": "Mozilla/5.0",
    "fbclid": "x",
    "gclid": "x",
    "_fbp": "x",
}


def body(text: str, **more: Any) -> str:
    packed = provider_body(read_json(text.encode()), **more)
    assert packed is not None
    return zlib.decompress(packed).decode()


def test_private_fields_go_at_any_depth_and_the_rest_stays() -> None:
    payload = {"a": [{"client_details": PRIVATE | {"accept_language": "en"}}], "total": "630.00", **PRIVATE}
    assert without_private(payload) == {"a": [{"client_details": {"accept_language": "en"}}], "total": "630.00"}


def test_name_value_pairs_go_whole() -> None:
    pairs = [{"name": "fbclid", "value": "x"}, {"name": "Gift", "value": "yes"}, {"key": "User-Agent", "value": "x"}]
    assert without_private({"note_attributes": pairs}) == {"note_attributes": [{"name": "Gift", "value": "yes"}]}


def test_click_ids_leave_addresses_and_the_rest_of_the_query_stays_as_it_was() -> None:
    url = "https://shop.example/p?utm_source=a%20b&fbclid=abc&x=1#top"
    assert without_private(url) == "https://shop.example/p?utm_source=a%20b&x=1#top"
    assert without_private("/?gclid=1") == "/"
    assert without_private("Really? gclid=1 is text") == "Really? gclid=1 is text"


def test_a_source_that_keeps_click_ids_keeps_them() -> None:
    kept = without_private({"fbclid": "x", "ip": "203.0.113.7", "u": "/?fbclid=x"}, keep_click_ids=True)
    assert kept == {"fbclid": "x", "u": "/?fbclid=x"}


@pytest.mark.parametrize("number", ["630.00", "0.10", "1.0", "12345678901234567890", "1234567890.123456789012345678"])
def test_numbers_keep_their_digits(number: str) -> None:
    assert body(f'{{"total":{number}}}') == f'{{"total":{number}}}'


def test_text_of_any_script_stays_text() -> None:
    assert body('{"name":"नमस्ते \\u00e9"}') == '{"name":"नमस्ते é"}'


def test_a_body_too_large_to_keep_is_none() -> None:
    noise = "".join(chr(0x4E00 + (at * 7919) % 20000) for at in range(200_000))
    assert provider_body({"x": noise}) is None


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(_json)
def test_it_is_total_and_says_nothing_twice(value: Any) -> None:
    once = without_private(value)
    assert without_private(once) == once
    packed = provider_body(value)
    assert packed is not None
    json.loads(zlib.decompress(packed), parse_float=Decimal)
