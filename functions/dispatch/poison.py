"""Poison records: kept whole by the function itself, because a stream's failure queue holds only pointers."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from shared.aws.quarantine_bucket import QuarantineBucket

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


class PoisonKeeper:
    """Stores a record in the bucket and points to it from the dead letter queue, where the alarm looks."""

    def __init__(self, bucket: QuarantineBucket, sqs: "SQSClient", dead_letters_url: str) -> None:
        """``dead_letters_url`` of the stage's dead letter queue."""
        self._bucket = bucket
        self._sqs = sqs
        self._dead_letters_url = dead_letters_url

    def keep(self, record: dict[str, Any], cause: Exception) -> None:
        """Keep the record; the same record is the same object."""
        name = str(
            record.get("eventID")
            or hashlib.sha256(json.dumps(record, sort_keys=True, default=str).encode()).hexdigest()
        )
        key = self._bucket.keep_poison(f"{name}.json", json.dumps(record, default=str).encode())
        pointer = {"poison": key, "cause": type(cause).__name__}
        self._sqs.send_message(QueueUrl=self._dead_letters_url, MessageBody=json.dumps(pointer))
