"""The generic webhook: what the merchant's server receives, and what its answers come to."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.exchange import (
    Answer,
    BrokenExchange,
    DeliveryError,
    DestinationTimeout,
    DestinationUnreachable,
    ForbiddenAddress,
    InvalidRequest,
    RefusedDestination,
    SendResult,
    UnexpectedFailure,
)
from shared.delivery.outcome import Outcome
from shared.delivery.signing import generate_secret
from shared.destinations.destination import Delivery, Endpoint
from shared.destinations.webhook import USER_AGENT, destination, header_problems

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
EVENT = b'{"id":"evt_01J","type":"checkout.abandoned","data":{"checkout":{"note":"\xe2\x82\xb9 5"}}}'
DELIVERY = Delivery("dlv_01J", "evt_01J", "checkout.abandoned", NOW, EVENT)


def endpoint(**changes: object) -> Endpoint:
    settings: dict[str, object] = {
        "id": "ep_1",
        "kind": "webhook",
        "url": "https://hooks.bsp.example/in",
        "signing_secrets": (generate_secret(),),
    }
    return Endpoint(**{**settings, **changes})  # type: ignore[arg-type]  # a test's shorthand


@pytest.fixture
def _received_at_once() -> Iterator[None]:
    """The receiver's clock, by which it judges how old a signature is."""
    with time_machine.travel(NOW, tick=False):
        yield


def answered(status: int, body: bytes = b"", **headers: str) -> SendResult:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SendResult(NOW, NOW, 12, sent=True, answer=Answer(status, named, body))


def failed(error: DeliveryError, *, sent: bool = False) -> SendResult:
    return SendResult(NOW, NOW, 12, sent=sent, error=error)


# --- what goes out -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_received_at_once")
def test_the_stored_bytes_go_out_signed() -> None:
    receiving = endpoint(bearer_token="tok", headers={"X-Shop": "one"}, timeout=timedelta(seconds=7))
    request = destination.build(DELIVERY, receiving)
    assert (request.method, request.url, request.body) == ("POST", receiving.url, EVENT)
    assert request.timeout == timedelta(seconds=7)
    assert {name: value for name, value in request.headers.items() if not name.startswith("webhook-")} == {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "authorization": "Bearer tok",
        "x-shop": "one",
    }
    assert request.headers["webhook-id"] == "evt_01J"
    (secret,) = receiving.signing_secrets
    assert standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers)) == json.loads(EVENT)


def test_a_retry_has_the_same_id_and_bytes_but_a_signature_of_its_own() -> None:
    receiving = endpoint()
    first = destination.build(DELIVERY, receiving)
    later = Delivery("dlv_01J", "evt_01J", "checkout.abandoned", NOW + timedelta(minutes=5), EVENT)
    second = destination.build(later, receiving)
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


@pytest.mark.usefixtures("_received_at_once")
def test_during_a_rotation_both_secrets_sign() -> None:
    old, new = generate_secret(), generate_secret()
    request = destination.build(DELIVERY, endpoint(signing_secrets=(new, old)))
    for secret in (old, new):
        standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers))


def test_custom_headers_never_displace_ours() -> None:
    custom = {
        "Webhook-Id": "forged",
        "Content-Type": "text/plain",
        "HOST": "internal",
        "Authorization": "Basic x",
        "User-Agent": "curl",
    }
    request = destination.build(DELIVERY, endpoint(bearer_token="tok", headers=custom))
    assert {name.lower() for name in request.headers} == set(request.headers)
    assert request.headers["webhook-id"] == "evt_01J"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Bearer tok"
    assert "host" not in request.headers
    assert request.headers["user-agent"] == USER_AGENT


def test_without_a_token_the_merchant_may_authorize_in_another_way() -> None:
    request = destination.build(DELIVERY, endpoint(headers={"Authorization": "Basic dTpw"}))
    assert request.headers["authorization"] == "Basic dTpw"


@pytest.mark.parametrize(
    "name",
    [
        "webhook-signature",
        "Webhook-Anything",
        "Content-Type",
        "content-length",
        "content-encoding",
        "Host",
        "Connection",
        "Transfer-Encoding",
        "Proxy-Authorization",
        "User-Agent",
        "authorization",
        "bad name",
        "x:y",
        "naïve",
        "",
        "x" * 129,
    ],
)
def test_headers_that_cannot_be_registered(name: str) -> None:
    assert header_problems({name: "v"}, token_set=True)


@pytest.mark.parametrize("value", ["", " ", "a\r\nb: c", "a\nb", "é", "\x00", " a", "a ", "x" * 4097])
def test_values_that_cannot_be_registered(value: str) -> None:
    assert header_problems({"x-shop": value}, token_set=False) == [
        ("/headers/x-shop", "a header value is 1 to 4096 visible ASCII characters")
    ]


def test_ordinary_headers_can() -> None:
    ordinary = {"X-API-Key": "k", "X-Note": "two words\tand a tab", "Authorization": "Basic dTpw"}
    assert header_problems(ordinary, token_set=False) == []


def test_problems_point_into_the_request() -> None:
    found = dict(
        destination.problems(
            endpoint(bearer_token="tok\r\n", headers={"a/b~c": "v", "Host": "v", "x-a": "1", "X-A": "2"})
        )
    )
    assert set(found) == {"/headers/a~1b~0c", "/headers/Host", "/headers/X-A", "/settings/bearer_token"}


def test_a_payload_of_the_merchants_own_must_be_a_template() -> None:
    good = endpoint(settings={"payload": {"liquid": '{"id": "{{ checkout.id }}"}'}})
    assert destination.problems(good) == []
    bad = endpoint(settings={"payload": {"liquid": '{"id": "{{ checkout.id"}'}})
    assert [pointer for pointer, _ in destination.problems(bad)] == ["/settings/payload/liquid"]


def test_the_number_of_headers_is_bounded() -> None:
    found = header_problems({f"x-{n}": "v" for n in range(21)}, token_set=False)
    assert found == [("/headers", "at most 20 headers")]


# --- what comes back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    attempt = destination.classify(answered(status, b"thanks", retry_after="60"), endpoint())
    assert (attempt.outcome, attempt.reason, attempt.retry_after) == (Outcome.DELIVERED, None, None)
    assert (attempt.status_code, attempt.latency_ms, attempt.response_body) == (status, 12, "thanks")


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308, 400, 401, 403, 404, 422, 429, 500, 502, 503, 504, 599])
def test_everything_else_is_tried_again(status: int) -> None:
    attempt = destination.classify(answered(status), endpoint())
    assert attempt.outcome is Outcome.RETRY
    assert attempt.reason is not None
    assert str(status) in attempt.reason


@pytest.mark.parametrize("status", [301, 404, 429, 500, 503])
def test_retry_after_is_heard_on_any_failing_answer(status: int) -> None:
    attempt = destination.classify(answered(status, retry_after="120"), endpoint())
    assert attempt.retry_after == NOW + timedelta(seconds=120)


def test_gone_is_gone() -> None:
    attempt = destination.classify(answered(410, retry_after="5"), endpoint())
    assert (attempt.outcome, attempt.retry_after) == (Outcome.GONE, None)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_endpoint_may_sign_off_by_header(status: int) -> None:
    attempt = destination.classify(answered(status, webhook_delivery="Disable"), endpoint())
    assert attempt.outcome is Outcome.GONE


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DestinationTimeout("no answer in time"), Outcome.RETRY),
        (DestinationUnreachable("TLS failed"), Outcome.RETRY),
        (BrokenExchange("the connection broke"), Outcome.RETRY),
        (UnexpectedFailure("unexpected KeyError"), Outcome.RETRY),
        (ForbiddenAddress("not public only"), Outcome.RETRY),
        (RefusedDestination("must begin with https://"), Outcome.FAIL_CONFIG),
        (InvalidRequest("a header cannot be sent"), Outcome.FAIL_CONFIG),
    ],
)
def test_attempts_without_an_answer(error: DeliveryError, outcome: Outcome) -> None:
    attempt = destination.classify(failed(error), endpoint())
    assert (attempt.outcome, attempt.status_code) == (outcome, None)
    assert attempt.reason is not None
    assert error.reason in attempt.reason


def test_an_echoing_endpoint_does_not_put_its_secrets_into_our_log_of_attempts() -> None:
    receiving = endpoint(bearer_token="tok-123", headers={"x-key": "key-456", "x-version": "1"})
    (secret,) = receiving.signing_secrets
    echo = f"v1 tok-123 key-456 {secret} asha@example.com".encode()
    attempt = destination.classify(answered(500, echo), receiving)
    assert attempt.response_body == "v1 [secret] [secret] [secret] [email]"


@given(
    status=st.integers(100, 999),
    headers=st.dictionaries(st.sampled_from(["retry-after", "webhook-delivery", "content-encoding"]), st.text()),
    body=st.binary(max_size=200),
)
def test_any_answer_has_an_outcome(status: int, headers: dict[str, str], body: bytes) -> None:
    result = SendResult(NOW, NOW, 1, sent=True, answer=Answer(status, headers, body))
    attempt = destination.classify(result, endpoint())
    assert (attempt.outcome is Outcome.DELIVERED) <= (200 <= status <= 299)
