"""Claiming a step: the one write that decides whether this worker hands it over.

The claim is a write of the episode under the version it was read at; a purchase, an opt-out and an erasure write the
episode too. So exactly one of them and the claim wins, and after a purchase's 200 no message goes out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.domain import planning, step_state
from shared.domain.breaker import Wait
from shared.domain.consent import Channel
from shared.domain.merchant import Endpoint
from shared.store.episodes import EpisodeMoved
from shared.store.shoppers import ShopperStore
from shared.store.table import Table, TransactionCancelled
from shared.workflows.campaigns.episode_writes import EpisodeWrites
from shared.workflows.campaigns.step_case import StepCase
from shared.workflows.delivering.endpoint_health import EndpointHealth


@dataclass(frozen=True, slots=True)
class Claim:
    """A step that this worker alone may hand over, over this channel and with this coupon code."""

    case: StepCase
    channel: Channel | None
    code: str | None


class StepClaims:
    """Claims steps. One per process."""

    def __init__(
        self, table: Table, episodes: EpisodeWrites, health: EndpointHealth, now: Callable[[], datetime]
    ) -> None:
        """``now`` is the clock."""
        self._table = table
        self._episodes = episodes
        self._health = health
        self._now = now

    def admit(self, endpoint: Endpoint) -> Wait | None:
        """Until when the endpoint's breaker or rate limit holds the step back; None to go ahead."""
        return self._health.admit([endpoint], self._table.batch_get([self._health.key(endpoint.id)]))[0]

    def claim(self, case: StepCase, channel: Channel | None, code: str | None) -> Claim:
        """Write the claim. Raises EpisodeMoved when it is not ours.

        A purchase ends the episode through the identifiers that hold it. Those that the checkout has learnt since do
        not hold it: that they are as they were read is part of the claim.
        """
        claimed = planning.with_step(case.episode, step_state.claimed(case.step, case.checkout.digest, self._now()))
        learnt = [own for identity, own in case.records.items() if identity not in case.episode.identities]
        if not learnt:
            self._episodes.write(case.episode, claimed, case.settings)
            return Claim(case, channel, code)
        put = self._episodes.over(case.episode, claimed, case.settings)
        try:
            self._table.transact([put, *(ShopperStore.unchanged(own) for own in learnt)])
        except TransactionCancelled as cancelled:
            raise EpisodeMoved from cancelled
        return Claim(case, channel, code)
