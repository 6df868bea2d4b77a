"""Metrics of our own: CloudWatch reads them out of a function's log (embedded metric format), without a call to it.

Each has the dimensions ``service`` and ``stage`` and no other: every further value of a dimension is a metric of its
own, at 0.30 USD a month. (Where a provider is heard, ``service`` names it: as many as there are modules.) What is
counted only where something goes wrong costs nothing while nothing does.

Amazon CloudWatch User Guide, "Embedded metric format specification". Powertools' metrics, by which tests measure the
lines, are twelve modules more in every function.
"""

import json
import os
import sys
import time
from typing import Literal

NAMESPACE = "Checkback"

Unit = Literal["Count", "Seconds"]


def count(name: str, *, service: str, about: dict[str, str] | None = None) -> None:
    """One more ``name``. ``about`` goes into the log beside it: ids and words of ours, never what a shopper gave."""
    measure(name, 1, service=service, unit="Count", about=about)


def measure(name: str, value: float, *, service: str, unit: Unit, about: dict[str, str] | None = None) -> None:
    """One value of ``name``."""
    dimensions = {"service": service, "stage": os.environ.get("STAGE", "unknown")}
    metric = {"Namespace": NAMESPACE, "Dimensions": [[*dimensions]], "Metrics": [{"Name": name, "Unit": unit}]}
    told = {"_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [metric]}, **dimensions}
    line = json.dumps(told | (about or {}) | {name: [float(value)]}, separators=(",", ":"))
    sys.stdout.write(line + "\n")
