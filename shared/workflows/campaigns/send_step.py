"""A step's life, from the message that says it is due to its one recorded outcome.

Read (``step_case``), ask the gate (``step_gate``), withhold it (``step_withheld``) or claim it (``step_claim``), hand
it over (``step_handover``), record what came of it (``step_outcome``).
"""

from collections.abc import Sequence
from functools import partial

from shared.aws.queues import StepMessage
from shared.delivery.exchange import SendResult
from shared.delivery.outcome import Outcome
from shared.destinations.destination import Unsendable
from shared.domain import gate
from shared.domain.merchant import Endpoint
from shared.store.episodes import EpisodeMoved
from shared.store.table import StoreUnavailable
from shared.workflows.campaigns.step_case import Erased, NothingDue, StepCase, StepCases
from shared.workflows.campaigns.step_claim import Claim, StepClaims
from shared.workflows.campaigns.step_gate import StepGate, Verdict
from shared.workflows.campaigns.step_handover import HandOvers, Receiver
from shared.workflows.campaigns.step_outcome import Ending, StepOutcomes
from shared.workflows.campaigns.step_record import Answered
from shared.workflows.campaigns.step_withheld import WithheldSteps
from shared.workflows.delivering.batch import First, Handled, Prepared, alone
from shared.workflows.delivering.endpoint_health import EndpointHealth

_ROUNDS = 5


class StepSender:
    """Sends due steps. One per process."""

    def __init__(
        self,
        *,
        cases: StepCases,
        gate: StepGate,
        withheld: WithheldSteps,
        claims: StepClaims,
        handovers: HandOvers,
        outcomes: StepOutcomes,
        health: EndpointHealth,
    ) -> None:
        """The parts of a step's life, in their order; ``health`` hears how endpoints answered."""
        self._cases = cases
        self._gate = gate
        self._withheld = withheld
        self._claims = claims
        self._handovers = handovers
        self._outcomes = outcomes
        self._health = health

    def prepare(self, messages: Sequence[StepMessage]) -> list[Handled | Prepared]:
        """What each message asks for, in order: a hand-over to make now, or what became of the step without one."""
        return [alone(self._prepared, message) for message in messages]

    def _prepared(self, message: StepMessage) -> Handled | Prepared:
        try:
            for _ in range(_ROUNDS):
                try:
                    return self._begun(message)
                except EpisodeMoved:
                    continue
        except StoreUnavailable:
            return Handled("step_unavailable", retry_message=True)
        return Handled("step_contended", retry_message=True)

    def _begun(self, message: StepMessage) -> Handled | Prepared:
        """The step up to its hand-over. Raises EpisodeMoved when the episode was written meanwhile."""
        case = self._cases.read(message)
        if isinstance(case, NothingDue):
            return Handled(case.reason)
        if isinstance(case, Erased):
            self._withheld.end(case.episode)
            return Handled("step_erased")
        verdict = self._gate.ask(case)
        if case.endpoint is None or not isinstance(verdict.decision, gate.Send):
            return Handled(self._withheld.withhold(case, verdict))
        wait = self._claims.admit(case.endpoint)
        if wait is not None:
            return Handled(self._withheld.put_off(case, wait))
        return self._claimed(case, case.endpoint, verdict)

    def _claimed(self, case: StepCase, endpoint: Endpoint, verdict: Verdict) -> Handled | Prepared:
        """Claim the step; only then is anything handed over."""
        receiver = self._handovers.receiver(endpoint)
        claim = self._claims.claim(case, verdict.channel, verdict.code)
        try:
            made = self._handovers.made(case, receiver, verdict.channel, verdict.code)
        except Unsendable as unsendable:
            return self._settled(claim, Ending(unsendable.outcome, unsendable.reason))
        except ValueError:
            return self._settled(claim, Ending(Outcome.FAIL_CONFIG, "unusable_endpoint"))
        told_first = First(made.first, partial(self._refused_first, claim, receiver)) if made.first else None
        return Prepared(made.request, partial(self._conclude, claim, receiver), endpoint, told_first)

    def _refused_first(self, claim: Claim, receiver: Receiver, result: SendResult) -> Handled | None:
        """The step's end where the vendor refused what it must be told first; the message itself did not go out."""
        attempt = receiver.attempt(result)
        if attempt.outcome is Outcome.DELIVERED:
            return None
        outcome = Outcome.RETRY if attempt.outcome is Outcome.UNKNOWN else attempt.outcome
        return self._settled(claim, Ending(outcome, attempt.reason, Answered(result, attempt)))

    def _conclude(self, claim: Claim, receiver: Receiver, result: SendResult) -> Handled:
        """The step's outcome after the hand-over."""
        attempt = receiver.attempt(result)
        if claim.case.endpoint is not None:
            self._health.observe(claim.case.endpoint, result, attempt.outcome)
        return self._settled(claim, Ending(attempt.outcome, attempt.reason, Answered(result, attempt)))

    def _settled(self, claim: Claim, ending: Ending) -> Handled:
        return Handled(self._outcomes.settle(claim, ending))
