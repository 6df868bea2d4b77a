"""The merchant API's handler: one HTTP API event in, one answer out.

``{"rotate": "begin" | "reseal" | "end", …}`` comes from an operator's command, which invokes the function itself: what
arrives over HTTP stands within an event of the API's own form, and cannot be that.
"""

from typing import Any

from functions.merchant_api.description import described
from functions.merchant_api.pipeline import Pipeline
from functions.merchant_api.resolver import build
from functions.merchant_api.services import prepare, services
from shared.aws.front import behind_front
from shared.aws.function_log import function_logger
from shared.aws.preparing import prepare_where_it_is_free
from shared.aws.snapshot import renew_after_restore

_logger = function_logger("merchant_api")
renew_after_restore()
SPARE_MS = 12_000
"""With less time left the credentials of no further merchant are sealed anew: the command goes on in another call."""
_pipeline = Pipeline(described(build(_logger)), services, _logger)


@behind_front
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request, or do one piece of a rotation of the data key."""
    if "rotate" in event:
        return _rotated(event, context)
    return _pipeline.answer(event, context)


def _rotated(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Begin with a version, seal as much anew as there is time for, or end."""
    rotation, version = services().credential_rotation, event.get("version")
    if version is None:
        return {"version": rotation.begin()}
    if event["rotate"] == "end":
        rotation.end(version)
        return {"version": version}
    done = rotation.reseal(version, event.get("after"), lambda: context.get_remaining_time_in_millis() < SPARE_MS)
    _logger.info("credentials_resealed", version=version, resealed=done.resealed, left=len(done.left))
    return done.as_json()


prepare_where_it_is_free("merchant_api", prepare)
