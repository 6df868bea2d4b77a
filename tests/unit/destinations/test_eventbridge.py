"""A merchant's own event bus: whose it is, the signed request, and what its answers come to."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.session import Session

from shared.delivery.exchange import Answer, BrokenExchange, OutboundRequest, SendResult
from shared.delivery.outcome import Outcome
from shared.delivery.put_events import MOST_BYTES
from shared.destinations import aws_request, registry
from shared.destinations.destination import Delivery, Endpoint, Unsendable
from shared.destinations.eventbridge import destination
from shared.workflows.delivering.endpoint_setup import Draft, check, default_event_types
from shared.workflows.delivering.refusals import Invalid
from tests.unit.destinations.vendor import AT, Vendor, answer

MERCHANT = "mer_01KAHJ0000000000000000000M"
NEIGHBOUR = "mer_01KAHJ0000000000000000000N"
OURS, THEIRS = "000011112222", "111122223333"
BUS = f"arn:aws:events:eu-west-1:{THEIRS}:event-bus/checkback-{MERCHANT}"
BODY = '{"id":"evt_1","type":"checkout.abandoned","data":{"checkout":{"id":"chk_1","note":"für dich"}}}'


@pytest.fixture(autouse=True)
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stage in an account of its own, with a role's credentials."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EVENTBRIDGE", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STAGE", "production")
    monkeypatch.setenv("ACCOUNT_ID", OURS)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAROLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "role-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "role-session")
    aws_request.role.cache_clear()
    yield
    aws_request.role.cache_clear()


def endpoint(bus: Any = BUS, merchant: str = MERCHANT, **changed: Any) -> Endpoint:
    settings = {"bus_arn": bus}
    return Endpoint("ep_1", "eventbridge", "", settings=settings, merchant_id=merchant, **changed)


def event(body: str = BODY, event_type: str = "checkout.abandoned") -> Delivery:
    return Delivery("dlv_1", "evt_1", event_type, AT, body.encode())


def entries(request: OutboundRequest) -> Any:
    return json.loads(request.body)["Entries"]


def outcome(status: int, body: object, headers: dict[str, str] | None = None) -> tuple[Outcome, str | None]:
    raw = json.dumps(body).encode()
    attempt = destination.classify(
        SendResult(AT, AT, 5, sent=True, answer=Answer(status, headers or {}, raw)), endpoint()
    )
    return attempt.outcome, attempt.reason


def failed(code: str, message: str = "said so") -> dict[str, Any]:
    return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": code, "ErrorMessage": message}]}


PUT: dict[str, Any] = {"FailedEntryCount": 0, "Entries": [{"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"}]}


class TestWhoseBus:
    @pytest.mark.parametrize(
        "name", [f"checkback-{MERCHANT}", f"checkback-{MERCHANT}-test", f"checkback-{MERCHANT}-a.b"]
    )
    def test_it_names_its_merchant(self, name: str) -> None:
        assert destination.problems(endpoint(f"arn:aws:events:ap-south-1:{THEIRS}:event-bus/{name}")) == []

    @pytest.mark.parametrize(
        "name",
        [
            "default",
            "orders",
            "checkback-",
            f"checkback-{NEIGHBOUR}",
            f"checkback-{MERCHANT}x",
            f"checkback-{MERCHANT.lower()}",
            f"x-checkback-{MERCHANT}",
        ],
    )
    def test_any_other_is_somebody_elses(self, name: str) -> None:
        ((where, _),) = destination.problems(endpoint(f"arn:aws:events:ap-south-1:{THEIRS}:event-bus/{name}"))
        assert where == "/settings/bus_arn"

    @pytest.mark.parametrize("name", ["default", "checkback-production-events", f"checkback-{MERCHANT}"])
    def test_none_is_in_checkbacks_own_account(self, name: str) -> None:
        assert destination.problems(endpoint(f"arn:aws:events:eu-west-1:{OURS}:event-bus/{name}")) == [
            ("/settings/bus_arn", "not a bus of yours: it is of Checkback's own account")
        ]

    def test_whoever_is_not_known_has_none(self) -> None:
        bus = f"arn:aws:events:eu-west-1:{THEIRS}:event-bus/checkback-"
        assert destination.problems(endpoint(bus, merchant=""))
        assert destination.problems(endpoint(bus + "-x", merchant=""))

    @pytest.mark.parametrize(
        "bus",
        [
            None,
            7,
            "",
            f"checkback-{MERCHANT}",
            BUS + " ",
            BUS + "\n",
            BUS.replace("arn:aws:", "arn:aws-cn:"),
            BUS.replace("arn:aws:", "arn:aws-us-gov:"),
            BUS.replace("eu-west-1", "cn-north-1"),
            BUS.replace("eu-west-1", "us-gov-west-1"),
            BUS.replace("eu-west-1", "evil.example/"),
            BUS.replace("eu-west-1", "eu-west-1.evil"),
            BUS.replace(THEIRS, "1111"),
            BUS.replace(THEIRS, "١١١١٢٢٢٢٣٣٣٣"),
            BUS.replace("event-bus/", "rule/"),
            BUS.replace("event-bus/", "event-bus/aws.partner/"),
            BUS + "/../default",
            f"{BUS}-{'x' * 256}",
        ],
    )
    def test_what_is_no_arn_of_a_bus_is_refused(self, bus: Any) -> None:
        ((where, _),) = destination.problems(endpoint(bus))
        assert where == "/settings/bus_arn"
        with pytest.raises(Unsendable) as refused:
            destination.build(event(), endpoint(bus))
        assert refused.value.outcome is Outcome.FAIL_CONFIG

    def test_one_that_was_stored_is_looked_at_again_before_anything_is_sent(self) -> None:
        with pytest.raises(Unsendable, match="must be named"):
            destination.build(event(), endpoint(BUS, merchant=NEIGHBOUR))

    def test_every_region_of_the_partition_passes(self) -> None:
        regions = Session().get_available_regions("events", "aws")
        assert len(regions) > 25
        for region in regions:
            assert destination.problems(endpoint(BUS.replace("eu-west-1", region))) == [], region

    def test_the_local_engine_has_one_account_and_buses_of_any_name_but_checkbacks_own(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STAGE", "local")
        own = f"arn:aws:events:us-east-1:{OURS}:event-bus/"
        for name in ("orders", f"checkback-{MERCHANT}"):
            assert destination.problems(endpoint(own + name)) == []
        for name in ("default", "checkback-local-events", f"checkback-{NEIGHBOUR}"):
            assert destination.problems(endpoint(own + name)) == [("/settings/bus_arn", "not a bus of yours")]


class TestRegistering:
    def draft(self, **changed: Any) -> Draft:
        given: dict[str, Any] = {"kind": "eventbridge", "url": None, "settings": {"bus_arn": BUS}} | changed
        return Draft(**given)

    def refused(self, **changed: Any) -> list[str]:
        with pytest.raises(Invalid) as refused:
            check(self.draft(**changed), local=False, merchant_id=MERCHANT)
        return [where for where, _ in refused.value.problems]

    def test_it_takes_events_like_a_webhook(self) -> None:
        check(self.draft(), local=False, merchant_id=MERCHANT)
        assert default_event_types("eventbridge") == default_event_types("webhook")
        assert registry.takes_events("eventbridge")
        assert not registry.takes_events("gone_for_years")

    def test_a_bus_has_no_address_headers_and_token(self) -> None:
        assert self.refused(url="https://events.eu-west-1.amazonaws.com/") == ["/url"]
        assert self.refused(headers={"X-Amz-Target": "AWSEvents.DeleteEventBus"}) == ["/headers/X-Amz-Target"]
        assert self.refused(settings={"bus_arn": BUS, "bearer_token": "t"}) == ["/settings/bearer_token"]
        assert self.refused(settings={"bus_arn": BUS, "base_url": "https://a.example/"}) == ["/settings/base_url"]
        assert self.refused(settings={}) == ["/settings/bus_arn"]


class TestTheRequest:
    def test_it_is_put_events_with_the_events_own_bytes_signed_by_the_role(self) -> None:
        request = destination.build(event(), endpoint(timeout=timedelta(seconds=9)))

        assert (request.method, request.url) == ("POST", "https://events.eu-west-1.amazonaws.com/")
        assert request.timeout == timedelta(seconds=9)
        assert request.headers["x-amz-target"] == "AWSEvents.PutEvents"
        assert request.headers["content-type"] == "application/x-amz-json-1.1"
        assert request.headers["x-amz-security-token"] == "role-session"
        assert "/eu-west-1/events/aws4_request" in request.headers["authorization"]
        assert entries(request) == [
            {"Source": "checkback", "DetailType": "checkout.abandoned", "Detail": BODY, "EventBusName": BUS}
        ]

    def test_botocore_reads_it_as_its_own(self) -> None:
        """By the service's model: an entry has these members, and no other."""
        model = Session().get_service_model("events")
        shape = model.operation_model("PutEvents").input_shape.members["Entries"].member  # type: ignore[union-attr]
        (entry,) = entries(destination.build(event(), endpoint()))
        assert entry.keys() <= shape.members.keys()
        assert model.metadata["jsonVersion"] == "1.1"
        assert model.metadata["targetPrefix"] == "AWSEvents"

    def test_it_goes_over_the_wire(self, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", vendor.url)
        result = vendor.exchange(destination.build(event(), endpoint()), answer(200, PUT))
        assert destination.classify(result, endpoint()).outcome is Outcome.DELIVERED
        assert vendor.received.headers["host"] == f"127.0.0.1:{vendor.receiver.port}"
        assert vendor.received_json["Entries"][0]["Detail"] == BODY

    def test_without_credentials_it_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shared.destinations.eventbridge.role", lambda: None)
        with pytest.raises(Unsendable) as refused:
            destination.build(event(), endpoint())
        assert refused.value.outcome is Outcome.RETRY


class TestAnswers:
    def test_an_event_that_was_put_is_delivered(self) -> None:
        assert outcome(200, PUT) == (Outcome.DELIVERED, None)

    @pytest.mark.parametrize("code", ["InternalFailure", "ThrottlingException", "a code of next year"])
    def test_what_passes_is_tried_again(self, code: str) -> None:
        assert outcome(200, failed(code)) == (Outcome.RETRY, f"EventBridge {code}: said so")

    @pytest.mark.parametrize(
        "code",
        [
            "AccessDeniedException",
            "NotAuthorizedForSourceException",
            "NotAuthorizedForDetailTypeException",
            "InvalidAccountIdException",
        ],
    )
    def test_who_is_not_let_in_is_told_where_to_look_and_no_arn_of_ours(self, code: str) -> None:
        told = f"User: arn:aws:sts::{OURS}:assumed-role/deliver is not authorized"
        found, reason = outcome(200, failed(code, told))
        assert found is Outcome.FAIL_CONFIG
        assert (
            reason
            == f"EventBridge {code}: the bus is not there, or its policy does not let Checkback put this event on it"
        )

    @pytest.mark.parametrize("code", ["MalformedDetail", "InvalidArgument", "RedactionFailure"])
    def test_what_is_wrong_with_the_event_ends_it(self, code: str) -> None:
        assert outcome(200, failed(code))[0] is Outcome.FAIL_MESSAGE

    @pytest.mark.parametrize(
        ("status", "body", "headers", "expected"),
        [
            (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}, {}, Outcome.RETRY),
            (400, {"__type": "com.amazonaws.events#AccessDeniedException"}, {}, Outcome.FAIL_CONFIG),
            (403, {}, {"x-amzn-errortype": "AccessDeniedException:http://internal.amazon.com/"}, Outcome.FAIL_CONFIG),
            (400, {"__type": "ResourceNotFoundException"}, {}, Outcome.FAIL_CONFIG),
            (400, {"__type": "ValidationException", "message": "Total size is greater"}, {}, Outcome.FAIL_MESSAGE),
            (400, {"__type": "ExpiredTokenException"}, {}, Outcome.RETRY),
            (413, {}, {}, Outcome.FAIL_MESSAGE),
            (429, {}, {}, Outcome.RETRY),
            (500, {"__type": "InternalException"}, {}, Outcome.RETRY),
            (503, {}, {}, Outcome.RETRY),
            (200, {}, {}, Outcome.RETRY),
            (200, {"Entries": []}, {}, Outcome.RETRY),
            (200, {"Entries": [{}]}, {}, Outcome.RETRY),
            (200, {"Entries": [*PUT["Entries"], *PUT["Entries"]]}, {}, Outcome.RETRY),
            (200, ["nothing known"], {}, Outcome.RETRY),
        ],
    )  # fmt: skip
    def test_a_whole_requests_answer(
        self, status: int, body: object, headers: dict[str, str], expected: Outcome
    ) -> None:
        assert outcome(status, body, headers)[0] is expected


class TestTogether:
    def requests(self, *sizes: int) -> list[OutboundRequest]:
        return [destination.build(event(json.dumps({"a": "x" * size})), endpoint()) for size in sizes]

    def test_ten_go_in_one_request(self) -> None:
        assert destination.together(self.requests(*[10] * 21)) == [[*range(10)], [*range(10, 20)], [20]]

    def test_no_request_is_larger_than_aws_takes_and_what_is_goes_alone(self) -> None:
        large = MOST_BYTES // 2
        requests = self.requests(10, large, large, 10, MOST_BYTES, 10)
        groups = destination.together(requests)
        assert groups == [[0, 1], [2, 3], [4], [5]]
        for group in groups:
            size = len(destination.joined([requests[at] for at in group], endpoint()).body)
            assert size <= MOST_BYTES or len(group) == 1

    def test_joined_they_are_the_same_entries_with_the_time_of_the_shortest(self) -> None:
        one = destination.build(event(), endpoint(timeout=timedelta(seconds=9)))
        other = destination.build(event(event_type="checkout.recovered"), endpoint(timeout=timedelta(seconds=2)))
        both = destination.joined([one, other], endpoint())
        assert entries(both) == entries(one) + entries(other)
        assert both.timeout == timedelta(seconds=2)
        assert both.headers["authorization"] != one.headers["authorization"]

    def parts(self, status: int, body: object, count: int = 2) -> list[SendResult] | None:
        result = SendResult(AT, AT, 5, sent=True, answer=Answer(status, {}, json.dumps(body).encode()))
        return destination.parted(result, count)

    def test_each_has_its_own_answer(self) -> None:
        parts = self.parts(
            200, {"FailedEntryCount": 1, "Entries": [*PUT["Entries"], *failed("InternalFailure")["Entries"]]}
        )
        attempts = [destination.classify(part, endpoint()) for part in parts or []]
        assert [own.outcome for own in attempts] == [Outcome.DELIVERED, Outcome.RETRY]
        assert "InternalFailure" not in str(attempts[0].response_body)
        assert json.loads(str(attempts[1].response_body)) == failed("InternalFailure")

    @pytest.mark.parametrize(
        ("status", "code"), [(400, "AccessDeniedException"), (400, "ValidationException"), (413, "")]
    )
    def test_a_refusal_that_one_of_them_may_have_caused_is_nobodys(self, status: int, code: str) -> None:
        assert self.parts(status, {"__type": code}) is None

    @pytest.mark.parametrize(
        ("status", "body"), [(500, {}), (503, {}), (400, {"__type": "ThrottlingException"}), (200, {}), (200, PUT)]
    )
    def test_what_says_nothing_of_one_leaves_all_to_be_tried_again(self, status: int, body: object) -> None:
        parts = self.parts(status, body, count=3)
        assert parts is not None
        assert {destination.classify(part, endpoint()).outcome for part in parts} == {Outcome.RETRY}
        assert len(parts) == 3

    def test_no_answer_is_no_answer_for_all(self) -> None:
        result = SendResult(AT, AT, 5, sent=True, error=BrokenExchange("gone"))
        parts = destination.parted(result, 2)
        assert [destination.classify(part, endpoint()).outcome for part in parts or []] == [Outcome.RETRY] * 2
