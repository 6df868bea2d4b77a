"""A step whose worker vanished: whoever looks finds its end written down, and nothing is sent again.

The sweep ends such a claim as ``unknown`` when its lease is over. Its delivery may be there already, written before
the worker went: then it is known after all. Of an episode that has ended nothing is due, so no sweep comes by; but the
queue shows the vanished worker's message again, and whoever gets it finds nothing due, and looks here.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from shared.aws.queues import StepMessage
from shared.domain import planning, step_state
from shared.domain.episode import EpisodeStatus
from shared.domain.step_state import EpisodeStep, StepState
from shared.domain.suppression import EndReason
from shared.store.episodes import EpisodeMoved
from shared.store.shoppers import ShopperStore
from shared.workflows.campaigns.episode_coupons import EpisodeCoupons
from shared.workflows.campaigns.episode_writes import EpisodeWrites
from shared.workflows.campaigns.step_case import StepCase, StepCases
from shared.workflows.campaigns.step_record import StepRecord
from shared.workflows.delivering.batch import Handled

_ROUNDS = 5
_NOT_LOST = Handled("step_not_lost")
_IN_HANDS = Handled("step_in_hands", retry_message=True)
_LATELY = 3 * step_state.CLAIM_LEASE
"""For so long a queue may show a message again whose worker vanished once."""


class LostSteps:
    """Writes down the ends of lost steps. One per process."""

    def __init__(
        self,
        cases: StepCases,
        writes: EpisodeWrites,
        record: StepRecord,
        shoppers: ShopperStore,
        coupons: EpisodeCoupons,
        now: Callable[[], datetime],
    ) -> None:
        """``now`` is the clock."""
        self._cases = cases
        self._writes = writes
        self._record = record
        self._shoppers = shoppers
        self._coupons = coupons
        self._now = now

    def look_after(self, message: StepMessage) -> Handled | None:
        """What a message finds that comes again, and for which nothing is due; None where nothing was left undone.

        A claim in an ended episode is waited for, and its loss written down once the lease is over. A step that ended
        just now may lack its fact, which is put where it is absent. Of an erased shopper nothing is written any more.
        Raises what the table raises.
        """
        episode = self._cases.episode(message)
        if episode is None or episode.end_reason == EndReason.ERASED:
            return None
        now = self._now()
        if episode.status is EpisodeStatus.ENDED:
            for step in episode.steps:
                if step.state is StepState.CLAIMED:
                    lost = step_state.lease_lost(step, now) is not None
                    return self.settle(replace(message, lost=step.number)) if lost else _IN_HANDS
        for step in episode.steps:
            if step.claimed_by is not None and step.ended_at is not None and now - step.ended_at < _LATELY:
                case = self._cases.read(replace(message, lost=step.number))
                if isinstance(case, StepCase) and case.step.state.ended:
                    self._record.ended(case, case.episode, case.step)
        return None

    def settle(self, message: StepMessage) -> Handled:
        """The lost step's end in the episode, its delivery, its fact; repeating it changes nothing.

        Raises what the table raises.
        """
        for _ in range(_ROUNDS):
            case = self._cases.read(message)
            if not isinstance(case, StepCase):
                return _NOT_LOST
            try:
                return self._settled(case)
            except EpisodeMoved:
                continue
        return Handled("step_contended", retry_message=True)

    def _settled(self, case: StepCase) -> Handled:
        now = self._now()
        lost = _lost(case.step, now)
        if lost is None:
            return _NOT_LOST
        delivered = self._record.is_delivered(case)
        step = step_state.found_sent(lost) if delivered else lost
        after = planning.with_step(case.episode, step)
        self._remember(case, step, now)
        if step != case.step:
            self._writes.write(case.episode, after, case.settings)
        if not delivered:
            self._record.attempted(case, step, case.channel, None, step.ended_at or now)
        self._record.ended(case, after, step)
        return Handled(f"step_{step.state}")

    def _remember(self, case: StepCase, step: EpisodeStep, now: datetime) -> None:
        """The shopper has, or may have, the message: their rest counts from it, and that after a discount."""
        code = self._coupons(case.episode).get(step.number)
        for identity in case.episode.identities:
            self._shoppers.messaged(identity, step.handed_over_at or now, discount=code is not None)


def _lost(step: EpisodeStep, now: datetime) -> EpisodeStep | None:
    """The step as unknown; None where its claim was not lost, or somebody has settled it meanwhile."""
    parked = step.state is StepState.UNKNOWN and step.reason == step_state.LEASE_LOST
    return step if parked else step_state.lease_lost(step, now)
