"""The deliver function: a batch of messages, all sent at once; failed messages alone come back."""

from collections.abc import Iterable, Sequence
from typing import Any

from aws_lambda_powertools import Logger

from functions.deliver.composition import deliverer, health, pool, step_sender
from shared.aws.queues import DeliveryMessage, StepMessage, read_message
from shared.workflows.delivering.batch import Begun, Handled, alone, send_prepared

logger = Logger(service="deliver")

type Message = DeliveryMessage | StepMessage


def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:  # noqa: ARG001 - signature
    """Handle an SQS batch. A message that is none of ours is left to the dead letter queue.

    Each message stands alone. Only where every single one failed is the first failure raised: an outage shall look
    like one.
    """
    readable: dict[str, Message] = {}
    failed: list[str] = []
    for record in event.get("Records", []):
        try:
            readable[record["messageId"]] = read_message(record["body"])
        except ValueError:
            logger.error("message_unreadable", message_id=record["messageId"])
            failed.append(record["messageId"])
    prepared = _prepared(readable)
    results = dict(zip(prepared, send_prepared(list(prepared.values()), pool().send_all, health()), strict=True))
    for message_id, result in results.items():
        logger.info("delivery_handled", subject=_subject(readable[message_id]), outcome=result.outcome)
        if result.retry_message:
            failed.append(message_id)
    errors = [own.error for own in results.values() if own.error is not None]
    if errors and len(errors) == len(event["Records"]):
        raise errors[0]
    return {"batchItemFailures": [{"itemIdentifier": own} for own in failed]}


def _prepared(readable: dict[str, Message]) -> dict[str, Begun]:
    """Events of the feed and steps of campaigns, prepared to go out in one batch; neither waits for the other."""
    events = {name: own for name, own in readable.items() if isinstance(own, DeliveryMessage)}
    steps = {name: own for name, own in readable.items() if isinstance(own, StepMessage)}
    told = alone(lambda: deliverer().prepare(list(events.values()))) if events else []
    sent = alone(lambda: step_sender().prepare(list(steps.values()))) if steps else []
    return _each(events, told) | _each(steps, sent)


def _each(names: Iterable[str], prepared: Sequence[Begun] | Handled) -> dict[str, Begun]:
    """What became of each message, or of all of them alike."""
    if isinstance(prepared, Handled):
        return dict.fromkeys(names, prepared)
    return dict(zip(names, prepared, strict=True))


def _subject(message: Message) -> str:
    """What the message is about: an id, never a person."""
    return message.episode_id if isinstance(message, StepMessage) else message.delivery_id
