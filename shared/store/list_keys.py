"""Where checkouts stand in the list index: by merchant and status, and there by the hour of their last activity.

Whatever is unfinished stands where the abandoned are: becoming abandoned, or coming back, then moves nothing.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from shared.domain.checkout import Status
from shared.domain.ids import MerchantId, digest_bytes
from shared.domain.instants import to_ms
from shared.store import keys

HOUR_MS: Final = 3_600_000


def list_partition(merchant_id: MerchantId, status: Status, shard: int) -> str:
    """The partition of a merchant's checkouts in a status."""
    return keys.list_partition(merchant_id, Status.ABANDONED if status.unfinished else status, shard)


def list_partitions(merchant_id: MerchantId, statuses: Iterable[Status], shards: int) -> list[str]:
    """All that hold a merchant's checkouts in these statuses; ``shards`` of each, one where the merchant names none.

    They may hold checkouts in other statuses too. Older releases kept each status in partitions of its own.
    """
    each = [(merchant_id, status, shard) for status in statuses for shard in range(max(shards, 1))]
    found = [list_partition(*own) for own in each] + [keys.list_partition(*own) for own in each]
    return list(dict.fromkeys(found))


def list_hour(of_digest: str, at: datetime) -> str:
    """The list index sort key: the hour of activity, its edge shifted per checkout, and the digest."""
    shift = int.from_bytes(digest_bytes(of_digest)[1:5], "big") % HOUR_MS
    return f"{(to_ms(at) + shift) // HOUR_MS:07d}#{of_digest}"


def list_range(since: datetime | None, before: datetime | None) -> tuple[str, str]:
    """The sort keys between which activity in [since, before) lies, an hour wider at the end for the shift."""
    low = 0 if since is None else to_ms(since) // HOUR_MS
    high = 9_999_998 if before is None else to_ms(before) // HOUR_MS + 1
    return f"{low:07d}", f"{high:07d}#~"
