"""The kinds of fault, each by a name: what the proxy does to calls to AWS, what happens to hosts, clocks and events.

A rule of the proxy fails so many calls and lets so many pass, in turn: with the seed it says which calls fail. Numbers
are drawn anew for each window, between bounds that leave AWS usable: a stage where nothing works proves nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.chaos.proxy import Rule

type Rules = Callable[[Random], list[dict[str, Any]]]

_WRITES = ("PutItem", "UpdateItem", "TransactWriteItems")
_READS = ("GetItem", "BatchGetItem", "Query")
_SENDS = ("SendMessage", "SendMessageBatch")
_CONFLICT = {
    "code": "TransactionCanceledException",
    "message": "Transaction cancelled, please refer cancellation reasons for specific reasons [TransactionConflict]",
    "fields": {"CancellationReasons": [{"Code": "TransactionConflict", "Message": "Transaction is ongoing"}]},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind. ``rules`` for the proxy; ``deed``: what is done besides, again and again while its window lasts.

    ``kills``: functions whose workers are killed at the window's beginning, so that new ones meet the fault: what they
    fetch once in their lives they would never ask for again. ``lasts``: its calls are rare: its window never ends.
    """

    name: str
    rules: Rules = lambda _: []
    deed: str | None = None
    kills: tuple[str, ...] = ()
    lasts: bool = False

    def played(self, random: Random) -> list[Rule]:
        """Its rules for one window."""
        return [Rule(self.name, own) for own in self.rules(random)]


def _error(
    service: str, operations: tuple[str, ...], code: str, fail: tuple[int, int], pass_: tuple[int, int]
) -> Rules:
    """Some calls in a row refused with this code, then some that pass."""

    def rules(random: Random) -> list[dict[str, Any]]:
        turns = [random.randint(*fail), random.randint(*pass_)]
        named: list[dict[str, Any]] = [{"operation": own} for own in operations] or [{}]
        return [{"service": service, **own, "error": {"code": code}, "sequence": turns} for own in named]

    return rules


def _effect(
    service: str, operations: tuple[str, ...], effect: dict[str, Any], fail: tuple[int, int], pass_: tuple[int, int]
) -> Rules:
    """Some calls in a row with this effect, then some that pass."""

    def rules(random: Random) -> list[dict[str, Any]]:
        turns = [random.randint(*fail), random.randint(*pass_)]
        named: list[dict[str, Any]] = [{"operation": own} for own in operations] or [{}]
        return [{"service": service, **own, **effect, "sequence": turns} for own in named]

    return rules


_LOST = {"response": {"abort_bytes": 0}}
_CUT = {"response": {"truncate_frac": 0.5}}

FAULTS = (
    Fault("dynamodb writes throttled", _error("dynamodb", _WRITES, "ThrottlingException", (1, 3), (5, 12))),
    Fault(
        "dynamodb reads throttled",
        _error("dynamodb", _READS, "ProvisionedThroughputExceededException", (1, 3), (5, 12)),
    ),
    Fault("dynamodb internal error", _error("dynamodb", (), "InternalServerError", (1, 3), (8, 16))),
    Fault("dynamodb slower than anybody waits", _effect("dynamodb", (), {"latency": 1300}, (1, 2), (10, 20))),
    Fault("dynamodb resets connections", _effect("dynamodb", (), {"reset": True}, (1, 4), (10, 20))),
    Fault("dynamodb writes, answer lost", _effect("dynamodb", _WRITES, _LOST, (1, 2), (4, 10))),
    Fault("dynamodb answers cut short", _effect("dynamodb", (), _CUT, (1, 3), (10, 20))),
    Fault(
        "dynamodb uploads cut",
        _effect("dynamodb", _WRITES, {"request": {"cut_upload": {"after_frac": 0.5}}}, (1, 2), (8, 16)),
    ),
    Fault(
        "dynamodb transactions conflict",
        _effect("dynamodb", ("TransactWriteItems",), {"error": _CONFLICT}, (1, 4), (2, 5)),
    ),
    Fault("sqs unavailable", _error("sqs", _SENDS, "ServiceUnavailable", (2, 4), (2, 5)), lasts=True),
    Fault("sqs takes messages, answer lost", _effect("sqs", _SENDS, _LOST, (1, 2), (1, 3)), lasts=True),
    Fault(
        "kms internal error",
        _error("kms", (), "KMSInternalException", (2, 4), (1, 2)),
        kills=("ingest", "deliver"),
        lasts=True,
    ),
    Fault(
        "secrets manager internal error",
        _error("secretsmanager", (), "InternalServiceError", (2, 4), (1, 2)),
        kills=("sweep", "dispatch", "ingest"),
        lasts=True,
    ),
    Fault("s3 slows down", _error("s3", ("PutObject",), "SlowDown", (2, 3), (1, 1)), lasts=True),
    Fault("s3 keeps objects, answer lost", _effect("s3", ("PutObject",), _LOST, (1, 1), (1, 1)), lasts=True),
    Fault("workers killed", deed="kill"),
    Fault("stream batches again and out of order", deed="stream"),
    Fault("queue messages again and out of order", deed="queue"),
    Fault("clocks jump and disagree", deed="clocks"),
    Fault("sweeps overlap", deed="sweeps"),
)
"""Besides the vendors' moods, which are there all the time."""
