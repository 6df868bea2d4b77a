"""How soon an endpoint answers, over a period: read from its deliveries, which keep their attempts for 30 days.

An endpoint's row is written by no attempt that goes well, so there is nowhere to count that would cost nothing. What
is read is bounded: deliveries lie in eight shards by a hash of their id, and each shard is a fair sample of all.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from math import ceil
from typing import Any

from shared.delivery.outcome import Outcome
from shared.domain.ids import EndpointId, first_delivery_id
from shared.store.deliveries import DeliveryStore, ShardPage
from shared.store.keys import DELIVERY_SHARDS

MOST = 1_000
"""Deliveries that are looked at, about: 0.12 seconds of a processor, measured with one attempt each."""
_SLACK = 2
"""How much fuller than the first another shard may be, and still be read."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One attempt: when it began, after how many milliseconds it was answered (None: it was not), and whether well."""

    at: datetime
    took: int | None
    delivered: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """What was looked at. ``share`` of the deliveries made from ``since`` on; ``since`` is later than was asked where
    one shard alone is more than is looked at.
    """

    since: datetime
    until: datetime
    share: float
    deliveries: int
    attempts: list[Answered]


@dataclass(frozen=True, slots=True)
class Spread:
    """Figures of some attempts, times of those that were answered; None where none was."""

    attempts: int
    delivered: int
    p50: int | None
    p95: int | None
    slowest: int | None


def endpoint_latency(
    deliveries: DeliveryStore, endpoint_id: EndpointId, since: datetime, until: datetime, most: int = MOST
) -> Counted:
    """The attempts of the deliveries made since then: of all, or of as many whole shards as ``most`` allows."""
    read = partial(deliveries.of_shard, endpoint_id, after=first_delivery_id(since))
    first = read(0, limit=most)
    if not first.whole:
        since = min((own.created_at for own in first.records), default=since)
        return _counted([first], since, until, 1 / DELIVERY_SHARDS)
    wanted = max(1, min(DELIVERY_SHARDS, most // max(len(first.records), 1)))
    limit = max(most // DELIVERY_SHARDS, len(first.records)) * _SLACK
    with ThreadPoolExecutor(DELIVERY_SHARDS) as threads:
        others = list(threads.map(lambda shard: read(shard, limit=limit), range(1, wanted)))
    shards = [first, *(own for own in others if own.whole)]
    return _counted(shards, since, until, len(shards) / DELIVERY_SHARDS)


def spread(attempts: Sequence[Answered]) -> Spread:
    """How long they took: by nearest rank, so that each figure is one that was measured."""
    took = sorted(own.took for own in attempts if own.took is not None)
    return Spread(
        attempts=len(attempts),
        delivered=sum(own.delivered for own in attempts),
        p50=_rank(took, 50),
        p95=_rank(took, 95),
        slowest=took[-1] if took else None,
    )


def _rank(took: Sequence[int], percent: int) -> int | None:
    return took[max(ceil(len(took) * percent / 100) - 1, 0)] if took else None


def _counted(shards: Sequence[ShardPage], since: datetime, until: datetime, share: float) -> Counted:
    records = [own for shard in shards for own in shard.records]
    attempts = sorted(_answered(attempt for own in records for attempt in own.attempts), key=lambda own: own.at)
    return Counted(since, until, share, len(records), attempts)


def _answered(stored: Iterable[Mapping[str, Any]]) -> Iterable[Answered]:
    for own in stored:
        yield Answered(
            at=datetime.fromisoformat(own["at"]),
            took=None if own["status_code"] is None else int(own["latency_ms"]),
            delivered=own["outcome"] == Outcome.DELIVERED,
        )
