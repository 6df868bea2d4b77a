"""The sweep function. ``{}`` sweeps every shard of every kind; ``{"kind", "shard"}`` one of them.

Whoever calls it by hand says so with ``{"asked": "by hand"}``, for the log.
"""

from typing import Any

from functions.sweep.composition import due_shards, sweeper
from shared.aws.embedded_metrics import measure
from shared.aws.function_log import function_logger, last_net
from shared.aws.stores import now
from shared.store.keys import DUE_KINDS

logger = function_logger("sweep")

SPARE_MS = 15_000
"""A page is not begun with less time left than this: the next minute's sweep goes on."""


@last_net
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Sweep and return when everything due is written."""
    parts = [(kind, shard) for kind in DUE_KINDS for shard in range(due_shards())]
    if "kind" in event:
        parts = [(str(event["kind"]), int(event["shard"]))]
    swept = sweeper().sweep(parts, now(), lambda: context.get_remaining_time_in_millis() < SPARE_MS)
    # Also where nothing was due: that it comes at all is what the alarm SweepLate listens for.
    measure("SweepLag", swept.lag.total_seconds(), service="sweep", unit="Seconds")
    asked = str(event.get("asked", "by schedule"))[:40]
    logger.info("swept", asked=asked, parts=len(parts), outcomes=swept.counts, unfinished=swept.unfinished)
    return {"outcomes": swept.counts, "unfinished": swept.unfinished}
