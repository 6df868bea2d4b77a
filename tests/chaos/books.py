"""The books: what was promised to whom, what the stage says, what reached whom; and whether all of it agrees.

Pure: a ledger in, findings out. Each check is one promise of the product.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

ABANDONED = "checkout.abandoned"
_BOUGHT = frozenset({"completed", "recovered"})
_SEND = "send"
GRACE_SECONDS = 1.0
"""A hand-over that is under way is not called back: claimed, or read as true, before the purchase was answered."""


type Wrong = tuple[str, int | None]
"""What does not agree, and whose story it is (None where it is nobody's)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One shopper's story and how it may end. ``may_end``: the states of the checkout that agree with the story.

    ``phone`` in E.164. ``opted_out_at``: when the merchant was told 201 for a suppression.
    """

    number: int
    story: str
    phone: str
    may_end: frozenset[str]
    opted_out_at: float | None = None
    skew: float = 0.0
    """Seconds by which the shop's clock was ahead."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A webhook that a provider posted until it was taken. Times in epoch seconds.

    ``stage``: what the checkout shows after it, empty where it shows none, None for a purchase. ``expected``: what it
    may be answered with. ``status`` is that of the last answer.
    """

    case: int
    stage: str | None
    expected: frozenset[str]
    began_at: float
    answered_at: float
    status: int
    told: str = ""
    checkout_id: str | None = None
    quarantine_id: str | None = None
    body: bytes = field(default=b"", repr=False)
    rank: int = 0
    """How far along the shopper is, of the stages of one checkout."""
    refusals: tuple[int, ...] = ()
    """Statuses of earlier answers that were neither 200 nor 5xx."""

    @property
    def is_purchase(self) -> bool:
        """Whether it told of a purchase."""
        return self.stage is None

    @property
    def taken(self) -> bool:
        """Whether it was answered with 200."""
        return self.status == 200


@dataclass(frozen=True, slots=True)
class Received:
    """What a stand-in received. ``taken``: a message went on from there (role ``send``), or the event was read."""

    at: float
    role: str
    name: str
    event_id: str | None = None
    event_type: str | None = None
    checkout_id: str | None = None
    phone: str | None = None
    step: int | None = None
    taken: bool = True
    mood: str = ""


@dataclass(frozen=True, slots=True)
class CheckoutRow:
    """A checkout as it is stored; ``abandoned``: it was, at least once."""

    id: str
    status: str
    stage: str | None
    phone: str | None
    abandoned: bool


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it is stored. ``abandoned_at``: which abandonment it tells of."""

    id: str
    type: str
    checkout_id: str
    endpoint_ids: tuple[str, ...]
    abandoned_at: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as it is stored."""

    id: str
    endpoint_id: str
    event_id: str
    status: str
    reason: str | None = None
    episode_id: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of an episode: ``due_in`` seconds from the stage's now, where it is still planned."""

    episode_id: str
    episode_status: str
    number: int
    state: str
    reason: str | None = None
    due_in: float = 0.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything that is known at the end. ``subscribed``: endpoints by id, those told of every abandonment.

    ``names``: the stand-in's name of each endpoint. ``due``: keys of rows whose time has come. ``queued``: messages
    left, by queue. ``dead``: bodies of dead letters. ``quarantined``: kept bytes by id. ``campaigns``: the expressions
    of those that run by the clock, by the name of their schedule; ``schedules``: those that Scheduler has.
    """

    cases: tuple[Case, ...] = ()
    posted: tuple[Posted, ...] = ()
    received: tuple[Received, ...] = ()
    checkouts: tuple[CheckoutRow, ...] = ()
    events: tuple[EventRow, ...] = ()
    deliveries: tuple[DeliveryRow, ...] = ()
    steps: tuple[StepRow, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    due: tuple[str, ...] = ()
    queued: dict[str, int] = field(default_factory=dict)
    dead: tuple[str, ...] = ()
    quarantined: dict[str, bytes] = field(default_factory=dict)
    campaigns: dict[str, str] = field(default_factory=dict)
    schedules: dict[str, str] = field(default_factory=dict)

    def case_of(self, checkout_id: str | None) -> int | None:
        """Whose checkout it is."""
        return next((own.case for own in self.posted if own.checkout_id == checkout_id), None)

    def case_by(self, phone: str | None) -> int | None:
        """Whose phone it is."""
        return next((own.number for own in self.cases if own.phone == phone), None)


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken promise: which one, what does not agree, and whose story it is, where it is somebody's."""

    promise: str
    detail: str
    case: int | None = None

    def __str__(self) -> str:
        return f"{self.promise}: {self.detail}" + (f" (shopper {self.case})" if self.case is not None else "")


def findings(ledger: Ledger) -> list[Finding]:
    """Everything that does not agree; empty where the books balance."""
    return [
        Finding(promise.__name__.replace("_", " "), detail, case)
        for promise in PROMISES
        for detail, case in promise(ledger)
    ]


def webhooks_are_taken(ledger: Ledger) -> Iterator[Wrong]:
    """Every webhook was taken in the end, none was refused for a fault of ours, and each was told what it is."""
    for own in ledger.posted:
        if not own.taken:
            yield f"never taken, last answered {own.status}", own.case
        elif own.told not in own.expected:
            yield f"told {own.told}, not one of {sorted(own.expected)}", own.case
        if own.refusals:
            yield f"refused with {own.refusals} for no fault of its own", own.case


def webhooks_are_reflected(ledger: Ledger) -> Iterator[Wrong]:
    """What was taken is in the checkout: its purchase for good, else the furthest stage; or in the quarantine."""
    checkouts = {own.id: own for own in ledger.checkouts}
    by_checkout: defaultdict[str, list[Posted]] = defaultdict(list)
    for own in ledger.posted:
        if not own.taken:
            continue
        if own.told == "quarantined":
            if ledger.quarantined.get(own.quarantine_id or "") != own.body:
                yield f"{own.quarantine_id} is not kept byte for byte", own.case
        elif own.checkout_id is not None:
            by_checkout[own.checkout_id].append(own)
    for checkout_id, posts in by_checkout.items():
        case, row = posts[0].case, checkouts.get(checkout_id)
        if row is None:
            yield f"{checkout_id} is gone", case
        elif any(own.is_purchase for own in posts) and row.status not in _BOUGHT:
            yield f"{checkout_id} was bought and is {row.status}", case
        elif not any(own.is_purchase for own in posts) and row.status in _BOUGHT:
            yield f"{checkout_id} was never bought and is {row.status}", case
        elif row.status not in _BOUGHT:
            furthest = max(posts, key=lambda own: own.rank)
            if furthest.stage and row.stage != furthest.stage:
                yield f"{checkout_id} shows stage {row.stage}, and was told {furthest.stage}", case


def stories_end_as_they_must(ledger: Ledger) -> Iterator[Wrong]:
    """Each shopper's checkout is in a state that agrees with the story."""
    checkouts = {own.id: own for own in ledger.checkouts}
    first: dict[int, str] = {}
    for own in sorted(ledger.posted, key=lambda one: one.began_at):
        if own.checkout_id is not None:
            first.setdefault(own.case, own.checkout_id)
    for case in ledger.cases:
        if not case.may_end:
            continue
        row = checkouts.get(first.get(case.number, ""))
        if row is None:
            yield f"{case.story}: no checkout", case.number
        elif row.status not in case.may_end:
            yield f"{case.story}: {row.id} is {row.status}, not one of {sorted(case.may_end)}", case.number


def abandonments_are_told_once(ledger: Ledger) -> Iterator[Wrong]:
    """One event for one abandonment; each endpoint it is for has it under its one id, or a reason is recorded."""
    told: defaultdict[str, list[EventRow]] = defaultdict(list)
    for event in ledger.events:
        if event.type == ABANDONED:
            told[event.checkout_id].append(event)
    for row in ledger.checkouts:
        if row.status == "abandoned" and not told[row.id]:
            yield f"{row.id} is abandoned, and nobody was told", ledger.case_of(row.id)
    for checkout_id, events in told.items():
        for at, count in Counter(own.abandoned_at for own in events).items():
            if count > 1:
                yield f"{checkout_id}: {count} events tell of its abandonment at {at}", ledger.case_of(checkout_id)


def events_reach_their_endpoints(ledger: Ledger) -> Iterator[Wrong]:
    """Every event has a delivery to each of its endpoints: received there under this id, or with its reason."""
    deliveries = {(own.event_id, own.endpoint_id): own for own in ledger.deliveries}
    received = {(own.event_id, own.name) for own in ledger.received if own.taken}
    for event in ledger.events:
        case = ledger.case_of(event.checkout_id)
        for endpoint_id in event.endpoint_ids:
            own = deliveries.get((event.id, endpoint_id))
            if own is None:
                yield f"{event.type} {event.id} has no delivery to {endpoint_id}", case
            elif own.status == "delivered":
                if (event.id, ledger.names.get(endpoint_id)) not in received:
                    yield f"{own.id} is delivered, and {endpoint_id} never had {event.type} {event.id}", case
            elif own.status in {"pending", "retrying"}:
                yield f"{own.id} ({event.type}) still is {own.status}", case
            elif own.reason is None:
                yield f"{own.id} ({event.type}) is {own.status} without a reason", case
    known = {own.id for own in ledger.events}
    for got in ledger.received:
        if got.event_id is not None and got.checkout_id is not None and got.step is None and got.event_id not in known:
            yield f"{got.name} received {got.event_type} {got.event_id}, which nobody knows", None


def nothing_is_sent_after_a_purchase(ledger: Ledger) -> Iterator[Wrong]:
    """Once a purchase was answered with 200, nobody hears that its shopper walked away, and nobody writes to them."""
    bought: dict[str, float] = {}
    phones = {own.number: own.phone for own in ledger.cases}
    for own in ledger.posted:
        if own.is_purchase and own.taken:
            phone = phones[own.case]
            bought[phone] = min(bought.get(phone, own.answered_at), own.answered_at)
    for got in ledger.received:
        if got.phone not in bought or (got.event_type != ABANDONED and got.role != _SEND):
            continue
        late = got.at - bought[got.phone]
        if late > GRACE_SECONDS:
            yield f"{_what(got)} at {got.name} {late:.1f} s after the purchase was taken", ledger.case_by(got.phone)


def nothing_is_sent_after_an_opt_out(ledger: Ledger) -> Iterator[Wrong]:
    """Once a suppression was answered, no message goes to its shopper."""
    closed = {own.phone: own.opted_out_at for own in ledger.cases if own.opted_out_at is not None}
    for got in ledger.received:
        at = closed.get(got.phone or "")
        if at is not None and (got.role == _SEND or got.step is not None) and got.at - at > GRACE_SECONDS:
            yield f"{_what(got)} at {got.name} {got.at - at:.1f} s after the opt-out", ledger.case_by(got.phone)


def no_message_is_sent_twice(ledger: Ledger) -> Iterator[Wrong]:
    """A BSP took each shopper's step at most once; a step by webhook, which may be repeated, under one id alone."""
    taken = Counter((own.name, own.phone, own.step) for own in ledger.received if own.role == _SEND and own.taken)
    for (name, phone, step), count in taken.items():
        if count > 1:
            yield f"{name} took step {step} {count} times", ledger.case_by(phone)
    ids: defaultdict[tuple[str, str | None, int], set[str | None]] = defaultdict(set)
    for own in ledger.received:
        if own.role != _SEND and own.step is not None:
            ids[own.name, own.checkout_id, own.step].add(own.event_id)
    for (name, checkout_id, step), several in ids.items():
        if len(several) > 1:
            yield f"{name} had step {step} under {len(several)} ids", ledger.case_of(checkout_id)


def no_step_hangs(ledger: Ledger) -> Iterator[Wrong]:
    """No step is claimed and neither sent nor released, none that is due is left, and every end has its reason."""
    for own in ledger.steps:
        name = f"step {own.number} of {own.episode_id}"
        if own.state == "claimed":
            yield f"{name} is claimed by nobody", None
        elif own.state == "planned" and own.episode_status == "active" and own.due_in <= 0:
            yield f"{name} has been due for {-own.due_in:.0f} s", None
        elif own.state in {"skipped", "failed", "expired", "unknown"} and own.reason is None:
            yield f"{name} is {own.state} without a reason", None


def sent_steps_were_received(ledger: Ledger) -> Iterator[Wrong]:
    """A step that counts as sent has its delivery, which says the same, and its endpoint took a message of it."""
    deliveries = {(own.episode_id, own.step): own for own in ledger.deliveries if own.episode_id is not None}
    sent: Counter[tuple[str | None, int]] = Counter()
    for own in ledger.steps:
        if own.state not in {"sent", "unknown"}:
            continue
        delivery = deliveries.get((own.episode_id, own.number))
        name = f"step {own.number} of {own.episode_id}"
        if delivery is None:
            yield f"{name} is {own.state} and has no delivery", None
        elif own.state == "sent" and delivery.status != "delivered":
            yield f"{name} is sent, and its delivery {delivery.status}", None
        elif own.state == "sent":
            sent[ledger.names.get(delivery.endpoint_id), own.number] += 1
    took = Counter((own.name, own.step) for own in ledger.received if own.taken and own.step is not None)
    for (endpoint, number), count in sent.items():
        missing = count - took[endpoint or "", number]
        if missing > 0:
            yield f"{endpoint}: step {number} is sent {count} times, and nobody received {missing} of them", None


def nothing_is_left_behind(ledger: Ledger) -> Iterator[Wrong]:
    """No row is due, no queue holds anything, and what a dead letter asked for is settled all the same."""
    for key in ledger.due:
        yield f"{key} is due", None
    for name, count in ledger.queued.items():
        if count and "dead" not in name:
            yield f"{name} holds {count} messages", None
    open_ones = {own.id for own in ledger.deliveries if own.status in {"pending", "retrying"}}
    open_ones |= {own.episode_id for own in ledger.steps if own.state in {"claimed", "planned"}}
    for body in ledger.dead:
        ours = "delivery_id" in body or "episode_id" in body
        if not ours or any(own in body for own in open_ones):
            yield f"a dead letter that nothing explains: {body[:200]}", None


def schedules_follow_their_campaigns(ledger: Ledger) -> Iterator[Wrong]:
    """Scheduler has one schedule for each campaign that runs by the clock, as the campaign says, and no other."""
    for name in sorted(ledger.campaigns.keys() | ledger.schedules.keys()):
        wanted, found = ledger.campaigns.get(name), ledger.schedules.get(name)
        if wanted != found:
            yield f"{name} is {found or 'missing'} at Scheduler, and {wanted or 'gone'} by its campaign", None


def _what(got: Received) -> str:
    return f"{got.event_type or 'a message'}{f', step {got.step}' if got.step is not None else ''}"


PROMISES: tuple[Callable[[Ledger], Iterator[Wrong]], ...] = (
    webhooks_are_taken,
    webhooks_are_reflected,
    stories_end_as_they_must,
    abandonments_are_told_once,
    events_reach_their_endpoints,
    nothing_is_sent_after_a_purchase,
    nothing_is_sent_after_an_opt_out,
    no_message_is_sent_twice,
    no_step_hangs,
    sent_steps_were_received,
    nothing_is_left_behind,
    schedules_follow_their_campaigns,
)
