"""Every event on the stage's own bus: a function that reads the table's stream beside dispatch."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from constructs import Construct

from infra.constructs.acknowledged import acknowledge
from infra.constructs.python_function import PythonFunction
from infra.stages import Stage

_BATCH = 100
_MAX_AGE = Duration.hours(23)  # the stream keeps 24 hours
_WITHOUT_END = -1


class EventBusFeed(Construct):
    """Of the two readers that a stream takes at full speed, dispatch is one and this the other."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: Stage,
        code: lambda_.Code,
        table: dynamodb.ITable,
        bus_name: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.function = PythonFunction(
            self,
            "dispatch",
            part="event_bus",
            stage=stage,
            code=code,
            environment={
                "EVENT_BUS_NAME": bus_name,
                **({"EVENT_BUS_PERSONAL_DATA": "on"} if stage.event_bus_personal_data else {}),
            },
        )
        bus = Stack.of(self).format_arn(service="events", resource="event-bus", resource_name=bus_name)
        self.function.allow(["events:PutEvents"], [bus])
        self.function.entry.add_event_source(
            sources.DynamoEventSource(
                table,
                # Events are told from here on, not those of a day ago.
                starting_position=lambda_.StartingPosition.LATEST,
                filters=[
                    lambda_.FilterCriteria.filter(
                        {"eventName": ["INSERT"], "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "E#"}]}}}}
                    )
                ],
                batch_size=_BATCH,
                bisect_batch_on_error=True,
                retry_attempts=_WITHOUT_END,
                max_record_age=_MAX_AGE,
            )
        )
        acknowledge(
            self.function,
            {
                "AwsSolutions-IAM5[Resource::*]": "dynamodb:ListStreams knows no resource.",
                "Serverless-LambdaEventSourceMappingDestination": (
                    "What fails for 23 hours is not lost: GET /v1/events has it. A batch kept elsewhere would be"
                    " several merchants' shoppers in one object, which no erasure reaches."
                ),
            },
        )
