"""Shoppers with known ends: stories drawn by the seed, told by webhooks that a provider posts until they are taken."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import httpx

from infra.local.shop import Shop
from tests.chaos.books import Case, Posted
from tests.chaos.providers import CustomVisit, FlexyPeVisit, ShopifyVisit, Visit, Webhook

IDLE = 2.0
FIRST_STEP = 4.0
SECOND_STEP = 9.0
"""Seconds after the last activity."""
_MOST_STAGES = 3
_AGAIN_AFTER = 0.5
_PATIENCE = 30.0
_AT_ONCE = 4
"""Webhooks on their way at the same time: the engine starts a worker for each, and starting many stifles it."""
_FOREVER = 240.0
_SILENCE = 1
"""In place of a status, where there was no answer."""
_TAKEN = frozenset({"accepted", "duplicate"})

type Told = Iterator[tuple[float, Callable[[], None]]]
"""What a shopper does, each after so many seconds."""


@dataclass(frozen=True, slots=True)
class Market:
    """One merchant: the shop, its sources by provider, and by endpoint the name of the stand-in behind it."""

    shop: Shop
    sources: dict[str, dict[str, Any]]
    names: dict[str, str]


class Journal:
    """What was posted and what it was told; shared by all shoppers' threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._http = httpx.Client(timeout=_PATIENCE, trust_env=False)
        self._posted: list[Posted] = []
        self.cases: dict[int, Case] = {}

    def post(self, number: int, webhook: Webhook, expected: frozenset[str], rank: int = 0) -> Posted:
        """Post until it is taken, as a provider does: 5xx and silence are met with the same bytes again."""
        began = time.time()
        refusals: list[int] = []
        status = 0
        told: dict[str, Any] = {}
        while status != 200 and time.time() - began < _FOREVER:
            if status:
                time.sleep(_AGAIN_AFTER)
            status, told = self._posted_once(webhook)
            if status not in {200, _SILENCE} and status < 500:
                refusals.append(status)
        own = Posted(
            case=number,
            stage=webhook.stage,
            expected=expected,
            began_at=began,
            answered_at=time.time(),
            status=status,
            told=str(told.get("status", "")),
            checkout_id=told.get("checkout_id"),
            quarantine_id=told.get("quarantine_id"),
            body=webhook.body,
            rank=rank,
            refusals=tuple(refusals),
        )
        with self._lock:
            self._posted.append(own)
        return own

    def _posted_once(self, webhook: Webhook) -> tuple[int, dict[str, Any]]:
        with self._places:
            try:
                answer = self._http.post(webhook.url, content=webhook.body, headers=webhook.headers)
            except httpx.HTTPError:
                return _SILENCE, {}
        return answer.status_code, answer.json() if answer.status_code == 200 else {}

    def posted(self) -> list[Posted]:
        """Everything so far."""
        with self._lock:
            return list(self._posted)


@dataclass
class Shopper:
    """One shopper: ``number`` names the story in the books."""

    number: int
    market: Market
    journal: Journal
    random: Random
    story: str
    phone: str = field(init=False)
    skew: float = field(init=False)
    visit: Visit = field(init=False)

    def __post_init__(self) -> None:
        self.phone = f"9{self.random.randrange(10**8, 10**9)}"
        provider = self.random.choice(sorted(self.market.sources))
        drawn = _skew(self.random, self.story)
        self.skew = 0.0 if provider == "flexype" else drawn
        self.visit = self._visit(provider)

    def live(self) -> None:
        """Tell the story in real time."""
        may_end, tell = STORIES[self.story]
        self.journal.cases[self.number] = Case(self.number, self.story, f"+91{self.phone}", may_end, skew=self.skew)
        for seconds, act in tell(self):
            time.sleep(seconds)
            act()

    def at(self, stage: int) -> Callable[[], None]:
        """Reach a stage."""
        return lambda: self._post(self.visit.at(stage), stage)

    def buy(self) -> None:
        """Buy what is in the cart."""
        self._post(self.visit.bought(), 99)

    def buy_elsewhere(self) -> None:
        """Buy in another session, at any provider of the same merchant; by the phone it is the same shopper."""
        other = self._visit(self.random.choice(sorted(self.market.sources)))
        self._post(other.bought(), 99)

    def again(self, webhooks: list[tuple[Webhook, int]]) -> Callable[[], None]:
        """Webhooks in any order, some of them more than once, at the same time."""

        def act() -> None:
            threads = [threading.Thread(target=self._post, args=own) for own in webhooks]
            for own in threads:
                own.start()
            for own in threads:
                own.join()

        return act

    def opt_out(self) -> None:
        """The merchant is told to leave them alone."""
        deadline = time.time() + _FOREVER
        while time.time() < deadline:
            try:
                self.market.shop.call("POST", "/v1/suppressions", json={"phone": f"+91{self.phone}"})
            except (RuntimeError, httpx.HTTPError):
                time.sleep(_AGAIN_AFTER)
                continue
            case = self.journal.cases[self.number]
            self.journal.cases[self.number] = replace(case, opted_out_at=time.time())
            return

    def some_stages(self) -> Told:
        """From the first stage on, as far as it goes."""
        for stage in range(self.random.randint(1, _MOST_STAGES)):
            yield self.random.uniform(0.0, 0.4), self.at(stage)

    def flexype(self) -> FlexyPeVisit:
        """The visit, at FlexyPe."""
        self.visit = visit = FlexyPeVisit(self.market.sources["flexype"], self.phone, self._session())
        return visit

    def _visit(self, provider: str) -> Visit:
        made: dict[str, Callable[..., Visit]] = {
            "flexype": FlexyPeVisit,
            "shopify": ShopifyVisit,
            "custom": CustomVisit,
        }
        return made[provider](self.market.sources[provider], self.phone, self._session(), self.skew)

    def _session(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _post(self, webhook: Webhook, rank: int = 0) -> None:
        self.journal.post(self.number, webhook, _TAKEN, rank)


def _skew(random: Random, story: str) -> float:
    """By how many seconds the shop's clock is ahead: behind, ahead and believed, ahead beyond belief, mostly right.

    Beyond belief the arrival orders, which is as good where webhooks arrive in order. A purchase at another provider is
    compared by both clocks, of which these ends do not know which one is wrong.
    """
    drawn = random.choices(["right", "behind", "ahead", "far ahead"], [70, 12, 12, 6])[0]
    seconds = {"right": 0.0, "behind": -random.uniform(20, 120), "ahead": random.uniform(20, 200)}
    far = 0.0 if "stutter" in story else random.uniform(400, 900)
    return 0.0 if story == "buys elsewhere" else {**seconds, "far ahead": far}[drawn]


def _walks_away(own: Shopper) -> Told:
    yield from own.some_stages()


def _buys_at_once(own: Shopper) -> Told:
    yield from own.some_stages()
    yield own.random.uniform(0.0, 0.5), own.buy


def _buys_later(own: Shopper) -> Told:
    yield from own.some_stages()
    yield IDLE + own.random.uniform(0.5, 4.0), own.buy


def _buys_as_a_step_is_due(own: Shopper) -> Told:
    yield from own.some_stages()
    yield own.random.choice([FIRST_STEP, SECOND_STEP]) + own.random.uniform(-0.5, 1.5), own.buy


def _buys_elsewhere(own: Shopper) -> Told:
    yield from own.some_stages()
    # Sooner the clocks of two hosts, two seconds off each, may not agree on which of the two sessions came first.
    yield own.random.uniform(4.5, 9.0), own.buy_elsewhere


def _stutters(own: Shopper) -> Told:
    webhooks = [(own.visit.at(stage), stage) for stage in range(_MOST_STAGES + 1)]
    webhooks += own.random.sample(webhooks, 2)
    own.random.shuffle(webhooks)
    yield 0.0, own.again(webhooks)
    own.random.shuffle(webhooks)
    yield own.random.uniform(0.0, IDLE / 2), own.again(webhooks[:2])


def _buys_while_stuttering(own: Shopper) -> Told:
    webhooks = [(own.visit.at(stage), stage) for stage in range(_MOST_STAGES)]
    webhooks += [(own.visit.bought(), 99)] * 2
    own.random.shuffle(webhooks)
    yield 0.0, own.again(webhooks)


def _returns(own: Shopper) -> Told:
    yield 0.0, own.at(0)
    yield IDLE + own.random.uniform(1.0, 5.0), own.at(1)
    yield own.random.uniform(0.0, 4.0), own.at(2)


def _gets_stuck_at_payment(own: Shopper) -> Told:
    visit = own.flexype()
    yield 0.0, own.at(4)
    yield own.random.uniform(0.0, 1.0), lambda: own._post(visit.paying(), 5)


def _opts_out(own: Shopper) -> Told:
    yield from own.some_stages()
    yield own.random.uniform(0.0, FIRST_STEP), own.opt_out


def _is_beyond_understanding(own: Shopper) -> Told:
    visit = own.flexype()
    odd = frozenset({"quarantined"})
    yield 0.0, lambda: _none(own.journal.post(own.number, visit.beyond_understanding(), odd))


def _browses(own: Shopper) -> Told:
    visit = own.flexype()
    yield 0.0, lambda: _none(own.journal.post(own.number, visit.browsing(), frozenset({"ignored"})))


def _none(_: object) -> None:
    """What was posted is in the journal."""


_BOUGHT = frozenset({"completed", "recovered"})
_ABANDONED = frozenset({"abandoned"})

STORIES: dict[str, tuple[frozenset[str], Callable[[Shopper], Told]]] = {
    "walks away": (_ABANDONED, _walks_away),
    "buys at once": (_BOUGHT, _buys_at_once),
    "buys later": (_BOUGHT, _buys_later),
    "buys as a step is due": (_BOUGHT, _buys_as_a_step_is_due),
    "buys elsewhere": (frozenset({"superseded"}), _buys_elsewhere),
    "stutters": (_ABANDONED, _stutters),
    "buys while stuttering": (_BOUGHT, _buys_while_stuttering),
    "returns": (_ABANDONED, _returns),
    "gets stuck at payment": (_ABANDONED, _gets_stuck_at_payment),
    "opts out": (_ABANDONED, _opts_out),
    "is beyond understanding": (frozenset(), _is_beyond_understanding),
    "browses": (frozenset(), _browses),
}
"""How the first checkout of each story may end, and the story."""
_WEIGHTS = (18, 8, 12, 13, 12, 8, 4, 8, 4, 5, 6, 2)


def drawn(random: Random, count: int) -> list[str]:
    """So many stories, every kind at least once where there is room."""
    names = list(STORIES)
    stories = names[:count] + random.choices(names, _WEIGHTS, k=max(count - len(names), 0))
    random.shuffle(stories)
    return stories
