"""What becomes of a step that does not go out now: put off, skipped, planned anew, or its episode ended."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from shared.aws.queues import DeliveryQueues, StepMessage
from shared.domain import gate, planning, step_state
from shared.domain.breaker import Wait
from shared.domain.episode import Episode
from shared.domain.step_state import EpisodeStep
from shared.domain.suppression import EndReason
from shared.workflows.campaigns.episode_writes import EpisodeWrites
from shared.workflows.campaigns.follow_ups import FollowUps
from shared.workflows.campaigns.step_case import StepCase
from shared.workflows.campaigns.step_gate import NoEndpoint, Verdict
from shared.workflows.campaigns.step_record import StepRecord

_END_OF = {
    gate.Refusal.PURCHASED: EndReason.PURCHASED,
    gate.Refusal.TOO_OLD: EndReason.TOO_OLD,
    gate.Refusal.SUPPRESSED: EndReason.DISMISSED,
    gate.Refusal.SUPERSEDED: EndReason.JOINED,
}


class WithheldSteps:
    """Does what the gate says to steps that are not sent. Everything here raises EpisodeMoved."""

    def __init__(
        self,
        episodes: EpisodeWrites,
        record: StepRecord,
        follow_ups: FollowUps,
        queues: DeliveryQueues,
        now: Callable[[], datetime],
    ) -> None:
        """``now`` is the clock."""
        self._queues = queues
        self._episodes = episodes
        self._record = record
        self._follow_ups = follow_ups
        self._now = now

    def withhold(self, case: StepCase, verdict: Verdict) -> str:
        """Carry out a decision other than to send; a word for what became of the step."""
        match verdict.decision:
            case gate.Defer() as later:
                return self.put_off(case, later)
            case gate.Skip(reason) | NoEndpoint(reason):
                return self._skip(case, str(reason), verdict)
            case gate.CloseChannel(channels, reason):
                closed = case.episode.closed_channels | {own.value for own in channels}
                shut = replace(case, episode=replace(case.episode, closed_channels=closed))
                return self._skip(shut, str(reason), verdict)
            case gate.EndEpisode(reason):
                self._episodes.end(case.episode, _END_OF.get(reason, EndReason.TOO_OLD))
                self._note(case, self._skipped(case, reason), verdict)
                return f"episode_ended:{reason}"
            case gate.Replan():
                bumped = replace(case.episode, version=case.episode.version + 1)
                self._write(case, planning.replanned(bumped, case.campaign, case.settings, self._now()))
                return "step_replanned"
            case gate.Send():
                raise ValueError("a step that goes out is not withheld")

    def move_aside(self, message: StepMessage) -> str:
        """The step by the slow lane. Raises what the queue raises."""
        self._queues.steps([replace(message, slow=True)])
        return "step_moved:endpoint_slow"

    def hold_back(self, case: StepCase, message: StepMessage, wait: Wait) -> str:
        """As ``put_off``; to a place in the endpoint's rate the step's message comes back by itself, with the place.

        The step stays due meanwhile: should the message be lost, the sweep finds it. Raises what the queue raises.
        """
        if not wait.reserved:
            return self.put_off(case, wait)
        place = replace(message, step=case.step.number, place=wait.until)
        self._queues.steps([place], wait.until - self._now())
        return f"step_put_off:{wait.reason}"

    def put_off(self, case: StepCase, wait: gate.Defer | Wait) -> str:
        """The step is due again later."""
        self._write(case, planning.with_step(case.episode, step_state.deferred(case.step, wait.until)))
        return f"step_deferred:{wait.reason}"

    def try_again(self, case: StepCase) -> str | None:
        """The step is due again after a pause: what it needs could not be had now. None after the last try."""
        again = step_state.tried_in_vain(case.step, self._now())
        if again is None:
            return None
        self._write(case, planning.with_step(case.episode, again))
        return "step_deferred:coupon_delayed"

    def end(self, erased: Episode) -> None:
        """What the episode was about is gone."""
        self._episodes.end(erased, EndReason.ERASED)

    def _skip(self, case: StepCase, reason: str, verdict: Verdict) -> str:
        """The step ends without a message, and leaves its place in the cap to the next; the episode goes on."""
        ended = self._skipped(case, reason)
        after = planning.with_step(case.episode, ended)
        self._write(case, planning.replanned(after, case.campaign, case.settings, self._now()))
        self._note(case, ended, verdict)
        return f"step_skipped:{reason}"

    def _skipped(self, case: StepCase, reason: str) -> EpisodeStep:
        return step_state.skipped(case.step, str(reason), self._now())

    def _note(self, case: StepCase, ended: EpisodeStep, verdict: Verdict) -> None:
        """What is kept of it for whoever looks."""
        at = ended.ended_at or self._now()
        self._follow_ups.do(partial(self._record.not_sent, case, ended, verdict.channel, at))
        self._follow_ups.do(partial(self._record.ended, case, case.episode, ended))

    def _write(self, case: StepCase, after: Episode) -> None:
        self._episodes.write(case.episode, after, case.settings)
