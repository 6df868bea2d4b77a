"""Counting what DynamoDB throttles: every refused try, of the table and of each index alike.

AWS counts for itself as well, but apart for the table, each index and each operation, which would be as many alarms.
"""

from typing import Any

from shared.aws.embedded_metrics import count

CODES = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})
"""Amazon DynamoDB Developer Guide, "Error handling with DynamoDB": refused for now, by capacity or rate."""


def count_throttles(client: Any) -> None:
    """From now on each throttled try of the client is counted; the alarm ``TableThrottled`` watches the count."""
    client.meta.events.register_first("needs-retry", _look)


def _look(response: tuple[Any, dict[str, Any]] | None = None, **_: Any) -> None:
    """After every try."""
    if response is not None and response[1].get("Error", {}).get("Code") in CODES:
        count("Throttled", service="checkback")
