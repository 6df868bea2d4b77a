"""How many webhooks the stack on the local engine takes in, by how many connections post at once.

On the engine that stands in ``LOCAL_DIR`` (``make local``): its workers are processes of this machine, and its table is
in memory, so nothing of it is a figure of AWS. A fall between two runs of one machine is ours.
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from infra.local.shop import FlexyPeSession, Shop

CONNECTIONS = (1, 8, 32)
SECONDS = 15.0
STARTED = 2.0
"""Seconds: where an answer takes longer, a worker was started for it. Thirty at once keep two cores for half a minute,
so that what is measured meanwhile is the engine's unpacking and no webhook (p95 18.7 s once, at 32 connections)."""
_MOST_ROUNDS = 12
_NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Intake:
    """``accepted`` webhooks a second; how long they waited for their answer, in seconds; ``other``: no acceptance."""

    connections: int
    accepted: float
    p50: float
    p95: float
    longest: float
    other: int


def measured(stack: dict[str, Any]) -> list[Intake]:
    """First webhooks of new shoppers, for some seconds each."""
    shop = Shop(stack, {"idle_after": "PT30M"})
    source = shop.source()
    try:
        found = []
        for own in CONNECTIONS:
            _start_workers(shop, source, own)
            found.append(_posted(shop, source, own, SECONDS))
        return found
    finally:
        shop.close()


def _start_workers(shop: Shop, source: dict[str, Any], connections: int) -> None:
    """Post until a round meets started workers alone."""
    for _ in range(_MOST_ROUNDS):
        round_ = _posted(shop, source, connections, 3.0)
        if round_.longest < STARTED and not round_.other:
            return


def _posted(shop: Shop, source: dict[str, Any], connections: int, seconds: float) -> Intake:
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(connections) as threads:
        lanes = [threads.submit(_lane, shop, source, number, until) for number in range(connections)]
        answers = [own for lane in lanes for own in lane.result()]
    waits = sorted(took for status, took in answers if status == HTTPStatus.OK)
    other = len(answers) - len(waits)
    if len(waits) < 2:
        return Intake(connections, len(waits) / seconds, seconds, seconds, seconds, other)
    p95 = statistics.quantiles(waits, n=20)[-1]
    return Intake(connections, len(waits) / seconds, statistics.median(waits), p95, max(waits), other)


def _lane(shop: Shop, source: dict[str, Any], number: int, until: float) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    while (begun := time.monotonic()) < until:
        phone = f"9{number:03d}{len(found):06d}"
        try:
            status = FlexyPeSession(shop, source, phone).post("ADDRESS_LOADED").status_code
        except httpx.TransportError:
            status = _NO_ANSWER
        found.append((status, time.monotonic() - begun))
    return found
