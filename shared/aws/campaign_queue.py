"""The queue of campaign runs: Scheduler sends the first message of a run, the function the ones that go on with it."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.aws.queues import all_taken
from shared.domain.ids import CampaignId, MerchantId
from shared.domain.instants import from_ms, parse_instant, to_ms

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class RunMessage:
    """One run of a campaign: ``fired_at`` names it. ``revision`` is what the schedule was made from.

    ``hops``: how many messages of the run led to this one.
    """

    merchant_id: MerchantId
    campaign_id: CampaignId
    fired_at: datetime
    revision: int | None = None
    hops: int = 0

    def text(self) -> str:
        """The message's body."""
        plain: dict[str, str | int] = {
            "merchant_id": self.merchant_id,
            "campaign_id": self.campaign_id,
            "at": to_ms(self.fired_at),
        }
        if self.hops:
            plain["hops"] = self.hops
        return json.dumps(plain, separators=(",", ":"))


def read_message(body: str, sent_at: datetime) -> RunMessage:
    """The message of a body. Raises ValueError for anything else.

    A schedule that did not fill in its time (the local engine's) fired in the minute in which it was ``sent_at``.
    """
    try:
        plain: dict[str, Any] = json.loads(body)
        fired_at = from_ms(plain["at"]) if isinstance(plain.get("at"), int) else parse_instant(plain.get("fired_at"))
        revision = plain.get("revision")
        return RunMessage(
            MerchantId(str(plain["merchant_id"])),
            CampaignId(str(plain["campaign_id"])),
            fired_at or sent_at.replace(second=0, microsecond=0),
            revision if isinstance(revision, int) else None,
            int(plain.get("hops", 0)),
        )
    except (KeyError, TypeError, AttributeError) as malformed:
        raise ValueError("not a campaign run") from malformed


class CampaignQueue:
    """Sends what goes on with a run."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        """``url`` of the queue that Scheduler sends to."""
        self._client = client
        self._url = url

    def send(self, message: RunMessage, delay: timedelta = timedelta(0)) -> None:
        """Enqueue durably, to come after ``delay`` (at most 15 minutes). Raises QueueUnavailable, QueueRefused."""
        entry: Any = {
            "Id": "0",
            "MessageBody": message.text(),
            "MessageGroupId": message.merchant_id,
            "DelaySeconds": int(delay.total_seconds()),
        }
        all_taken(self._client.send_message_batch(QueueUrl=self._url, Entries=[entry]))
