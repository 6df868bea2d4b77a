"""Shoppers with a due step each, every one at a merchant of their own, before the real deliver function.

Only the table, the secrets and the way out are not the deployed ones: they are in memory, and fail when a test says so.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, override

import pytest
import time_machine

import functions.deliver.handler as deliver_function
from functions.deliver import composition
from shared.aws.credential_cipher import CredentialCipher
from shared.aws.environment import Environment
from shared.aws.queues import DeliveryQueues, StepMessage
from shared.aws.stage_keys import StageKeys
from shared.aws.stores import Stores, now
from shared.delivery.exchange import Answer, DestinationTimeout, OutboundRequest, SendResult
from shared.domain import planning
from shared.domain.campaign import Campaign, CampaignId, CampaignStep
from shared.domain.checkout import Activity, Checkout
from shared.domain.coupon import CouponRule
from shared.domain.episode import Episode
from shared.domain.identity import SHOPPER_KINDS, Identity
from shared.domain.ids import EndpointId, MerchantId, TokenId, checkout_digest
from shared.domain.merchant import Endpoint, EndpointCredentials, Merchant, SigningSecret
from shared.domain.metrics import Fact
from shared.domain.step_state import EpisodeStep
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore, TokenRecord
from shared.store.deliveries import DeliveryRecord, read_delivery
from shared.store.episodes import EpisodeStore
from shared.store.facts import FactStore
from shared.store.shoppers import ShopperRecord, ShopperStore
from shared.store.writes import ItemKey
from shared.workflows.campaigns.send_step import StepSender
from shared.workflows.campaigns.step_case import StepCase
from shared.workflows.campaigns.step_claim import Claim
from tests.unit.domain.recovery.episodes import ANYTIME, HOUR, checkout_left
from tests.unit.domain.sessions import NOON
from tests.unit.workflows.memory_table import MemoryTable

_SECRET = SigningSecret("whsec_" + base64.b64encode(b"s" * 24).decode())
_ENVIRONMENT = {
    "STAGE": "dev",
    "TABLE_NAME": "checkback",
    "PUBLIC_URL": "https://hooks.example.com",
    "KEYS_SECRET_ARN": "arn",
    "DUE_SHARDS": "1",
}
VISIBILITY = timedelta(minutes=6)
"""For how long the queue hides a message that was taken."""

type Answering = Callable[[OutboundRequest], Answer | None]
"""What stands behind a URL; None: it never answers, and the attempt's time runs out."""


class OpenCipher(CredentialCipher):
    """Nothing is sealed; a call fails where a test says so."""

    def __init__(self) -> None:
        self.broken_for: set[str] = set()

    @override
    def endpoint(self, endpoint: Endpoint) -> EndpointCredentials:
        if endpoint.id in self.broken_for:
            raise ZeroDivisionError
        return EndpointCredentials((_SECRET,), bearer_token="a key")


class StoresInMemory(Stores):
    """A stage without AWS."""

    @cached_property
    @override
    def table(self) -> MemoryTable:
        return MemoryTable()

    @cached_property
    @override
    def keys(self) -> StageKeys:
        return StageKeys(json.dumps({"version": "1", "key": "k" * 64}))

    @cached_property
    @override
    def cipher(self) -> OpenCipher:
        return OpenCipher()

    @cached_property
    @override
    def queues(self) -> "QueuesInMemory":
        return QueuesInMemory()


class QueuesInMemory(DeliveryQueues):
    """What was sent to come back, and after what delay."""

    def __init__(self) -> None:
        self.sent: list[tuple[StepMessage, timedelta]] = []

    @override
    def steps(self, messages: Sequence[StepMessage], delay: timedelta = timedelta(0)) -> None:
        self.sent += [(message, delay) for message in messages]


class Invocation:
    """A Lambda context whose time a test may cut."""

    def __init__(self, milliseconds: int = 60_000) -> None:
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@dataclass(frozen=True)
class Due:
    """One shopper's due step: the message that says so, and what it is about."""

    number: int
    merchant: Merchant
    endpoint: Endpoint
    campaign: Campaign
    checkout: Checkout
    identities: tuple[Identity, ...]
    message: StepMessage
    key: ItemKey

    @property
    def url(self) -> str:
        """Where the step goes."""
        return str(self.endpoint.url)


class DueSteps:
    """The stage with everything on it, and the clock."""

    def __init__(self, clock: time_machine.Traveller) -> None:
        self.clock = clock
        self.stores = StoresInMemory(Environment.read(_ENVIRONMENT))
        self.invocation = Invocation()
        self.sent: list[OutboundRequest] = []
        self.answer: Answering = lambda _: Answer(200)
        self._lock = threading.Lock()

    @property
    def table(self) -> MemoryTable:
        """The table."""
        return self.stores.table

    @property
    def sender(self) -> StepSender:
        """The sender as it is composed, and with it every part of a step's life."""
        return composition.step_sender()

    @property
    def episodes(self) -> EpisodeStore:
        """Episodes."""
        return EpisodeStore(self.table, 1)

    def due(self, number: int = 0, *, coupon: CouponRule | None = None, kind: str = "webhook", **settings: Any) -> Due:
        """A merchant, a shopper of theirs who left an hour ago, and the step that is due now."""
        merchant = Merchant(
            id=MerchantId(f"mer_01KAHJ00000000000000{number:06d}"),
            name=f"Shop {number}",
            store_domains=("shop.example",),
            country="IN",
            currency="INR",
            timezone="Asia/Kolkata",
            created_at=NOON,
            settings=replace(ANYTIME, consent="unknown_allowed"),
        )
        token = TokenRecord(TokenId(f"tok_{number}"), merchant.id, f"hash of {number}", NOON)
        MerchantStore(self.table).create(merchant, token)
        endpoint = self.endpoint(merchant, "steps", kind=kind, **settings)
        campaign = Campaign(
            id=CampaignId(f"cmp_{number}"),
            merchant_id=merchant.id,
            version=1,
            name="Come back",
            created_at=NOON,
            steps=(CampaignStep(HOUR, endpoint.id, coupon=coupon),),
            activated_at=NOON,
        )
        CampaignStore(self.table).create(campaign)
        left = checkout_left(leaves={"customer.phone": f"+9177777{number:05d}", "customer.email": f"s{number}@x.in"})
        digest = checkout_digest(merchant.id, left.source_id, f"session-{number}")
        checkout = replace(left, merchant_id=merchant.id, digest=digest, external_id=f"session-{number}")
        self.stores.checkouts.replace(None, checkout, None, merchant.settings)
        hashed = self.stores.hasher.of_checkout(checkout)
        identities = tuple(own for kind_, own in hashed.items() if kind_ in SHOPPER_KINDS)
        episode = planning.opened(
            checkout, identities, NOON + HOUR / 2, campaign=campaign, holdout=False, settings=merchant.settings
        )
        due_at = planning.due_of(episode, merchant.settings)
        put = self.episodes.created(episode, NOON, due_at)
        self.table.put(put)
        key = (put.item["pk"], put.item["sk"])
        message = StepMessage(episode.id, merchant.id)
        return Due(number, merchant, endpoint, campaign, checkout, identities, message, key)

    def endpoint(self, merchant: Merchant, name: str, *, kind: str = "webhook", **settings: Any) -> Endpoint:
        """An endpoint of the merchant."""
        own = Endpoint(
            *(EndpointId(f"ep_{name}_{merchant.id}"), merchant.id, kind, NOON),
            url=f"https://{name}-{int(merchant.id[-6:])}.example/",
            event_types=(),
            settings=settings,
        )
        EndpointStore(self.table).create(own)
        return own

    def deliver(self, *due: Due) -> list[Due]:
        """Hand the function these steps' messages as one batch; the steps whose message comes back."""
        records = [{"messageId": f"m{at}", "body": own.message.text()} for at, own in enumerate(due)]
        try:
            answer = deliver_function.handler({"Records": records}, self.invocation)
        except Exception:  # noqa: BLE001 - Lambda gives the whole batch back
            return list(due)
        return [due[int(own["itemIdentifier"][1:])] for own in answer["batchItemFailures"]]

    def until_done(self, *due: Due) -> None:
        """What the queue and the sweep do: a message comes again when it was given back, or its step is due again."""
        waiting = list(due)
        for _ in range(10):
            waiting = self.deliver(*waiting)
            if not waiting and all(self.step(own).state.ended for own in due):
                return
            self.wait(VISIBILITY)
            waiting += [own for own in due if own not in waiting and self._due_again(own)]
        raise AssertionError("it never ends")

    def wait(self, span: timedelta) -> None:
        """Let time pass."""
        self.clock.shift(span)

    def send_all(
        self, requests: Sequence[OutboundRequest], answered: Callable[[int], None] | None = None
    ) -> list[SendResult]:
        """What stands in for the guarded client."""
        at = NOON + HOUR
        results = []
        for own in requests:
            with self._lock:
                self.sent.append(own)
            answer = self.answer(own)
            error = DestinationTimeout("no answer in time") if answer is None else None
            results.append(SendResult(at, at, 7, sent=True, answer=answer, error=error))
        return results

    def sent_to(self, *due: Due) -> list[int]:
        """How many messages each of these steps' endpoints got."""
        return [sum(own.url.startswith(step.url) for own in self.sent) for step in due]

    def case(self, due: Due) -> StepCase:
        """What is read for the step."""
        case = self.sender._cases.read(due.message)
        assert isinstance(case, StepCase)
        return case

    def claim(self, due: Due) -> Claim:
        """The step, claimed by a worker."""
        return self.sender._claims.claim(self.case(due), None, None)

    def step(self, due: Due) -> EpisodeStep:
        """The step as it stands."""
        return self.episode(due).steps[0]

    def episode(self, due: Due) -> Episode:
        """The episode as it stands."""
        found = self.episodes.get(due.message.episode_id)
        assert found is not None
        return found

    def deliveries(self, due: Due) -> list[DeliveryRecord]:
        """The deliveries kept for the step's endpoint."""
        rows = [self.table._read(key) or {} for key in list(self.table._items) if key[0].startswith("T#")]
        return [own for own in map(read_delivery, rows) if own.endpoint_id == due.endpoint.id]

    def timeline(self, due: Due) -> list[Activity]:
        """The checkout's timeline."""
        return ActivityStore(self.table).page(due.checkout.digest, limit=50, after=None)[0]

    def facts(self, due: Due) -> list[Fact]:
        """What was counted."""
        day = (due.checkout.first_abandoned_at or NOON).date()
        return FactStore(self.table).of_cohort(due.merchant.id, day)

    def shopper(self, due: Due) -> list[ShopperRecord]:
        """What is remembered of the shopper."""
        return list(ShopperStore(self.table).get_many(due.identities).values())

    def _due_again(self, due: Due) -> bool:
        return planning.due_step(self.episode(due), now()) is not None


def opened_stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[DueSteps]:
    """A fresh stage at one o'clock, an hour after everybody left."""
    with time_machine.travel(NOON + HOUR, tick=False) as clock:
        own = DueSteps(clock)
        forget_composition()
        with monkeypatch.context() as patched:
            patched.setattr(composition, "_stores", lambda: own.stores)
            patched.setattr(composition, "SendPool", lambda **_: own)
            patched.setattr("shared.workflows.campaigns.follow_ups.time.sleep", lambda _: None)
            yield own
        forget_composition()


def forget_composition() -> None:
    """Make the function build itself anew, every part of it."""
    for part in vars(composition).values():
        if hasattr(part, "cache_clear"):
            part.cache_clear()
