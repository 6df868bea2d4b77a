"""Functions that start: processes of their own with nothing but the bundle, by the time of their own processor."""

import base64
import copy
import itertools
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.constructs.bundling import Bundler
from infra.functions import FUNCTION_NAMES, FunctionName

PROJECT = Path(__file__).parents[2]
_WHOLE_MB = 1_769
"""Of memory, which buy a whole processor after the import. AWS Lambda Developer Guide, "Memory"."""
WARM_CALLS = 150
type Events = Callable[[], list[dict[str, Any]]]
_sessions = itertools.count()


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds of a processor, the smallest of several processes; modules after the import and at the end."""

    imported: float
    first: float
    warm: float | None
    modules_imported: int
    modules: int
    memory_mb: int = 512
    packages: Mapping[str, int] = field(default_factory=dict)
    """Modules after the import, by package."""

    @property
    def cold_answer(self) -> float:
        """Seconds until a function of this memory that is started anew has answered, its waits for AWS left out."""
        return self.imported + self.first * _WHOLE_MB / self.memory_mb


@contextmanager
def a_stage() -> Iterator[dict[str, Any]]:
    """``tests.bench.stage`` in a process: the environment, the webhooks and the requests."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.stage"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # It proves webhooks as the command line does.
        env={**os.environ, "PYTHONPATH": str(PROJECT / "infra" / "cli")},
    ) as stage:
        assert stage.stdin is not None
        assert stage.stdout is not None
        try:
            yield json.loads(stage.stdout.readline())
        finally:
            stage.stdin.close()


def unpacked(name: FunctionName, folder: Path) -> tuple[Path, int]:
    """The function's bundle for this machine, unpacked, and its bytes."""
    root = folder / name
    with zipfile.ZipFile(Bundler("native").build(name).path) as archive:
        archive.extractall(root)
        return root, sum(entry.file_size for entry in archive.infolist())


def started(
    environment: dict[str, str],
    bundle: Path,
    module: str,
    events: Events,
    *,
    times: int,
    status: int = 200,
    memory_mb: int = 512,
    library: bool = False,
) -> Start:
    """Start the function ``times`` times and have it answer the events; ``library``: what it writes, written alone."""
    found = [_one(environment, bundle, module, events(), status, library=library) for _ in range(times)]
    packages = found[0]["packages"]
    timed = {name for name, own in found[0].items() if own is not None} - {"packages"}
    least = {name: min(own[name] for own in found) for name in timed}
    modules = least["modules_imported"], least["modules"]
    return Start(least["import"], least["first"], least.get("warm"), *modules, memory_mb=memory_mb, packages=packages)


def _one(
    environment: dict[str, str],
    bundle: Path,
    module: str,
    events: list[dict[str, Any]],
    status: int,
    *,
    library: bool,
) -> dict[str, Any]:
    given = {"bundle": str(bundle), "module": module, "events": events, "status": status, "library": library}
    run = subprocess.run(
        [sys.executable, "-S", str(PROJECT / "tests" / "bench" / "one_process.py")],
        check=False,
        capture_output=True,
        input=json.dumps(given),
        text=True,
        env={**environment, "PATH": os.environ["PATH"]},
    )
    if run.returncode != 0:
        raise RuntimeError(f"{module}: {run.stderr[-2_000:]}")
    result: dict[str, Any] = json.loads(run.stderr.splitlines()[-1])
    return result


@dataclass(frozen=True, slots=True)
class Warm:
    """Seconds of a processor, medians of many calls: bare, our client writing a webhook's row, and the webhook."""

    bare: float
    library: float
    webhook: float


def warm_in_turns(
    environment: dict[str, str], site: Path, bundle: Path, webhook: dict[str, Any], *, times: int
) -> Iterator[Warm]:
    """A process of each, one after the other, so many times: what else the machine does meets all three."""
    ingest, many = "functions.ingest.handler", first_webhooks(webhook, WARM_CALLS)
    for _ in range(times):
        bare = started(environment, site, "bare", bare_writes(WARM_CALLS), times=1).warm
        library = started(environment, bundle, ingest, many, times=1, library=True).warm
        whole = started(environment, bundle, ingest, many, times=1).warm
        assert bare is not None
        assert library is not None
        assert whole is not None
        yield Warm(bare, library, whole)


def bare_writes(count: int) -> Events:
    """What a process writes that does nothing else: items of 1.5 KB."""
    return lambda: [
        {
            "TableName": "checkback",
            "Key": {"pk": {"S": "bare"}, "sk": {"S": f"{os.getpid()} {next(_sessions)}"}},
            "UpdateExpression": "SET a = :a",
            "ExpressionAttributeValues": {":a": {"S": "x" * 1_500}},
        }
        for _ in range(count)
    ]


def peers_event(folder: Path) -> Events:
    """What the peer is asked: its own ``event.json``, else an order, as ``aws-lambda-handler-cookbook`` takes one."""
    own = folder / "event.json"
    order = {"customer_name": "A shopper", "order_item_count": 2}
    asked = {"httpMethod": "POST", "path": "/api/orders/", "headers": {"content-type": "application/json"}}
    context = {"requestContext": {"requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "stage": "prod"}}
    event = json.loads(own.read_text()) if own.is_file() else asked | context | {"body": json.dumps(order)}
    return lambda: [event]


def first_webhooks(event: dict[str, Any], count: int) -> Events:
    """FlexyPe's webhook, each of a session of its own: all are accepted and written."""

    def one() -> dict[str, Any]:
        changed = copy.deepcopy(event)
        body = json.loads(base64.b64decode(changed["body"]))
        body["checkout_url"] = f"https://flexype.myshopify.com/?flx_s=s{os.getpid()}-{next(_sessions)}"
        changed["body"] = base64.b64encode(json.dumps(body).encode()).decode()
        return changed

    return lambda: [one() for _ in range(count)]


def others() -> tuple[FunctionName, ...]:
    """Every function but ingest."""
    return tuple(name for name in FUNCTION_NAMES if name != "ingest")
