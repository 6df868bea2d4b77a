"""Why a signed event does not verify: what integrators get wrong, each told apart."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from checkback.proofs import standard
from checkback.signature import Finding, examine

NOW = datetime(2026, 11, 28, 10, 0, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OTHER = "whsec_" + base64.b64encode(b"another key, as long as the first").decode()
EVENT = {"id": "evt_01", "type": "checkout.abandoned", "data": {"name": "Zoë", "total": "630.00"}}
BODY = json.dumps(EVENT, separators=(",", ":"), ensure_ascii=False).encode()


def headers(body: bytes = BODY, secret: str = SECRET, at: datetime = NOW, **changed: str) -> dict[str, str]:
    signed = Webhook(secret).sign("evt_01", at, body.decode())
    return {
        "webhook-id": "evt_01",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signed,
        **{name.replace("_", "-"): own for name, own in changed.items()},
    }


def finding(body: bytes, received: Mapping[str, str], *secrets: str, now: datetime = NOW) -> Finding:
    return examine(body, received, secrets or (SECRET,), now).finding


def test_what_the_library_signs_is_valid_under_any_of_the_secrets() -> None:
    assert finding(BODY, headers()) is Finding.VALID
    assert finding(BODY, headers(), OTHER, SECRET) is Finding.VALID
    rotating = headers()["webhook-signature"] + " " + headers(secret=OTHER)["webhook-signature"]
    assert finding(BODY, headers(webhook_signature=rotating), OTHER) is Finding.VALID


def test_what_we_sign_the_library_verifies() -> None:
    now = datetime.now(UTC)
    Webhook(SECRET).verify(BODY, standard(BODY, SECRET, now, message_id="evt_01"))


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_a_proxy_dropped(missing: str) -> None:
    assert finding(BODY, headers() | {missing: ""}) is Finding.MISSING_HEADER


def test_another_endpoints_secret() -> None:
    assert finding(BODY, headers(secret=OTHER)) is Finding.WRONG_SECRET


@pytest.mark.parametrize(("age", "found"), [(299, Finding.VALID), (301, Finding.STALE_TIMESTAMP)])
def test_a_recording_and_a_clock_that_is_wrong(age: int, found: Finding) -> None:
    for moved in (timedelta(seconds=age), timedelta(seconds=-age)):
        assert finding(BODY, headers(at=NOW - moved)) is found


@pytest.mark.parametrize(
    "altered",
    [
        BODY + b"\n",
        b"\xef\xbb\xbf" + BODY,
        json.dumps(EVENT).encode(),
        json.dumps(EVENT, indent=2, ensure_ascii=False).encode(),
        b'{"id":"evt_02"}',
        b"id=evt_01",
    ],
)
def test_a_body_that_is_not_the_one_that_was_signed(altered: bytes) -> None:
    assert finding(altered, headers()) is Finding.ALTERED_BODY


@pytest.mark.parametrize(
    "received",
    [
        headers(webhook_signature="v1,not base64!"),
        headers(webhook_signature="5d41402abc4b2a76b9719d911017c592"),
        headers(webhook_signature="v1"),
        headers(webhook_timestamp="2026-11-28T10:00:00Z"),
        headers(webhook_timestamp="²"),
        headers(webhook_timestamp="9" * 40),
    ],
)
def test_a_signature_or_time_of_another_form(received: dict[str, str]) -> None:
    assert finding(BODY, received) is Finding.WRONG_ENCODING


def test_a_secret_that_was_cut_or_used_as_text() -> None:
    assert finding(BODY, headers(), "whsec_!") is Finding.WRONG_ENCODING
    as_text = "whsec_" + base64.b64encode(SECRET.encode()).decode()
    assert finding(BODY, headers(secret=as_text)) is Finding.WRONG_ENCODING


def test_no_finding_tells_a_secret() -> None:
    for received in (headers(), headers(secret=OTHER), headers(webhook_signature="v1,x")):
        told = examine(BODY, received, (SECRET,), NOW).detail
        assert SECRET not in told
        assert SECRET.removeprefix("whsec_") not in told
