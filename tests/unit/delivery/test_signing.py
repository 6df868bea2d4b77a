"""Signatures that every Standard Webhooks library accepts."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import standardwebhooks
import svix
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.signing import (
    InvalidSecret,
    generate_private_key,
    generate_secret,
    parse_secret,
    public_bytes,
    public_key_of,
    sign,
    signature_headers,
)

KEY_A = "whsec_V6q3/sQPjxHdeZfSzIVFHdT2qGWclbMn"
KEY_B = "whsec_FcP63DV9oIbIr0IRcNFxfXu9Ht6hM6w2GH2PKtjlSG0="
KEY_C = "whsec_LJ0GQsSGK7P6lCnLjqRwpxlwHMR8zUJG6YaasMOxYrFZsiKEC9znNe8bsZOeZyzoEAECBk/NKOS+Gk/6O8XnBg=="
D1_BODY = b'{"type":"checkout.abandoned","timestamp":"2026-01-01T00:00:00Z","data":{"checkout_id":"chk_1"}}'
D1_SIGNATURE = "v1,0JbPyEf/1j82paog9nl/vbs4/aVynCsQ6xY8CshwDns="
D2_BODY = (
    '{"type":"checkout.abandoned","timestamp":"2026-01-01T00:00:01Z",'
    '"data":{"name":"आशा","total":"₹1,499.00","note":"👜"}}'
)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("secret", "message_id", "seconds", "body", "signature"),
    [
        pytest.param(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            id="published-by-the-libraries",
        ),
        pytest.param(
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            b'{"email":"test@example.com","username":"test_user"}',
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            id="published-by-the-rust-library",
        ),
        pytest.param(KEY_A, "msg_doc_0001", 1767225600, D1_BODY, D1_SIGNATURE, id="ascii"),
        pytest.param(
            KEY_A,
            "msg_doc_0002",
            1767225601,
            D2_BODY.encode(),
            "v1,TuN0fNY6vErqV/14/EcmYifA799loxynBmtDCm+yCiw=",
            id="utf-8-as-is",
        ),
        pytest.param(
            KEY_A,
            "msg_doc_0003",
            1767225602,
            json.dumps(json.loads(D2_BODY), separators=(",", ":")).encode(),
            "v1,UeIQQtgYYjbhS1qfJde64SEXlOJvQVcQjlqXCMd+AXg=",
            id="the-same-json-escaped",
        ),
        pytest.param(
            KEY_B,
            "msg_doc_0004",
            1767225603,
            b"",
            "v1,w3+gNJkaqEGc5gbP6B6ysQv0y6hQdDWkrhKz2bVj+2c=",
            id="empty",
        ),
        pytest.param(
            KEY_B,
            "msg_doc_0005",
            1767225604,
            b'{ "type" : "checkout.recovered" }\n',
            "v1,bXhbDs8bKS8rqdFkhwf2Y8qUTGAAGoAQDYzj2AuxDp0=",
            id="spaces-and-line-feed",
        ),
        pytest.param(
            KEY_C,
            "msg_doc_0006",
            1767225605,
            b'{"type":"ping","timestamp":"2026-01-01T00:00:05Z","data":{}}',
            "v1,43MxDXT0jEb6nSoYgFjgfzU4fditcoooCAo7WncWqtk=",
            id="longest-key",
        ),
        pytest.param(
            KEY_A,
            "msg_doc_0001",
            1767225605,
            D1_BODY,
            "v1,UNy3CsR4QmWSHDxP+OZsQNM6+IRZF4B+Wp2oDUxI/PI=",
            id="retry-of-the-first",
        ),
    ],
)
def test_known_signatures(secret: str, message_id: str, seconds: int, body: bytes, signature: str) -> None:
    assert sign([secret], message_id, at(seconds), body) == signature


def test_while_a_secret_is_rotated_each_live_one_signs() -> None:
    assert sign([KEY_A, KEY_B], "msg_doc_0001", at(1767225600), D1_BODY) == (
        f"{D1_SIGNATURE} v1,hKR776D/Wt+PJolR7uNYquMRfAM8Gt02p3i4Lu0e1BM="
    )


@given(body=st.dictionaries(st.text(), st.text()).map(lambda found: json.dumps(found).encode()))
def test_libraries_accept_what_we_sign_with_old_and_new_secret(body: bytes) -> None:
    old, new = generate_secret(), generate_secret()
    headers = signature_headers([new, old], "evt_01J", datetime.now(UTC), body)
    for secret in (old, new):
        assert standardwebhooks.Webhook(secret).verify(body, headers) == json.loads(body)
        svix.Webhook(secret).verify(body, headers)  # raises when it does not hold


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"body": D1_BODY + b" "}, id="body"),
        pytest.param({"webhook-id": "evt_other"}, id="id"),
        pytest.param({"webhook-timestamp": "+1"}, id="timestamp"),
    ],
)
def test_libraries_refuse_what_was_changed(change: dict[str, bytes | str]) -> None:
    secret, now = generate_secret(), datetime.now(UTC)
    headers = signature_headers([secret], "evt_01J", now, D1_BODY)
    body = change.pop("body", D1_BODY)
    if "webhook-timestamp" in change:
        change["webhook-timestamp"] = str(int(now.timestamp()) + 1)
    headers.update({name: str(value) for name, value in change.items()})
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(body, headers)


def test_the_zone_of_the_attempt_does_not_matter() -> None:
    in_india = at(1767225600).astimezone(timezone(timedelta(hours=5, minutes=30)))
    headers = signature_headers([KEY_A], "msg_doc_0001", in_india, D1_BODY)
    assert headers == {
        "webhook-id": "msg_doc_0001",
        "webhook-timestamp": "1767225600",
        "webhook-signature": D1_SIGNATURE,
    }


def test_a_naive_time_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="aware"):
        sign([KEY_A], "evt_1", datetime(2026, 1, 1), b"")  # noqa: DTZ001


def test_an_endpoint_without_a_secret_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no signing secret"):
        sign([], "evt_1", at(0), b"")


@pytest.mark.parametrize("message_id", ["", "evt.1", "evt 1", "evt\n1", "é"])
def test_an_id_cannot_blur_the_signed_text(message_id: str) -> None:
    with pytest.raises(ValueError, match="message id"):
        sign([KEY_A], message_id, at(0), b"")


def test_generated_secrets_differ_and_hold_32_bytes() -> None:
    secrets = {generate_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert {len(parse_secret(secret)) for secret in secrets} == {32}


@given(key=st.binary(min_size=24, max_size=64))
def test_every_key_of_permitted_length_survives(key: bytes) -> None:
    assert parse_secret("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "V6q3/sQPjxHdeZfSzIVFHdT2qGWclbMn",
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=",
        "whsec_V6q3_sQPjxHdeZfSzIVFHdT2qGWclbMn",  # URL-safe alphabet
        "whsec_V6q3-sQPjxHdeZfSzIVFHdT2qGWclbMn",
        "whsec_V6q3/sQPjxHdeZfSzIVFHdT2qGWclbMn\n",
        "whsec_V6q3/sQPjxHd eZfSzIVFHdT2qGWclbMn",
        "whsec_FcP63DV9oIbIr0IRcNFxfXu9Ht6hM6w2GH2PKtjlSG0",  # padding missing
        "whsec_FcP63DV9oIbIr0IRcNFxfXu9Ht6hM6w2GH2PKtjlSG1=",  # stray bits
        "whsec_FcP63DV9oIbIr0IRcNFxfXu9Ht6hM6w2GH2PKtjlSG0==",
        "whsec_é6q3/sQPjxHdeZfSzIVFHdT2qGWclbMn",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
    ],
)
def test_malformed_secrets_are_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(InvalidSecret) as caught:
        parse_secret(secret)
    assert len(secret) < 8 or secret[6:] not in str(caught.value)


PUBLISHED = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
KEY_D = "whsk_G7d57j7VElr1W2Fk5VhqMEq5/wYgNxipzsjvpPuT2nitY+kRoaTCgrk2JL8gWgbRM9CvSdFG/TBHlV70tYZRmQ=="


def verified(public_key: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver that pinned the key verifies: any ``v1a`` signature of the header may be its key's."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for element in headers["webhook-signature"].split(" "):
        scheme, _, written = element.partition(",")
        if scheme != "v1a":
            continue
        try:
            key.verify(base64.b64decode(written), signed)
        except InvalidSignature:
            continue
        return True
    return False


class TestAsymmetric:
    @pytest.mark.parametrize(
        ("private_key", "public_key", "message_id", "seconds", "body", "signature"),
        [
            pytest.param(
                PUBLISHED,
                "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1614265330,
                b'{"test": 2432232314}',
                "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
                id="the-specifications-own-example",
            ),
            pytest.param(
                KEY_D,
                "whpk_rWPpEaGkwoK5NiS/IFoG0TPQr0nRRv0wR5Ve9LWGUZk=",
                "msg_doc_0001",
                1767225600,
                D1_BODY,
                "v1a,/4e7cujdVwYH708ddXABUXo+wR9756oqBYGYkjAgNJr0MnN0sbRPLof94WVDk1vQTmUEF0jhPY1xyEQOmEcvCA==",
                id="ours",
            ),
        ],
    )
    def test_known_signatures(
        self, private_key: str, public_key: str, message_id: str, seconds: int, body: bytes, signature: str
    ) -> None:
        assert sign([private_key], message_id, at(seconds), body) == signature
        assert public_key_of(private_key) == public_key

    @given(body=st.dictionaries(st.text(), st.text()).map(lambda found: json.dumps(found).encode()))
    def test_a_receiver_of_either_scheme_finds_its_signature_among_all(self, body: bytes) -> None:
        secret, old, new = generate_secret(), generate_private_key(), generate_private_key()
        headers = signature_headers([secret, new, old], "evt_01J", datetime.now(UTC), body)

        assert [own.partition(",")[0] for own in headers["webhook-signature"].split(" ")] == ["v1", "v1a", "v1a"]
        assert standardwebhooks.Webhook(secret).verify(body, headers) == json.loads(body)
        svix.Webhook(secret).verify(body, headers)
        assert verified(public_key_of(new), headers, body)
        assert verified(public_key_of(old), headers, body)
        assert not verified(public_key_of(generate_private_key()), headers, body)
        assert not verified(public_key_of(new), headers, body + b" ")
        assert not verified(public_key_of(new), headers | {"webhook-id": "evt_other"}, body)

    def test_a_generated_pair_belongs_together(self) -> None:
        pair = generate_private_key()
        headers = signature_headers([pair], "evt_1", at(0), b"")
        assert verified(public_key_of(pair), headers, b"")
        assert len(public_bytes(public_key_of(pair))) == 32
        assert pair != generate_private_key()

    @pytest.mark.parametrize(
        "key",
        [
            "whsk_",
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=",  # the seed alone
            PUBLISHED[:-2],
            PUBLISHED.replace("/", "_"),
            PUBLISHED + "\n",
        ],
    )
    def test_a_malformed_key_is_refused_without_being_repeated(self, key: str) -> None:
        for use in (public_key_of, lambda own: sign([own], "evt_1", at(0), b"")):
            with pytest.raises(InvalidSecret) as caught:
                use(key)
            assert len(key) < 8 or key[5:] not in str(caught.value)
