"""Refusals of ingest as RFC 9457 problems, and the metrics behind its alarms."""

from datetime import datetime, timedelta
from typing import Any

from shared.aws.embedded_metrics import count
from shared.aws.http_api import problem

HEARD_EVERY = timedelta(minutes=15)


def unknown_source() -> dict[str, Any]:
    """404."""
    return problem(404, "Not Found", "There is no such source.")


def unauthenticated(detail: str) -> dict[str, Any]:
    """401: what failed, never what was expected."""
    return problem(401, "Unauthorized", f"The webhook is not proved to come from the provider: {detail}.")


def come_back() -> dict[str, Any]:
    """409: what Checkback itself sent; taken, it would go out and come back for ever."""
    return problem(409, "Loop Detected", "This request was sent by Checkback itself. It is not taken in again.")


def not_readable(detail: str) -> dict[str, Any]:
    """400."""
    return problem(400, "Bad Request", f"{detail[:1].upper()}{detail[1:]}.")


def too_many(again_in: timedelta) -> dict[str, Any]:
    """429: nothing is stored, and the provider may try again after a while."""
    seconds = max(-(-again_in // timedelta(seconds=1)), 1)
    detail = "The source or its merchant sends more webhooks than are taken in within a minute."
    return problem(429, "Too Many Requests", detail, {"retry-after": str(seconds)})


def unavailable() -> dict[str, Any]:
    """503: nothing is stored and the provider must try again."""
    return problem(503, "Service Unavailable", "The webhook could not be stored. Send it again.", {"retry-after": "1"})


def count_quarantined() -> None:
    """Count a quarantined body; the alarm ``Quarantined`` watches their share."""
    count("Quarantined", service="ingest")


def count_above_rate() -> None:
    """Count a sender that met its rate, once a minute; the alarm ``AboveRate`` watches the count."""
    count("AboveRate", service="ingest")


def count_not_stored() -> None:
    """Count a webhook that was answered 503: for Lambda that is a success. The alarm ``WebhooksNotStored`` watches."""
    count("NotStored", service="ingest")


_heard: dict[str, datetime] = {}


def count_heard(provider: str, now: datetime) -> None:
    """Count that a provider was heard, once in a quarter of an hour and process; ``ProviderSilent`` misses it."""
    before = _heard.get(provider)
    if before is None or now - before >= HEARD_EVERY:
        _heard[provider] = now
        count("Heard", service=f"ingest/{provider}")
