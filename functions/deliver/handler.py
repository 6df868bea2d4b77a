"""The deliver function: a batch of messages, all sent at once; failed messages alone come back."""

from typing import Any

from aws_lambda_powertools import Logger

from functions.deliver.composition import deliverer, health, pool, step_sender
from shared.aws.queues import DeliveryMessage, StepMessage, read_message
from shared.workflows.delivering.deliver import Handled, Prepared, send_prepared

logger = Logger(service="deliver")


def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:  # noqa: ARG001 - signature
    """Handle an SQS batch. A message that is none of ours is left to the dead letter queue."""
    readable: dict[str, DeliveryMessage | StepMessage] = {}
    failed: list[str] = []
    for record in event.get("Records", []):
        try:
            readable[record["messageId"]] = read_message(record["body"])
        except ValueError:
            logger.error("message_unreadable", message_id=record["messageId"])
            failed.append(record["messageId"])
    prepared = _prepared(readable)
    results = send_prepared(list(prepared.values()), pool().send_all, health())
    for message_id, result in zip(prepared, results, strict=True):
        logger.info("delivery_handled", subject=_subject(readable[message_id]), outcome=result.outcome)
        if result.retry_message:
            failed.append(message_id)
    return {"batchItemFailures": [{"itemIdentifier": own} for own in failed]}


def _prepared(readable: dict[str, DeliveryMessage | StepMessage]) -> dict[str, Handled | Prepared]:
    """Events of the feed and steps of campaigns, prepared to go out in one batch."""
    events = {name: own for name, own in readable.items() if isinstance(own, DeliveryMessage)}
    steps = {name: own for name, own in readable.items() if isinstance(own, StepMessage)}
    told = dict(zip(events, deliverer().prepare(list(events.values())), strict=True)) if events else {}
    sent = dict(zip(steps, step_sender().prepare(list(steps.values())), strict=True)) if steps else {}
    return told | sent


def _subject(message: DeliveryMessage | StepMessage) -> str:
    """What the message is about: an id, never a person."""
    return message.episode_id if isinstance(message, StepMessage) else message.delivery_id
