"""The metric of endpoints that were switched off."""


def count_disabled(reason: str) -> None:
    """Count an endpoint that stopped receiving (CloudWatch embedded metric, namespace Checkback)."""
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    with single_metric(name="EndpointDisabled", unit=MetricUnit.Count, value=1, namespace="Checkback") as metric:
        metric.add_dimension(name="service", value="deliver")
        metric.add_metadata(key="reason", value=reason)
