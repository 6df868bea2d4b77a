"""The dispatch function.

Temporary errors are raised after the rest of the batch is done: the whole batch comes again and repeats nothing. A
record that no retry can make readable is kept whole in the bucket and does not block its shard.
"""

import json
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from functions.dispatch.composition import announcer, poison
from shared.aws.queues import QueueUnavailable
from shared.aws.stores import now
from shared.store.table import StoreUnavailable, from_stream
from shared.workflows.recovery.outbox import MalformedRecord

logger = Logger(service="dispatch")
TEMPORARY = (StoreUnavailable, QueueUnavailable, ClientError, BotoCoreError)


def handler(event: dict[str, Any], context: object) -> dict[str, list[Any]]:  # noqa: ARG001 - Lambda's signature
    """Tell every marked record of a batch."""
    announcer().begin()
    temporary: list[Exception] = []
    for record in event.get("Records", []):
        try:
            outcome = announcer().announce(_image(record), now())
        except TEMPORARY as error:
            logger.warning("record_failed", event_id=record.get("eventID"), error=type(error).__name__)
            temporary.append(error)
        except Exception as cause:  # a defect must not block the shard: kept whole, alarmed, replayable
            level = "malformed" if isinstance(cause, MalformedRecord) else "defect"
            logger.exception("record_poison", event_id=record.get("eventID"), kind=level)
            try:
                poison().keep(record, cause)
            except TEMPORARY as error:
                temporary.append(error)
        else:
            logger.info("record_told", event_id=record.get("eventID"), outcome=outcome)
    if temporary:
        raise ExceptionGroup(f"{len(temporary)} records failed for now", temporary)
    return {"batchItemFailures": []}


def _image(record: dict[str, Any]) -> dict[str, Any]:
    """The new image of a stream record as plain values. Raises MalformedRecord."""
    try:
        return from_stream(record["dynamodb"]["NewImage"])
    except (KeyError, ValueError, TypeError, AttributeError) as malformed:
        raise MalformedRecord(json.dumps(sorted(record))) from malformed
