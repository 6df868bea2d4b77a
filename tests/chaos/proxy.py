"""The proxy between the functions and AWS: ``microburst`` of the engine's own environment, with rules of faults."""

import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from infra.local.engine import PROJECT

_BINARY = PROJECT / ".engine" / "bin" / "microburst"
_READY_WITHIN = 30.0
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Fired:
    """One fault that was played: when, which (by its name), on what, and the how-manieth it was of its rule.

    ``index`` is the call's number among those that the rule matched, from 1: with the seed it names the call.
    """

    at: float
    fault: str
    call: str
    action: str
    index: int

    def __str__(self) -> str:
        return f"{self.fault} on {self.call}, call {self.index} ({self.action})"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the proxy and the name of the fault it belongs to."""

    fault: str
    plain: dict[str, Any]

    def index_of(self, fired: int) -> int:
        """The call's number at the ``fired``-th firing, from 1."""
        fail, passed = self.plain.get("sequence", (1, 0))
        rounds, within = divmod(fired - 1, fail)
        return int(rounds * (fail + passed) + within + 1)


class Proxy:
    """A context manager: runs while it is entered."""

    def __init__(self, upstream: str, log: Path) -> None:
        """``upstream``: the engine's URL; ``log``: where the proxy's own words go."""
        self._upstream = upstream
        self._log = log
        self._rules: dict[int, Rule] = {}
        self._seen: dict[int, int] = {}
        self._fired: list[Fired] = []
        self._since = 0.0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._http = httpx.Client(base_url=self.url, timeout=_PATIENCE, trust_env=False)

    @property
    def url(self) -> str:
        """What the functions take for AWS.

        A name without dots: in another the proxy looks for one of AWS's services, for which it reads the models of
        them all at its first call, 2 seconds of a processor and 380 MB.
        """
        return f"http://localhost:{self._port}"

    def __enter__(self) -> Self:
        arguments = ["--upstream", self._upstream, "--host", "127.0.0.1", "--port", str(self._port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(_BINARY), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _READY_WITHIN
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                msg = f"the proxy did not start; its log is {self._log}"
                raise RuntimeError(msg)
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._process.kill()  # it has nothing to put in order, and would wait for connections to end
        self._process.wait()

    def play(self, rules: Sequence[Rule]) -> None:
        """These rules from now on, and no others."""
        self.fired()  # what the old ones did, before they are forgotten
        made = self._http.post("/_microburst/rules", json=[own.plain for own in rules]).raise_for_status().json()
        self._rules |= {own["id"]: rule for own, rule in zip(made, rules, strict=True)}

    def fired(self) -> list[Fired]:
        """Everything played so far, oldest first."""
        told = self._http.get("/_microburst/fired", params={"limit": 2000, "since": self._since})
        for event in told.raise_for_status().json():
            rule = self._rules[event["rule_id"]]
            count = self._seen[event["rule_id"]] = self._seen.get(event["rule_id"], 0) + 1
            call = f"{event['service']}.{event['operation']}"
            self._fired.append(Fired(event["ts"], rule.fault, call, event["action"], rule.index_of(count)))
        self._http.delete("/_microburst/fired")
        return list(self._fired)

    def _ready(self) -> bool:
        try:
            return self._http.get("/_microburst/health").status_code == 200
        except httpx.HTTPError:
            return False
