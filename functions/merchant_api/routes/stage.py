"""``/v1/stage``: how the stage fares, for its operator. Nothing of merchants or shoppers."""

from functions.merchant_api.operations import OPERATOR
from functions.merchant_api.session import Json, answer, new_router, session
from shared.api.stage_health import StageHealthJson, stage_health_json
from shared.workflows.insight.stage_health import stage_health

router = new_router()


@router.get("/v1/stage/health", security=OPERATOR, summary="How the stage fares", tags=["Operator"])
def read_stage_health() -> Json[StageHealthJson]:
    """Alarms that ring, queues, the sweep, how far behind events are, and the version that answers.

    Asked of CloudWatch and SQS at once, for four seconds at most: what did not answer is named in `unknown`.
    """
    own = session(router)
    environment = own.services.environment
    health = stage_health(own.services.stage_watch, own.services.now)
    version = environment.variables.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
    return answer(stage_health_json(health, environment.stage, version))
