"""Counting what was set aside: a row, a record or a report that cannot be worked with and held up nothing else."""

import logging
import os

_logger = logging.getLogger(__name__)
NAMESPACE = "Checkback"
METRIC = "SetAside"
SERVICE = "checkback"


def count_set_aside(what: str, why: str, where: str) -> None:
    """Log it and count it (CloudWatch embedded metric, by stage); the alarm ``SetAside`` watches the count.

    ``what`` is a word for its kind, ``why`` an error's name, ``where`` an id or key: never what it holds.
    """
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    _logger.error("set aside: %s (%s) at %s", what, why, where)
    with single_metric(name=METRIC, unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="service", value=SERVICE)
        metric.add_dimension(name="stage", value=os.environ.get("STAGE", "unknown"))
        metric.add_metadata(key="what", value=what)
        metric.add_metadata(key="why", value=why)
        metric.add_metadata(key="where", value=where)
