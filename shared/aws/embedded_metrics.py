"""Metrics of our own: CloudWatch reads them out of a function's log (embedded metric format), without a call to it.

Each has the dimensions ``service`` and ``stage`` and no other: every further value of a dimension is a metric of its
own, at 0.30 USD a month. (Where a provider is heard, ``service`` names it: as many as there are modules.) What is
counted only where something goes wrong costs nothing while nothing does.
"""

import os
from collections.abc import Mapping
from typing import Literal

from aws_lambda_powertools.metrics import MetricUnit, single_metric

NAMESPACE = "Checkback"

Unit = Literal["Count", "Seconds"]


def count(name: str, *, service: str, about: Mapping[str, object] | None = None) -> None:
    """One more ``name``. ``about`` goes into the log beside it: ids and words of ours, never what a shopper gave."""
    measure(name, 1, service=service, unit="Count", about=about)


def measure(name: str, value: float, *, service: str, unit: Unit, about: Mapping[str, object] | None = None) -> None:
    """One value of ``name``."""
    with single_metric(name=name, unit=MetricUnit[unit], value=value, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="service", value=service)
        metric.add_dimension(name="stage", value=os.environ.get("STAGE", "unknown"))
        for key, word in (about or {}).items():
            metric.add_metadata(key=key, value=word)
