"""Every AWS call of a flow fails once, before and after its effect; AWS repeats; the end is the same every time.

For each flow the calls are counted first, so a call that is added is covered by being made. The end is read from the
table and from what reached the endpoints: the same facts, each told once, nothing left behind.
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
from shared.workflows.insight import metrics
from shared.workflows.insight.metrics import Metrics
from tests.integration.conftest import REGION
from tests.integration.faults.aws_calls import AwsCalls, Fault, Kind
from tests.integration.faults.conftest import CASES, EVERYTHING, StageState
from tests.integration.faults.repeating import Aws, posted
from tests.integration.shop import MERCHANT, Shop, forget_compositions
from tests.unit.domain.sessions import NOON

HOUR = timedelta(hours=1)
pytestmark = pytest.mark.long

OTHER = {"checkout_url": "https://flexype.myshopify.com/?flx_s=another-device"}

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


def posts(**payload: Any) -> Story:
    return lambda aws: _accepted(aws.posts(posted(**payload)))


def _accepted(statuses: list[int]) -> None:
    assert set(statuses) <= {200, 500, 503}, f"a webhook was refused for our own fault: {statuses}"


def walks_away(aws: Aws) -> None:
    aws.shop.wait(minutes=31)


def sweeps(aws: Aws) -> None:
    aws.sweeps()


def streams(aws: Aws) -> None:
    aws.streams()


def delivers(aws: Aws) -> None:
    aws.delivers()


def endpoint_fails_once(aws: Aws) -> None:
    answers = iter([Answer(503)])
    aws.shop.answer = lambda _: next(answers, Answer(200))


def step_is_due(aws: Aws) -> None:
    aws.shop.wait(minutes=30)


ABANDONED = in_turn(posts(), walks_away, sweeps, streams, delivers)
FLOWS = [
    Flow("webhook, first", nothing, posts(), 1),
    Flow("webhook, repeat", posts(), posts(session_state="PAYMENT_LOADED"), 1),
    Flow("webhook, payment", posts(), posts(session_state="PAYMENT_INITIATED"), 1),
    Flow(
        "webhook, reopening",
        ABANDONED,
        in_turn(posts(session_state="PAYMENT_LOADED"), streams, delivers),
        8,
        variant=True,
    ),
    Flow("webhook, not understood", nothing, posts(session_state=["of no kind"]), 2),
    Flow("abandonment", posts(), in_turn(walks_away, sweeps, streams), 10),
    Flow(
        "abandonment, first of the day",
        in_turn(posts(), walks_away, sweeps),
        streams,
        20,
        variant=True,
        first_of_the_day=True,
    ),
    Flow(
        "abandonment, second device",
        in_turn(ABANDONED, posts(**OTHER)),
        in_turn(walks_away, sweeps, streams),
        10,
        variant=True,
    ),
    Flow("purchase of an open checkout", posts(), in_turn(posts(session_state="COMPLETED"), streams), 5),
    Flow("purchase of an abandoned checkout", ABANDONED, in_turn(posts(session_state="COMPLETED"), streams), 5),
    Flow(
        "purchase elsewhere",
        ABANDONED,
        in_turn(posts(session_state="COMPLETED", **OTHER), streams, delivers),
        8,
    ),
    Flow("delivery", in_turn(posts(), walks_away, sweeps, streams), delivers, 4),
    Flow(
        "delivery, endpoint fails once",
        in_turn(posts(), walks_away, sweeps, streams),
        in_turn(endpoint_fails_once, delivers),
        4,
    ),
    Flow("campaign step", in_turn(ABANDONED, step_is_due), in_turn(sweeps, delivers, streams), 12),
    Flow(
        "campaign step, vendor busy",
        in_turn(ABANDONED, step_is_due),
        in_turn(endpoint_fails_once, sweeps, delivers),
        12,
        variant=True,
    ),
]


def opened(shop: Shop) -> Aws:
    """A shop with a feed endpoint and a campaign, on a stage of its own."""
    merchants = MerchantStore(shop.table)
    stored = merchants.get(MERCHANT)
    assert stored is not None
    settings = Settings(quiet_hours=None, consent="unknown_allowed", holdout_percent=0)
    merchants.replace(replace(stored.value, settings=settings), stored.version)
    feed = ("abandoned", "recovered", "completed", "superseded")
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
        checkouts=Counter((own["xid"], own["st"], own.get("re"), "ann" in own) for own in kinds.get("CC", [])),
        events=Counter((own["ty"], len(own["eps"])) for own in kinds.get("CE", [])),
        deliveries=Counter((own["ty"], own["st"], own.get("why"), own.get("stp")) for own in kinds.get("T", [])),
        episodes=Counter(
            (own["st"], own.get("why"), *((at, step["st"]) for at, step in sorted(own.get("steps", {}).items())))
            for own in kinds.get("P", [])
        ),
        facts=Counter(own["kind"] for own in kinds.get("N", []) if "kind" in own),
        orders=len(kinds.get("O", [])),
        quarantined=len(kinds.get("Q", [])),
        due=Counter(own["dq"][0] for own in rows if "dq" in own),
        told=told,
        dead=tuple(aws.dead),
        waiting=aws.waiting(),
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> AwsCalls:
    # Each day summed is eight reads of the same kind; one stands for the seven.
    monkeypatch.setattr(metrics, "SETTLED_AT_ONCE", 1)
    standing = AwsCalls()
    standing.install(monkeypatch)
    return standing


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


PLAYED = [
    pytest.param(flow, kind, id=f"{flow.name}-{kind.name.lower()}")
    for flow in FLOWS
    for kind in (tuple(Kind) if EVERYTHING else (Kind.UNSEEN,) if flow.variant else (Kind.THROTTLED, Kind.UNSEEN))
]


@pytest.mark.parametrize(("flow", "kind"), PLAYED)
def test_whichever_call_fails_and_however_the_end_is_the_same(
    flow: Flow, kind: Kind, shop: Shop, calls: AwsCalls, record_property: Callable[[str, object], None]
) -> None:
    theatre = Theatre(shop, calls, flow)
    faults = [Fault(at, kind) for at in range(len(theatre.made))]
    wrong = [f"call {own.at}, {found}" for own in faults if (found := theatre.difference(own)) is not None]
    record_property(CASES, (flow.name, len(faults)))
    assert not wrong, "\n".join([f"{flow.name}, {kind}, {len(faults)} calls", *wrong])


def nobody_knows(expected: Books, found: Books) -> bool:
    """Whether all that differs is a step whose worker vanished between claim and record.

    It is not sent again, since it may have been; it ends ``unknown``, or as its delivery tells, where everybody can see
    it. Its fact may be missing where the worker vanished with the last write.
    """
    unknown = Counter(
        tuple(("1", "unknown") if own == ("1", "sent") else own for own in episode) for episode in expected.episodes
    )
    same = replace(expected, episodes=found.episodes, deliveries=found.deliveries, told=found.told, facts=found.facts)
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
