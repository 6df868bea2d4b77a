"""How the service stack finds what must be kept: by SSM parameters of the stage, never by exports.

An export in use cannot change: a restored table, which has another name and another stream, could not be put in. A
parameter is read anew at each deployment.
"""

from collections.abc import Mapping

from aws_cdk import CfnParameter
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from infra.parameters import OF_SOME, PUBLISHED, parameter_name, restored_stream_parameter
from infra.stages import Stage


def publish(scope: Construct, stage: Stage, values: Mapping[str, str]) -> None:
    """Write one SSM parameter for each of ``PUBLISHED``, and of ``OF_SOME`` for those that have a value."""
    published = Construct(scope, "Published")
    for name, said in (PUBLISHED | {own: OF_SOME[own] for own in OF_SOME if own in values}).items():
        ssm.StringParameter(published, name, parameter_name=parameter_name(stage.name, said), string_value=values[name])


class KeptState(Construct):
    """The state as the service stack knows it. ``table`` is the restored one where the stage names one."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(scope, construct_id)
        self._stage = stage
        restored = stage.restored_table
        self.table = dynamodb.Table.from_table_attributes(
            self,
            "Table",
            table_name=restored or self._read("TableName"),
            table_stream_arn=self._read("TableStreamArn") if restored is None else self._read_restored(restored),
        )
        self.credentials_key_arn = self._read("CredentialsKeyArn")
        self.admin_key_arn = self._read("AdminKeySecretArn")
        self.keys_arn = self._read("KeysSecretArn")
        self.quarantine = s3.Bucket.from_bucket_name(self, "Quarantine", self._read("QuarantineBucketName"))
        self.schedule_group = self._read("ScheduleGroupName")
        self.event_bus_name = self._read("EventBusName") if stage.event_bus else None
        self.facts: s3.IBucket | None = None
        if stage.facts_bucket:
            self.facts = s3.Bucket.from_bucket_name(self, "Facts", self._read("FactsBucketName"))

    def _read(self, name: str) -> str:
        """What the state stack published."""
        return self._parameter(name, parameter_name(self._stage.name, (PUBLISHED | OF_SOME)[name]))

    def _read_restored(self, table: str) -> str:
        """What the table's adoption wrote.

        A name of its own for each table: a deployment keeps what it gave a parameter before, whatever its default is
        now.
        """
        return self._parameter(f"TableStreamArn-{table}", restored_stream_parameter(self._stage.name, table))

    def _parameter(self, name: str, default: str) -> str:
        return CfnParameter(self, name, type="AWS::SSM::Parameter::Value<String>", default=default).value_as_string
