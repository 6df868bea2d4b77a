"""What is remembered for a day of requests with an Idempotency-Key: one partition per asker, which an erasure finds.

Keys and fingerprints come here as keyed hashes: a merchant's key, or the body behind a fingerprint, may name a shopper.
"""

from datetime import datetime

from boto3.dynamodb.conditions import Attr, Key

from shared.domain.ids import MerchantId
from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Delete, Item, Put, Update

OPERATOR = "operator"
"""The asker that is no merchant."""


class IdempotencyStore:
    """Claims of keys and what became of their requests, by asker."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def claim(self, owner: str, key_mac: str, fingerprint: str, now: datetime, lives: int) -> Item | None:
        """Claim the key for this request; returns what is known of the earlier one instead where there is one.

        ``fingerprint`` tells requests apart; ``lives`` is how many seconds the row may be believed.
        """
        pk, sk = keys.idempotency(owner, key_mac)
        row = {"pk": pk, "sk": sk, "fingerprint": fingerprint, "ttl": to_ms(now) // 1000 + lives}
        try:
            self._table.put(Put(row, Attr("pk").not_exists()))
        except ConditionFailed as failed:
            return failed.old
        return None

    def answered(
        self, owner: str, key_mac: str, answer: bytes | None, now: datetime, lives: int, about: MerchantId | None = None
    ) -> None:
        """Keep the first answer (sealed), or (None) that the request is to be done again.

        ``about``: the merchant that an operator's request was about. A claim that an erasure took stays gone.
        """
        values = {"answer": answer, "again": True if answer is None else None, "about": about}
        update = Update(
            keys.idempotency(owner, key_mac),
            set={name: value for name, value in values.items() if value is not None}
            | {"ttl": to_ms(now) // 1000 + lives},
            condition=Attr("pk").exists(),
        )
        try:
            self._table.update(update)
        except ConditionFailed:
            return

    def release(self, owner: str, key_mac: str) -> None:
        """Give the key back after a request that had no effect."""
        self._table.delete(Delete(keys.idempotency(owner, key_mac)))

    def forget(self, merchant_id: MerchantId) -> None:
        """Delete what the merchant asked, and what the operator asked about it."""
        own = self._table.query_all(Key("pk").eq(keys.idempotent_requests(merchant_id)), consistent=True)
        about = self._table.query_all(
            Key("pk").eq(keys.idempotent_requests(OPERATOR)), filter_by=Attr("about").eq(merchant_id), consistent=True
        )
        self._table.delete_all([(item["pk"], item["sk"]) for found in (own, about) for item in found])
