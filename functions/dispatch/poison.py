"""Poison records: kept whole by the function itself, because a stream's failure queue holds only pointers."""

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from shared.aws.faults import code_of
from shared.aws.quarantine_bucket import QuarantineBucket
from shared.domain.ids import IdKind, MerchantId, checkout_id, is_id
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import MerchantStore

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class PoisonKeeper:
    """Stores a record in the bucket and points to it from the dead letter queue, where the alarm looks."""

    def __init__(
        self,
        bucket: QuarantineBucket,
        checkouts: CheckoutStore,
        merchants: MerchantStore,
        sqs: "SQSClient",
        dead_letters_url: str,
    ) -> None:
        """``dead_letters_url`` of the stage's dead letter queue."""
        self._bucket = bucket
        self._checkouts = checkouts
        self._merchants = merchants
        self._sqs = sqs
        self._dead_letters_url = dead_letters_url

    def keep(self, record: dict[str, Any], cause: Exception) -> bool:
        """Keep the record; the same record is the same object. False where it is of the erased: nothing is kept.

        Asked again once it is kept: an erasure in between has not seen it.
        """
        name = poison_name(record)
        if self._erased(record):
            return False
        key = self._bucket.keep_poison(name, json.dumps(record, default=str).encode())
        if self._erased(record):
            self._bucket.keep_poison(name, b"")
            return False
        pointer = {"poison": key, "cause": code_of(cause)}
        self._sqs.send_message(QueueUrl=self._dead_letters_url, MessageBody=json.dumps(pointer))
        return True

    def _erased(self, record: dict[str, Any]) -> bool:
        """Whether its merchant, or the checkout it is about, was erased: the erasure finds nothing that is kept later.

        Where that cannot be read now, the record is kept: told later, it meets the erasure.
        """
        merchant, digest = _text(record, "mer"), _digest(record)
        if not is_id(IdKind.MERCHANT, merchant):
            return False
        try:
            if self._merchants.get(MerchantId(merchant)) is None:
                return True
            if digest is None:
                return False
            checkout = self._checkouts.get(digest)
        except Exception:  # noqa: BLE001 - what cannot be read erases nothing
            return False
        return checkout is None or checkout.erased


def poison_name(record: dict[str, Any]) -> str:
    """``<merchant>/<checkout digest>/<event id>.json``, as far as the record tells: an erasure finds it by these.

    What has not the shape of an id is left out: a record may be poison for that very reason.
    """
    event_id = str(record.get("eventID"))
    if _NAME.fullmatch(event_id) is None or "eventID" not in record:
        event_id = hashlib.sha256(json.dumps(record, sort_keys=True, default=str).encode()).hexdigest()
    merchant = _text(record, "mer")
    if not is_id(IdKind.MERCHANT, merchant):
        return f"{event_id}.json"
    digest = _digest(record)
    return f"{merchant}/{digest}/{event_id}.json" if digest is not None else f"{merchant}/{event_id}.json"


def _digest(record: dict[str, Any]) -> str | None:
    """Of the checkout itself, or of the one that an order ended."""
    of_checkout = _text(record, "pk").removeprefix("C#"), _text(record, "chk")
    return next((own for own in of_checkout if is_id(IdKind.CHECKOUT, checkout_id(own))), None)


def _text(record: dict[str, Any], attribute: str) -> str:
    try:
        return str(record["dynamodb"]["NewImage"][attribute]["S"])
    except (KeyError, TypeError):
        return ""
