"""Counting what was set aside: a row, a record or a report that cannot be worked with and held up nothing else."""

import logging

from shared.aws.embedded_metrics import count

_logger = logging.getLogger(__name__)


def count_set_aside(what: str, why: str, where: str) -> None:
    """Log it and count it; the alarm ``SetAside`` watches the count.

    ``what`` is a word for its kind, ``why`` an error's name, ``where`` an id or key: never what it holds.
    """
    _logger.error("set aside: %s (%s) at %s", what, why, where)
    count("SetAside", service="checkback", about={"what": what, "why": why, "where": where})
