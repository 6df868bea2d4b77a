"""The one recorded outcome of a claimed step, and everything that follows from it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from shared.delivery.outcome import Outcome
from shared.domain import planning, step_state
from shared.domain.consent import Channel
from shared.domain.episode import Episode
from shared.domain.merchant import Endpoint
from shared.domain.step_state import Concluded, EpisodeStep, StepState
from shared.domain.suppression import EndReason, SuppressionReason
from shared.store.episodes import EpisodeMoved, EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.store.table import StoreUnavailable
from shared.store.vendor_messages import VendorMessageStore
from shared.workflows.campaigns.episode_writes import EpisodeWrites
from shared.workflows.campaigns.follow_ups import FollowUps
from shared.workflows.campaigns.step_case import StepCase
from shared.workflows.campaigns.step_claim import Claim
from shared.workflows.campaigns.step_record import Answered, StepRecord
from shared.workflows.campaigns.suppress import Suppressions
from shared.workflows.delivering.batch import Handled

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

    def of(self, claim: Claim, concluded: Concluded, at: datetime) -> Iterator[Callable[[], object]]:
        """Each by itself; repeating one changes nothing."""
        case, step = claim.case, concluded.step
        if concluded.suppress and claim.channel is not None:
            refused = SuppressionReason.REFUSED_BY_VENDOR
            yield partial(self._suppressions.suppress, case.records, (claim.channel,), refused)
        if step.state.counts_as_sent:
            for identity in case.episode.identities:
                yield partial(self._shoppers.messaged, identity, at, discount=claim.code is not None)
        if concluded.capped_until is not None:
            over = tuple(Channel) if claim.channel is None else (claim.channel,)
            for identity in case.records:
                yield partial(self._shoppers.capped, identity, over, concluded.capped_until, at)
        if concluded.disable_endpoint and case.endpoint is not None:
            yield partial(self._disable, case.endpoint, "gone")
        if step.vendor_message_id is not None:
            yield partial(self._messages.remember, case.endpoint_id, step.vendor_message_id, case.delivery_id, at)


@dataclass(slots=True)
class _Settlement:
    """An outcome on its way into the table: what is to be written, and what came of it so far."""

    claim: Claim
    ending: Ending
    at: datetime
    tried: tuple[Episode, Concluded] | None = None
    """What was written, or may have been."""
    unheeded: list[Callable[[], object]] = field(default_factory=list)
    """What the answer asks for and could not be done at once."""
    word: str = "step_unrecorded"

    def stands_as(self, step: EpisodeStep | None) -> bool:
        """Whether an earlier try was written after all, and nothing has come after it."""
        if step is None or self.tried is None:
            return False
        tried = self.tried[1].step
        return (step.claimed_by, step.state) == (self.claim.name, tried.state)


class StepOutcomes:
    """Records outcomes. One per process."""

    def __init__(
        self,
        episodes: EpisodeStore,
        writes: EpisodeWrites,
        record: StepRecord,
        effects: AnswerEffects,
        follow_ups: FollowUps,
        now: Callable[[], datetime],
    ) -> None:
        """Share the stores of one process; ``now`` is the clock."""
        self._episodes = episodes
        self._writes = writes
        self._record = record
        self._effects = effects
        self._follow_ups = follow_ups
        self._now = now

    def settle(self, claim: Claim, ending: Ending) -> Handled:
        """Record what became of the claimed step, whatever else was written to the episode meanwhile.

        Where that cannot be written now it stays owed, and the message comes back: the claim's lease outlives the
        time until then. What nobody can write ends ``unknown``, with the lease.
        """
        settlement = _Settlement(claim, ending, self._now())
        recorded = self._follow_ups.do(partial(self._settle, settlement))
        return Handled(settlement.word, retry_message=not recorded)

    def _settle(self, own: _Settlement) -> None:
        claim = own.claim
        for _ in range(_ROUNDS):
            episode = self._episodes.get(claim.case.episode.id)
            if episode is not None and episode.end_reason == EndReason.ERASED:
                self._record.erased(claim.case, self._now())
                own.word = "step_erased"
                return
            step = episode.step(claim.case.step.number) if episode else None
            if episode is not None and step is not None and claim.holds(step):
                own.tried = self._concluded(episode, step, own)
                # Before the episode: should this worker vanish, the delivery tells what the episode cannot, and nobody
                # else could say what the answer asks for.
                self._record_attempt(own)
                self._heed(own)
                try:
                    self._writes.write(episode, own.tried[0], claim.case.settings)
                except EpisodeMoved:
                    continue
            elif not own.stands_as(step):
                own.word = "step_settled_elsewhere"
                return
            self._follow(own)
            return
        raise StoreUnavailable("the episode kept changing")

    def _follow(self, own: _Settlement) -> None:
        """The fact of the outcome; should this worker vanish before it, ``LostSteps`` puts it."""
        assert own.tried is not None  # noqa: S101 - it was written
        (after, concluded), claim = own.tried, own.claim
        own.word = f"step_{concluded.step.state}"
        for effect in own.unheeded:
            self._follow_ups.do(effect)
        if concluded.step.state.ended:
            self._follow_ups.do(partial(self._record.ended, claim.case, after, concluded.step))
        for step in after.steps:
            if step.state is StepState.SKIPPED and step.ended_at == own.at:
                self._tell_dropped(claim.case, after, step)

    def _tell_dropped(self, case: StepCase, after: Episode, step: EpisodeStep) -> None:
        """A later step for which there is no time left after this one: planned before, and told like any skipped."""
        planned = case.campaign.step(step.number)
        if planned is not None:
            dropped = replace(case, episode=after, step=step, planned=planned, endpoint=None)
            at = step.ended_at or self._now()
            self._follow_ups.do(partial(self._record.not_sent, dropped, step, planned.own_channel(), at))
            self._follow_ups.do(partial(self._record.ended, dropped, after, step))

    def _heed(self, own: _Settlement) -> None:
        """What the answer asks for, each part by itself and in one try: the outcome is not to wait for it."""
        assert own.tried is not None  # noqa: S101 - it was concluded
        effects = self._effects.of(own.claim, own.tried[1], own.at)
        own.unheeded = [effect for effect in effects if not self._follow_ups.once(effect)]

    def _record_attempt(self, own: _Settlement) -> None:
        assert own.tried is not None  # noqa: S101 - it was concluded
        step, claim = own.tried[1].step, own.claim
        self._follow_ups.do(
            partial(self._record.attempted, claim.case, step, claim.channel, own.ending.answered, own.at)
        )

    @staticmethod
    def _concluded(episode: Episode, step: EpisodeStep, own: _Settlement) -> tuple[Episode, Concluded]:
        """The episode and the step after the attempt."""
        claim, ending = own.claim, own.ending
        campaign, settings = claim.case.campaign, claim.case.settings
        attempt = ending.answered.attempt if ending.answered else None
        concluded = step_state.concluded(
            step,
            ending.outcome.value,
            own.at,
            do_not_send_after=planning.send_limit(episode, campaign, settings),
            channel=claim.channel.value if claim.channel else None,
            reason=ending.reason,
            retry_after=attempt.retry_after if attempt else None,
            vendor_message_id=attempt.vendor_message_id if attempt else None,
        )
        after = planning.with_step(episode, concluded.step)
        if concluded.step.state.ended:
            after = planning.replanned(after, campaign, settings, own.at)
        return after, concluded
