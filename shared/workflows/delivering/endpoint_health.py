"""Who may be sent to now: circuit breaker, rate limit and auto-disable, over rows that all workers share.

Used by every workflow that prepares attempts. Ask ``admit`` with the rows of the batch's own read; tell ``observe`` how
each attempt ended; ``settle`` writes what was learnt, one write per batch and endpoint, none for a healthy one. A
refusal is a delay and never an attempt. What a lost race or a crash leaves unwritten is learnt again at the next
attempt.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.aws.faults import AWS_ERRORS
from shared.delivery.exchange import SendResult
from shared.delivery.outcome import Outcome
from shared.domain import breaker
from shared.domain.breaker import Health, Observation, Wait
from shared.domain.ids import EndpointId
from shared.domain.merchant import Endpoint
from shared.domain.rate_limit import is_now, rate_limit_of
from shared.store.health import HealthStore, key_of, read_health
from shared.store.writes import ItemKey
from shared.workflows.delivering.attempts import timeout_of

_logger = logging.getLogger(__name__)

_ROUNDS = 4
_JITTER = timedelta(seconds=5)
_AHEAD = timedelta(hours=1)
"""How far ahead places in a rate are given, or two of its windows where those are longer: a limit that is raised, or
lifted, helps those that wait within that time."""
_CROWDED = timedelta(seconds=2)
_SAYS_NOTHING = frozenset({Outcome.FAIL_MESSAGE, Outcome.FAIL_RECIPIENT, Outcome.GONE})
"""About the message, the person, or settled otherwise: no sign of the endpoint's health."""

type TellDisabled = Callable[[Endpoint, str], object]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What ``settle`` wrote, for log and metric."""

    opened: tuple[EndpointId, ...] = ()
    closed: tuple[EndpointId, ...] = ()
    disabled: tuple[EndpointId, ...] = ()


class EndpointHealth:
    """One per process, shared by its threads; ``admit`` begins a batch, ``settle`` ends it."""

    def __init__(
        self,
        store: HealthStore,
        disable: TellDisabled,
        now: Callable[[], datetime],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``disable`` switches an endpoint off for a reason and tells whom it concerns, once."""
        self._store = store
        self._disable = disable
        self._now = now
        self._chance = chance
        self._lock = threading.Lock()
        self._reserving = threading.Lock()
        self._seen: dict[EndpointId, Health] = {}
        self._endpoints: dict[EndpointId, Endpoint] = {}
        self._observations: dict[EndpointId, list[Observation]] = {}

    @staticmethod
    def key(endpoint_id: EndpointId) -> ItemKey:
        """What to read along with a batch."""
        return key_of(endpoint_id)

    @staticmethod
    def is_slow(endpoint_id: EndpointId, rows: Mapping[ItemKey, Mapping[str, Any]]) -> bool:
        """Whether the endpoint's attempts go by the slow lane, by the rows of a batch's own read."""
        return read_health(rows.get(key_of(endpoint_id))).slow_since is not None

    def admit(
        self,
        wanted: Sequence[Endpoint],
        rows: Mapping[ItemKey, Mapping[str, Any]],
        places: Sequence[datetime | None] = (),
        ahead: timedelta | None = None,
    ) -> list[Wait | None]:
        """For each wanted attempt, in order: None to go ahead, or until when to wait.

        ``places``: those that were reserved for the attempts when they asked before. One that is long past is given
        back for another; it is for whoever asks to stop bringing it then. ``ahead``: how far ahead a place may lie.
        """
        now = self._now()
        reserved = places or [None] * len(wanted)
        verdicts: list[Wait | None] = [None] * len(wanted)
        by_endpoint: dict[EndpointId, list[int]] = {}
        for position, endpoint in enumerate(wanted):
            by_endpoint.setdefault(endpoint.id, []).append(position)
        for endpoint_id, positions in by_endpoint.items():
            endpoint = wanted[positions[0]]
            health = read_health(rows.get(key_of(endpoint_id)))
            with self._lock:
                self._endpoints[endpoint_id], self._seen[endpoint_id] = endpoint, health
            refused = self._by_breaker(endpoint, health, positions, now)
            allowed = {position: reserved[position] for position in positions if position not in refused}
            refused |= self._by_rate(endpoint, allowed, now, ahead)
            for position, wait in refused.items():
                verdicts[position] = wait
        return verdicts

    def _by_breaker(
        self, endpoint: Endpoint, health: Health, positions: Sequence[int], now: datetime
    ) -> dict[int, Wait]:
        verdict = breaker.admit(health, now)
        if isinstance(verdict, Wait):
            over = breaker.spread(health) if verdict.reason == "breaker_open" else _JITTER
            return {position: self._scattered(verdict, over) for position in positions}
        if not verdict.probe:
            return {}
        probing = breaker.probing(health, now, timeout_of(endpoint))
        won = self._store.replace(endpoint.id, probing, now) is None
        probes = 1 if won else 0
        if won:
            self._seen[endpoint.id] = _written(probing)
        wait = Wait(now + _JITTER, "breaker_half_open")
        return {position: self._scattered(wait) for position in positions[probes:]}

    def _by_rate(
        self, endpoint: Endpoint, places: Mapping[int, datetime | None], now: datetime, ahead: timedelta | None
    ) -> dict[int, Wait]:
        """Waits by position: until an attempt's place, and where none could be given until it may ask again."""
        limit = rate_limit_of(endpoint.settings)
        if limit is None or not places:
            return {}
        kept = {at: own for at, own in places.items() if own is not None and limit.holds(own, now)}
        asking = [at for at in places if at not in kept]
        ahead = ahead or max(_AHEAD, 2 * limit.per)
        missed = [own for at, own in places.items() if own is not None and at not in kept]
        given: list[datetime] | None = []
        if asking:
            # A process's own threads take turns: only other workers' writes are met.
            with self._reserving:
                given = self._store.reserve(endpoint.id, limit, len(asking), now, now + ahead, missed)
        kept |= dict(zip(asking, given or [], strict=False))
        waits = {at: Wait(place, "rate_limited", reserved=True) for at, place in kept.items() if not is_now(place, now)}
        # Without a place: too many waited before it, or too many asked at once.
        again = _CROWDED if given is None else ahead
        others = [at for at in asking if at not in kept]
        return waits | {at: Wait(now + again * (0.5 + 0.5 * self._chance()), "rate_limited") for at in others}

    def _scattered(self, wait: Wait, over: timedelta = _JITTER) -> Wait:
        """The same wait for many must not end for all at once."""
        return replace(wait, until=wait.until + over * self._chance())

    @contextmanager
    def watching(self, endpoints: Sequence[Endpoint | None]) -> Iterator[Callable[[int], None]]:
        """Watch attempts while they are out; yields what is to be called with the position of each that has ended.

        Attempts that are still out after a while make their endpoint suspect, so that the other workers hold back.
        Several workers of a process may watch at once.
        """
        out = {position: endpoint for position, endpoint in enumerate(endpoints) if endpoint is not None}

        def answered(position: int) -> None:
            with self._lock:
                out.pop(position, None)

        def suspect() -> None:
            with self._lock:
                late = {endpoint.id: endpoint for endpoint in out.values()}
            self._suspect(late.values())

        timer = threading.Timer(breaker.SUSPICIOUS_AFTER.total_seconds(), suspect)
        timer.daemon = True
        timer.start()
        try:
            yield answered
        finally:
            timer.cancel()

    def _suspect(self, late: Iterable[Endpoint]) -> None:
        now = self._now()
        for endpoint in late:
            with self._lock:
                health = self._seen.get(endpoint.id, breaker.HEALTHY)
            suspected = breaker.suspected(health, now, timeout_of(endpoint))
            if suspected == health:
                continue
            try:
                written = self._store.replace(endpoint.id, suspected, now) is None
            except AWS_ERRORS as error:
                _logger.warning("suspicion not written: %s", type(error).__name__)
                continue
            if written:
                with self._lock:
                    self._seen[endpoint.id] = _written(suspected)

    def observe(self, endpoint: Endpoint, result: SendResult, outcome: Outcome) -> None:
        """How an attempt ended."""
        if outcome in _SAYS_NOTHING and result.answer is None:
            return
        slow = result.latency_ms >= breaker.SUSPICIOUS_AFTER // timedelta(milliseconds=1)
        succeeded = outcome is Outcome.DELIVERED or outcome in _SAYS_NOTHING
        own = Observation(result.finished_at, succeeded, slow)
        with self._lock:
            self._observations.setdefault(endpoint.id, []).append(own)

    def observe_cut(self, endpoint: Endpoint, result: SendResult) -> None:
        """An attempt was not waited for: the endpoint is slow, and nothing else is known."""
        with self._lock:
            told = self._observations.setdefault(endpoint.id, [])
            told.append(Observation(result.finished_at, succeeded=None, slow=True))

    def settle(self) -> Learnt:
        """Write what the batch's attempts told; what cannot be written now is learnt at the next attempt."""
        with self._lock:
            observations, self._observations = self._observations, {}
        opened, closed, disabled = [], [], []
        for endpoint_id, told in observations.items():
            try:
                before, after = self._folded(endpoint_id, told)
            except AWS_ERRORS as error:
                _logger.warning("health of an endpoint not written: %s", type(error).__name__)
                continue
            if before.open_until is None and after.open_until is not None:
                opened.append(endpoint_id)
            elif before.open_until is not None and after.open_until is None:
                closed.append(endpoint_id)
            if breaker.given_up(after) and self._switched_off(endpoint_id):
                disabled.append(endpoint_id)
        return Learnt(tuple(opened), tuple(closed), tuple(disabled))

    def _switched_off(self, endpoint_id: EndpointId) -> bool:
        """Switch it off; where that cannot be written now it is tried again at the next failure."""
        try:
            self._disable(self._endpoints[endpoint_id], "failing")
        except AWS_ERRORS as error:
            _logger.warning("a failing endpoint not disabled: %s", type(error).__name__)
            return False
        return True

    def _folded(self, endpoint_id: EndpointId, told: Sequence[Observation]) -> tuple[Health, Health]:
        """The endpoint's health before and after; another worker's write in between is folded over."""
        with self._lock:
            before = self._seen.get(endpoint_id, breaker.HEALTHY)
        for _ in range(_ROUNDS):
            after = breaker.observed(before, told)
            if after == before:
                return before, before
            current = self._store.replace(endpoint_id, after, self._now())
            if current is None:
                return before, after
            before = current
        return before, before


def _written(health: Health) -> Health:
    return replace(health, version=health.version + 1)
