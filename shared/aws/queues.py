"""Delivery queues: fresh events first; retries, steps and slow endpoints apart; one fair-queue group per merchant.

Bodies hold ids only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.domain.ids import DeliveryId, EndpointId, EpisodeId, MerchantId, endpoint_of
from shared.domain.instants import from_ms, to_ms

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import SendMessageBatchResultTypeDef

LONGEST_DELAY = timedelta(minutes=15)
"""What SQS can hold a message back for."""
_BATCH = 10


class QueueUnavailable(Exception):
    """Some messages could not be enqueued: a temporary failure of ours."""


class QueueRefused(Exception):
    """SQS calls it our own fault that it did not take a message; ``code`` says why, as SQS names it."""

    def __init__(self, code: str) -> None:
        """Keep the code; what SQS writes beside it may quote the message."""
        super().__init__(code)
        self.code = code


def all_taken(answer: "SendMessageBatchResultTypeDef") -> None:
    """Look through the answer to a batch, which is a success whatever became of its messages.

    Raises QueueUnavailable where any may be taken another time, QueueRefused where all that failed are refused.
    """
    failed = answer.get("Failed", [])
    if any(not own["SenderFault"] for own in failed):
        raise QueueUnavailable(f"{len(failed)} messages refused")
    if failed:
        raise QueueRefused(failed[0]["Code"])


@dataclass(frozen=True, slots=True)
class DeliveryMessage:
    """One attempt to make: the delivery, whose it is, and how many attempts it had when this was enqueued.

    ``hops``: how many messages of the delivery led to this one since it was new, or woken by the sweep. ``place``: the
    instant that is reserved for the attempt in its endpoint's rate. ``echo``: sent because an earlier message came
    back, so that there may be another of the same attempt. ``slow``: it goes by the slow lane.
    ``correlation_id``: the request whose webhook caused the delivery, for the log. ``update``: of a delivery of
    ``checkout.updated`` that has no row yet, the checkout's digest and the event's version.
    """

    delivery_id: DeliveryId
    merchant_id: MerchantId
    attempt_count: int = 0
    hops: int = 0
    place: datetime | None = None
    echo: bool = False
    slow: bool = False
    correlation_id: str | None = None
    update: tuple[str, int] | None = None

    @property
    def endpoint_id(self) -> EndpointId:
        """The endpoint named inside the delivery's id. Raises ValueError."""
        endpoint_id = endpoint_of(self.delivery_id)
        if endpoint_id is None:
            raise ValueError("not a delivery id")
        return endpoint_id

    def text(self) -> str:
        """The message body."""
        plain: dict[str, str | int] = {
            # By this name a release that looks for the delivery's row first gives the message back, and drops it not.
            "delivery_id" if self.update is None else "unwritten_id": self.delivery_id,
            "merchant_id": self.merchant_id,
            "n": self.attempt_count,
        }
        if self.update is not None:
            plain["chk"], plain["ver"] = self.update
        if self.hops:
            plain["hops"] = self.hops
        if self.place is not None:
            plain["place"] = to_ms(self.place)
        if self.echo:
            plain["echo"] = 1
        if self.slow:
            plain["slow"] = 1
        if self.correlation_id is not None:
            plain["cid"] = self.correlation_id
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def read(cls, body: str) -> "DeliveryMessage":
        """The message of a body. Raises ValueError for anything else."""
        try:
            plain = json.loads(body)
            written = "delivery_id" in plain
            message = cls(
                DeliveryId(str(plain["delivery_id" if written else "unwritten_id"])),
                MerchantId(str(plain["merchant_id"])),
                int(plain["n"]),
                hops=int(plain.get("hops", 0)),
                place=from_ms(int(plain["place"])) if "place" in plain else None,
                echo=bool(plain.get("echo")),
                slow=bool(plain.get("slow")),
                correlation_id=str(plain["cid"]) if "cid" in plain else None,
                update=None if written else (str(plain["chk"]), int(plain["ver"])),
            )
        except (KeyError, TypeError) as malformed:
            raise ValueError("not a delivery message") from malformed
        _ = message.endpoint_id
        return message


@dataclass(frozen=True, slots=True)
class StepMessage:
    """An episode whose next step is due; which one, and whether at all, is read when it is handled.

    ``lost`` names a step whose worker vanished instead: its end is to be written down, nothing is sent. ``place``: the
    instant reserved for ``step`` in its endpoint's rate. ``slow``: it goes by the slow lane. ``correlation_id``: the
    request whose webhook caused the episode's abandonment, for the log.
    """

    episode_id: EpisodeId
    merchant_id: MerchantId
    lost: int | None = None
    step: int | None = None
    place: datetime | None = None
    slow: bool = False
    correlation_id: str | None = None

    def text(self) -> str:
        """The message body."""
        plain: dict[str, str | int] = {"episode_id": self.episode_id, "merchant_id": self.merchant_id}
        if self.lost is not None:
            plain["lost"] = self.lost
        if self.step is not None and self.place is not None:
            plain |= {"step": self.step, "place": to_ms(self.place)}
        if self.slow:
            plain["slow"] = 1
        if self.correlation_id is not None:
            plain["cid"] = self.correlation_id
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "StepMessage":
        """The message of a parsed body. Raises ValueError, KeyError and TypeError for anything else."""
        reserved = "step" in plain and "place" in plain
        lost = plain.get("lost")
        return cls(
            EpisodeId(str(plain["episode_id"])),
            MerchantId(str(plain["merchant_id"])),
            lost=lost if isinstance(lost, int) else None,
            step=int(plain["step"]) if reserved else None,
            place=from_ms(int(plain["place"])) if reserved else None,
            slow=bool(plain.get("slow")),
            correlation_id=str(plain["cid"]) if "cid" in plain else None,
        )


def read_message(body: str) -> DeliveryMessage | StepMessage:
    """The message of a body. Raises ValueError for anything that is neither."""
    plain = json.loads(body)
    if isinstance(plain, dict) and isinstance(plain.get("episode_id"), str):
        try:
            return StepMessage.read(plain)
        except (KeyError, TypeError) as malformed:
            raise ValueError("not a step message") from malformed
    return DeliveryMessage.read(body)


@dataclass(frozen=True, slots=True)
class QueueUrls:
    """The queues that the deliver function reads, as far as a function may send to them.

    ``deliveries`` takes fresh events; ``retries`` what was tried or put off before; ``steps`` campaign steps, whose
    hand-over nobody may cut short; ``slow`` what goes to endpoints that are slow.
    """

    retries: str | None = None
    deliveries: str | None = None
    steps: str | None = None
    slow: str | None = None


class DeliveryQueues:
    """Sends to the queues that the deliver function reads.

    Everything raises QueueUnavailable where one cannot take a message now, QueueRefused where it never will.
    """

    def __init__(self, client: "SQSClient", urls: QueueUrls) -> None:
        """``urls`` of the queues that this function may send to."""
        self._client = client
        self._urls = urls

    def fresh(self, messages: Sequence[DeliveryMessage]) -> None:
        """Enqueue first attempts."""
        self._send(self._urls.deliveries, [(message, timedelta(0)) for message in messages])

    def steps(self, messages: Sequence[StepMessage], delay: timedelta = timedelta(0)) -> None:
        """Enqueue episodes whose next step is due, to be looked at after ``delay``; slow ones by the slow lane."""
        self._by_lane(self._urls.steps, [(message, delay) for message in messages])

    def retry(self, messages: Sequence[tuple[DeliveryMessage, timedelta]]) -> None:
        """Enqueue later attempts, each after its delay of at most 15 minutes; slow ones by the slow lane."""
        self._by_lane(self._urls.retries, messages)

    def _by_lane(self, url: str | None, messages: Sequence[tuple[DeliveryMessage | StepMessage, timedelta]]) -> None:
        self._send(url, [own for own in messages if not own[0].slow])
        self._send(self._urls.slow, [own for own in messages if own[0].slow])

    def _send(self, url: str | None, messages: Sequence[tuple[DeliveryMessage | StepMessage, timedelta]]) -> None:
        if messages and url is None:
            raise QueueUnavailable("this function may not send to that queue")
        for start in range(0, len(messages), _BATCH):
            entries: list[Any] = [
                {
                    "Id": str(position),
                    "MessageBody": message.text(),
                    "MessageGroupId": message.merchant_id,
                    "DelaySeconds": _seconds(delay),
                }
                for position, (message, delay) in enumerate(messages[start : start + _BATCH])
            ]
            all_taken(self._client.send_message_batch(QueueUrl=str(url), Entries=entries))


def _seconds(delay: timedelta) -> int:
    """Whole seconds, rounded up so that nothing comes early."""
    return min(max(-(-delay // timedelta(seconds=1)), 0), LONGEST_DELAY // timedelta(seconds=1))
