"""The sweep function. ``{}`` sweeps every shard of every kind; ``{"kind", "shard"}`` one of them.

Whoever calls it by hand says so with ``{"asked": "by hand"}``: then it takes the time it needs. One by schedule makes
room for the next, which comes in a minute and begins with another part. Two never sweep one shard at once: each part in
which something is due is leased.
"""

from datetime import datetime
from time import monotonic
from typing import Any

from functions.sweep.composition import due_shards, sweeper
from shared.aws.embedded_metrics import measure
from shared.aws.function_log import last_net
from shared.aws.stores import now
from shared.store.keys import DUE_KINDS

SPARE_MS = 15_000
"""A page is not begun with less time left than this: the next minute's sweep goes on."""
BY_SCHEDULE_SECONDS = 45
"""Nor by schedule after so long: a page takes a few seconds, and the next sweep comes after sixty."""


@last_net
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Sweep and return when everything due is written."""
    began, at = monotonic(), now()

    def out_of_time() -> bool:
        makes_room = "asked" not in event and monotonic() - began > BY_SCHEDULE_SECONDS
        return makes_room or context.get_remaining_time_in_millis() < SPARE_MS

    parts = [(str(event["kind"]), int(event["shard"]))] if "kind" in event else _all_parts(at)
    swept = sweeper().sweep(parts, at, out_of_time)
    told: dict[str, Any] = {"outcomes": swept.counts, "unfinished": swept.unfinished}
    asked = str(event.get("asked", "by schedule"))[:40]
    about = {"message": "swept", "asked": asked, "parts": len(parts), "held": swept.held, **told}
    # Also where nothing was due: that it comes at all is what the alarm SweepLate listens for.
    measure("SweepLag", swept.lag.total_seconds(), service="sweep", unit="Seconds", about=about)
    return told


def _all_parts(at: datetime) -> list[tuple[str, int]]:
    """Every minute another one first: where time is short, each has its turn."""
    parts = [(kind, shard) for kind in DUE_KINDS for shard in range(due_shards())]
    first = int(at.timestamp()) // 60 % len(parts)
    return parts[first:] + parts[:first]
