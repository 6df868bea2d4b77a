"""The dispatch function.

Temporary errors are raised after the rest of the batch is done: the whole batch comes again and repeats nothing. A
record that no retry can tell (unreadable, a defect, a write that the table never takes, or one that outlasts the
function's time) is kept whole in the bucket and does not block its shard. So is one that failed for now until it was
22 hours old: where it then lies, an erasure finds it.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from functions.dispatch.composition import announcer, poison, unfinished
from functions.dispatch.handing_over import Failure, HandingOver
from functions.dispatch.unfinished import NeverEnded, OutOfTime, written_at
from shared.aws.deadline import no_call_after
from shared.aws.faults import code_of, is_temporary
from shared.aws.function_log import function_logger, trace_of
from shared.aws.stores import now
from shared.store.wire import from_stream
from shared.workflows.recovery.outbox import MalformedRecord

logger = function_logger("dispatch")
_KINDS: Mapping[type[Exception], str] = {MalformedRecord: "malformed", NeverEnded: "never_ended"}


SPARE_MS = 20_000
"""A record is not begun with less time left than this: it would be taken for one that never ends."""
ENDING_MS = 15_000
"""So long before the function's end no call to AWS begins: a record that AWS is slow for ends, and comes again."""
LATEST = timedelta(hours=22)
"""The age from which a record that fails for now is set aside too.

An hour later Lambda gives it up by itself, and what it writes then holds several merchants' records in one object.
"""


def handler(event: dict[str, Any], context: Any) -> dict[str, list[Any]]:
    """Tell every marked record of a batch.

    An operator's replay of what was set aside comes with ``replayed``: what fails again fails the call, and stays where
    it lies.
    """
    records = event.get("Records", [])
    replayed = event.get("replayed") is True
    announcer().begin()
    unfinished().begin(records)
    handing = HandingOver(announcer().hand_over)
    temporary: list[Exception] = []
    for record in records:
        left = context.get_remaining_time_in_millis()
        if left < SPARE_MS:
            temporary.append(OutOfTime())
            break
        temporary += _told(record, handing, replayed=replayed, seconds=(left - ENDING_MS) / 1000)
    with no_call_after((context.get_remaining_time_in_millis() - ENDING_MS) / 1000):
        left_over = handing.rest()
    temporary += _failed(left_over, replayed=replayed)
    if temporary:
        raise ExceptionGroup(f"{len(temporary)} records failed for now", temporary)
    return {"batchItemFailures": []}


def _told(record: dict[str, Any], handing: HandingOver, *, replayed: bool, seconds: float) -> list[Exception]:
    """Tell one record, or set it aside; what it, and others handed over with it, failed by where they come again.

    ``seconds``: how long calls to AWS may begin. An outage must not make a record look like one that never ends.
    """
    event_id = record.get("eventID")
    failures: list[Failure] = []
    with no_call_after(seconds):
        try:
            unfinished().begun(record)
            image = _image(record)
            outcome = announcer().announce(image, now())
        except Exception as cause:  # noqa: BLE001 - sorted: it passes, or the record is set aside
            failures.append((record, cause))
            if replayed or _comes_again(record, cause):
                announcer().gathered()  # comes again too
        else:
            logger.info("record_told", event_id=event_id, outcome=outcome, correlation_id=image.get("cid"))
        failures += handing.add(record, announcer().gathered())
    failed = _failed(failures, replayed=replayed)
    try:
        unfinished().ended(record)
    except Exception as error:  # noqa: BLE001 - at worst the record is begun once less than it might be
        logger.warning("end_not_noted", event_id=event_id, error=code_of(error))
    return failed


def _failed(failures: Sequence[Failure], *, replayed: bool) -> list[Exception]:
    """What failed for now comes again, the rest is set aside; an operator's replay sets nothing aside anew."""
    again: list[Exception] = []
    for record, cause in failures:
        failure = cause if replayed or _comes_again(record, cause) else _set_aside(record, cause)
        if failure is not None:
            logger.warning("record_failed", event_id=record.get("eventID"), error=code_of(failure))
            again.append(failure)
    return again


def _comes_again(record: dict[str, Any], cause: Exception) -> bool:
    """Whether a record that failed by ``cause`` is left to the stream."""
    written = written_at(record)
    return is_temporary(cause) and (written is None or now() - written < LATEST)


def _set_aside(record: dict[str, Any], cause: Exception) -> Exception | None:
    """A record that no retry makes right must not block its shard: kept whole, alarmed, replayable.

    Answers what kept it from being kept: then it comes again.
    """
    kind = _KINDS.get(type(cause), "too_late" if is_temporary(cause) else "defect")
    event_id, code = record.get("eventID"), code_of(cause)
    logger.error("record_poison", event_id=event_id, kind=kind, error=code, trace=trace_of(cause))
    try:
        kept = poison().keep(record, cause)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the record is not kept yet
        logger.error("poison_not_kept", event_id=record.get("eventID"), error=code_of(failure))
        return failure
    if not kept:
        logger.info("poison_of_nobody", event_id=record.get("eventID"))
    return None


def _image(record: dict[str, Any]) -> dict[str, Any]:
    """The new image of a stream record as plain values. Raises MalformedRecord."""
    try:
        return from_stream(record["dynamodb"]["NewImage"])
    except (KeyError, ValueError, TypeError, AttributeError) as malformed:
        raise MalformedRecord(json.dumps(sorted(record))) from malformed
