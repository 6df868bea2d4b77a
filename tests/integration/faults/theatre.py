"""One flow played again and again, each time with another call to AWS that fails, until it is known how it ends.

The end is read from the table and from what reached the endpoints: the same facts, each told once, nothing left behind.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from shared.delivery.exchange import Answer
from shared.domain.campaign import Campaign, CampaignId, CampaignStep
from shared.domain.settings import Settings
from shared.store.campaigns import CampaignStore
from shared.store.configuration import MerchantStore
from shared.store.facts import FactStore
from shared.store.wire import from_wire
from shared.workflows.insight.metrics import Metrics
from tests.integration.conftest import REGION
from tests.integration.faults.aws_calls import AwsCalls, Fault, Kind
from tests.integration.faults.conftest import CASES, EVERYTHING, StageState
from tests.integration.faults.repeating import Aws
from tests.integration.shop import MERCHANT, Shop, forget_compositions
from tests.unit.domain.sessions import NOON

HOUR = timedelta(hours=1)
type Story = Callable[[Aws], None]


@dataclass(frozen=True)
class Flow:
    """What goes before, and the part in which calls fail."""

    name: str
    given: Story
    act: Story
    least_calls: int
    """Fewer would mean that the flow is not played at all."""
    variant: bool = False
    """Of another flow, with more calls: only the kind that hurts most is played unless all are."""
    first_of_the_day: bool = False
    """Nobody has summed the cohorts that matured; else that is done, as on all but a day's first announcement."""


def nothing(_: Aws) -> None:
    """A stage on which nothing has happened."""


def in_turn(*stories: Story) -> Story:
    def play(aws: Aws) -> None:
        for story in stories:
            story(aws)

    return play


def opened(shop: Shop) -> Aws:
    """A shop with a feed endpoint and a campaign, on a stage of its own."""
    merchants = MerchantStore(shop.table)
    stored = merchants.get(MERCHANT)
    assert stored is not None
    settings = Settings(quiet_hours=None, consent="unknown_allowed", holdout_percent=0)
    merchants.replace(replace(stored.value, settings=settings), stored.version)
    feed = ("abandoned", "recovered", "completed", "superseded", "reversed")
    shop.endpoint(*(f"checkout.{own}" for own in feed))
    receiver = shop.endpoint("endpoint.test")
    steps = tuple(CampaignStep(after, receiver.id) for after in (HOUR, 24 * HOUR))
    made = Campaign(
        id=CampaignId("cmp_1"),
        merchant_id=MERCHANT,
        version=1,
        name="Come back",
        created_at=NOON,
        steps=steps,
        activated_at=NOON,
    )
    CampaignStore(shop.table).create(made)
    return Aws(shop)


def sums_up(shop: Shop) -> None:
    """Write down the cohorts that matured, as a day's first announcement does."""
    stored = MerchantStore(shop.table).get(MERCHANT)
    assert stored is not None
    Metrics(FactStore(shop.table), lambda: shop.now).settle(stored.value)


@dataclass(frozen=True)
class Books:
    """What must be the same whatever failed."""

    checkouts: Counter[Any]
    events: Counter[Any]
    deliveries: Counter[Any]
    episodes: Counter[Any]
    facts: Counter[Any]
    orders: int
    quarantined: int
    due: Counter[Any]
    told: Counter[Any]
    dead: tuple[str, ...]
    waiting: int
    jobs: Counter[Any]
    set_aside: frozenset[str]


def books(aws: Aws) -> Books:
    table = dynamodb_backends[ACCOUNT_ID][REGION].get_table(aws.shop.stores.environment.table_name)
    rows = [from_wire(own.to_json()["Attributes"]) for own in table.all_items()]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(f"{row['pk'][0]}{row['sk'][0] if row['pk'][0] == 'C' else ''}", []).append(row)
    told: Counter[Any] = Counter()
    bodies: dict[str, set[bytes | None]] = {}
    for sent in aws.shop.sent:
        envelope = json.loads(sent.body or b"{}")
        step = envelope["data"].get("step")
        copies = bodies.setdefault(f"{sent.headers['webhook-id']} {sent.url}", set())
        # The feed tells at least once, with the same bytes each time; a step's every message counts.
        told[envelope["type"], step["index"] if step else None, sent.url] += 1 if step or not copies else 0
        copies.add(None if step else sent.body)
    assert all(len(own) == 1 for own in bodies.values()), "a repeat had other bytes"
    return Books(
        checkouts=Counter(
            (own["xid"], own["st"], own.get("re"), "ann" in own, str(own.get("or", {}).get("reversed")))
            for own in kinds.get("CC", [])
        ),
        events=Counter((own["ty"], len(own["eps"])) for own in kinds.get("CE", [])),
        deliveries=Counter((own["ty"], own["st"], own.get("why"), own.get("stp")) for own in kinds.get("T", [])),
        episodes=Counter(
            (own["st"], own.get("why"), *((at, step["st"]) for at, step in sorted(own.get("steps", {}).items())))
            for own in kinds.get("P", [])
        ),
        facts=Counter((own["kind"], own.get("minor")) for own in kinds.get("N", []) if "kind" in own),
        orders=len(kinds.get("O", [])),
        quarantined=len(kinds.get("Q", [])),
        due=Counter(own["dq"][0] for own in rows if "dq" in own),
        told=told,
        dead=tuple(aws.dead),
        waiting=aws.waiting(),
        jobs=Counter(
            (own["status"], own.get("reason"), own.get("page"), own.get("counts", {}).get("read", own.get("examined")))
            for own in kinds.get("J", [])
        ),
        set_aside=frozenset(aws.set_aside()),
    )


class Theatre:
    """One beginning, played on with one fault after the other."""

    def __init__(self, shop: Shop, calls: AwsCalls, flow: Flow) -> None:
        self._calls = calls
        self._flow = flow
        self._aws = opened(shop)
        if not flow.first_of_the_day:
            sums_up(shop)
        flow.given(self._aws)
        self._began = shop.now
        self._sent = list(shop.sent)
        self._streamed = shop._streamed
        self._state = StageState.taken(shop.stores.environment.table_name)
        self._expected, self.made = self._played(None, lambda *_: False)
        assert len(self.made) >= flow.least_calls
        assert self.end.dead == ()

    @property
    def end(self) -> Books:
        """How it ends when nothing fails."""
        return self._expected[-1]

    def difference(self, fault: Fault) -> str | None:
        """What another end the fault makes; None for the same end, at once or after all repeats."""
        found, _ = self._played(fault, lambda at, own: own == self._expected[at])
        assert self._calls.fired is not None
        expected = self._expected[len(found) - 1]
        if found[-1] == expected or (fault.kind.kills and nobody_knows(expected, found[-1])):
            return None
        return f"{self._calls.fired}: {differences(expected, found[-1])}"

    def _played(self, fault: Fault | None, over: Callable[[int, Books], bool]) -> tuple[list[Books], list[str]]:
        """The books right after the flow and after each pause; shorter where it is ``over`` early."""
        shop = self._aws.shop
        self._state.restore(shop.stores.environment.table_name)
        shop.clock.move_to(self._began)
        shop.sent[:] = self._sent
        shop._streamed = self._streamed
        shop.answer = lambda _: Answer(200)
        self._aws.begin()
        forget_compositions()
        with self._calls.watched(fault):
            self._flow.act(self._aws)
        made = list(self._calls.names)
        entries = [books(self._aws)]
        while len(entries) <= PAUSES and not over(len(entries) - 1, entries[-1]):
            shop.wait(minutes=6)
            self._aws.passes(1)
            entries.append(books(self._aws))
        return entries, made


PAUSES = 5
"""Longer together than a lease, a visibility timeout and the sweep's own 15 minutes."""


def played(flows: list[Flow]) -> list[Any]:
    """Parameters of a test: each flow with each kind of fault. All kinds are played by ``make faults`` alone."""
    return [
        pytest.param(flow, kind, id=f"{flow.name}-{kind.name.lower()}")
        for flow in flows
        for kind in (tuple(Kind) if EVERYTHING else (Kind.UNSEEN,) if flow.variant else (Kind.THROTTLED, Kind.UNSEEN))
    ]


def ends_the_same(
    flow: Flow, kind: Kind, shop: Shop, calls: AwsCalls, record_property: Callable[[str, object], None]
) -> None:
    """Fail each call of the flow once in this way."""
    theatre = Theatre(shop, calls, flow)
    faults = [Fault(at, kind) for at in range(len(theatre.made))]
    wrong = [f"call {own.at}, {found}" for own in faults if (found := theatre.difference(own)) is not None]
    record_property(CASES, (flow.name, len(faults)))
    assert not wrong, "\n".join([f"{flow.name}, {kind}, {len(faults)} calls", *wrong])


def nobody_knows(expected: Books, found: Books) -> bool:
    """Whether all that differs is a step whose worker vanished between claim and record.

    It is not sent again, since it may have been; it ends ``unknown``, or as its delivery tells, where everybody can see
    it.
    """
    unknown = Counter(
        tuple(("1", "unknown") if own == ("1", "sent") else own for own in episode) for episode in expected.episodes
    )
    same = replace(expected, episodes=found.episodes, deliveries=found.deliveries, told=found.told)
    lost = ("campaign.step", "unknown", "lease_lost", 1)
    delivered = ("campaign.step", "delivered", None, 1)
    return (
        same == found
        and found.episodes in (expected.episodes, unknown)
        and found.deliveries - Counter([lost]) == expected.deliveries - Counter([delivered])
        and not found.told - expected.told
    )


def differences(expected: Books, found: Books) -> str:
    """What is missing and what is there instead."""
    return "; ".join(
        f"{name}: {getattr(expected, name)} became {getattr(found, name)}"
        for name in Books.__dataclass_fields__
        if getattr(expected, name) != getattr(found, name)
    )
