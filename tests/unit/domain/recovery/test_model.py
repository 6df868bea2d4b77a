"""A whole shop as a model: webhooks of two providers, sweeps, sends, failures, purchases and the clock, interleaved.

The shop below does what the workflows do, with dictionaries for the table and the domain's own functions for every
decision. Runs: ``MODEL_RUNS`` (1,000 unless set), each of up to 25 steps; about 12 s on one core of a small machine.
"""

import os
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.domain.campaign import Limits, chosen
from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import Checkout, LeafValue, Order, Status
from shared.domain.consent import Channel
from shared.domain.deadline import at_deadline, bought_elsewhere, superseded
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.gate import CloseChannel, Defer, EndEpisode, GateFacts, Replan, Send, Skip, gate
from shared.domain.holdout import in_holdout
from shared.domain.identity import SHOPPER_KINDS, Identity, IdentityHasher
from shared.domain.ids import SourceId, checkout_digest
from shared.domain.planning import due_step, ended, is_finished, joined, next_due, opened, paused, replanned, with_step
from shared.domain.settings import Settings
from shared.domain.shopper import Shopper, together
from shared.domain.step_state import ALLOWED, EpisodeStep, StepState, claimed, concluded, deferred, lease_lost, skipped
from shared.domain.suppression import suppressed
from shared.domain.transitions import Arrival, Mark, apply
from tests.unit.domain.recovery.episodes import DAY, HOUR, LEAVES, campaign_of
from tests.unit.domain.sessions import MERCHANT, NOON, cart_of, told

RUNS = int(os.environ.get("MODEL_RUNS", "1000"))
SETTINGS = Settings(holdout_percent=20)
pytestmark = pytest.mark.long

SOURCES = (SourceId("src_01KAHJ00000000000000FLEXY"), SourceId("src_01KAHJ000000000000000WIX0"))
CAMPAIGN = campaign_of(HOUR, DAY, 2 * DAY, limits=Limits(2))
HASHER = IdentityHasher(b"k" * 32)
SHOPPERS: tuple[dict[str, LeafValue], ...] = (
    {"customer.phone": "+917777788888"},
    {"customer.phone": "+917777788888", "customer.email": "asha@example.com"},
    {"customer.email": "asha@example.com"},
    {"customer.phone": "+917777700000"},
    {},
)
"""Two people and nobody: the first is known by phone, by e-mail, or by both."""
ANSWERS = ("delivered", "delivered", "retry", "later", "unknown", "fail_recipient", "131049", "fail_message", "gone")


class ShopMachine(RuleBasedStateMachine):
    """The shop, its shoppers and everything that can happen to them."""

    @initialize(who=st.sampled_from(SHOPPERS))
    def open_shop(self, who: dict[str, LeafValue]) -> None:
        """A first shopper has just walked away."""
        self.now = NOON
        self.tick = 0
        self.checkouts: dict[str, Checkout] = {}
        self.shoppers: dict[Identity, Shopper] = {}
        self.held: dict[Identity, str] = {}
        self.episodes: dict[str, Episode] = {}
        self.purchased: set[str] = set()
        self.hand_overs: Counter[tuple[str, int]] = Counter()
        self.outcomes: Counter[tuple[str, int]] = Counter()
        self.on_phones: Counter[tuple[str, int]] = Counter()
        self._receive(0, 0, self._words(0, who, Signal.ACTIVITY, self.now))
        self.now += timedelta(minutes=31)
        self.sweep()

    # What providers say

    @rule(
        source=st.sampled_from(range(2)),
        cart=st.sampled_from(range(2)),
        who=st.sampled_from(SHOPPERS),
        signal=st.sampled_from(
            [Signal.ACTIVITY, Signal.ACTIVITY, Signal.PAYMENT_STARTED, Signal.PAYMENT_FAILED, Signal.ABANDONED]
        ),
        late=st.sampled_from([0, 0, 0, 5, 90]),
    )
    def webhook(self, source: int, cart: int, who: dict[str, LeafValue], signal: Signal, late: int) -> None:
        """An event, now and then told late."""
        self._receive(source, cart, self._words(cart, who, signal, self.now - timedelta(minutes=late)))

    @rule(source=st.sampled_from(range(2)), cart=st.sampled_from(range(2)), who=st.sampled_from(SHOPPERS))
    def purchase(self, source: int, cart: int, who: dict[str, LeafValue]) -> None:
        """An order, placed this minute."""
        words = self._words(cart, who, Signal.PURCHASED, self.now)
        change = replace(words, order=Order(f"{source}-{cart}", self.now))
        checkout, _ = self._applied(source, change)
        owners = {*self._identities(checkout), *HASHER.identities(MERCHANT, who).values()}
        self.checkouts[checkout.digest] = checkout
        self.purchased.add(checkout.digest)
        held = {self.held[own] for own in owners if own in self.held}
        for own in owners:
            known = self.shoppers.get(own, Shopper())
            bought_at = max(self.now, known.purchased_at or self.now)
            self.shoppers[own] = replace(known, purchased_at=bought_at, cooldown_until=self.now + SETTINGS.cooldown)
            self.held.pop(own, None)
        for episode_id in held | ({checkout.episode_id} if checkout.episode_id else set()):
            self._end(self.episodes[episode_id], "purchased")
        for other in list(self.checkouts.values()):
            mine = owners & set(self._identities(other))
            if other.status.unfinished and mine and bought_elsewhere(other, self.now):
                self.checkouts[other.digest] = superseded(other, self.now)

    # What the clock brings

    @rule(minutes=st.sampled_from([1, 6, 31, 61, 240, 1440]), swept=st.booleans())
    def clock(self, minutes: int, swept: bool) -> None:
        """Time passes; the sweep may be late."""
        self.now += timedelta(minutes=minutes)
        if swept:
            self.sweep()

    @precondition(lambda self: any(own.status is EpisodeStatus.ACTIVE for own in self.episodes.values()))
    @rule(pick=st.integers(0, 29), answer=st.none() | st.sampled_from(ANSWERS))
    def next_step(self, pick: int, answer: str | None) -> None:
        """A quiet stretch until a step is due, and then its hand-over."""
        due = [at for own in self.episodes.values() if (at := next_due(own)) is not None]
        self.now = max(self.now, min(due, default=self.now))
        self.sweep()
        self.hand_over(pick=pick, answer=answer)

    def sweep(self) -> None:
        """Deadlines, leases, and the ends of episodes."""
        for checkout in list(self.checkouts.values()):
            if checkout.due_at is None or checkout.due_at > self.now:
                continue
            bought_at = together(self._memory(checkout)).purchased_at
            due = at_deadline(checkout, self.now, SETTINGS, bought_at)
            if due is not None:
                self.checkouts[checkout.digest] = due.checkout
                self._tell(due.checkout, due.mark)
        for episode in list(self.episodes.values()):
            for step in episode.steps:
                lost = lease_lost(step, self.now)
                if lost is not None:
                    self.on_phones[episode.id, step.number] += 1
                    self._write(with_step(self.episodes[episode.id], lost))
            if self.now >= episode.started_at + SETTINGS.recovery_horizon:
                self._end(self.episodes[episode.id], "horizon")

    @precondition(lambda self: any(due_step(own, self.now) for own in self.episodes.values()))
    @rule(
        pick=st.integers(0, 29), answer=st.none() | st.sampled_from(ANSWERS), race=st.sampled_from([None, None, 0, 1])
    )
    def hand_over(self, pick: int, answer: str | None, race: int | None = None) -> None:
        """A worker gates one due step, claims it and, unless it dies or dawdles, hears its answer.

        ``race``: between its reading and its claim the shopper buys at that source.
        """
        due = [(own, step) for own in self.episodes.values() if (step := due_step(own, self.now)) is not None]
        if not due:
            return
        episode, step = due[pick % len(due)]
        checkout = self.checkouts[episode.checkouts[-1]]
        facts = GateFacts(
            now=self.now,
            checkout=checkout,
            settings=SETTINGS,
            merchant_zone="Asia/Kolkata",
            episode=episode,
            campaign=CAMPAIGN,
            step=step.number,
            channel=Channel.WHATSAPP if pick % 2 else Channel.EMAIL,
            shopper=together(self._memory(checkout)),
        )
        match gate(facts):
            case Send():
                if race is not None:
                    self.purchase(race, 1, {n: v for n, v in checkout.leaves.items() if n.startswith("customer.")})
                if self._claim(episode, step, checkout) and answer is not None:
                    claims = [own.id for own, _ in self._claims()]
                    self.answer(pick=claims.index(episode.id), answer=answer)
            case Defer() as later:
                assert later.until > self.now
                self._write(with_step(episode, deferred(step, later.until)))
            case Skip(reason=reason):
                left_out = with_step(episode, skipped(step, reason, self.now))
                self._write(replanned(left_out, CAMPAIGN, SETTINGS, self.now))
            case EndEpisode(reason=reason):
                self._end(episode, reason)
            case CloseChannel(channels=channels, reason=reason):
                closed = replace(episode, closed_channels=episode.closed_channels | set(channels))
                left_out = with_step(closed, skipped(step, reason, self.now))
                self._write(replanned(left_out, CAMPAIGN, SETTINGS, self.now))
            case Replan():
                self._write(replanned(episode, CAMPAIGN, SETTINGS, self.now))

    @precondition(lambda self: self._claims())
    @rule(pick=st.integers(0, 29), answer=st.sampled_from(ANSWERS))
    def answer(self, pick: int, answer: str) -> None:
        """The receiver of a claimed step answers; where nobody does, the lease runs out in a sweep."""
        claims = self._claims()
        episode, step = claims[pick % len(claims)]
        outcome = {"later": "retry", "131049": "fail_recipient"}.get(answer, answer)
        after = concluded(
            step,
            outcome,
            self.now,
            do_not_send_after=episode.anchor + 3 * DAY,
            channel="email",
            reason=answer if answer == "131049" else None,
            retry_after=self.now + HOUR if answer == "later" else None,
        )
        if outcome in {"delivered", "unknown"}:
            self.on_phones[episode.id, step.number] += 1
        for own in episode.identities:
            known = self.shoppers.get(own, Shopper())
            if after.suppress:
                known = replace(known, suppressed=suppressed(known.suppressed, [Channel.EMAIL], "refused_by_vendor"))
            if after.capped_until is not None:
                known = replace(known, capped={**known.capped, Channel.EMAIL: after.capped_until})
            if after.step.state.counts_as_sent:
                known = replace(known, last_message_at=self.now)
            self.shoppers[own] = known
        written = with_step(episode, after.step)
        self._write(replanned(written, CAMPAIGN, SETTINGS, self.now) if after.step.state.ended else written)

    @precondition(lambda self: any(own.last_hand_over for own in self.episodes.values()))
    @rule(pick=st.integers(0, 29))
    def reply(self, pick: int) -> None:
        """A shopper writes back: a person takes over."""
        messaged = [own for own in self.episodes.values() if own.last_hand_over is not None]
        self._end(messaged[pick % len(messaged)], "replied")

    # What always holds

    @invariant()
    def a_purchase_stays(self) -> None:
        assert all(self.checkouts[own].status.purchased for own in self.purchased)

    @invariant()
    def a_shopper_has_at_most_one_open_episode(self) -> None:
        alive = [own for own in self.episodes.values() if own.status is not EpisodeStatus.ENDED]
        owners = Counter(identity for own in alive for identity in own.identities if self.held.get(identity) == own.id)
        assert all(count == 1 for count in owners.values())
        for own in alive:
            assert all(self.held.get(identity) == own.id for identity in own.identities), "an episode nobody holds"

    @invariant()
    def no_step_goes_out_twice_and_each_has_one_outcome(self) -> None:
        assert all(count == 1 for count in self.hand_overs.values())
        assert all(count == 1 for count in self.on_phones.values()), "a shopper may have the same message twice"
        assert all(count <= 1 for count in self.outcomes.values())
        for episode in self.episodes.values():
            for step in episode.steps:
                recorded = self.outcomes[episode.id, step.number]
                assert recorded == int(step.state.ended)
                assert step.state.ended == (step.ended_at is not None)
                if step.state in {StepState.SKIPPED, StepState.FAILED, StepState.EXPIRED}:
                    assert step.reason

    @invariant()
    def nothing_planned_is_forgotten(self) -> None:
        for episode in self.episodes.values():
            planned = [own for own in episode.steps if own.state is StepState.PLANNED]
            if episode.status is EpisodeStatus.ENDED:
                assert not planned
            elif episode.status is EpisodeStatus.ACTIVE and planned:
                assert next_due(episode) is not None

    @invariant()
    def messages_keep_their_distance(self) -> None:
        for episode in self.episodes.values():
            assert sum(own.state.counts_as_sent for own in episode.steps) <= CAMPAIGN.limits.max_per_episode
            instants = sorted(own.handed_over_at for own in episode.steps if own.handed_over_at is not None)
            gaps = [later - earlier for earlier, later in pairwise(instants)]
            assert all(gap >= SETTINGS.min_step_gap for gap in gaps)

    def teardown(self) -> None:
        """However it goes on, once everybody is gone each planned step has its outcome."""
        if not hasattr(self, "now"):
            return
        for _ in range(4):
            self.now += timedelta(days=8)
            self.sweep()
        for episode in self.episodes.values():
            assert episode.status is EpisodeStatus.ENDED
            assert all(own.state.ended for own in episode.steps)
        self.no_step_goes_out_twice_and_each_has_one_outcome()

    # The workflows in small

    def _words(self, cart: int, who: dict[str, LeafValue], signal: Signal, at: datetime) -> CheckoutChange:
        leaves = {name: value for name, value in LEAVES.items() if not name.startswith("customer.")} | who
        self.tick += 1
        return told(signal, at, leaves=leaves, cart=cart_of(), external_id=f"cart-{cart}", event_id=f"e-{self.tick}")

    def _receive(self, source: int, cart: int, change: CheckoutChange) -> None:
        checkout, mark = self._applied(source, change)
        self.checkouts[checkout.digest] = checkout
        self._tell(checkout, mark)

    def _applied(self, source: int, change: CheckoutChange) -> tuple[Checkout, Mark | None]:
        digest = checkout_digest(MERCHANT, SOURCES[source], change.external_id)
        arrived = Arrival(MERCHANT, SOURCES[source], ("flexype", "wix")[source], self.now, SETTINGS)
        applied = apply(self.checkouts.get(digest), change, arrived)
        return applied.checkout, applied.mark

    def _tell(self, checkout: Checkout, mark: Mark | None) -> None:
        """Dispatch, at once."""
        if mark is Mark.REOPENED and checkout.episode_id is not None:
            self._write(paused(self.episodes[checkout.episode_id]))
        if mark is not Mark.ABANDONED:
            return
        identities = self._identities(checkout)
        memory = together(self._memory(checkout))
        if bought_elsewhere(checkout, memory.purchased_at):
            self.checkouts[checkout.digest] = superseded(checkout, self.now)
            return
        if not identities:
            return
        # The checkout's own episode too: its contact may have changed since.
        known = {self.held.get(own) for own in identities} | {checkout.episode_id}
        alive = sorted(own.id for own in self.episodes.values() if own.id in known and own.end_reason is None)
        there = [self.episodes[own] for own in alive]
        over = [own for own in there if is_finished(own, CAMPAIGN if own.campaign_id else None, SETTINGS, checkout)]
        running = [own for own in there if own not in over]
        for other in (*over, *running[1:]):
            self._end(other, "followed" if other in over else "joined")
            identities = sorted({*identities, *other.identities})
        if running:
            episode = joined(running[0], checkout, identities, self.now, campaign=CAMPAIGN, settings=SETTINGS)
        else:
            held_out = in_holdout(self._identities(checkout), SETTINGS.holdout_percent)
            campaign = chosen([CAMPAIGN], checkout, self.now)
            episode = opened(checkout, identities, self.now, campaign=campaign, holdout=held_out, settings=SETTINGS)
        for own in episode.identities:
            self.held[own] = episode.id
        self.checkouts[checkout.digest] = replace(checkout, announced=checkout.sequence, episode_id=episode.id)
        self._write(episode)

    def _claim(self, episode: Episode, step: EpisodeStep, checkout: Checkout) -> bool:
        """The write conditional on the episode as it was read; what it must never be true of is asserted."""
        if self.episodes[episode.id].version != episode.version:
            return False
        assert episode.status is EpisodeStatus.ACTIVE
        assert checkout.status is Status.ABANDONED
        assert not episode.holdout
        # A provider that declares the abandonment again moves the last activity, and the anchor stays.
        assert self.now < max(episode.anchor, checkout.last_activity_at) + CAMPAIGN.do_not_send_after
        for own in self._identities(checkout):
            bought_at = self.shoppers.get(own, Shopper()).purchased_at
            assert bought_at is None or bought_at < checkout.last_activity_at, "a claim after a purchase"
        self._write(with_step(episode, claimed(step, checkout.digest, self.now)))
        return True

    def _claims(self) -> list[tuple[Episode, EpisodeStep]]:
        return [(own, step) for own in self.episodes.values() for step in own.steps if step.state is StepState.CLAIMED]

    def _end(self, episode: Episode, reason: str) -> None:
        for identity in episode.identities:
            if self.held.get(identity) == episode.id:
                del self.held[identity]
        self._write(ended(episode, reason, self.now))

    def _write(self, episode: Episode) -> None:
        """Store the episode, and count every outcome and hand-over that the write records."""
        before = self.episodes.get(episode.id)
        for step in episode.steps:
            old = before.step(step.number) if before else None
            if old is not None and old != step:
                assert step.state in ALLOWED[old.state], f"{old.state} became {step.state}"
            if step.state.ended and (old is None or not old.state.ended):
                self.outcomes[episode.id, step.number] += 1
            if step.state.counts_as_sent and (old is None or not old.state.counts_as_sent):
                self.hand_overs[episode.id, step.number] += 1
        self.episodes[episode.id] = episode

    def _identities(self, checkout: Checkout) -> list[Identity]:
        found = HASHER.of_checkout(checkout)
        return sorted(own for kind, own in found.items() if kind in SHOPPER_KINDS)

    def _memory(self, checkout: Checkout) -> list[Shopper]:
        return [self.shoppers[own] for own in self._identities(checkout) if own in self.shoppers]


ShopMachine.TestCase.settings = settings(
    max_examples=RUNS,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestShop = ShopMachine.TestCase
