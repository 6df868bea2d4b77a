"""A step's life, from the message that says it is due to its one recorded outcome.

Read (``step_case``), ask the gate (``step_gate``), withhold it (``step_withheld``) or get its code (``step_coupon``),
claim it (``step_claim``), hand it over (``step_handover``, ``step_exchange``), record what came of it
(``step_outcome``). Whatever asks others' servers for something stands before the claim, and the gate is asked again
after it: between claim and hand-over nothing is waited for.
"""

from dataclasses import dataclass

from shared.aws.queues import StepMessage
from shared.delivery.outcome import Outcome
from shared.destinations.destination import Unsendable
from shared.domain import gate
from shared.domain.coupon import CouponRule, Unavailable
from shared.domain.ids import EndpointId
from shared.domain.merchant import Endpoint
from shared.store.episodes import EpisodeMoved
from shared.workflows.campaigns.step_case import Erased, NothingDue, StepCase, StepCases
from shared.workflows.campaigns.step_claim import Aside, StepClaims
from shared.workflows.campaigns.step_coupon import CouponDelayed, StepCoupons
from shared.workflows.campaigns.step_exchange import StepExchanges
from shared.workflows.campaigns.step_gate import StepGate, Verdict
from shared.workflows.campaigns.step_handover import HandOver, HandOvers, Receiver
from shared.workflows.campaigns.step_outcome import Ending, StepOutcomes
from shared.workflows.campaigns.step_withheld import WithheldSteps
from shared.workflows.delivering.attempts import timeout_of
from shared.workflows.delivering.batch import LEAST, RECORDING, Handled, TimeLeft

_ROUNDS = 7
_NO_TIME = Handled("step_no_time", retry_message=True)


@dataclass(slots=True)
class _Had:
    """What was had from others for a step, and is not asked for again when its episode is read once more."""

    step: int
    endpoint_id: EndpointId
    admitted: bool = False
    no_code_left: bool = False
    told: bool = False


class StepSender:
    """Sends due steps. One per process; each message may have a thread of its own."""

    def __init__(
        self,
        *,
        cases: StepCases,
        gate: StepGate,
        coupons: StepCoupons,
        withheld: WithheldSteps,
        claims: StepClaims,
        handovers: HandOvers,
        exchanges: StepExchanges,
        outcomes: StepOutcomes,
    ) -> None:
        """The parts of a step's life."""
        self._cases = cases
        self._gate = gate
        self._coupons = coupons
        self._withheld = withheld
        self._claims = claims
        self._handovers = handovers
        self._exchanges = exchanges
        self._outcomes = outcomes

    def send(self, message: StepMessage, time: TimeLeft) -> Handled:
        """Send the episode's due step, if it may go out. Raises what the table raises while nothing was sent."""
        had: _Had | None = None
        for _ in range(_ROUNDS):
            case = self._cases.read(message)
            if isinstance(case, StepCase) and (had is None or (had.step, had.endpoint_id) != case.subject):
                had = _Had(*case.subject)
            try:
                handled = self._life(message, case, had, time)
            except EpisodeMoved:
                continue
            if handled is not None:
                return handled
        return Handled("step_contended", retry_message=True)

    def _life(
        self, message: StepMessage, case: StepCase | NothingDue | Erased, had: _Had | None, time: TimeLeft
    ) -> Handled | None:
        """What becomes of what was read; None to read it again. Raises EpisodeMoved when it was written meanwhile."""
        if isinstance(case, NothingDue):
            return Handled(case.reason)
        if isinstance(case, Erased) or had is None:
            self._withheld.end(case.episode)
            return Handled("step_erased")
        verdict = self._gate.ask(case, no_code_left=had.no_code_left)
        endpoint = case.endpoint
        if endpoint is None or not isinstance(verdict.decision, gate.Send):
            return Handled(self._withheld.withhold(case, verdict))
        if not time.fits(timeout_of(endpoint)):
            return _NO_TIME
        if verdict.wants is not None:
            return self._get_code(case, endpoint, verdict.wants, had, time)
        if not had.admitted:
            place = message.place if message.step == case.step.number else None
            wait = self._claims.admit(endpoint, place, slow=message.slow)
            if isinstance(wait, Aside):
                return Handled(self._withheld.move_aside(message))
            if wait is not None:
                return Handled(self._withheld.hold_back(case, message, wait))
            had.admitted = True
        return self._hand_over(case, endpoint, verdict, had, time)

    def _get_code(
        self, case: StepCase, endpoint: Endpoint, rule: CouponRule, had: _Had, time: TimeLeft
    ) -> Handled | None:
        """Get the step's code; the gate is asked again with it, or told that there is none."""
        within = time.after(timeout_of(endpoint) + RECORDING)
        if within < LEAST:
            return _NO_TIME
        try:
            plan = self._coupons.get(case, rule, within)
        except CouponDelayed:
            later = self._withheld.try_again(case)
            if later is not None:
                return Handled(later)
            had.no_code_left = True
            return None
        had.no_code_left = isinstance(plan, Unavailable)
        return None

    def _hand_over(
        self, case: StepCase, endpoint: Endpoint, verdict: Verdict, had: _Had, time: TimeLeft
    ) -> Handled | None:
        """Claim the step and hand it over, or record why no message can be made of it."""
        receiver = self._handovers.receiver(endpoint)
        made = self._made(case, receiver, verdict)
        if isinstance(made, Ending):
            return self._outcomes.settle(self._claims.claim(case, verdict.channel, verdict.code), made)
        if made.first is not None and not had.told:
            within = time.after(made.request.timeout + RECORDING)
            if within < LEAST:
                return _NO_TIME
            refused = self._exchanges.tell(receiver, made.first, within)
            if refused is not None:
                return self._outcomes.settle(self._claims.claim(case, verdict.channel, verdict.code), refused)
            had.told = True
            return None
        if not time.fits(made.request.timeout):
            return _NO_TIME
        claim = self._claims.claim(case, verdict.channel, verdict.code)
        if not time.fits(made.request.timeout):
            self._claims.release(claim)
            return _NO_TIME
        return self._outcomes.settle(claim, self._exchanges.hand_over(endpoint, receiver, made.request))

    def _made(self, case: StepCase, receiver: Receiver, verdict: Verdict) -> HandOver | Ending:
        """The step's requests, or its end where none can be made of it."""
        try:
            return self._handovers.made(case, receiver, verdict.channel, verdict.code)
        except Unsendable as unsendable:
            return Ending(unsendable.outcome, unsendable.reason)
        except ValueError:
            return Ending(Outcome.FAIL_CONFIG, "unusable_endpoint")
