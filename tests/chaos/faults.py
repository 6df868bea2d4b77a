"""The kinds of fault, each by a name: what the proxy does to calls to AWS, what happens to hosts, clocks and events.

A rule of the proxy fails so many calls and lets so many pass, in turn: with the seed it says which calls fail. Numbers
are drawn anew for each window, between bounds that leave AWS usable: a stage where nothing works proves nothing. A
stream's batch comes again whole until all of it passes, so that failures must be further apart than a batch is long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.chaos.proxy import Rule

_MOST_PER_SECOND = 4
_MOST_AT_LEAST = 6

type Rules = Callable[[Random], list[dict[str, Any]]]

_WRITES = ("PutItem", "UpdateItem", "TransactWriteItems")
_READS = ("GetItem", "BatchGetItem", "Query")
_CLAIMS = ("UpdateItem", "TransactWriteItems")
_SENDS = ("SendMessage", "SendMessageBatch")
_CONFLICT = {
    "code": "TransactionCanceledException",
    "message": "Transaction cancelled, please refer cancellation reasons for specific reasons [TransactionConflict]",
    "fields": {"CancellationReasons": [{"Code": "TransactionConflict", "Message": "Transaction is ongoing"}]},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind. ``rules`` for the proxy; ``deed``: what is done besides, again and again while its window lasts.

    ``provoked_by``: deeds that lead to calls which the rules spoil, where shoppers alone make few: done until one was.
    ``kills``: the function whose workers are killed while they work, until the engine says that one was.
    """

    name: str
    rules: Rules = lambda _: []
    deed: str | None = None
    provoked_by: tuple[str, ...] = ()
    kills: str | None = None

    def played(self, random: Random, window: float) -> list[Rule]:
        """Its rules for a window of so many seconds, in which each spoils so many calls at most."""
        most = max(int(_MOST_PER_SECOND * window), _MOST_AT_LEAST)
        return [Rule(self.name, own | {"times": most}) for own in self.rules(random)]


def _effect(
    service: str, operations: tuple[str, ...], effect: dict[str, Any], fail: tuple[int, int], pass_: tuple[int, int]
) -> Rules:
    """Some calls in a row with this effect, then some that pass."""

    def rules(random: Random) -> list[dict[str, Any]]:
        turns = [random.randint(*fail), random.randint(*pass_)]
        named: list[dict[str, Any]] = [{"operation": own} for own in operations] or [{}]
        return [{"service": service, **own, **effect, "sequence": turns} for own in named]

    return rules


def _error(
    service: str, operations: tuple[str, ...], code: str, fail: tuple[int, int], pass_: tuple[int, int]
) -> Rules:
    """Some calls in a row refused with this code, then some that pass."""
    return _effect(service, operations, {"error": {"code": code}}, fail, pass_)


_LOST = {"response": {"abort_bytes": 0}}
_CUT = {"response": {"truncate_frac": 0.5}}

_OFTEN = (20, 60)
_RARELY = (3, 8)

FAULTS = (
    Fault("dynamodb writes throttled", _error("dynamodb", _WRITES, "ThrottlingException", (1, 3), _OFTEN)),
    Fault(
        "dynamodb reads throttled",
        _error("dynamodb", _READS, "ProvisionedThroughputExceededException", (1, 3), _OFTEN),
    ),
    Fault("dynamodb internal error", _error("dynamodb", (), "InternalServerError", (1, 3), _OFTEN)),
    Fault("dynamodb slower than anybody waits", _effect("dynamodb", (), {"latency": 1300}, (1, 2), _OFTEN)),
    Fault("dynamodb slow at claims", _effect("dynamodb", _CLAIMS, {"latency": 850}, (2, 4), (10, 30))),
    Fault("dynamodb resets connections", _effect("dynamodb", (), {"reset": True}, (1, 4), _OFTEN)),
    Fault("dynamodb writes, answer lost", _effect("dynamodb", _WRITES, _LOST, (1, 2), (10, 30))),
    Fault("dynamodb answers cut short", _effect("dynamodb", (), _CUT, (1, 3), _OFTEN)),
    Fault(
        "dynamodb uploads cut",
        _effect("dynamodb", _WRITES, {"request": {"cut_upload": {"after_frac": 0.5}}}, (1, 2), (10, 30)),
    ),
    Fault(
        "dynamodb transactions conflict",
        _effect("dynamodb", ("TransactWriteItems",), {"error": _CONFLICT}, (1, 4), (10, 20)),
    ),
    Fault("sqs unavailable", _error("sqs", _SENDS, "ServiceUnavailable", (2, 4), _OFTEN)),
    Fault("sqs takes messages, answer lost", _effect("sqs", _SENDS, _LOST, (1, 2), (10, 30))),
    Fault(
        "kms internal error",
        _error("kms", (), "KMSInternalException", (1, 3), _RARELY),
        provoked_by=("renew ingest", "renew deliver"),
    ),
    Fault(
        "secrets manager internal error",
        _error("secretsmanager", (), "InternalServiceError", (1, 3), _RARELY),
        provoked_by=("renew sweep", "renew dispatch", "renew ingest"),
    ),
    Fault("s3 slows down", _error("s3", ("PutObject",), "SlowDown", (2, 3), (1, 1)), provoked_by=("puzzle",)),
    Fault(
        "s3 keeps objects, answer lost", _effect("s3", ("PutObject",), _LOST, (1, 1), (1, 1)), provoked_by=("puzzle",)
    ),
    Fault(
        "scheduler internal error",
        _error("scheduler", (), "InternalServerException", (2, 3), (1, 2)),
        provoked_by=("schedule",),
    ),
    Fault("scheduler obeys, answer lost", _effect("scheduler", (), _LOST, (1, 2), (1, 2)), provoked_by=("schedule",)),
    Fault("ingest killed at work", deed="kill ingest"),
    Fault("sweep killed at work", deed="kill sweep"),
    Fault("dispatch killed at work", kills="dispatch"),
    Fault("deliver killed at work", kills="deliver"),
    Fault("stream batches again and out of order", deed="stream"),
    Fault("queue messages again and out of order", deed="queue"),
    Fault("clocks jump and disagree", deed="clocks"),
    Fault("sweeps overlap", deed="sweeps"),
)
"""Besides the vendors' moods and the wrong clocks of shops, which are there all the time."""
