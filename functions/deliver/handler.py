"""The deliver function: a batch of messages, all sent at once; failed messages alone come back."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger

from functions.deliver.composition import deliverer, health
from shared.aws.environment import Environment
from shared.aws.queues import DeliveryMessage
from shared.delivery.guarded_http import SendPool
from shared.workflows.deliver import send_prepared

logger = Logger(service="deliver")


@cache
def _pool() -> SendPool:
    return SendPool(allow_loopback=Environment.read().local)


def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:  # noqa: ARG001 - signature
    """Handle an SQS batch. A message that is none of ours is left to the dead letter queue."""
    readable: list[tuple[str, DeliveryMessage]] = []
    failed: list[str] = []
    for record in event.get("Records", []):
        try:
            readable.append((record["messageId"], DeliveryMessage.read(record["body"])))
        except ValueError:
            logger.error("message_unreadable", message_id=record["messageId"])
            failed.append(record["messageId"])
    prepared = deliverer().prepare([message for _, message in readable])
    results = send_prepared(prepared, _pool().send_all, health())
    for (message_id, message), result in zip(readable, results, strict=True):
        logger.info("delivery_handled", delivery_id=message.delivery_id, outcome=result.outcome)
        if result.retry_message:
            failed.append(message_id)
    return {"batchItemFailures": [{"itemIdentifier": own} for own in failed]}
