"""Which lane an attempt goes by: a slow endpoint's has a queue of its own, so that nobody else's waits for it.

The quick lane waits for nobody longer than two seconds. Whom it does not wait for goes by the slow lane from then on,
with all the time its endpoint is given, until the endpoint answers quickly again. An attempt is only cut short where it
may be repeated: whose kind calls a hung request an unknown outcome is waited for to the end, wherever it goes.
"""

from datetime import UTC, datetime, timedelta

from shared.delivery.exchange import DestinationTimeout, OutboundRequest, SendResult
from shared.delivery.outcome import Outcome
from shared.destinations import registry
from shared.destinations.destination import Destination
from shared.destinations.destination import Endpoint as Target
from shared.domain.breaker import SUSPICIOUS_AFTER

QUICK: timedelta = SUSPICIOUS_AFTER
"""How long the quick lane waits for an endpoint."""
_ONCE = datetime(2000, 1, 1, tzinfo=UTC)
_HUNG = SendResult(_ONCE, _ONCE, 0, sent=True, error=DestinationTimeout("no answer in time"))


def may_be_cut(kind: Destination, target: Target) -> bool:
    """Whether an attempt may be given up halfway and made again: the receiver may then have it twice."""
    return registry.preparing(kind) is None and kind.classify(_HUNG, target).outcome is Outcome.RETRY


def was_cut(request: OutboundRequest, target: Target, result: SendResult) -> bool:
    """Whether the attempt ended because it was given less time than its endpoint has."""
    return request.timeout < target.timeout and isinstance(result.error, DestinationTimeout)
