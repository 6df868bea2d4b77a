"""What every message kind does alike: nothing is sent twice by itself, nothing is lost, and no secret is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.exchange import (
    Answer,
    DestinationUnreachable,
    ForbiddenAddress,
    InvalidRequest,
    RefusedDestination,
    SendResult,
    UnexpectedFailure,
)
from shared.delivery.outcome import Outcome
from shared.destinations import registry
from shared.destinations.destination import Endpoint, Unsendable
from tests.unit.destinations.vendor import (
    AT,
    Vendor,
    answer,
    checkout,
    delivery,
    hangs_up,
    hangs_up_inside,
    keeps_silent,
)


@dataclass(frozen=True)
class Kind:
    """A kind with the least it needs, and its vendor's success."""

    name: str
    settings: Mapping[str, Any]
    success: tuple[int, Any]
    template: Any
    repeats: bool = False
    refuses_without: tuple[str, ...] = field(default=())


KINDS = [
    Kind(
        "meta_cloud",
        {"phone_number_id": "106540352242922"},
        (200, {"messages": [{"id": "wamid.1", "message_status": "accepted"}]}),
        {"name": "t", "body": ["{{ first_name }}"]},
        refuses_without=("phone_number_id",),
    ),
    Kind("interakt_event", {}, (202, {"result": True, "message": "queued"}), {"event": "Cart"}, repeats=True),
    Kind("interakt_template", {}, (201, {"result": True, "id": "u-1"}), {"name": "t", "body": ["{{ first_name }}"]}),
    Kind(
        "gupshup",
        {"source": "917834811114", "app_name": "SweetShop"},
        (202, {"status": "submitted", "messageId": "m-1"}),
        {"id": "tpl-uuid", "body": ["{{ first_name }}"]},
        refuses_without=("source", "app_name"),
    ),
    Kind(
        "wati",
        {},
        (200, {"success": True, "recipients": [{"local_message_id": "dlv_01J", "errors": []}]}),
        {"name": "t", "body": {"name": "{{ first_name }}"}},
    ),
    Kind(
        "360dialog",
        {},
        (200, {"messages": [{"id": "wamid.1", "message_status": "accepted"}]}),
        {"name": "t", "body": ["{{ first_name }}"]},
    ),
    Kind(
        "twilio",
        {"account_sid": "AC" + "0" * 32, "from": "+14155238886"},
        (201, {"sid": "SM1", "status": "queued", "error_code": None}),
        {"content_sid": "HX" + "0" * 32, "body": ["{{ first_name }}"]},
        refuses_without=("account_sid", "from"),
    ),
    Kind(
        "quickreply",
        {"client_id": "client-1"},
        (200, {"id": "m-1", "status": "SENT"}),
        {"id": "tpl-1", "body": ["{{ first_name }}"]},
        refuses_without=("client_id",),
    ),
    Kind(
        "limechat_event",
        {"account_id": "4711"},
        (200, {}),
        {"event": "cart"},
        repeats=True,
        refuses_without=("account_id",),
    ),
    Kind("aisensy", {}, (200, {"success": "true"}), {"campaign": "t", "body": ["{{ first_name }}"]}),
]
SEND_KINDS = [kind for kind in KINDS if not kind.repeats]


def named(kind: Kind) -> str:
    return kind.name


each_kind = pytest.mark.parametrize("kind", KINDS, ids=named)


@pytest.fixture
def of(vendor: Vendor) -> Callable[..., Endpoint]:
    def make(kind: Kind, **changes: Any) -> Endpoint:
        return vendor.endpoint(kind.name, settings={**kind.settings, "template": kind.template}, **changes)

    return make


@each_kind
def test_an_accepted_message_is_delivered(kind: Kind, vendor: Vendor, of: Callable[..., Endpoint]) -> None:
    attempt = vendor.send(delivery(), of(kind), answer(*kind.success))
    assert (attempt.outcome, attempt.reason) == (Outcome.DELIVERED, None)
    assert vendor.received.headers["user-agent"] == "Checkback/1.0"


@pytest.mark.parametrize(
    ("kind", "channel"),
    [
        ("ses", "email"),
        ("twilio", "whatsapp"),
        ("360dialog", "whatsapp"),
        ("quickreply", "whatsapp"),
        ("webhook", None),
    ],
)
def test_consent_is_asked_for_the_channel_a_kind_uses(kind: str, channel: str | None) -> None:
    assert registry.channel(kind) == channel


@each_kind
def test_two_attempts_send_the_same(kind: Kind, vendor: Vendor, of: Callable[..., Endpoint]) -> None:
    for _ in range(2):
        vendor.send(delivery(), of(kind), answer(*kind.success))
    first, second = vendor.receiver.requests
    assert (first.path, first.body) == (second.path, second.body)


@each_kind
def test_a_refused_connection_is_tried_again(kind: Kind, vendor: Vendor, of: Callable[..., Endpoint]) -> None:
    endpoint = of(kind)
    vendor.receiver.stop()
    attempt = vendor.send(delivery(), endpoint, answer(*kind.success))
    assert attempt.outcome is Outcome.RETRY
    vendor.receiver.start()


@each_kind
@pytest.mark.parametrize(
    "behaviour",
    [
        hangs_up,
        keeps_silent,
        hangs_up_inside(b'{"result": tr'),
        hangs_up_inside(b'{"error": {"co', 400),
        answer(502, "<html>Bad gateway</html>", headers={"content-type": "text/html"}),
        answer(500, {}),
        answer(408, "<html>Request timeout</html>"),
        answer(503, b"\xff\xfe", headers={"retry-after": "30"}),
    ],
    ids=["hangs up", "silent", "broken off", "broken off refusal", "html 502", "500", "408", "bytes 503"],
)
def test_what_is_uncertain_is_repeated_for_events_only(
    kind: Kind, behaviour: Any, vendor: Vendor, of: Callable[..., Endpoint]
) -> None:
    attempt = vendor.send(delivery(), of(kind, timeout=0.3), behaviour)
    assert attempt.outcome is (Outcome.RETRY if kind.repeats else Outcome.UNKNOWN)
    assert attempt.reason
    assert attempt.vendor_message_id is None


@each_kind
def test_what_the_vendor_would_not_look_at_yet_is_tried_again(
    kind: Kind, vendor: Vendor, of: Callable[..., Endpoint]
) -> None:
    assert vendor.send(delivery(), of(kind), answer(425, "")).outcome is Outcome.RETRY


@each_kind
@pytest.mark.parametrize("body", ["", "<html>slow down</html>", {"message": "Too many requests"}], ids=str)
def test_too_many_requests_wait_as_long_as_asked(
    kind: Kind, body: Any, vendor: Vendor, of: Callable[..., Endpoint]
) -> None:
    attempt = vendor.send(delivery(), of(kind), answer(429, body, headers={"retry-after": "120"}))
    assert attempt.outcome is Outcome.RETRY
    assert attempt.retry_after is not None
    assert timedelta(seconds=119) <= attempt.retry_after - attempt.at <= timedelta(seconds=130)


@each_kind
@pytest.mark.parametrize("status", [301, 302, 307, 401, 403])
@pytest.mark.parametrize("body", ["Unauthorized", {"message": "Invalid"}], ids=str)
def test_credentials_and_redirects_are_a_matter_of_set_up(
    kind: Kind, status: int, body: Any, vendor: Vendor, of: Callable[..., Endpoint]
) -> None:
    attempt = vendor.send(delivery(), of(kind), answer(status, body))
    assert attempt.outcome is Outcome.FAIL_CONFIG
    assert attempt.status_code == status


@each_kind
def test_a_vendor_that_echoes_does_not_put_secrets_or_contacts_into_our_log(
    kind: Kind, vendor: Vendor, of: Callable[..., Endpoint]
) -> None:
    echo = {
        "message": "bad key-123456 for asha@example.com +919876543210 hdr-654321",
        "error": {"message": "key-123456"},
    }
    attempt = vendor.send(delivery(), of(kind, headers={"x-shop": "hdr-654321"}), answer(400, echo))
    told = f"{attempt.reason} {attempt.response_body}"
    for secret in ("key-123456", "hdr-654321", "asha@example.com", "9876543210"):
        assert secret not in told


@each_kind
def test_custom_headers_go_along_and_never_displace_ours(
    kind: Kind, vendor: Vendor, of: Callable[..., Endpoint]
) -> None:
    plain = vendor.send(delivery(), of(kind), answer(*kind.success))
    own = dict(vendor.received.headers)
    forged = {"X-Shop": "one", "Content-Type": "text/plain", "Authorization": "Basic x", "apikey": "x"}
    vendor.send(delivery(), of(kind, headers=forged), answer(*kind.success))
    assert plain.outcome is Outcome.DELIVERED
    assert vendor.received.headers["x-shop"] == "one"
    for name in {"content-type", "authorization", "apikey"} & set(own):
        assert vendor.received.headers[name] == own[name]


@each_kind
@pytest.mark.parametrize("phone", [None, "", "9876543210", "+91", "call me"])
def test_without_a_number_nobody_is_messaged(kind: Kind, phone: str | None, of: Callable[..., Endpoint]) -> None:
    without = delivery(of=checkout(customer={"phone": phone, "first_name": "Asha"}))
    with pytest.raises(Unsendable) as caught:
        registry.destination(kind.name).build(without, of(kind))
    assert caught.value.outcome is Outcome.FAIL_RECIPIENT


@pytest.mark.parametrize("kind", SEND_KINDS, ids=named)
def test_a_message_with_an_empty_part_is_not_built(kind: Kind, of: Callable[..., Endpoint]) -> None:
    nameless = checkout(customer={"phone": "+919876543210", "first_name": None}, shipping_address=None)
    with pytest.raises(Unsendable) as caught:
        registry.destination(kind.name).build(delivery(of=nameless), of(kind))
    assert caught.value.outcome is Outcome.FAIL_MESSAGE
    assert "first_name" in caught.value.reason


@pytest.mark.parametrize("kind", SEND_KINDS, ids=named)
def test_without_a_template_nothing_is_built(kind: Kind, vendor: Vendor) -> None:
    with pytest.raises(Unsendable) as caught:
        registry.destination(kind.name).build(delivery(), vendor.endpoint(kind.name, settings=dict(kind.settings)))
    assert caught.value.outcome is Outcome.FAIL_CONFIG


@each_kind
def test_a_complete_endpoint_has_no_problems_and_fits_its_schema(kind: Kind, of: Callable[..., Endpoint]) -> None:
    from jsonschema import Draft202012Validator

    known = registry.destination(kind.name)
    endpoint = of(kind)
    assert known.problems(endpoint) == []
    Draft202012Validator.check_schema(dict(known.settings))
    stored = {**endpoint.settings, "bearer_token": endpoint.bearer_token}
    assert list(Draft202012Validator(dict(known.settings)).iter_errors(stored)) == []


@each_kind
def test_what_is_missing_is_pointed_at(kind: Kind, vendor: Vendor) -> None:
    bare = vendor.endpoint(kind.name, bearer_token=None, headers={"Host": "x"})
    pointers = {pointer for pointer, _ in registry.destination(kind.name).problems(bare)}
    expected = {"/settings/bearer_token", "/headers/Host", *(f"/settings/{name}" for name in kind.refuses_without)}
    assert expected <= pointers


@each_kind
def test_secrets_are_marked(kind: Kind) -> None:
    properties = registry.destination(kind.name).settings["properties"]
    secret = {name for name, schema in properties.items() if schema.get("writeOnly")}
    assert "bearer_token" in secret
    for name in properties:
        assert (name in secret) == (name.endswith(("token", "secret"))), name


@each_kind
@pytest.mark.parametrize(
    ("error", "sent", "outcome"),
    [
        (DestinationUnreachable("TLS failed"), False, Outcome.RETRY),
        (ForbiddenAddress("not public only"), False, Outcome.RETRY),
        (UnexpectedFailure("a defect"), False, Outcome.RETRY),
        (RefusedDestination("must begin with https://"), False, Outcome.FAIL_CONFIG),
        (InvalidRequest("a header cannot be sent"), False, Outcome.FAIL_CONFIG),
        (None, False, Outcome.RETRY),
    ],
)
def test_what_was_never_sent(kind: Kind, error: Any, sent: bool, outcome: Outcome) -> None:
    result = SendResult(AT, AT, 1, sent=sent, error=error)
    assert registry.destination(kind.name).classify(result, Endpoint("ep_1", kind.name, "")).outcome is outcome


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "code", "message", "messages", "id", "result", "status", "messageId", "success", "recipients"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(kind=st.sampled_from(KINDS), status=st.integers(100, 599), body=_JSON, complete=st.booleans())
def test_any_answer_has_an_outcome(kind: Kind, status: int, body: Any, complete: bool) -> None:
    import json

    raw = json.dumps(body).encode()
    result = SendResult(AT, AT, 1, sent=True, answer=Answer(status, {}, raw, complete))
    attempt = registry.destination(kind.name).classify(result, Endpoint("ep_1", kind.name, ""))
    if attempt.outcome is Outcome.DELIVERED:
        assert 200 <= status < 300
        assert complete
    if kind.repeats:
        assert attempt.outcome is not Outcome.UNKNOWN
    elif status >= 500 or (not complete and status != 429):
        # Never repeated by itself, unless the vendor's own code says that nothing was done.
        assert attempt.outcome is not Outcome.RETRY or (complete and isinstance(body, dict))
    if attempt.outcome is not Outcome.DELIVERED:
        assert attempt.reason
