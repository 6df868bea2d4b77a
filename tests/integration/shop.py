"""A shop on a stage: one merchant with one FlexyPe source, played through the real handlers.

Only three things are not the deployed ones: AWS is moto, the clock stands still until a test moves it, and what would
leave for a merchant's endpoint lands in ``sent``.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import time_machine
from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

import functions.deliver.composition as deliver_composition
import functions.deliver.handler as deliver_function
import functions.dispatch.composition as dispatch_composition
import functions.dispatch.handler as dispatch_function
import functions.ingest.composition as ingest_composition
import functions.ingest.handler as ingest_function
import functions.pull.composition as pull_composition
import functions.pull.handler as pull_function
import functions.redirect.composition as redirect_composition
import functions.redirect.handler as redirect_function
import functions.sweep.composition as sweep_composition
import functions.sweep.handler as sweep_function
from shared.aws.environment import Environment
from shared.aws.stores import Stores
from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.domain.checkout import Checkout
from shared.domain.ids import EndpointId, MerchantId, SourceId, TokenId, checkout_digest, new_ulid
from shared.domain.instants import to_ms
from shared.domain.merchant import Endpoint, EndpointCredentials, Merchant, SigningSecret, Source, SourceCredentials
from shared.domain.settings import Settings
from shared.store.configuration import EndpointStore, MerchantStore, SourceStore, TokenRecord
from shared.store.deliveries import DeliveryRecord, read_delivery
from shared.store.events import EventRecord, EventStore
from shared.store.wire import from_wire
from tests.integration.account import onlookers_client
from tests.unit.domain.sessions import MERCHANT, NOON, SOURCE

EVENTS = Path(__file__).parents[2] / "events"
SESSION = "331d47df-8461-495b-9c4f-27ed915d9c8e"
SECRET = "a-secret-of-the-source"
REGION = "ap-south-1"

Answering = Callable[[OutboundRequest], Answer]


def stranger(number: int) -> dict[str, Any]:
    """FlexyPe's ``user`` of a shopper of their own."""
    return {"phone_no": f"7777{number:06d}", "dial_code": "91", "address": {}}


class Invocation:
    """A Lambda context with time to spare."""

    def get_remaining_time_in_millis(self) -> int:
        """A minute."""
        return 60_000


def aws_event(name: str) -> Any:
    """``events/aws/<name>.json``, parsed anew."""
    return json.loads((EVENTS / "aws" / f"{name}.json").read_text())


class Shop:
    """The shop and everything that happens to it."""

    def __init__(self, environment: Mapping[str, str], clock: time_machine.Traveller) -> None:
        """``environment`` is the functions' own."""
        self.environment = environment
        self.clock = clock
        self.stores = Stores(Environment.read(environment))
        self.merchant = Merchant(
            id=MERCHANT,
            name="A shop",
            store_domains=("flexype.myshopify.com",),
            country="IN",
            currency="INR",
            timezone="Asia/Kolkata",
            created_at=NOON,
            settings=Settings(consent="unknown_allowed"),
        )
        self.sent: list[OutboundRequest] = []
        self.answer: Answering = lambda _: Answer(200)
        self.invocation = Invocation()
        self._streamed = 0
        MerchantStore(self.table).create(self.merchant, TokenRecord(TokenId("tok_1"), MERCHANT, "hash", NOON))
        self.source()

    @property
    def table(self) -> Any:
        """The table."""
        return self.stores.table

    @property
    def now(self) -> datetime:
        """The clock."""
        from shared.aws.stores import now

        return now()

    def wait(self, **span: float) -> None:
        """Let time pass."""
        self.clock.shift(timedelta(**span))

    def source(self, source_id: SourceId = SOURCE) -> SourceId:
        """Connect a FlexyPe source."""
        sealed = self.stores.cipher.seal_source(source_id, MERCHANT, SourceCredentials(secrets=(SECRET,)))
        SourceStore(self.table).create(Source(source_id, MERCHANT, "flexype", NOON, sealed=sealed))
        return source_id

    def endpoint(self, *event_types: str, url: str | None = None, **settings: Any) -> Endpoint:
        """Register a webhook endpoint."""
        endpoint_id = EndpointId("ep_" + new_ulid(self.now))
        credentials = EndpointCredentials((SigningSecret("whsec_" + base64.b64encode(b"s" * 24).decode()),))
        sealed = self.stores.cipher.seal_endpoint(endpoint_id, MERCHANT, credentials)
        endpoint = Endpoint(
            *(endpoint_id, MERCHANT, "webhook", self.now),
            url=url or f"https://receiver.example/{len(self.sent)}",
            event_types=event_types or ("checkout.abandoned",),
            settings=settings,
            sealed=sealed,
        )
        EndpointStore(self.table).create(endpoint)
        return endpoint

    def webhook(self, *, source_id: str = SOURCE, body: bytes | None = None, **changed: Any) -> tuple[int, Any]:
        """FlexyPe posts its sample, with parts of it changed; status and body of the answer."""
        event = aws_event("webhook")
        event["pathParameters"] = {"source_id": source_id}
        if changed:
            payload = {**json.loads(event["body"]), **changed}
            session = payload.pop("session", None)
            if session:
                payload["checkout_url"] = f"https://flexype.myshopify.com/?flx_s={session}"
            event["body"] = json.dumps(payload)
        if body is not None:
            event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        return self.posted(event)

    def posted(self, event: dict[str, Any], *, taken_in: datetime | None = None) -> tuple[int, Any]:
        """What ingest answers to an HTTP API event that the gateway took in now, or then."""
        event.setdefault("requestContext", {})["timeEpoch"] = to_ms(taken_in or datetime.now(UTC))
        answer = ingest_function.handler(event, None)
        return answer["statusCode"], json.loads(answer["body"])

    def digest(self, session: str = SESSION) -> str:
        """The checkout's digest."""
        return checkout_digest(MERCHANT, SOURCE, session)

    def checkout(self, session: str = SESSION) -> Checkout:
        """The checkout as it stands."""
        found = self.stores.checkouts.get(self.digest(session))
        assert found is not None
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Everything in the table but configuration."""
        pages = (
            onlookers_client("dynamodb").get_paginator("scan").paginate(TableName=self.stores.environment.table_name)
        )
        raw = (own for page in pages for own in page["Items"])
        return [row for row in map(from_wire, raw) if row["pk"][:2] not in {"M#", "S#", "K#", "ME", "DA"}]

    def sweep(self, **event: Any) -> dict[str, int]:
        """Run the sweep; its outcomes."""
        outcomes: dict[str, int] = sweep_function.handler(event, Invocation())["outcomes"]
        return outcomes

    def stream(self) -> list[dict[str, Any]]:
        """What the table's stream shows since the last look, through the mapping's filter, as Lambda gets it."""
        fresh = self._stream_since(self._streamed)
        self._streamed += len(fresh)
        return [_as_lambda_gets_it(own) for own in fresh if "tr" in own["dynamodb"].get("NewImage", {})]

    def written(self) -> list[dict[str, Any]]:
        """Everything that the table's stream ever showed, without what was removed, as Lambda gets it unfiltered."""
        return [_as_lambda_gets_it(own) for own in self._stream_since(0) if "NewImage" in own["dynamodb"]]

    def _stream_since(self, read: int) -> list[dict[str, Any]]:
        table = dynamodb_backends[ACCOUNT_ID][REGION].get_table(self.stores.environment.table_name)
        shard = table.stream_shard
        assert shard is not None
        return list(shard.get(shard.starting_sequence_number + read, 10_000))

    def dispatch(self, records: Sequence[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        """Run dispatch over these records, or over what the stream shows; the records."""
        told = list(self.stream() if records is None else records)
        assert dispatch_function.handler({"Records": told}, Invocation()) == {"batchItemFailures": []}
        return told

    def settle(self) -> None:
        """Run dispatch until the stream is quiet."""
        while records := self.stream():
            self.dispatch(records)

    def queued(self, *names: str) -> list[str]:
        """Take the visible messages off queues, named by their variables; else fresh deliveries and steps."""
        bodies: list[str] = []
        for name in names or ("DELIVERIES_QUEUE_URL", "STEPS_QUEUE_URL"):
            sqs, url = onlookers_client("sqs"), self.environment[name]
            while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                for message in messages:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    bodies.append(message["Body"])
        return bodies

    def retries(self) -> list[str]:
        """Take the visible messages off the retry queue."""
        return self.queued("RETRIES_QUEUE_URL")

    def slow(self) -> list[str]:
        """Take the visible messages off the slow lane's queue."""
        return self.queued("SLOW_QUEUE_URL")

    def deliver(self, bodies: Sequence[str] | None = None) -> list[str]:
        """Deliver these messages, or the fresh queue's; the ids of those that come back."""
        batch = _batch(self.queued() if bodies is None else bodies)
        answer = deliver_function.handler(batch, self.invocation)
        return [own["itemIdentifier"] for own in answer["batchItemFailures"]]

    def pull(self, bodies: Sequence[str]) -> list[str]:
        """Ask providers for what these messages point to; the ids of those that come back."""
        answer = pull_function.handler(_batch(bodies), self.invocation)
        return [own["itemIdentifier"] for own in answer["batchItemFailures"]]

    def send_all(
        self,
        requests: Sequence[OutboundRequest],
        answered: Callable[[int], None] | None = None,
    ) -> list[SendResult]:
        """What stands in for the guarded client."""
        self.sent += requests
        return [SendResult(self.now, self.now, 7, sent=True, answer=self.answer(own)) for own in requests]

    def told(self) -> list[dict[str, Any]]:
        """The envelopes that reached endpoints."""
        return [json.loads(own.body) for own in self.sent]

    def deliveries(self) -> list[DeliveryRecord]:
        """Every delivery, oldest first."""
        rows = [row for row in self.rows() if row["pk"].startswith("T#")]
        return sorted(map(read_delivery, rows), key=lambda own: (own.created_at, own.event_version))

    def events(self, session: str = SESSION) -> list[EventRecord]:
        """The checkout's events."""
        return EventStore(self.table).of_checkout(self.digest(session))

    def abandon(self, session: str = SESSION, **changed: Any) -> None:
        """A shopper begins a checkout and walks away."""
        self.webhook(session=session, **changed)
        self.wait(minutes=31)
        self.sweep()

    def follow(self, code: str, user_agent: str | None = None) -> tuple[int, str | None]:
        """Follow a recovery link: status and location."""
        event = aws_event("recovery-link")
        event["pathParameters"] = {"code": code}
        if user_agent is not None:
            event["headers"]["user-agent"] = user_agent
        answer = redirect_function.handler(event, None)
        return answer["statusCode"], answer["headers"].get("location")


def _batch(bodies: Sequence[str]) -> dict[str, Any]:
    """Messages of a queue as Lambda gets them."""
    (sample,) = aws_event("deliveries-batch")["Records"]
    return {"Records": [{**sample, "messageId": f"m{at}", "body": body} for at, body in enumerate(bodies)]}


def _as_lambda_gets_it(record: dict[str, Any]) -> dict[str, Any]:
    """A stream record as JSON: what boto gives as bytes is a base64 text there."""
    image: dict[str, Any] = record["dynamodb"]["NewImage"]
    plain = json.loads(json.dumps(image, default=lambda raw: base64.b64encode(raw).decode()))
    return {
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventSource": "aws:dynamodb",
        "awsRegion": "ap-south-1",
        "dynamodb": {"Keys": {"pk": image["pk"], "sk": image["sk"]}, "NewImage": plain},
    }


def forget_compositions() -> None:
    """Make every function build itself anew."""
    for composition in (
        ingest_composition,
        sweep_composition,
        redirect_composition,
        dispatch_composition,
        deliver_composition,
        pull_composition,
    ):
        for made in list(vars(composition).values()):
            if hasattr(made, "cache_clear"):
                made.cache_clear()


def open_shop(environment: Mapping[str, str]) -> Iterator[Shop]:
    """The shop at noon; everything is put back afterwards."""
    forget_compositions()
    with time_machine.travel(NOON, tick=False) as clock:
        yield Shop(environment, clock)
    forget_compositions()


__all__ = ["MERCHANT", "SESSION", "SOURCE", "MerchantId", "Shop", "aws_event", "open_shop", "stranger"]
