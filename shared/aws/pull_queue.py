"""The queue of what must be asked from providers' APIs: one fair-queue group per merchant, bodies hold ids only."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.aws.queues import LONGEST_DELAY, QueueUnavailable, all_taken
from shared.domain.ids import JobId, MerchantId, SourceId
from shared.domain.instants import from_ms, to_ms

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing to ask for: the provider's own kind of it, and the ids it is found by."""

    kind: str
    reference: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ContentMessage:
    """What one webhook points to. ``asked_at`` is the webhook's arrival; ``attempts`` counts answers that failed.

    ``hops``: how many messages led to this one. ``place``: the instant that is reserved in the source's rate.
    ``correlation_id``: the webhook's request, or what else asked for it.
    """

    source_id: SourceId
    merchant_id: MerchantId
    wanted: tuple[Wanted, ...]
    asked_at: datetime
    attempts: int = 0
    hops: int = 0
    place: datetime | None = None
    correlation_id: str | None = None

    def again(self) -> "ContentMessage":
        """The message of the next attempt."""
        return replace(self, attempts=self.attempts + 1, hops=self.hops + 1, place=None)

    def postponed(self, place: datetime | None) -> "ContentMessage":
        """The message of the same attempt, later; at a place where one is reserved."""
        return replace(self, hops=self.hops + 1, place=place)

    def as_json(self) -> dict[str, Any]:
        """The message's body."""
        return {
            "source_id": self.source_id,
            "merchant_id": self.merchant_id,
            "wanted": [[own.kind, dict(own.reference)] for own in self.wanted],
            "at": to_ms(self.asked_at),
            "n": self.attempts,
            **_waited(self.hops, self.place),
            **({} if self.correlation_id is None else {"cid": self.correlation_id}),
        }


@dataclass(frozen=True, slots=True)
class PageMessage:
    """The next page of a backfill job: ``page`` counts from 0 and tells a late copy from the turn it is.

    ``hops``: how many messages for this page led to this one. ``place``: the instant that is reserved in the source's
    rate.
    """

    job_id: JobId
    merchant_id: MerchantId
    page: int = 0
    hops: int = 0
    place: datetime | None = None

    @property
    def correlation_id(self) -> str:
        """What a backfill brings was caused by no webhook, but by its job."""
        return self.job_id

    def as_json(self) -> dict[str, Any]:
        """The message's body."""
        own = {"job_id": self.job_id, "merchant_id": self.merchant_id, "page": self.page}
        return {**own, **_waited(self.hops, self.place)}


type PullMessage = ContentMessage | PageMessage


def read_message(body: str) -> PullMessage:
    """The message of a body. Raises ValueError for anything else."""
    try:
        plain = json.loads(body)
        merchant_id = MerchantId(plain["merchant_id"])
        if "job_id" in plain:
            return PageMessage(JobId(plain["job_id"]), merchant_id, int(plain["page"]), *_waiting(plain))
        wanted = tuple(Wanted(str(kind), dict(reference)) for kind, reference in plain["wanted"])
        return ContentMessage(
            *(SourceId(plain["source_id"]), merchant_id, wanted, from_ms(int(plain["at"])), int(plain["n"])),
            *_waiting(plain),
            correlation_id=str(plain["cid"]) if "cid" in plain else None,
        )
    except (KeyError, TypeError) as malformed:
        raise ValueError("not a pull message") from malformed


def _waited(hops: int, place: datetime | None) -> dict[str, int]:
    return ({"hops": hops} if hops else {}) | ({} if place is None else {"place": to_ms(place)})


def _waiting(plain: Mapping[str, Any]) -> tuple[int, datetime | None]:
    return int(plain.get("hops", 0)), from_ms(int(plain["place"])) if "place" in plain else None


class PullQueue:
    """Sends to the pull function, and to where it leaves what it gave up."""

    def __init__(self, client: "SQSClient", url: str, dead_letters_url: str | None = None) -> None:
        """``dead_letters_url``: only the pull function itself gives up."""
        self._client = client
        self._url = url
        self._dead_letters_url = dead_letters_url

    def send(self, message: PullMessage, delay: timedelta = timedelta(0)) -> None:
        """Enqueue durably, to come after ``delay`` (at most 15 minutes). Raises QueueUnavailable, QueueRefused."""
        seconds = min(max(-(-delay // timedelta(seconds=1)), 0), LONGEST_DELAY // timedelta(seconds=1))
        self._send(self._url, message, {"DelaySeconds": seconds})

    def give_up(self, message: PullMessage, reason: str) -> None:
        """Leave the message to a person, ready to be sent again. Raises QueueUnavailable, QueueRefused."""
        if self._dead_letters_url is None:
            raise QueueUnavailable("this function may not give up pulls")
        fresh = replace(message, hops=0, place=None)
        if isinstance(fresh, ContentMessage):
            fresh = replace(fresh, attempts=0)
        attributes = {"reason": {"DataType": "String", "StringValue": reason[:256] or "unknown"}}
        self._send(self._dead_letters_url, fresh, {"MessageAttributes": attributes})

    def _send(self, url: str, message: PullMessage, more: Mapping[str, Any]) -> None:
        body = json.dumps(message.as_json(), separators=(",", ":"))
        entry: Any = {"Id": "0", "MessageBody": body, "MessageGroupId": message.merchant_id, **more}
        all_taken(self._client.send_message_batch(QueueUrl=url, Entries=[entry]))


def content_message(
    source_id: SourceId,
    merchant_id: MerchantId,
    wanted: Sequence[tuple[str, Mapping[str, str]]],
    asked_at: datetime,
    correlation_id: str | None,
) -> ContentMessage:
    """What a webhook (or a page of a backfill) asks for: kinds and references."""
    named = tuple(Wanted(kind, dict(own)) for kind, own in wanted)
    return ContentMessage(source_id, merchant_id, named, asked_at, correlation_id=correlation_id)
