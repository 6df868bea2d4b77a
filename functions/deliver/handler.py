"""The deliver function: a batch of messages, all sent at once; failed messages alone come back."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from functions.deliver.composition import deliverer, follow_ups, health, lost_steps, pool, step_sender
from shared.aws.function_log import function_logger, last_net
from shared.aws.queues import DeliveryMessage, StepMessage, read_message
from shared.workflows.campaigns.step_case import NOT_DUE
from shared.workflows.delivering.batch import Handled, TimeLeft, alone, send_prepared

logger = function_logger("deliver")

type Message = DeliveryMessage | StepMessage


@last_net
def handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
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
    results = _handled(readable, TimeLeft(context.get_remaining_time_in_millis))
    for message_id, result in results.items():
        message = readable[message_id]
        logger.info(
            "delivery_handled",
            subject=_subject(message),
            outcome=result.outcome,
            correlation_id=message.correlation_id,
        )
        if result.retry_message:
            failed.append(message_id)
    errors = [own.error for own in results.values() if own.error is not None]
    if errors and len(errors) == len(event["Records"]):
        raise errors[0]
    return {"batchItemFailures": [{"itemIdentifier": own} for own in failed]}


def _handled(readable: Mapping[str, Message], time: TimeLeft) -> dict[str, Handled]:
    """Events of the feed and steps of campaigns, at the same time: each step in a thread of its own."""
    events = {name: own for name, own in readable.items() if isinstance(own, DeliveryMessage)}
    steps = {name: own for name, own in readable.items() if isinstance(own, StepMessage)}
    _built(for_steps=bool(steps))
    with ThreadPoolExecutor(len(steps) + 1) as threads:
        owed = threads.submit(alone, follow_ups().catch_up)
        sent = {name: threads.submit(alone, _sent, own, time) for name, own in steps.items()}
        told = _told(events, time) if events else {}
    owed.result()
    alone(health().settle)
    return told | {name: own.result() for name, own in sent.items()}


def _built(*, for_steps: bool) -> None:
    """Make what threads share before there are any; what cannot be made now fails where it is needed."""
    for part in (follow_ups, health, pool, *((step_sender, lost_steps) if for_steps else ())):
        alone(part)


def _sent(message: StepMessage, time: TimeLeft) -> Handled:
    if message.lost is not None:
        return lost_steps().settle(message)
    handled = step_sender().send(message, time)
    return (lost_steps().look_after(message) or handled) if handled.outcome == NOT_DUE else handled


def _told(events: Mapping[str, DeliveryMessage], time: TimeLeft) -> dict[str, Handled]:
    """The feed's events: read together, sent at once."""
    prepared = alone(lambda: deliverer().prepare(list(events.values())))
    if isinstance(prepared, Handled):
        return dict.fromkeys(events, prepared)
    return dict(zip(events, send_prepared(prepared, pool().send_all, health(), time), strict=True))


def _subject(message: Message) -> str:
    """What the message is about: an id, never a person."""
    return message.episode_id if isinstance(message, StepMessage) else message.delivery_id
