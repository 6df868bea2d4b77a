"""The one recorded outcome of a claimed step, and everything that follows from it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.delivery.outcome import Outcome
from shared.domain import planning, step_state
from shared.domain.episode import Episode
from shared.domain.merchant import Endpoint
from shared.domain.step_state import Concluded, StepState
from shared.domain.suppression import SuppressionReason
from shared.store.episodes import EpisodeMoved, EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.store.vendor_messages import VendorMessageStore
from shared.workflows.campaigns.episode_writes import EpisodeWrites
from shared.workflows.campaigns.step_claim import Claim
from shared.workflows.campaigns.step_record import Answered, StepRecord
from shared.workflows.campaigns.suppress import Suppressions

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Ending:
    """What the attempt came to; ``answered`` is None where nothing was exchanged."""

    outcome: Outcome
    reason: str | None
    answered: Answered | None = None


class AnswerEffects:
    """What an answer asks for besides the step's outcome: the shopper's memory, channels closed, an endpoint off."""

    def __init__(
        self,
        shoppers: ShopperStore,
        suppressions: Suppressions,
        messages: VendorMessageStore,
        disable: Callable[[Endpoint, str], object],
    ) -> None:
        """``disable`` switches an endpoint off for a reason and tells whom it concerns."""
        self._shoppers = shoppers
        self._suppressions = suppressions
        self._messages = messages
        self._disable = disable

    def apply(self, claim: Claim, concluded: Concluded, now: datetime) -> None:
        """Write them all; repeating it changes nothing."""
        case, step = claim.case, concluded.step
        if step.state.counts_as_sent:
            for identity in case.episode.identities:
                self._shoppers.messaged(identity, now, discount=claim.code is not None)
        if concluded.suppress and claim.channel is not None:
            self._suppressions.suppress(case.records, (claim.channel,), SuppressionReason.REFUSED_BY_VENDOR)
        if concluded.capped_until is not None:
            for identity in case.records:
                self._shoppers.capped(identity, concluded.capped_until, now)
        if concluded.disable_endpoint and case.endpoint is not None:
            self._disable(case.endpoint, "gone")
        if step.vendor_message_id is not None:
            self._messages.remember(case.endpoint_id, step.vendor_message_id, case.delivery_id, now)


class StepOutcomes:
    """Records outcomes. One per process."""

    def __init__(
        self,
        episodes: EpisodeStore,
        writes: EpisodeWrites,
        record: StepRecord,
        effects: AnswerEffects,
        now: Callable[[], datetime],
    ) -> None:
        """Share the stores of one process; ``now`` is the clock."""
        self._episodes = episodes
        self._writes = writes
        self._record = record
        self._effects = effects
        self._now = now

    def settle(self, claim: Claim, ending: Ending) -> str:
        """Record what became of the claimed step, whatever else was written to the episode meanwhile."""
        now = self._now()
        for _ in range(_ROUNDS):
            episode = self._episodes.get(claim.case.episode.id)
            concluded = None if episode is None else self._concluded(episode, claim, ending, now)
            if episode is None or concluded is None:
                return "step_settled_elsewhere"
            after = planning.with_step(episode, concluded.step)
            if concluded.step.state.counts_as_sent:
                after = planning.replanned(after, claim.case.campaign, claim.case.settings, now)
            try:
                self._writes.write(episode, after, claim.case.settings)
            except EpisodeMoved:
                continue
            self._record.attempted(claim.case, concluded.step, claim.channel, ending.answered)
            self._effects.apply(claim, concluded, now)
            if concluded.step.state.ended:
                self._record.ended(claim.case, after, concluded.step)
            return f"step_{concluded.step.state}"
        return "step_contended"

    @staticmethod
    def _concluded(episode: Episode, claim: Claim, ending: Ending, now: datetime) -> Concluded | None:
        """The step after the attempt; None where it is claimed no more."""
        step = episode.step(claim.case.step.number)
        if step is None or step.state is not StepState.CLAIMED:
            return None
        attempt = ending.answered.attempt if ending.answered else None
        return step_state.concluded(
            step,
            ending.outcome.value,
            now,
            do_not_send_after=planning.send_limit(episode, claim.case.campaign, claim.case.settings),
            channel=claim.channel.value if claim.channel else None,
            reason=ending.reason,
            retry_after=attempt.retry_after if attempt else None,
            vendor_message_id=attempt.vendor_message_id if attempt else None,
        )
