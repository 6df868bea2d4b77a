"""The pull function: a batch of messages, side by side; failed messages alone come back."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from functions.pull.composition import puller
from shared.aws.faults import code_of, is_temporary
from shared.aws.function_log import function_logger, last_net
from shared.aws.pull_queue import read_message

logger = function_logger("pull")
_AT_ONCE = 10


@last_net
def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:  # noqa: ARG001 - signature
    """Handle an SQS batch. What is none of ours, or meets a defect, is left to the dead letter queue."""
    records = event.get("Records", [])
    puller()  # made once, before the threads
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        done = list(pool.map(_worked_off, records))
    failed = [record["messageId"] for record, ended in zip(records, done, strict=True) if not ended]
    return {"batchItemFailures": [{"itemIdentifier": own} for own in failed]}


def _worked_off(record: dict[str, Any]) -> bool:
    """Whether the message is done with."""
    message_id = record["messageId"]
    try:
        message = read_message(record["body"])
    except ValueError:
        logger.error("message_unreadable", message_id=message_id)
        return False
    try:
        pulled = puller().pull(message)
    except Exception as error:  # one defect must not hold up the batch: after five tries the message is a dead letter
        if is_temporary(error):
            logger.warning("pull_failed", message_id=message_id, error=code_of(error))
        else:
            logger.exception("pull_defect", message_id=message_id)
        return False
    logger.info(
        "pull",
        message_id=message_id,
        source_id=pulled.source_id,
        outcome=pulled.outcome,
        reason=pulled.reason,
        correlation_id=message.correlation_id,
    )
    return True
