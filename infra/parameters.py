"""Names that a stage's stacks and commands agree on: its SSM parameters, its configuration set, its tenants.

Commands read them without the CDK, whose import starts a Node.
"""

from typing import Final

PUBLISHED: Final = {
    "TableName": "table-name",
    "TableStreamArn": "table-stream-arn",
    "CredentialsKeyArn": "credentials-key-arn",
    "AdminKeySecretArn": "admin-key-secret-arn",
    "KeysSecretArn": "keys-secret-arn",
    "QuarantineBucketName": "quarantine-bucket-name",
    "ScheduleGroupName": "schedule-group-name",
}
"""What a stage publishes, by the names of the service stack's own parameters."""
OF_SOME: Final = {"FactsBucketName": "facts-bucket-name", "EventBusName": "event-bus-name"}
"""What only a stage publishes that has it."""
FRONT_REGION: Final = "us-east-1"
"""Where the front's stack must be."""
FRONT_KEY: Final = "front-key"
"""What the parameter is called that ``infra.operations.front_key`` writes."""


def parameter_name(stage: str, said: str) -> str:
    """The parameter by which the stage's state stack says one thing of itself."""
    return f"/checkback/{stage}/{said}"


def configuration_set_name(stage: str) -> str:
    """The configuration set with which mails of the stage's own SES go out."""
    return f"checkback-{stage}"


def tenant_prefix(stage: str) -> str:
    """What the names of the stage's tenants in SES begin with, before the merchant's id.

    A function's role may send as those alone, so stages of one account do not send as each other's merchants.
    """
    return f"checkback-{stage}-"


def restored_stream_parameter(stage: str, table: str) -> str:
    """Where ``infra.operations.adopt_table`` says what stream a restored table has.

    Without it no deployment takes the table: it was not adopted.
    """
    return parameter_name(stage, f"restored/{table}/stream-arn")
