"""What of an answer may be stored and shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.exchange import Answer
from shared.delivery.outcome import EXCERPT_BYTES, Attempt, Outcome, excerpt, in_our_words, mask

TOKEN = "tok/en+with=signs"
SECRET = "whsec_FcP63DV9oIbIr0IRcNFxfXu9Ht6hM6w2GH2PKtjlSG0="


def answer(body: bytes, **headers: str) -> Answer:
    return Answer(200, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("queued for asha@example.co.in", "queued for [email]"),
        ("to=asha%40example.com&x=1", "to=[email]&x=1"),
        ('{"to":"asha\\u0040example.com"}', '{"to":"[email]"}'),
        ("sent to +91 77777 88888.", "sent to [number]."),
        ("sent to +91-77777-88888", "sent to [number]"),
        ("(022) 2345 6789 is busy", "([number] is busy"),
        ("phone=917777788888&ok", "phone=[number]&ok"),
        ("%2B917777788888", "%2B[number]"),
        ("call ९१७७७७७८८८८८", "call [number]"),
        ("error 131047 at 2026-11-21T10:00:00Z", "error 131047 at 2026-11-21T10:00:00Z"),
        ("rate limit 100 per 60 s", "rate limit 100 per 60 s"),
    ],
)
def test_contact_data_is_masked_and_diagnosis_stays_readable(said: str, kept: str) -> None:
    assert excerpt(answer(said.encode())) == kept


@pytest.mark.parametrize(
    "said",
    [
        f"unknown token {TOKEN}",
        '{"authorization":"Bearer tok\\/en+with=signs"}',
        "token=tok%2Fen%2Bwith%3Dsigns",
        f"secret {SECRET}",
        f"key {SECRET.removeprefix('whsec_')}",
    ],
)
def test_a_receiver_that_echoes_its_credentials_does_not_leak_them(said: str) -> None:
    kept = excerpt(answer(said.encode()), [TOKEN, SECRET])
    assert kept is not None
    assert "[secret]" in kept
    for part in ("en+with", "en%2Bwith", "FcP63DV9"):
        assert part not in kept


def test_the_longer_of_two_overlapping_secrets_goes_first() -> None:
    assert mask("abcdef-xyz", ["abcdef", "abcdef-xyz"]) == "[secret]"


def test_a_number_across_the_cut_is_masked_whole() -> None:
    kept = excerpt(answer(b"x" * (EXCERPT_BYTES - 6) + b" 917777788888"))
    assert kept is not None
    assert "9177" not in kept


def test_the_first_kib_is_kept_and_no_character_is_torn() -> None:
    kept = excerpt(answer("₹".encode() * 4000))
    assert kept == "₹" * (EXCERPT_BYTES // 3)


def test_compressed_answers_are_named_not_expanded() -> None:
    kept = excerpt(answer(b"\x1f\x8b\x08" + bytes(50), content_encoding="gzip"))
    assert kept == "[53 bytes with a content-encoding that was not asked for]"


def test_an_empty_answer_has_no_excerpt() -> None:
    assert excerpt(answer(b"")) is None


def test_control_and_direction_characters_are_dropped() -> None:
    assert excerpt(answer("a\x00b\x1b[31m\u202ec\r\nd\te".encode())) == "ab[31mc\nd\te"


@given(body=st.binary(max_size=4000), secret=st.text(min_size=6, max_size=20))
def test_any_bytes_give_a_bounded_text(body: bytes, secret: str) -> None:
    kept = excerpt(answer(body), [secret])
    assert kept is None or len(kept.encode()) <= EXCERPT_BYTES


@given(number=st.integers(10**9, 10**15 - 1), before=st.sampled_from(["", " ", "+", ":", "a", "("]))
def test_no_phone_number_survives(number: int, before: str) -> None:
    assert str(number) not in mask(f"x{before}{number} y")


def test_an_attempt_keeps_the_body_out_of_its_repr() -> None:
    from datetime import UTC, datetime

    attempt = Attempt(datetime(2026, 1, 1, tzinfo=UTC), 200, 5, Outcome.DELIVERED, response_body="asha")
    assert "asha" not in repr(attempt)


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("not_on_channel: WhatsApp 131026, undeliverable: Asha's phone is off", "not_on_channel: WhatsApp 131026"),
        ("WhatsApp 132018, a value holds a newline: Asha", "WhatsApp 132018"),
        ("hard_bounce: Permanent/General smtp; 550 no Asha here", "hard_bounce"),
        ("Asha moved away", "failed"),
        ("code 12345678901", "failed"),
    ],
)
def test_a_reason_in_our_words_holds_none_of_the_vendors(reason: str, ours: str) -> None:
    assert in_our_words(reason) == ours
