"""The deployed stage as chaos needs it: its functions behind the proxy, its clocks, its workers, its queues.

Everything changed for a run is changed through AWS's own interfaces, and put back.
"""

import json
import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from shared.store import keys
from tests.chaos.engine_log import EngineLog

CLOCK = Path(__file__).parent / "clock"
_ADDED = frozenset({"AWS_ENDPOINT_URL", "PYTHONPATH", "CHAOS_CLOCK", "CHAOS_CLOCK_OF"})
VISIBILITY_SECONDS = 10
MOST_RECEIVES = 40
"""A queue shows a message again after 10 seconds instead of six minutes, and a message is dead after 40 times
instead of 5: half an hour of a queue's patience in seven minutes. Function and visibility timeouts are AWS's business
and no code of ours reads them. Whatever takes longer than that is handled twice at the same time."""
_PLAYED = ("ingest", "merchant_api", "sweep", "dispatch", "deliver", "campaign")
_HURRIED = {"PATIENCE_WITH_AWS": "short"}
"""A call that keeps failing reaches our code after two tries and not after five: more faults in less time. Not in
dispatch, all of whose batch would come again, by the engine's leave after a new worker has started."""
_LANE = {"ScalingConfig": {"MaximumConcurrency": 2}}
"""Batches of a queue at once: every one more is another worker, which takes two seconds of a core to start."""
_SHARD = {"BatchSize": 10}
"""Records of the stream at once while things fail: the engine repeats a batch whole, until all of it passes."""
_A_GLANCE = 0.05
_WATCHED_FOR = 2.0


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
        self._streams: dict[str, dict[str, Any]] = {}
        self._log = EngineLog(folder / "engine.log", self._relieve)
        engine = find(folder)
        self._engine_pid = None if engine is None else engine.pid
        arguments: dict[str, Any] = {**engine_arguments(stack), "config": self._config}
        client: Callable[..., Any] = boto3.client
        for service in ("lambda", "sqs", "dynamodb", "s3", "dynamodbstreams", "scheduler"):
            self._clients[service] = client(service, **arguments)

    def client(self, service: str) -> Any:
        """A client of the engine itself, past the proxy."""
        return self._clients[service]

    def _as_deployed(self) -> dict[str, dict[str, str]]:
        """The functions' variables as they were deployed, without what a run that was killed has left behind."""
        before = {name: self._environment(name) for name in _PLAYED}
        return {name: {own: value for own, value in told.items() if own not in _ADDED} for name, told in before.items()}

    @contextmanager
    def behind(self, proxy_url: str) -> Iterator[None]:
        """The functions' calls to AWS go by the proxy, their clocks by the clock file, while this is entered."""
        self.set_clocks({})
        self._dead_before = self._dead([])
        before = self._as_deployed()
        added = {
            "AWS_ENDPOINT_URL": proxy_url,
            "CHAOS_CLOCK": str(self._clock_file),
        }
        queues = {name: self._queue_settings(name) for name in self.stack["queues"] if "dead" not in name}
        lanes = self._lanes()
        self._streams = {lane: mapped for lane, mapped in lanes.items() if "BatchSize" in mapped}
        changed = {
            name: before[name]
            | added
            | (_HURRIED if name != "dispatch" else {})
            | {"CHAOS_CLOCK_OF": name, "PYTHONPATH": str(CLOCK)}
            for name in _PLAYED
        }
        try:
            self._environments(changed)
            for name, settings in queues.items():
                self._hasten(name, settings)
            for lane, mapped in lanes.items():
                self._set_lane(lane, _LANE if "ScalingConfig" in mapped else _SHARD)
            with self._log:
                yield
        finally:
            self._environments(before)
            for name, settings in queues.items():
                self._set_queue(name, settings)
            for lane, mapped in lanes.items():
                self._set_lane(lane, mapped)
            self._clock_file.unlink(missing_ok=True)

    def warm(self) -> None:
        """Workers of the functions that nobody waits for, so that a storm does not begin with starting all of them."""
        idle: dict[str, Any] = {"Records": []}
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda own: self.invoke(own, idle), ["dispatch", "sweep", "deliver"] * 2))

    def hand_over_all(self) -> None:
        """The stream in batches as they were deployed: what is left of it is told several times as fast."""
        for lane, mapped in self._streams.items():
            self._set_lane(lane, mapped)

    def set_clocks(self, offsets: Mapping[str, float]) -> None:
        """From now on these clocks are off by so many seconds; ``*``: everybody's. Written whole: nobody reads half."""
        written = self._clock_file.with_suffix(".new")
        written.write_text(json.dumps(dict(offsets)))
        written.replace(self._clock_file)

    def sweep(self) -> dict[str, Any] | None:
        """The minute's tick; None where it failed, as a tick may."""
        answer = self.invoke("sweep", {})
        return answer if isinstance(answer, dict) and "outcomes" in answer else None

    def has_event(self, checkout_id: str) -> bool:
        """Whether dispatch has told anything of a checkout."""
        pk, first = keys.event(checkout_id.removeprefix("chk_"), 0)
        told = self._clients["dynamodb"].query(
            TableName=self.stack["table"],
            KeyConditionExpression="pk = :checkout AND begins_with(sk, :event)",
            ExpressionAttributeValues={":checkout": {"S": pk}, ":event": {"S": first[:2]}},
            ConsistentRead=True,
        )
        return bool(told["Items"])

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

    def kill_worker(self, random: Random, function: str) -> bool:
        """SIGKILL for one of a function's workers, whatever it does; whether there was one."""
        workers = sorted(self._workers(function))
        if workers:
            os.kill(random.choice(workers), signal.SIGKILL)
        return bool(workers)

    def kill_at_work(self, function: str) -> bool:
        """SIGKILL for that worker of a function which works most at this moment; False where none works for a while."""
        before = self._worked(function)
        deadline = time.monotonic() + _WATCHED_FOR
        while time.monotonic() < deadline:
            time.sleep(_A_GLANCE)
            now = self._worked(function)
            gained = {own: ticks - before[own] for own, ticks in now.items() if own in before}
            busiest = max(gained, key=gained.__getitem__, default=None)
            if busiest is not None and gained[busiest] > 0:
                os.kill(busiest, signal.SIGKILL)
                return True
            before = now
        return False

    def _worked(self, function: str) -> dict[int, int]:
        """How long each worker of a function has worked in all, in the kernel's ticks."""
        return {pid: _ticks(pid) for pid in self._workers(function)}

    def died_at_work(self) -> Counter[str]:
        """By function, how many batches of a stream or queue lost their worker since the stage is behind the proxy."""
        died = self._log.died_at_work()
        named: dict[str, str] = self.stack["functions"]
        return Counter({own: died[full] for own, full in named.items()})

    def _relieve(self, _: str) -> None:
        """Start a failed reader's next worker at once, so that the stream goes on with the one that is spare.

        On AWS a worker outlives an error; the engine ends it, and would start the next one only when it asks again.
        """
        self.invoke("dispatch", {"Records": []})

    def _workers(self, function: str) -> list[int]:
        """The engine's own children that run a function and have begun: to call AWS, they opened a connection.

        One that is killed before, while it starts, makes the engine end all others of its function as well, those that
        are starting among them, which makes it do so again: a function may then stand still for minutes.
        """
        name = f"ministack-lambda-{self.stack['functions'][function]}-"
        return [
            pid
            for pid, parent, command in _processes()
            if parent == self._engine_pid and name in command and _has_connections(pid)
        ]

    def schedules(self, merchants: Sequence[str]) -> dict[str, str]:
        """Scheduler's schedules of these merchants by name: their expressions."""
        scheduler = self._clients["scheduler"]
        pages = scheduler.get_paginator("list_schedules").paginate()
        ours = [own for page in pages for own in page["Schedules"] if own["Name"].startswith(tuple(merchants))]
        return {
            own["Name"]: scheduler.get_schedule(Name=own["Name"], GroupName=own["GroupName"])["ScheduleExpression"]
            for own in ours
        }

    def waiting(self, merchants: Sequence[str]) -> dict[str, int]:
        """How many messages about these merchants each queue holds, shown, hidden or delayed."""
        return {name: len(bodies) for name, bodies in self._bodies(merchants).items()}

    def dead(self, merchants: Sequence[str]) -> list[str]:
        """What has come into the dead letter queues since the stage is behind the proxy; it stays there."""
        left = Counter(self._dead(merchants)) - Counter(self._dead_before or [])
        return list(left.elements())

    def _dead(self, merchants: Sequence[str]) -> list[str]:
        return [own for name, bodies in self._bodies(merchants).items() if "dead" in name for own in bodies]

    def _bodies(self, merchants: Sequence[str]) -> dict[str, list[str]]:
        """By queue what is about these merchants, or about nobody, without receiving it: others may use the stage."""
        with urllib.request.urlopen(f"{self.engine_url}/_ministack/sqs/messages", timeout=30) as answer:  # noqa: S310
            told = json.loads(answer.read())
        by_url = {
            url: messages
            for account in told["messages"].values()
            for region in account.values()
            for url, messages in region.items()
        }
        return {
            name: [own["Body"] for own in by_url[url] if _is_about(own["Body"], merchants)]
            for name, url in self.stack["queues"].items()
        }

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

    def _lanes(self) -> dict[str, dict[str, Any]]:
        """The mappings of queues and of the stream to functions, with what of them is changed for a run."""
        pages = self._clients["lambda"].get_paginator("list_event_source_mappings").paginate()
        mappings = [own for page in pages for own in page["EventSourceMappings"]]
        return {
            own["UUID"]: {"ScalingConfig": own.get("ScalingConfig") or {}}
            if ":sqs:" in own["EventSourceArn"]
            else {"BatchSize": own["BatchSize"]}
            for own in mappings
        }

    def _set_lane(self, lane: str, mapped: Mapping[str, Any]) -> None:
        self._clients["lambda"].update_event_source_mapping(UUID=lane, **mapped)

    def _hasten(self, name: str, settings: Mapping[str, str]) -> None:
        policy = json.loads(settings["RedrivePolicy"]) | {"maxReceiveCount": MOST_RECEIVES}
        self._set_queue(name, {"VisibilityTimeout": str(VISIBILITY_SECONDS), "RedrivePolicy": json.dumps(policy)})

    def _set_queue(self, name: str, settings: Mapping[str, str]) -> None:
        self._clients["sqs"].set_queue_attributes(QueueUrl=self.stack["queues"][name], Attributes=dict(settings))


def _is_about(body: str, merchants: Sequence[str]) -> bool:
    return "mer_" not in body or any(own in body for own in merchants)


def _has_connections(pid: int) -> bool:
    try:
        return any(str(own.readlink()).startswith("socket:") for own in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # gone, or going
        return False


def _ticks(pid: int) -> int:
    """Processor time of a process so far; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _processes() -> Iterator[tuple[int, int, str]]:
    """Every process: its number, its parent's, its command line. Linux only, like all that looks into processes."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            yield int(folder.name), parent, command
