"""Deliveries a second, and how long from acceptance to receipt: alone, and beside an endpoint that hangs.

Ours are made by ``tests.bench.delivery``'s harness: deliverer, breaker and guarded client over real HTTP, workers as
threads of one process over moto's table. Beside them, where an index of packages can be reached, PyPI's
``django-outbound-webhooks`` makes the same deliveries to the same receiver, from an environment of its own that goes
with the measurement. ``python -m tests.bench.deliveries`` prints ours as JSON.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from moto import mock_aws

from tests.bench.delivery import Harness, Receiver

PEER = "django-outbound-webhooks"
ENDPOINTS, BURST = 10, 300
RATE, SECONDS = 5.0, 10.0
"""Deliveries a second to those endpoints in turn, and for how long."""
HUNG, HANGS_FOR = 1.0, 30.0
"""Deliveries a second to the endpoint that hangs, and for how long it keeps each waiting."""
PATIENCE = 20.0
"""Seconds that are waited for what has not arrived."""
TEXT = "x" * 250
type Plan = list[tuple[float, int]]
"""Of each delivery the seconds after the beginning, and its endpoint; the last endpoint is the one that hangs."""
type Fired = list[tuple[str, float, int]]
"""By what the receiver knows a delivery, when it was accepted, and its endpoint."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from acceptance to receipt, and how many had not arrived when nobody waited any more."""

    p50: float
    p95: float
    later: int


@dataclass(frozen=True, slots=True)
class Deliveries:
    """``per_second``: of a burst, until the last of it arrived."""

    per_second: float
    quiet: Waits
    beside: Waits


def burst() -> Plan:
    """All at once."""
    return [(0.0, own % ENDPOINTS) for own in range(BURST)]


def steady(*, hung: bool) -> Plan:
    """Evenly, to the good endpoints in turn; ``hung``: to the other one as well."""
    good = [(own / RATE, own % ENDPOINTS) for own in range(int(RATE * SECONDS))]
    return sorted([*good, *((own / HUNG, ENDPOINTS) for own in range(int(HUNG * SECONDS)) if hung)])


def measured(fire: Callable[[Plan], Fired], receiver: Receiver) -> Deliveries:
    """Fire each plan, and look when what went to good endpoints arrived."""
    begun = time.monotonic()
    first = _arrived(fire(burst()), receiver, patience=6 * PATIENCE)
    last = max(first.values())
    quiet = _waits(fire(steady(hung=False)), receiver)
    return Deliveries(len(first) / (last - begun), quiet, _waits(fire(steady(hung=True)), receiver))


def _arrived(fired: Fired, receiver: Receiver, patience: float) -> dict[str, float]:
    wanted = {name for name, _, endpoint in fired if endpoint < ENDPOINTS}
    until = time.monotonic() + patience
    while time.monotonic() < until and not wanted <= receiver.arrived.keys():
        time.sleep(0.05)
    return {name: receiver.arrived[name] for name in wanted if name in receiver.arrived}


def _waits(fired: Fired, receiver: Receiver) -> Waits:
    arrived = _arrived(fired, receiver, PATIENCE)
    seconds = [arrived[name] - at for name, at, endpoint in fired if endpoint < ENDPOINTS and name in arrived]
    late = sum(endpoint < ENDPOINTS for _, _, endpoint in fired) - len(seconds)
    if len(seconds) < 2:
        return Waits(float("inf"), float("inf"), late)
    return Waits(statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1], late)


def ours() -> Deliveries:
    """By our workers, in this process."""
    with mock_aws():
        harness = Harness()
        endpoints = [*(harness.endpoint(0.0) for _ in range(ENDPOINTS)), harness.endpoint(HANGS_FOR)]
        harness.start()

        def fire(plan: Plan) -> Fired:
            fired, begun = [], time.monotonic()
            for seconds, endpoint in plan:
                time.sleep(max(begun + seconds - time.monotonic(), 0))
                name = harness.send(endpoints[endpoint])
                fired.append((name, harness.sent_at[name], endpoint))
            return fired

        try:
            fire([(0.0, 0)])
            return measured(fire, harness.receiver)
        finally:
            harness.stopped.set()


def peers(interpreter: Path) -> Deliveries:
    """By ``django-outbound-webhooks``, as it is installed beside this interpreter."""
    receiver = Receiver()
    urls = [*(receiver.url(0.0) for _ in range(ENDPOINTS)), receiver.url(HANGS_FOR)]
    script = Path(__file__).with_name("django_deliveries.py")
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([interpreter, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as firing,
    ):
        told, heard = firing.stdin, firing.stdout
        assert told is not None
        assert heard is not None

        def say(line: object) -> None:
            told.write(json.dumps(line) + "\n")
            told.flush()

        def fire(plan: Plan) -> Fired:
            say(plan)
            return [(name, at, endpoint) for name, at, endpoint in json.loads(heard.readline())]

        say({"folder": folder, "urls": urls, "text": TEXT})
        fire([(0.0, 0)])
        try:
            return measured(fire, receiver)
        finally:
            told.close()
            firing.wait(30)


@contextmanager
def installed(package: str = PEER) -> Iterator[Path | None]:
    """An interpreter beside which the package is installed, for the time being; None where it cannot be had."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "peer"
        uv = Path(sys.executable).with_name("uv")
        commands: tuple[list[str | Path], ...] = (
            [uv, "venv", "--quiet", "--python", sys.executable, environment],
            [uv, "pip", "install", "--quiet", "--python", environment, package],
        )
        for command in commands:
            if subprocess.run(command, check=False, capture_output=True).returncode:
                yield None
                return
        yield environment / "bin" / "python"


def by_name() -> Iterator[tuple[str, Deliveries | None]]:
    """Ours from a process of its own, then the peer's; None where the peer cannot be installed."""
    aws = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test") | {"AWS_DEFAULT_REGION": "ap-south-1"}
    command = [sys.executable, "-m", "tests.bench.deliveries"]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **aws})
    told = json.loads(run.stdout.splitlines()[-1])
    yield "Checkback", Deliveries(told["per_second"], Waits(**told["quiet"]), Waits(**told["beside"]))
    with installed() as interpreter:
        yield PEER, None if interpreter is None else peers(interpreter)


def table(found: Sequence[tuple[str, Deliveries | None]]) -> Iterator[str]:
    """A row for each."""
    yield "| Who delivers | a second, of a burst | p50, ms | p95, ms | beside: p50, ms | p95, ms | not in time |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, own in found:
        if own is None:
            yield f"| {name}: could not be installed | - | - | - | - | - | - |"
            continue
        waits = [_ms(took) for part in (own.quiet, own.beside) for took in (part.p50, part.p95)]
        yield f"| {name} | {own.per_second:.1f} | {' | '.join(waits)} | {own.quiet.later} + {own.beside.later} |"


def _ms(seconds: float) -> str:
    return format(seconds * 1000, ".0f") if math.isfinite(seconds) else "-"


if __name__ == "__main__":
    print(json.dumps(asdict(ours())), flush=True)
    os._exit(0)  # workers still wait for the endpoint that hangs
