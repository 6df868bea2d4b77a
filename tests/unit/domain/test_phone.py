"""Phones: E.164 or nothing, nothing guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.phone import to_e164


@pytest.mark.parametrize(
    ("raw", "country", "dial_code", "e164"),
    [
        ("7777788888", None, "91", "+917777788888"),
        ("7777788888", None, "+91", "+917777788888"),
        (7777788888, None, 91, "+917777788888"),
        ("7777788888", "IN", None, "+917777788888"),
        ("7777788888", "in", None, "+917777788888"),
        ("917777788888", None, "91", "+917777788888"),
        ("+91 77777-88888", None, None, "+917777788888"),
        ("+917777788888", "US", "1", "+917777788888"),
        ("0777 778 8888", "IN", None, "+917777788888"),
        ("7777788888", None, None, None),
        ("12345", "IN", None, None),
        ("9999", "IN", "91", None),
        ("+910000000000", None, None, None),
        ("no phone", "IN", "91", None),
        ("", "IN", "91", None),
        (None, "IN", "91", None),
        (True, "IN", "91", None),
        (77777.5, "IN", "91", None),
        ("7777788888", "XX", None, None),
    ],
)
def test_a_number_is_read_with_what_the_payload_says_of_its_country(
    raw: object, country: str | None, dial_code: object, e164: str | None
) -> None:
    assert to_e164(raw, country, dial_code) == e164


@given(st.one_of(st.text(max_size=25), st.integers(), st.none()), st.sampled_from([None, "IN", "US", "??"]), st.text())
def test_anything_is_e164_or_nothing(raw: object, country: str | None, dial_code: str) -> None:
    found = to_e164(raw, country, dial_code)
    assert found is None or (found.startswith("+") and found[1:].isdigit() and 7 <= len(found) <= 16)
    assert found is None or to_e164(found) == found
