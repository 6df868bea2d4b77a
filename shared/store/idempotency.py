"""What is remembered for a day of requests with an Idempotency-Key: one partition per asker, which an erasure finds.

Keys and fingerprints come here as keyed hashes: a merchant's key, or the body behind a fingerprint, may name a shopper.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from shared.domain.ids import MerchantId
from shared.domain.instants import from_ms, to_ms
from shared.store import keys
from shared.store.conditions import Attr, Key
from shared.store.table import ConditionFailed, StoreUnavailable, Table
from shared.store.writes import Delete, Item, Put, Update

OPERATOR = "operator"
"""The asker that is no merchant."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a key; ``mine``: it was claimed for this very request, which may run."""

    row: Item
    mine: bool

    @property
    def since(self) -> datetime:
        """When the key was first claimed."""
        return from_ms(int(self.row["at"]))


class IdempotencyStore:
    """Claims of keys and what became of their requests, by asker."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def claim(self, owner: str, key_mac: str, fingerprint: str, now: datetime, lease: int, lives: int) -> Known:
        """Claim the key for this request, or say what is known of the one before it.

        ``fingerprint`` tells requests apart; for ``lease`` seconds nobody else may claim it, for ``lives`` it is
        remembered. A claim whose answer got lost is known again by its mark when the client repeats the call; one
        that has run out unanswered, of the same request, is taken over.
        """
        pk, sk = keys.idempotency(owner, key_mac)
        seconds = to_ms(now) // 1000
        own = {"by": uuid4().hex, "until": seconds + lease}
        row = {"pk": pk, "sk": sk, "fingerprint": fingerprint, **own, "at": to_ms(now), "ttl": seconds + lives}
        try:
            self._table.put(Put(row, Attr("pk").not_exists()))
        except ConditionFailed as failed:
            return self._taken_over(_met(failed), own, fingerprint, seconds)
        return Known(row, mine=True)

    def _taken_over(self, met: Item, own: Item, fingerprint: str, seconds: int) -> Known:
        if met.get("by") == own["by"]:
            return Known(met, mine=True)
        done = "answer" in met or "again" in met
        if done or met["fingerprint"] != fingerprint or int(met["until"]) > seconds:
            return Known(met, mine=False)
        try:
            self._table.update(Update((met["pk"], met["sk"]), set=own, condition=Attr("by").eq(met["by"])))
        except ConditionFailed as failed:
            other = _met(failed)
            return Known(other, mine=other.get("by") == own["by"])
        return Known({**met, **own}, mine=True)

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

    def give_up(self, owner: str, key_mac: str) -> None:
        """Let the request be made again at once: whether it had an effect is not known, so its time is kept."""
        update = Update(keys.idempotency(owner, key_mac), set={"until": 0}, condition=Attr("pk").exists())
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


def _met(failed: ConditionFailed) -> Item:
    """The row that stood in the way. Raises StoreUnavailable where it is gone meanwhile."""
    if failed.old is None:
        raise StoreUnavailable("the claim kept changing") from failed
    return failed.old
