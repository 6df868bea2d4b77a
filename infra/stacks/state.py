"""What must survive a redeployment: the table, the credentials' key, the secrets, the quarantined bodies."""

import json
import string
from typing import Any

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.constructs.given_up import GIVEN_UP
from infra.stages import Stage

_STRING = dynamodb.AttributeType.STRING
_NUMBER = dynamodb.AttributeType.NUMBER

# name: (partition key, sort key, type of the sort key); all sparse, all KEYS_ONLY
INDEXES = {
    "due": ("dq", "da", _NUMBER),
    "list": ("lp", "ls", _STRING),
    "phone": ("ip", "ca", _NUMBER),
    "email": ("ie", "ca", _NUMBER),
    "customer": ("ic", "ca", _NUMBER),
    "cart": ("ik", "ca", _NUMBER),
}


class StateStack(Stack):
    """Kept in production whatever happens to its stack; removable stages take it all with them."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._stage = stage
        self._removal = RemovalPolicy.DESTROY if stage.removable else RemovalPolicy.RETAIN
        self.table = self._make_table()
        self.credentials_key = kms.Key(
            self,
            "CredentialsKey",
            description="Encrypts the credentials of merchants' sources and endpoints",
            enable_key_rotation=True,
            removal_policy=self._removal,
        )
        self.admin_key = secretsmanager.Secret(
            self,
            "AdminKey",
            description="The operator's bearer token",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                exclude_characters=string.punctuation, password_length=48
            ),
            removal_policy=self._removal,
        )
        self.keys = secretsmanager.Secret(
            self,
            "Keys",
            description="Keys the HMACs of identifiers and recovery links",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps({"version": "1"}),
                generate_string_key="key",
                exclude_characters=string.punctuation,
                password_length=64,
            ),
            removal_policy=self._removal,
        )
        self.quarantine = s3.Bucket(
            self,
            "Quarantine",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            lifecycle_rules=[
                s3.LifecycleRule(expiration=Duration.days(30)),
                # Several merchants' records in one object, which no erasure reaches.
                s3.LifecycleRule(prefix=GIVEN_UP, expiration=Duration.days(7)),
            ],
            removal_policy=self._removal,
            # Its custom resource never answers on the local engine.
            auto_delete_objects=stage.removable and not stage.is_local,
        )

    def _make_table(self) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="pk", type=_STRING),
            sort_key=dynamodb.Attribute(name="sk", type=_STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            time_to_live_attribute="ttl",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=not self._stage.removable,
            removal_policy=self._removal,
        )
        for name, (partition, sort, sort_type) in INDEXES.items():
            table.add_global_secondary_index(
                index_name=name,
                partition_key=dynamodb.Attribute(name=partition, type=_STRING),
                sort_key=dynamodb.Attribute(name=sort, type=sort_type),
                projection_type=dynamodb.ProjectionType.KEYS_ONLY,
            )
        return table
