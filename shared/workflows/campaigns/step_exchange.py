"""The exchanges a step has with others' servers, each within the time the function has left."""

from dataclasses import replace
from datetime import timedelta

from shared.delivery.exchange import OutboundRequest
from shared.delivery.outcome import Outcome
from shared.domain.merchant import Endpoint
from shared.workflows.campaigns.step_handover import Receiver
from shared.workflows.campaigns.step_outcome import Ending
from shared.workflows.campaigns.step_record import Answered
from shared.workflows.delivering.batch import log_failure, watched
from shared.workflows.delivering.endpoint_health import EndpointHealth
from shared.workflows.delivering.together import SendAll


class StepExchanges:
    """Talks to receivers. One per process."""

    def __init__(self, send_all: SendAll, health: EndpointHealth) -> None:
        """``send_all`` sends through the guarded client; ``health`` hears how endpoints answered."""
        self._send_all = send_all
        self._health = health

    def tell(self, receiver: Receiver, request: OutboundRequest, within: timedelta) -> Ending | None:
        """Tell a vendor what it must hear before the message; the step's end where it refuses, None to go on."""
        [result] = self._send_all([replace(request, timeout=min(request.timeout, within))])
        attempt = receiver.attempt(result)
        if attempt.outcome is Outcome.DELIVERED:
            return None
        # The message itself did not go out: it may be tried again.
        outcome = Outcome.RETRY if attempt.outcome is Outcome.UNKNOWN else attempt.outcome
        return Ending(outcome, attempt.reason, Answered(result, attempt))

    def hand_over(self, endpoint: Endpoint, receiver: Receiver, request: OutboundRequest) -> Ending:
        """Send the message. Raises nothing: whatever breaks here leaves it open whether the message went out."""
        try:
            result = watched(request, endpoint, self._send_all, self._health)
            attempt = receiver.attempt(result)
        except Exception as error:  # noqa: BLE001 - a claimed step has one recorded outcome, whatever happens
            log_failure(error)
            return Ending(Outcome.UNKNOWN, "hand_over_broke")
        self._health.observe(endpoint, result, attempt.outcome)
        return Ending(attempt.outcome, attempt.reason, Answered(result, attempt))
