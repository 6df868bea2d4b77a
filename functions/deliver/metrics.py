"""The metric of endpoints that were switched off."""

from shared.aws.embedded_metrics import count


def count_disabled(reason: str) -> None:
    """Count an endpoint that stopped receiving."""
    count("EndpointDisabled", service="deliver", about={"reason": reason})
