"""Claiming a step: the one write that decides whether this worker hands it over.

The claim is a write of the episode under the version it was read at; a purchase, an opt-out and an erasure write the
episode too. So exactly one of them and the claim wins, and after a purchase's 200 no message goes out. A claim has a
name of its own, so that a worker knows its claim again when the answer to its write was lost.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from shared.domain import planning, step_state
from shared.domain.breaker import Wait
from shared.domain.consent import Channel
from shared.domain.episode import EpisodeStatus
from shared.domain.merchant import Endpoint
from shared.domain.step_state import EpisodeStep, StepState
from shared.store.episodes import EpisodeMoved, EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.store.table import StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Put
from shared.workflows.campaigns.episode_writes import EpisodeWrites
from shared.workflows.campaigns.follow_ups import FollowUps
from shared.workflows.campaigns.step_case import StepCase
from shared.workflows.delivering.batch import TEMPORARY
from shared.workflows.delivering.endpoint_health import EndpointHealth

_ROUNDS = 5
_AHEAD = timedelta(minutes=10)
"""How far ahead a step's place may lie: its message brings it back before the sweep looks at the step again."""
_PROMPT = timedelta(seconds=1)
"""A claim whose answer took longer is looked up before anything goes out: a purchase may have been taken meanwhile."""


@dataclass(frozen=True, slots=True)
class Aside:
    """The step's endpoint is slow: it goes by the slow lane."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A step that this worker alone may hand over, over this channel and with this coupon code."""

    case: StepCase
    channel: Channel | None
    code: str | None
    name: str

    def holds(self, step: EpisodeStep | None) -> bool:
        """Whether the step is still claimed by it."""
        return step is not None and step.state is StepState.CLAIMED and step.claimed_by == self.name


class StepClaims:
    """Claims steps, and lets go of them. One per process."""

    def __init__(
        self,
        table: Table,
        episodes: EpisodeStore,
        writes: EpisodeWrites,
        follow_ups: FollowUps,
        health: EndpointHealth,
        now: Callable[[], datetime],
    ) -> None:
        """``now`` is the clock."""
        self._table = table
        self._episodes = episodes
        self._writes = writes
        self._follow_ups = follow_ups
        self._health = health
        self._now = now

    def admit(self, endpoint: Endpoint, place: datetime | None = None, *, slow: bool = False) -> Wait | Aside | None:
        """Until when the endpoint's breaker or rate limit holds the step back, or which way; None to go ahead.

        ``place``: what was reserved for the step before. ``slow``: it goes by the slow lane already.
        """
        rows = self._table.batch_get([self._health.key(endpoint.id)])
        if not slow and self._health.is_slow(endpoint.id, rows):
            return Aside()
        return self._health.admit([endpoint], rows, [place], _AHEAD)[0]

    def claim(self, case: StepCase, channel: Channel | None, code: str | None) -> Claim:
        """Write the claim. Raises EpisodeMoved when it is not ours, and what the table raises.

        A purchase ends the episode through the identifiers that hold it. Those that the checkout has learnt since do
        not hold it: that they are as they were read is part of the claim.
        """
        own = Claim(case, channel, code, secrets.token_urlsafe(9))
        step = step_state.claimed(case.step, case.checkout.digest, self._now(), by=own.name)
        claimed = planning.with_step(case.episode, step)
        put = self._writes.over(case.episode, claimed, case.settings)
        began = self._now()
        try:
            self._writes.confirmed(claimed, partial(self._write, case, put))
        except TEMPORARY:
            # It may have taken effect all the same, and nothing was sent.
            self.release(own)
            raise
        if self._now() - began > _PROMPT and not self._is_wanted(own):
            self.release(own)
            raise EpisodeMoved
        return own

    def release(self, claim: Claim) -> None:
        """Let go of a claim under which nothing was sent: the step is planned as before."""
        self._follow_ups.do(partial(self._let_go, claim))

    def _is_wanted(self, claim: Claim) -> bool:
        """Whether the episode still goes on under the claim. Unknown is no: nothing was sent yet."""
        try:
            episode = self._episodes.get(claim.case.episode.id)
        except TEMPORARY:
            return False
        if episode is None or episode.status is not EpisodeStatus.ACTIVE:
            return False
        return claim.holds(episode.step(claim.case.step.number))

    def _write(self, case: StepCase, put: Put) -> None:
        learnt = [own for identity, own in case.records.items() if identity not in case.episode.identities]
        if not learnt:
            self._episodes.write(put)
            return
        try:
            self._table.transact([put, *(ShopperStore.unchanged(own) for own in learnt)])
        except TransactionCancelled as cancelled:
            raise EpisodeMoved from cancelled

    def _let_go(self, claim: Claim) -> None:
        case = claim.case
        for _ in range(_ROUNDS):
            episode = self._episodes.get(case.episode.id)
            step = episode.step(case.step.number) if episode else None
            if episode is None or step is None or not claim.holds(step):
                return
            try:
                self._writes.write(episode, planning.with_step(episode, step_state.released(step)), case.settings)
            except EpisodeMoved:
                continue
            return
        raise StoreUnavailable("the episode kept changing")
