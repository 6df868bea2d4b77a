"""What can be thrown away and made again: the API, the functions, queues, schedules and alarms."""

from typing import Any

from aws_cdk import CfnOutput, Duration, Names, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import concurrency
from infra.constructs.acknowledged import acknowledge
from infra.constructs.alarms import Alarms
from infra.constructs.budget import MonthlyBudget
from infra.constructs.campaign_schedules import CampaignSchedules
from infra.constructs.dashboard import Dashboard
from infra.constructs.event_bus_feed import EventBusFeed
from infra.constructs.fact_files import FactFiles
from infra.constructs.given_up import WholeBatches
from infra.constructs.gradual_deployment import GradualDeployment
from infra.constructs.kept_state import KeptState
from infra.constructs.mail_events import MailEvents
from infra.constructs.public_api import PublicApi
from infra.constructs.python_function import CodeFor, PythonFunction
from infra.constructs.queues import Queues
from infra.constructs.stage_metrics import Watched
from infra.constructs.stage_view import let_tell_of_the_stage
from infra.constructs.sweep_schedule import SweepSchedule
from infra.functions import FUNCTION_NAMES, FUNCTIONS, FunctionName, name_output
from infra.parameters import tenant_prefix
from infra.routes import ROUTES
from infra.stages import Stage
from shared.api.console_frames import FRAME_ANCESTORS
from shared.aws.data_keys import PURPOSE as DATA_KEY
from shared.aws.front import FRONT_ONLY
from shared.destinations.eventbridge import NAME_PREFIX as BUS_PREFIX

# Transactions are allowed through the actions they are made of. Nothing here may scan.
_ITEMS = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
_QUERY = "dynamodb:Query"
_OF_SHOPPERS = ("phone", "email", "customer")
_OF_CHECKOUTS = (*_OF_SHOPPERS, "cart")
_READ_FOR = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
"""What Lambda asks of the role of a function for which it reads a queue (AWSLambdaSQSQueueExecutionRole); the CDK's own
grant has two actions more."""

_KNOW_THE_ADMIN_KEY: tuple[FunctionName, ...] = ("merchant_api", "console")
_MANAGE_SCHEDULES: tuple[FunctionName, ...] = ("merchant_api", "campaign", "console")
_TELL_OF_THE_STAGE: tuple[FunctionName, ...] = ("merchant_api", "console")
_SENDERS: tuple[FunctionName, ...] = ("merchant_api", "deliver", "pull", "console")
"""Who sends, or says what may be sent to. Beside a domain of its own the API answers at its execute-api name."""
_KEPT_BODIES = "Objects of the stage's own bucket, under the one prefix of what is kept there; their names are ids."
_MERCHANTS_MAIL = (
    "Merchants' identities are made after the deployment, and named by their domains; the condition leaves the stage's"
    " own tenants, and SES refuses a tenant every identity that was not bound to it."
)
_MERCHANTS_BUSES = (
    "Merchants' buses are in accounts and Regions of theirs, known after the deployment; their names are bound to a"
    " merchant, none of this account is meant, and each bus' own policy has to let this account in."
)
_SHOWS_A_BAD_RELEASE = ("ApiErrors", "WebhooksNotStored", "WebhooksSlow")
_ALARMS = "Alarms"
"""The construct's id: CloudFormation begins each alarm's name with the stack's and with this."""
_STREAM_BATCH = 100
_WITHOUT_END = -1
_STREAM_MAX_AGE = Duration.hours(23)  # the stream keeps 24 hours


class ServiceStack(Stack):
    """Wires the functions to the state and to each other, each with the rights it needs and no more."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: Stage,
        code_for: CodeFor,
        engine_url: str | None = None,
        **kwargs: Any,
    ) -> None:
        """``engine_url``: where the local engine answers, for the public address of stage ``local``."""
        super().__init__(scope, construct_id, **kwargs)
        self._stage = stage
        self._state = KeptState(self, "State", stage=stage)
        self.api = PublicApi(self, "Api", stage=stage, engine_url=engine_url if stage.is_local else None)
        self.functions = {name: self._make_function(name, code_for(name)) for name in FUNCTION_NAMES}
        self.queues = Queues(
            self,
            "Queues",
            consumer_timeout=self.functions["deliver"].timeout,
            pull_timeout=self.functions["pull"].timeout,
            campaign_timeout=self.functions["campaign"].timeout,
        )
        for sender in _SENDERS:
            self.functions[sender].tell(API_ID=self.api.http_api.api_id)
            if stage.origin_domain_name is not None:
                self.functions[sender].tell(ORIGIN_NAME=stage.origin_domain_name)
        for name, routes in ROUTES.items():
            self.api.route(self.functions[name], routes)
        self._allow_table()
        self._allow_secrets()
        self._allow_bucket()
        self._allow_facts()
        self._allow_queues()
        self._allow_mail()
        self._allow_merchants_buses()
        self._limit_webhooks()
        self._close_but_to_the_front()
        self._let_frame_the_console()
        self._map_queue("deliver", self.queues.deliveries, stage.deliveries_concurrency, gather=stage.gathering_seconds)
        self._map_queue("deliver", self.queues.retries, stage.retries_concurrency)
        self._map_queue("deliver", self.queues.steps, stage.steps_concurrency)
        self._map_queue("deliver", self.queues.slow, stage.slow_concurrency)
        self._map_queue("pull", self.queues.pulls, concurrency.PULLS)
        self._map_queue("campaign", self.queues.campaign_runs, concurrency.RUNS, batch_size=1)
        stream = self._map_stream()
        self.event_bus = (
            EventBusFeed(
                self,
                "EventBusFeed",
                stage=stage,
                code=code_for("dispatch"),
                table=self._state.table,
                bus_name=self._state.event_bus_name,
            ).function
            if self._state.event_bus_name is not None
            else None
        )
        schedules = CampaignSchedules(
            self, "CampaignSchedules", group=self._state.schedule_group, runs=self.queues.campaign_runs
        )
        for managing in _MANAGE_SCHEDULES:
            schedules.let_manage(self.functions[managing])
        schedules.repair_with(self.functions["campaign"].entry, self.queues.missed_schedules)
        SweepSchedule(
            self,
            "SweepSchedule",
            stage=stage,
            sweep=self.functions["sweep"].entry,
            missed=self.queues.missed_schedules,
        )
        alarms = Alarms(
            self,
            _ALARMS,
            stage=stage,
            watched=Watched(
                api_id=self.api.http_api.api_id,
                functions=self.functions,
                queues=self.queues,
                event_bus=self.event_bus,
            ),
            stream_mapping_id=stream.event_source_mapping_id,
        )
        for telling in _TELL_OF_THE_STAGE:
            let_tell_of_the_stage(
                self.functions[telling], self.functions["dispatch"], self.queues, f"{self.stack_name}-{_ALARMS}"
            )
        acknowledge(
            alarms.topic,
            {"Serverless-SNSRedrivePolicy": "Mail to a person: SNS tries for an hour, and nobody works off the rest."},
        )
        if not stage.is_local:
            Dashboard(self, "Watch", stage=stage, alarms=alarms, queues=self.queues)
        if stage.monthly_budget_usd and not stage.is_local:
            MonthlyBudget(self, "Budget", stage=stage, topic=alarms.topic)
        if stage.gradual_deployment and not stage.is_local:
            GradualDeployment(
                self,
                "GradualDeployment",
                functions=[own for own in self.functions.values() if FUNCTIONS[own.name].asked],
                alarms=[alarms.alarms[name] for name in _SHOWS_A_BAD_RELEASE],
            )
        self._write_outputs()

    def _make_function(self, name: FunctionName, code: lambda_.Code) -> PythonFunction:
        return PythonFunction(
            self,
            name,
            stage=self._stage,
            code=code,
            environment={
                "TABLE_NAME": self._state.table.table_name,
                "PUBLIC_URL": self.api.url,
                "KEYS_SECRET_ARN": self._state.keys_arn,
            },
        )

    def _allow_table(self) -> None:
        """Rows for all; besides them what each function asks for by query, of the table or of an index."""
        table = self._state.table.table_arn
        allowed: tuple[tuple[FunctionName, tuple[str, ...], tuple[str, ...]], ...] = (
            ("ingest", (), _OF_CHECKOUTS),
            ("merchant_api", ("dynamodb:DeleteItem", "dynamodb:BatchWriteItem", _QUERY), (*_OF_CHECKOUTS, "list")),
            ("sweep", (_QUERY,), (*_OF_CHECKOUTS, "due")),
            ("dispatch", (_QUERY,), _OF_CHECKOUTS),
            # A step's claim checks the records it does not write.
            ("deliver", ("dynamodb:ConditionCheckItem", _QUERY), _OF_SHOPPERS),
            # A shopper who opts in again lifts a suppression. Vendors name a phone or an address.
            ("callbacks", ("dynamodb:DeleteItem",), ("phone", "email")),
            ("redirect", (), ()),
            # Timelines; and a dismissal looks for the episode's other checkouts.
            ("reading", (_QUERY,), ("list",)),
            ("pull", (), _OF_CHECKOUTS),
            ("campaign", ("dynamodb:DeleteItem", _QUERY), (*_OF_SHOPPERS, "list")),
            ("console", ("dynamodb:DeleteItem", "dynamodb:BatchWriteItem", _QUERY), (*_OF_CHECKOUTS, "list")),
        )
        for name, more, indexes in allowed:
            self.functions[name].allow((*_ITEMS, *more), [table])
            if indexes:
                self.functions[name].allow([_QUERY], [f"{table}/index/{own}" for own in indexes])

    def _allow_secrets(self) -> None:
        for function in self.functions.values():
            function.allow(["secretsmanager:GetSecretValue"], [self._state.keys_arn])

        admin_key = self._state.admin_key_arn
        for name in _KNOW_THE_ADMIN_KEY:
            self.functions[name].allow(["secretsmanager:GetSecretValue"], [admin_key])
            self.functions[name].tell(ADMIN_SECRET_ARN=admin_key)

        key = self._state.credentials_key_arn
        data_keys = {"kms:EncryptionContext:purpose": DATA_KEY}
        # What KMS sealed itself, before there was a data key, names whose it is.
        by_kms_itself = {"kms:EncryptionContext:merchant": "*", "kms:EncryptionContext:owner": "*"}
        opening: tuple[FunctionName, ...] = ("ingest", "merchant_api", "console", "deliver", "callbacks", "pull")
        for name in opening:
            making = ["kms:GenerateDataKey"] if name in {"merchant_api", "console"} else []
            self.functions[name].allow(["kms:Decrypt", *making], [key], {"StringEquals": data_keys})
            self.functions[name].allow(["kms:Decrypt"], [key], {"StringLike": by_kms_itself})
            self.functions[name].tell(CREDENTIALS_KEY_ARN=key)

    def _allow_bucket(self) -> None:
        bucket = self._state.quarantine
        allowed: tuple[tuple[FunctionName, tuple[str, ...], str], ...] = (
            ("ingest", ("s3:PutObject",), "quarantine/*"),
            ("merchant_api", ("s3:GetObject", "s3:DeleteObject"), "quarantine/*"),
            ("merchant_api", ("s3:GetObject", "s3:DeleteObject"), "poison/*"),
            ("console", ("s3:GetObject", "s3:DeleteObject"), "quarantine/*"),
            ("console", ("s3:GetObject", "s3:DeleteObject"), "poison/*"),
            ("dispatch", ("s3:PutObject",), "poison/*"),
        )
        for name, actions, objects in allowed:
            self.functions[name].allow(actions, [bucket.arn_for_objects(objects)], because=_KEPT_BODIES)
            self.functions[name].tell(QUARANTINE_BUCKET=bucket.bucket_name)
        # Erasures go by prefix; and without it S3 says 403 of an object whose days are over, not that it is gone.
        listing = {"StringLike": {"s3:prefix": ["quarantine/*", "poison/*"]}}
        for own in (self.functions["merchant_api"], self.functions["console"]):
            own.allow(["s3:ListBucket"], [bucket.bucket_arn], listing)

    def _allow_facts(self) -> None:
        """Files of facts are written by one function and removed by whoever erases their merchant."""
        bucket = self._state.facts
        if bucket is None:
            return
        of_each: tuple[tuple[FunctionName, tuple[str, ...]], ...] = (
            ("campaign", ("s3:PutObject", "s3:DeleteObject")),
            ("merchant_api", ("s3:DeleteObject",)),
        )
        for name, actions in of_each:
            function = self.functions[name]
            function.allow(actions, [bucket.arn_for_objects("facts/*")], because=_KEPT_BODIES)
            function.allow(["s3:ListBucket"], [bucket.bucket_arn], {"StringLike": {"s3:prefix": ["facts/*"]}})
            function.tell(FACTS_BUCKET=bucket.bucket_name)
        FactFiles(self, "FactFiles", campaign=self.functions["campaign"].entry, missed=self.queues.missed_schedules)

    def _allow_queues(self) -> None:
        deliveries = ("DELIVERIES_QUEUE_URL", self.queues.deliveries)
        retries = ("RETRIES_QUEUE_URL", self.queues.retries)
        steps = ("STEPS_QUEUE_URL", self.queues.steps)
        slow = ("SLOW_QUEUE_URL", self.queues.slow)
        dead_letters = ("DEAD_LETTERS_QUEUE_URL", self.queues.record_dead_letters)
        pulls = ("PULLS_QUEUE_URL", self.queues.pulls)
        senders: tuple[tuple[FunctionName, tuple[tuple[str, sqs.Queue], ...]], ...] = (
            ("ingest", (pulls,)),
            ("merchant_api", (deliveries, retries, pulls)),
            ("sweep", (retries, steps)),
            ("dispatch", (deliveries, dead_letters)),
            ("deliver", (retries, steps, slow)),
            ("pull", (pulls, ("PULLS_DEAD_LETTERS_QUEUE_URL", self.queues.pull_dead_letters))),
            ("campaign", (("CAMPAIGN_RUNS_QUEUE_URL", self.queues.campaign_runs),)),
            ("console", (deliveries, retries, pulls)),
        )
        for name, queues in senders:
            self.functions[name].allow(["sqs:SendMessage"], [queue.queue_arn for _, queue in queues])
            self.functions[name].tell(**{variable: queue.queue_url for variable, queue in queues})

    def _limit_webhooks(self) -> None:
        self.functions["ingest"].tell(
            WEBHOOKS_PER_MINUTE_OF_SOURCE=str(self._stage.webhooks_per_minute_of_source),
            WEBHOOKS_PER_MINUTE_OF_MERCHANT=str(self._stage.webhooks_per_minute_of_merchant),
        )

    def _let_frame_the_console(self) -> None:
        if self._stage.frame_ancestors:
            self.functions["console"].tell(**{FRAME_ANCESTORS: " ".join(self._stage.frame_ancestors)})

    def _close_but_to_the_front(self) -> None:
        if self._stage.front_only:
            for name, spec in FUNCTIONS.items():
                if spec.asked:
                    self.functions[name].tell(**{FRONT_ONLY: "on"})

    def _allow_mail(self) -> None:
        """E-mail of merchants without an SES of their own goes out by the stage's, where the stage wants that."""
        mail, deliver = self._stage.stage_mail, self.functions["deliver"]
        for own in (self.functions["merchant_api"], self.functions["console"], deliver):
            own.tell(STAGE_MAIL=mail)
        if mail == "off":
            return
        conditions = None
        if mail == "tenants":
            prefix = tenant_prefix(self._stage.name)
            conditions = {"StringLike": {"ses:TenantName": f"{prefix}*"}}
            deliver.tell(SES_TENANT_PREFIX=prefix)
        resources = [f"identity/{own}" for own in self._stage.sending_identities]
        if not self._stage.is_local:
            events = MailEvents(self, "MailEvents", stage=self._stage, callbacks=self.functions["callbacks"].entry)
            resources.append(f"configuration-set/{events.configuration_set}")
            for own in (self.functions["merchant_api"], deliver):
                own.tell(SES_CONFIGURATION_SET=events.configuration_set)
        arns = [self.format_arn(service="ses", resource=own) for own in resources]
        deliver.allow(["ses:SendEmail"], arns, conditions, because=_MERCHANTS_MAIL)

    def _allow_merchants_buses(self) -> None:
        """Events go to buses that name a merchant, and to none of this account: those are not the merchants'.

        The local engine has one account for everybody.
        """
        for own in (self.functions["merchant_api"], self.functions["deliver"]):
            own.tell(ACCOUNT_ID=self.account)
        foreign = None if self._stage.is_local else {"StringNotEquals": {"aws:ResourceAccount": self.account}}
        bus = "*" if self._stage.is_local else f"{BUS_PREFIX}mer_*"
        buses = [f"arn:{self.partition}:events:*:*:event-bus/{bus}"]
        self.functions["deliver"].allow(["events:PutEvents"], buses, foreign, because=_MERCHANTS_BUSES)

    def _map_queue(
        self, name: FunctionName, queue: sqs.Queue, most: int, *, batch_size: int = 10, gather: int = 0
    ) -> None:
        self.functions[name].allow(_READ_FOR, [queue.queue_arn])
        self.functions[name].entry.add_event_source_mapping(
            f"SqsEventSource:{Names.node_unique_id(queue.node)}",  # as the CDK's own is called: mappings that are live
            event_source_arn=queue.queue_arn,
            batch_size=batch_size,
            max_batching_window=Duration.seconds(gather),
            report_batch_item_failures=True,
            max_concurrency=most,
        )
        redriven = "The source is a queue: what fails is redriven to its dead letter queue."
        acknowledge(self.functions[name], {"Serverless-LambdaEventSourceMappingDestination": redriven})

    def _map_stream(self) -> sources.DynamoEventSource:
        """What dispatch cannot end is tried until the stream forgets it, then kept whole in the bucket.

        The local engine knows no bucket as a destination, and no metrics of a mapping.
        """
        local, pointers = self._stage.is_local, self.queues.record_dead_letters
        mapping = sources.DynamoEventSource(
            self._state.table,
            # LATEST may miss what is written while the mapping is made.
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            # A filter cannot compare the old image with the new: a transition sets this mark.
            filters=[
                lambda_.FilterCriteria.filter({"dynamodb": {"NewImage": {"tr": {"N": lambda_.FilterRule.exists()}}}})
            ],
            batch_size=_STREAM_BATCH,
            max_batching_window=Duration.seconds(self._stage.gathering_seconds),
            parallelization_factor=self._stage.dispatch_parallelization,
            report_batch_item_failures=True,
            bisect_batch_on_error=True,
            retry_attempts=_WITHOUT_END,
            max_record_age=_STREAM_MAX_AGE,
            on_failure=sources.SqsDlq(pointers) if local else WholeBatches(self._state.quarantine),
            metrics_config=None if local else lambda_.MetricsConfig(metrics=[lambda_.MetricType.EVENT_COUNT]),
        )
        self.functions["dispatch"].entry.add_event_source(mapping)
        acknowledge(
            self.functions["dispatch"],
            {"AwsSolutions-IAM5[Resource::*]": "dynamodb:ListStreams knows no resource."},
        )
        return mapping

    def _write_outputs(self) -> None:
        outputs = {
            "ApiUrl": self.api.url,
            "ApiId": self.api.http_api.api_id,
            "AdminKeySecretArn": self._state.admin_key_arn,
            "AdminKeyCommand": "aws secretsmanager get-secret-value --query SecretString --output text"
            f" --secret-id {self._state.admin_key_arn}",
            "TableName": self._state.table.table_name,
            "DeliveriesQueueUrl": self.queues.deliveries.queue_url,
            "RetriesQueueUrl": self.queues.retries.queue_url,
            "StepsQueueUrl": self.queues.steps.queue_url,
            "SlowQueueUrl": self.queues.slow.queue_url,
            "DeadLettersQueueUrl": self.queues.dead_letters.queue_url,
            "RecordDeadLettersQueueUrl": self.queues.record_dead_letters.queue_url,
            "MissedSchedulesQueueUrl": self.queues.missed_schedules.queue_url,
            "PullsQueueUrl": self.queues.pulls.queue_url,
            "PullDeadLettersQueueUrl": self.queues.pull_dead_letters.queue_url,
            "CampaignRunsQueueUrl": self.queues.campaign_runs.queue_url,
            "QuarantineBucketName": self._state.quarantine.bucket_name,
            "CampaignDeadLettersQueueUrl": self.queues.campaign_dead_letters.queue_url,
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
        for function in filter(None, (*self.functions.values(), self.event_bus)):
            CfnOutput(self, name_output(function.called), value=function.function.function_name)
