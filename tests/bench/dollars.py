"""What a shopper costs: the counted units and calls of their flows, at list prices (``prices.json``).

A session is that of FlexyPe: eight webhooks, of which the first begins a checkout and the last may be a purchase; seven
of ten shoppers walk away. A merchant has one endpoint that hears of abandonments, recoveries and purchases.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRICES = json.loads((Path(__file__).parent / "prices.json").read_text())
WEBHOOKS, ABANDONED = 8, 0.7
MEMORY_GB = 0.5
SECONDS = {"webhook": 0.02, "announcing": 0.06, "delivering": 0.3}
"""How long a function is held, by assumption: of the network's waits nothing is measured here. A webhook's is two calls
of 5 ms and its processor's time; records and messages come one by one, the dearest case."""
CALL, WORK, ANSWER = 0.005, 0.01, 0.275
"""The same for several at once, in seconds: of each call, of the processor for each record or message, and of the
receivers' answers, which come at the same time. One alone comes to what is said above, within a tenth."""
LOG_BYTES = {"request": 160, "webhook": 277, "record": 205, "delivery": 232}
"""Of a line, with its end: of the API's access log, and what a function writes of a webhook, of a record that is told
and of a delivery. Each is counted (``test_correlation.py``, ``test_service_stack.py``). Left out are each sweep's line
and what Lambda writes of runs that fail."""
LOG_EVENT = 26
"""Bytes that CloudWatch Logs adds to each line (CloudWatch Logs API reference, PutLogEvents)."""
_QUEUED = ("SendMessage", "SendMessageBatch")


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars per million webhooks, by what they are paid for, and the write units of one session."""

    parts: Mapping[str, float]
    session_writes: float

    @property
    def total(self) -> float:
        """Dollars per million webhooks."""
        return sum(self.parts.values())


def weights() -> dict[str, float]:
    """How often a session goes through each flow, on the average."""
    bought = 1 - ABANDONED
    return {
        "first webhook": 1,
        "repeat that changes the cart": WEBHOOKS - 1 - bought,
        "sweep that moves one": ABANDONED,
        "announcing an abandonment": ABANDONED,
        "delivering it": ABANDONED,
        "purchase": bought,
        "announcing a purchase": bought,
        "delivering a purchase": bought,
    }


def of_a_session(flows: Mapping[str, Mapping[str, Any]]) -> Cost:
    """The mean session, spread over its webhooks. ``flows``: figures by name, as the ceilings have them."""
    # An abandonment or a purchase each: told once, delivered once.
    held = WEBHOOKS * SECONDS["webhook"] + SECONDS["announcing"] + SECONDS["delivering"]
    lines = {"request": WEBHOOKS, "webhook": WEBHOOKS, "record": 1, "delivery": 1}
    return _cost(flows, weights(), spread=WEBHOOKS, asked=WEBHOOKS, runs=WEBHOOKS + 2, held=held, lines=lines)


def of_the_feed(flows: Mapping[str, Mapping[str, Any]], together: int) -> Cost:
    """Deliveries of ``checkout.updated``, one by one or so many together, spread over the deliveries; without the
    webhooks that they tell of. Calls of a batch come one after the other, its messages go out at once."""
    many = "an update" if together == 1 else f"{together} updates"
    times = {f"announcing {many}": 1.0, f"delivering {many}": 1.0}
    calls = sum(sum(flows[own]["calls"].values()) for own in times)
    held = calls * CALL + 2 * together * WORK + ANSWER
    lines = {"record": together, "delivery": together}
    return _cost(flows, times, spread=together, asked=0, runs=2, held=held, lines=lines)


def _cost(
    flows: Mapping[str, Mapping[str, Any]],
    times: Mapping[str, float],
    *,
    spread: int,
    asked: int,
    runs: int,
    held: float,
    lines: Mapping[str, int],
) -> Cost:
    """Flows by how often they are gone through, spread over so many; ``held``: seconds of functions in all."""
    price = PRICES["per_million"]
    logged = sum(often * (LOG_BYTES[line] + LOG_EVENT) for line, often in lines.items())
    writes = reads = sent = kms = 0.0
    for name, often in times.items():
        found = flows[name]
        writes += often * (found["table"] + found["indexes"])
        reads += often * found["reads"]
        sent += often * sum(found["calls"].get(own, 0) for own in _QUEUED)
        kms += often * found["calls"].get("Decrypt", 0)
    parts = {
        "requests of the API": asked * price["api_request"],
        "requests of functions": runs * price["lambda_request"],
        "time of functions": held * MEMORY_GB * PRICES["lambda_gb_second"] * 1_000_000,
        "writes": writes * price["write_unit"],
        "reads": reads * price["read_unit"],
        # Received and deleted is all that one run is given, in two calls.
        "queue": (sent + 2) * price["sqs_request"],
        "keys": kms * price["kms_request"],
        "logs": logged / 10**9 * PRICES["log_gb"] * 1_000_000,
    }
    return Cost({name: own / spread for name, own in parts.items()}, writes)
