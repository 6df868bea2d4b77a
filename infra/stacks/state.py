"""What must survive a redeployment, and the service stack's end: the table, the credentials' key, the secrets, the
quarantined bodies, the group of merchants' schedules, and the name by which providers and shoppers know the API.
"""

import json
import string
from typing import Any

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.constructs.acknowledged import acknowledge
from infra.constructs.given_up import GIVEN_UP
from infra.constructs.kept_state import publish
from infra.stages import Stage
from infra.table_schema import INDEXES, KEYS, TTL

_STRING = dynamodb.AttributeType.STRING
_TYPES = {"S": _STRING, "N": dynamodb.AttributeType.NUMBER}


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
        acknowledge(
            self.admin_key, {"AwsSolutions-SMG4": "Held by people: one that changed by itself would lock them out."}
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
            replica_regions=_replicas(stage),
        )
        acknowledge(
            self.keys,
            {"AwsSolutions-SMG4": "Hashes of identifiers and links already sent depend on it: docs/operations.md."},
        )
        if not stage.removable:
            # Lost, every link that was sent is dead and no shopper is known again.
            self.keys.deny_account_root_delete()
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
        acknowledge(
            self.quarantine,
            {"AwsSolutions-S1": "Functions of the stage alone read it; a log of it would outlive what was erased."},
        )
        self.facts = self._make_facts_bucket() if stage.facts_bucket else None
        self.event_bus = self._make_event_bus() if stage.event_bus else None
        self.schedules = scheduler.CfnScheduleGroup(self, "Schedules")
        self.schedules.apply_removal_policy(self._removal)
        self._make_domain_name()
        publish(
            self,
            stage,
            {
                "TableName": self.table.table_name,
                "TableStreamArn": self.table.table_stream_arn or "",
                "CredentialsKeyArn": self.credentials_key.key_arn,
                "AdminKeySecretArn": self.admin_key.secret_arn,
                "KeysSecretArn": self.keys.secret_arn,
                "QuarantineBucketName": self.quarantine.bucket_name,
                "ScheduleGroupName": self.schedules.ref,
                **({"EventBusName": self.event_bus.event_bus_name} if self.event_bus else {}),
                **({"FactsBucketName": self.facts.bucket_name} if self.facts else {}),
            },
        )

    def _make_event_bus(self) -> events.EventBus:
        """Kept with its rules, which are the operator's. Its name is none that a merchant's bus can have."""
        bus = events.EventBus(self, "EventBus", event_bus_name=f"checkback-{self._stage.name}-events")
        bus.apply_removal_policy(self._removal)
        CfnOutput(self, "EventBusName", value=bus.event_bus_name)
        return bus

    def _make_facts_bucket(self) -> s3.Bucket:
        """Ids and amounts, in files that are written anew: what is older than a file needs no version."""
        days = self._stage.facts_days
        bucket = s3.Bucket(
            self,
            "Facts",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(days))] if days else None,
            removal_policy=self._removal,
            # Its custom resource never answers on the local engine.
            auto_delete_objects=self._stage.removable and not self._stage.is_local,
        )
        acknowledge(
            bucket, {"AwsSolutions-S1": "Ids and amounts; who reads them is the operator's to log, with CloudTrail."}
        )
        CfnOutput(self, "FactsBucketName", value=bucket.bucket_name)
        return bucket

    def _make_domain_name(self) -> None:
        """The public name stays, whichever API it is mapped to; its DNS record points to what the outputs say."""
        if self._stage.domain_name is None or self._stage.certificate_arn is None:
            return
        certificate = acm.Certificate.from_certificate_arn(self, "Certificate", self._stage.certificate_arn)
        domain = apigateway.DomainName(self, "DomainName", domain_name=self._stage.domain_name, certificate=certificate)
        domain.apply_removal_policy(self._removal)
        CfnOutput(self, "DomainTarget", value=domain.regional_domain_name)
        CfnOutput(self, "DomainTargetHostedZoneId", value=domain.regional_hosted_zone_id)
        if self._stage.origin_domain_name is not None:
            # Nobody holds this name but the front.
            origin = apigateway.DomainName(
                self, "OriginName", domain_name=self._stage.origin_domain_name, certificate=certificate
            )
            CfnOutput(self, "OriginTarget", value=origin.regional_domain_name)

    def _make_table(self) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name=KEYS[0], type=_STRING),
            sort_key=dynamodb.Attribute(name=KEYS[1], type=_STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            time_to_live_attribute=TTL,
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
                sort_key=dynamodb.Attribute(name=sort, type=_TYPES[sort_type]),
                projection_type=dynamodb.ProjectionType.KEYS_ONLY,
            )
        return table


def _replicas(stage: Stage) -> list[secretsmanager.ReplicaRegion] | None:
    """A copy of the secret elsewhere. AWS deletes no secret that has one, and it can be made independent."""
    if stage.keys_replica_region is None:
        return None
    return [secretsmanager.ReplicaRegion(region=stage.keys_replica_region)]
