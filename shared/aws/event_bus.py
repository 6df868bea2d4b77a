"""The stage's own event bus: every event of every merchant, for what its operator builds.

Wire facts: ``PutEvents`` of the Amazon EventBridge API Reference: ten entries a request, 256 KB; an answer of 200 names
what failed, in the order of the entries, and which codes pass.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shared.delivery.put_events import LASTING, SOURCE, packed

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient

_ROUNDS: Final = 4


class BusUnavailable(Exception):
    """Some events are not on the bus, and may be after a while."""


@dataclass(frozen=True, slots=True)
class BusEvent:
    """``detail``: JSON of an object."""

    id: str
    type: str
    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that the bus never takes, by the code that says so."""

    event: BusEvent
    code: str


class EventBus:
    """Puts events on one bus."""

    def __init__(self, client: "EventBridgeClient", name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        """``name`` of the bus; ``sleep`` waits between rounds."""
        self._client = client
        self._name = name
        self._sleep = sleep

    def put(self, events: Sequence[BusEvent]) -> list[Refused]:
        """Put all of them, in order; answers those that never can be. Only what failed is put again.

        Raises:
            BusUnavailable: some are not there yet. The others are, and come twice where all of them are put again.
            ClientError: the bus takes none, or not from us.
        """
        refused: list[Refused] = []
        left = list(events)
        for number in range(_ROUNDS):
            if number:
                self._sleep(0.1 * 2**number)
            batches = [[left[place] for place in group] for group in packed(map(_size, left))]
            left = [own for batch in batches for own in self._failed(batch, refused)]
            if not left:
                return refused
        raise BusUnavailable(f"{len(left)} events are not on the bus")

    def _failed(self, batch: Sequence[BusEvent], refused: list[Refused]) -> list[BusEvent]:
        """Those of one request that are to be put again; what never can be is added to ``refused``."""
        entries: Any = [
            {"EventBusName": self._name, "Source": SOURCE, "DetailType": own.type, "Detail": own.detail}
            for own in batch
        ]
        try:
            answer = self._client.put_events(Entries=entries)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code not in LASTING:
                raise
            if len(batch) > 1:  # one of them is at fault, and each is asked for by itself
                return [own for one in batch for own in self._failed([one], refused)]
            refused.append(Refused(batch[0], code))
            return []
        again = []
        for own, told in zip(batch, answer["Entries"], strict=True):
            failed = told.get("ErrorCode")
            if failed in LASTING:
                refused.append(Refused(own, failed))
            elif failed is not None:
                again.append(own)
        return again


def _size(event: BusEvent) -> int:
    return len(event.detail.encode()) + len(event.type) + len(SOURCE)
