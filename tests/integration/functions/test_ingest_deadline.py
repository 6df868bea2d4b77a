"""Whatever AWS does, a provider is answered before it gives up: 503 in time, and the repeat is taken in."""

import io
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ReadTimeoutError

from functions.ingest.handler import handler
from shared.aws import clients, deadline
from shared.domain.ids import MerchantId, SourceId
from shared.domain.merchant import Source, SourceCredentials
from shared.store.configuration import SourceStore
from tests.integration.conftest import no_real_aws
from tests.integration.shop import SESSION, Shop, aws_event, forget_compositions
from tests.unit.domain.sessions import MERCHANT, NOON

pytestmark = pytest.mark.long

SHORTEST_PATIENCE = 5.0
"""Shopify's: seconds for the whole request, of which some belong to the way there and back."""
OURS = 4.5
SERVICES = ("dynamodb", "sqs", "s3", "kms", "secretsmanager")
SHOP_OF_OWN = SourceId("src_01KAHJ0000000000000000BCRC")


class Raw(io.BytesIO):
    """The bytes of an answer, as the library reads them."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


class Aws:
    """AWS as ingest sees it: calls are counted, take no real time, and go wrong from a chosen one on."""

    def __init__(self, patch: pytest.MonkeyPatch, impatient: Mapping[str, Any]) -> None:
        """``impatient``: the clients by service."""
        self.elapsed = 0.0
        self.usual = 0.0
        """Seconds that a call takes which still works while others are about to go wrong."""
        self.attempts: list[str] = []
        self.wrong_from: int | None = None
        self.fault: Callable[[str], AWSResponse | None] = lambda _: None
        patch.setenv("PATIENCE_WITH_AWS", "short")
        patch.setattr(deadline, "clock", lambda: self.elapsed)
        patch.setattr(time, "sleep", self.pass_time)
        for service, client in impatient.items():
            patch.setattr(clients, service, lambda client=client: client)
        self._impatient = impatient
        self._listen()

    def _listen(self) -> None:
        for client in self._impatient.values():
            client.meta.events.register_first("before-send", self._sent)

    def leave(self) -> None:
        """From here on the clients are called as by anybody: no call needs to become a request."""
        self.elapsed = 0.0
        for client in self._impatient.values():
            client.meta.events.unregister("before-send", self._sent)

    def pass_time(self, seconds: float) -> None:
        self.elapsed += seconds

    def goes_wrong(self, fault: Callable[[str], AWSResponse | None], *, at: int | None) -> None:
        """From attempt ``at`` on of the next request; None: never, but attempts are counted."""
        self.leave()
        self.fault, self.wrong_from = fault, at
        self.attempts = []
        self._listen()

    def _sent(self, event_name: str, **_: object) -> AWSResponse | None:
        self.attempts.append(event_name.removeprefix("before-send."))
        if self.wrong_from is None:
            return None
        if len(self.attempts) <= self.wrong_from:
            self.pass_time(self.usual)
            return None
        return self.fault(self.attempts[-1])

    def hangs(self, _: str) -> AWSResponse | None:
        """Connects at the last moment and then says nothing."""
        self.pass_time(1.95)
        raise ReadTimeoutError(endpoint_url="https://aws.example")

    def breaks(self, _: str) -> AWSResponse | None:
        self.pass_time(0.9)
        return answer(500, {})

    def throttles(self, _: str) -> AWSResponse | None:
        self.pass_time(0.4)
        return answer(400, {"__type": "ThrottlingException", "message": "slow down"})

    def crawls(self, _: str) -> AWSResponse | None:
        """Works, as late as it may."""
        self.pass_time(1.95)
        return None

    def conflicts(self, call: str) -> AWSResponse | None:
        """The table is always busy with somebody else's transaction; the rest works, slowly."""
        self.pass_time(0.3)
        if call.endswith("TransactWriteItems"):
            refused = {
                "__type": "TransactionCanceledException",
                "CancellationReasons": [{"Code": "TransactionConflict"}],
            }
            return answer(400, refused)
        if call.startswith("dynamodb.") and not call.endswith("GetItem"):
            return answer(400, {"__type": "TransactionConflictException"})
        return None


FAULTS: Mapping[str, Callable[[Aws], Callable[[str], AWSResponse | None]]] = {
    "hangs": lambda aws: aws.hangs,
    "breaks": lambda aws: aws.breaks,
    "throttles": lambda aws: aws.throttles,
    "crawls": lambda aws: aws.crawls,
    "conflicts": lambda aws: aws.conflicts,
}


def answer(status: int, body: Mapping[str, Any]) -> AWSResponse:
    return AWSResponse("https://aws.example", status, HTTPHeaders(), Raw(json.dumps(body).encode()))


@pytest.fixture(scope="module")
def impatient(staged_account: Any) -> Mapping[str, Any]:
    """Clients with ingest's patience, made once: five of them take longer than what is asked of them."""
    with pytest.MonkeyPatch.context() as patch:
        no_real_aws(patch)
        patch.setenv("PATIENCE_WITH_AWS", "short")
        return {service: getattr(clients, service).__wrapped__() for service in SERVICES}


@pytest.fixture
def aws_calls(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    impatient: Mapping[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Aws]:
    sealed = shop.stores.cipher.seal_source(SHOP_OF_OWN, MERCHANT, SourceCredentials(("a" * 16,), url_token="t" * 20))
    source = Source(SHOP_OF_OWN, MerchantId(MERCHANT), "custom", NOON, sealed=sealed)
    SourceStore(shop.table).create(source)
    calls = Aws(monkeypatch, impatient)
    with caplog.at_level(logging.CRITICAL, "ingest"):  # of each fault a trace that nobody reads
        yield calls
    calls.leave()


def posted(body: Mapping[str, Any], source: str | None = None) -> dict[str, Any]:
    """A webhook that finds a new process: nothing is remembered."""
    forget_compositions()
    event = aws_event("webhook")
    if source is not None:
        event["pathParameters"] = {"source_id": source}
        event["queryStringParameters"] = {"token": "t" * 20}
    given = json.loads(event["body"])
    event["body"] = json.dumps({**given, **body} if source is None else body)
    return handler(event, None)


def link(session: str) -> dict[str, str]:
    return {"checkout_url": f"https://flexype.myshopify.com/?flx_s={session}"}


FLOWS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "activity": lambda session: posted(link(session)),
    "payment": lambda session: posted({**link(session), "session_state": "PAYMENT_INITIATED"}),
    "purchase": lambda session: posted({**link(session), "session_state": "COMPLETED"}),
    "quarantine": lambda session: posted({"session_state": "TELEPORTED", "note": session}),
    "purchase by cart": lambda session: posted(
        {"order": {"id": session}, "cart_id": "c-1", "customer": {"email": "a@shop.example"}}, SHOP_OF_OWN
    ),
}


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("usual", [0.01, 0.55], ids=["after quick calls", "after slow ones"])
def test_whichever_call_goes_wrong_the_answer_comes_in_time_and_the_repeat_is_taken_in(
    aws_calls: Aws, flow: str, fault: str, usual: float
) -> None:
    play = FLOWS[flow]
    aws_calls.usual = usual
    aws_calls.goes_wrong(aws_calls.hangs, at=None)
    assert play("as-it-should-be")["statusCode"] == 200
    calls = len(aws_calls.attempts)
    assert calls >= 5
    for number in range(calls):
        aws_calls.goes_wrong(FAULTS[fault](aws_calls), at=number)
        answered = play(f"{SESSION}-{fault}-{number}-{usual}")
        assert aws_calls.elapsed < OURS, (number, aws_calls.attempts)
        assert len(aws_calls.attempts) <= 20
        if answered["statusCode"] != 200:
            assert (answered["statusCode"], answered["headers"]["retry-after"]) == (503, "1"), (number, answered)
        else:
            assert fault in {"conflicts", "crawls"} or number >= len(aws_calls.attempts), aws_calls.attempts
        aws_calls.leave()
        assert play(f"{SESSION}-{fault}-{number}-{usual}")["statusCode"] == 200


def test_when_nothing_of_aws_answers_two_attempts_are_made(aws_calls: Aws) -> None:
    aws_calls.goes_wrong(aws_calls.hangs, at=0)
    assert posted({})["statusCode"] == 503
    assert set(aws_calls.attempts) == {"secrets-manager.GetSecretValue"}
    assert len(aws_calls.attempts) <= 2


def test_outside_a_request_no_deadline_holds(aws_calls: Aws) -> None:
    with deadline.no_call_after(1.0):
        aws_calls.pass_time(2.0)
        with pytest.raises(deadline.DeadlinePassed):
            clients.sqs().list_queues()
    assert "ResponseMetadata" in clients.sqs().list_queues()


def test_the_time_for_a_request_ends_before_the_provider_gives_up() -> None:
    from functions.ingest.handler import LAST_CALL

    short = clients.PATIENCE["short"]
    assert LAST_CALL + short.connect + short.read <= OURS < SHORTEST_PATIENCE
