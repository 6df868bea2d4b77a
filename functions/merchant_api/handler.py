"""The merchant API's handler: one HTTP API event in, one answer out."""

from typing import Any

from functions.merchant_api.description import described
from functions.merchant_api.pipeline import Pipeline
from functions.merchant_api.resolver import build
from functions.merchant_api.services import services
from shared.aws.front import behind_front
from shared.aws.function_log import function_logger
from shared.aws.snapshot import renew_after_restore

_logger = function_logger("merchant_api")
renew_after_restore()
_pipeline = Pipeline(described(build(_logger)), services, _logger)


@behind_front
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request."""
    return _pipeline.answer(event, context)
