"""The deployed stage as chaos needs it: its functions behind the proxy, its clocks, its workers, its queues.

Everything changed for a run is changed through AWS's own interfaces, and put back.
"""

import json
import os
import signal
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.engine import find
from infra.local.shop import engine_arguments

CLOCK = Path(__file__).parent / "clock"
_ADDED = frozenset({"AWS_ENDPOINT_URL", "PYTHONPATH", "CHAOS_CLOCK", "CHAOS_CLOCK_OF"})
VISIBILITY_SECONDS = 20
MOST_RECEIVES = 20
"""A queue shows a message again after 20 seconds instead of six minutes, and a message is dead after 20 times
instead of 5: half an hour of a queue's patience in seven minutes. Function and visibility timeouts are AWS's business
and no code of ours reads them."""


class Stage:
    """One deployed stage on a local engine."""

    def __init__(self, stack: dict[str, Any], folder: Path) -> None:
        """``stack`` as ``make local`` wrote it, ``folder`` the engine's own."""
        self.stack = stack
        self.folder = folder
        self.engine_url: str = stack["engine_url"]
        self._clock_file = (folder / "clock.json").resolve()
        self._config = Config(retries={"total_max_attempts": 3}, read_timeout=330, max_pool_connections=32)
        self._clients: dict[str, Any] = {}
        self._dead_before: list[str] | None = None
        engine = find(folder)
        self._engine_pid = None if engine is None else engine.pid
        for service in ("lambda", "sqs", "dynamodb", "s3", "dynamodbstreams", "scheduler"):
            self._clients[service] = boto3.client(service, **{**engine_arguments(stack), "config": self._config})

    def client(self, service: str) -> Any:
        """A client of the engine itself, past the proxy."""
        return self._clients[service]

    def as_deployed(self) -> dict[str, dict[str, str]]:
        """The functions' variables, without what a run that was killed has left behind, which is removed."""
        before = {name: self._environment(name) for name in self.stack["functions"]}
        clean = {
            name: {own: value for own, value in told.items() if own not in _ADDED} for name, told in before.items()
        }
        self._environments({name: own for name, own in clean.items() if own != before[name]})
        return clean

    @contextmanager
    def behind(self, proxy_url: str) -> Iterator[None]:
        """The functions' calls to AWS go by the proxy, their clocks by the clock file, while this is entered."""
        self.set_clocks({})
        self._dead_before = self._dead()
        before = self.as_deployed()
        added = {
            "AWS_ENDPOINT_URL": proxy_url,
            # A call that keeps failing reaches our code after two tries and not after five: more faults in less time.
            "PATIENCE_WITH_AWS": "short",
            "PYTHONPATH": str(CLOCK),
            "CHAOS_CLOCK": str(self._clock_file),
        }
        queues = {name: self._queue_settings(name) for name in self.stack["queues"] if "dead" not in name}
        try:
            self._environments({name: own | added | {"CHAOS_CLOCK_OF": name} for name, own in before.items()})
            for name, settings in queues.items():
                self._hasten(name, settings)
            yield
        finally:
            self._environments(before)
            for name, settings in queues.items():
                self._set_queue(name, settings)
            self._clock_file.unlink(missing_ok=True)

    def set_clocks(self, offsets: Mapping[str, float]) -> None:
        """From now on these clocks are off by so many seconds; ``*``: everybody's. Written whole: nobody reads half."""
        written = self._clock_file.with_suffix(".new")
        written.write_text(json.dumps(dict(offsets)))
        written.replace(self._clock_file)

    def sweep(self) -> dict[str, Any] | None:
        """The minute's tick; None where it failed, as a tick may."""
        answer = self.invoke("sweep", {})
        return answer if isinstance(answer, dict) and "outcomes" in answer else None

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """What a function answers; None where it raised or was killed."""
        try:
            told = self._clients["lambda"].invoke(
                FunctionName=self.stack["functions"][function], Payload=json.dumps(event).encode()
            )
        except (ClientError, BotoCoreError):
            return None
        payload = told["Payload"].read()
        return None if "FunctionError" in told else json.loads(payload)

    def kill_worker(self, random: Random, function: str | None = None) -> str | None:
        """SIGKILL for one of the engine's Lambda workers, in the middle of whatever it does; whose it was."""
        workers = [
            (pid, name)
            for pid, name in self._workers()
            if function is None or name == self.stack["functions"][function]
        ]
        if not workers:
            return None
        pid, name = random.choice(sorted(workers))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        functions: dict[str, str] = self.stack["functions"]
        return next(own for own, full in functions.items() if full == name)

    def _workers(self) -> list[tuple[int, str]]:
        """The engine's own children that run functions, by process and function name."""
        names = sorted(self.stack["functions"].values(), key=len, reverse=True)
        found = []
        for pid, parent, command in _processes():
            if parent == self._engine_pid and "ministack-lambda-" in command:
                found += [(pid, name) for name in names if f"ministack-lambda-{name}-" in command][:1]
        return found

    def waiting(self) -> dict[str, int]:
        """How many messages each queue holds, shown, hidden or delayed."""
        return {name: self._waiting(url) for name, url in self.stack["queues"].items()}

    def _waiting(self, url: str) -> int:
        told = self._clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        counted = ("", "NotVisible", "Delayed")
        return sum(int(told[f"ApproximateNumberOfMessages{own}"]) for own in counted)

    def dead(self) -> list[str]:
        """What has come into the dead letter queues since the stage is behind the proxy; it stays there."""
        left = Counter(self._dead()) - Counter(self._dead_before or [])
        return list(left.elements())

    def _dead(self) -> list[str]:
        """The bodies in the dead letter queues, without receiving them."""
        with urllib.request.urlopen(f"{self.engine_url}/_ministack/sqs/messages", timeout=30) as answer:  # noqa: S310
            told = json.loads(answer.read())
        queues = [
            pair for account in told["messages"].values() for region in account.values() for pair in region.items()
        ]
        return [own["Body"] for url, messages in queues if "DeadLetters" in url for own in messages]

    def _environment(self, name: str) -> dict[str, str]:
        told = self._clients["lambda"].get_function_configuration(FunctionName=self.stack["functions"][name])
        variables: dict[str, str] = told["Environment"]["Variables"]
        return variables

    def _environments(self, wanted: Mapping[str, Mapping[str, str]]) -> None:
        def put(name: str) -> None:
            self._clients["lambda"].update_function_configuration(
                FunctionName=self.stack["functions"][name], Environment={"Variables": dict(wanted[name])}
            )

        with ThreadPoolExecutor(len(wanted) or 1) as threads:
            list(threads.map(put, wanted))

    def _queue_settings(self, name: str) -> dict[str, str]:
        told = self._clients["sqs"].get_queue_attributes(QueueUrl=self.stack["queues"][name], AttributeNames=["All"])
        return {own: told["Attributes"][own] for own in ("VisibilityTimeout", "RedrivePolicy")}

    def _hasten(self, name: str, settings: Mapping[str, str]) -> None:
        policy = json.loads(settings["RedrivePolicy"]) | {"maxReceiveCount": MOST_RECEIVES}
        self._set_queue(name, {"VisibilityTimeout": str(VISIBILITY_SECONDS), "RedrivePolicy": json.dumps(policy)})

    def _set_queue(self, name: str, settings: Mapping[str, str]) -> None:
        self._clients["sqs"].set_queue_attributes(QueueUrl=self.stack["queues"][name], Attributes=dict(settings))


def _processes() -> Iterator[tuple[int, int, str]]:
    """Every process: its number, its parent's, its command line."""
    if not Path("/proc/self").exists():
        listing = ["ps", "-ww", "-A", "-o", "pid=,ppid=,command="]
        listed = subprocess.run(listing, check=True, capture_output=True, text=True)
        for line in listed.stdout.splitlines():
            pid, above, told = line.split(maxsplit=2)
            yield int(pid), int(above), told
        return
    for folder in Path("/proc").glob("[0-9]*"):  # small Linux images have no ps
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            yield int(folder.name), parent, command
