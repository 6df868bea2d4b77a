"""The dispatch function.

Temporary errors are raised after the rest of the batch is done: the whole batch comes again and repeats nothing. A
record that no retry can tell (unreadable, a defect, a write that the table never takes) is kept whole in the bucket and
does not block its shard.
"""

import json
from traceback import format_tb
from typing import Any

from aws_lambda_powertools import Logger

from functions.dispatch.composition import announcer, poison
from shared.aws.faults import code_of, is_temporary
from shared.aws.stores import now
from shared.store.wire import from_stream
from shared.workflows.recovery.outbox import MalformedRecord

logger = Logger(service="dispatch")


def handler(event: dict[str, Any], context: object) -> dict[str, list[Any]]:  # noqa: ARG001 - Lambda's signature
    """Tell every marked record of a batch."""
    announcer().begin()
    temporary: list[Exception] = []
    for record in event.get("Records", []):
        try:
            outcome = announcer().announce(_image(record), now())
        except Exception as cause:  # noqa: BLE001 - sorted: it passes, or the record is set aside
            if is_temporary(cause):
                logger.warning("record_failed", event_id=record.get("eventID"), error=code_of(cause))
                temporary.append(cause)
            else:
                _set_aside(record, cause, temporary)
        else:
            logger.info("record_told", event_id=record.get("eventID"), outcome=outcome)
    if temporary:
        raise ExceptionGroup(f"{len(temporary)} records failed for now", temporary)
    return {"batchItemFailures": []}


def _set_aside(record: dict[str, Any], cause: Exception, temporary: list[Exception]) -> None:
    """A record that no retry makes right must not block its shard: kept whole, alarmed, replayable.

    One that cannot be kept now comes again.
    """
    kind = "malformed" if isinstance(cause, MalformedRecord) else "defect"
    # The trace without what the error says: it may quote a person.
    trace = "".join(format_tb(cause.__traceback__))
    logger.error("record_poison", event_id=record.get("eventID"), kind=kind, error=code_of(cause), trace=trace)
    try:
        poison().keep(record, cause)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the record is not kept yet
        logger.error("poison_not_kept", event_id=record.get("eventID"), error=code_of(failure))
        temporary.append(failure)


def _image(record: dict[str, Any]) -> dict[str, Any]:
    """The new image of a stream record as plain values. Raises MalformedRecord."""
    try:
        return from_stream(record["dynamodb"]["NewImage"])
    except (KeyError, ValueError, TypeError, AttributeError) as malformed:
        raise MalformedRecord(json.dumps(sorted(record))) from malformed
