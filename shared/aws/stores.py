"""The stores of one process over the real table: every function's composition starts here."""

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from shared.aws import clients, deadline
from shared.aws.credential_cipher import CredentialCipher
from shared.aws.data_keys import DataKeys
from shared.aws.environment import Environment
from shared.aws.faults import code_of
from shared.aws.pull_queue import PullQueue
from shared.aws.quarantine_bucket import QuarantineBucket
from shared.aws.queues import DeliveryQueues, QueueUrls
from shared.aws.set_aside import count_set_aside
from shared.aws.stage_keys import StageKeys
from shared.domain.identity import IdentityHasher
from shared.domain.recovery_link import ShopperLinks
from shared.store.checkouts import CheckoutStore
from shared.store.data_keys import DataKeyStore
from shared.store.deliveries import DeliveryStore
from shared.store.table import Table
from shared.store.writes import ItemKey

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from shared.aws.campaign_queue import CampaignQueue
    from shared.aws.facts_bucket import FactsBucket
    from shared.aws.schedules import EventBridgeSchedules


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def _set_aside(key: ItemKey, error: Exception) -> None:
    count_set_aside("row", code_of(error), " ".join(key))


class Stores:
    """What a function needs of AWS, each made at first use and kept for the life of the process."""

    def __init__(self, environment: Environment) -> None:
        """``environment`` of the function."""
        self.environment = environment

    def connect(self) -> None:
        """Open the stage's keys and connect to the table: what a function that prepares itself would wait for first."""
        self.checkouts.get("of no checkout")

    @cached_property
    def table(self) -> Table:
        """The table."""
        return self.table_over(clients.dynamodb())

    def table_over(self, client: "DynamoDBClient") -> Table:
        """The table behind a client."""
        return Table(client, self.environment.table_name, sleep=deadline.sleep, unreadable=_set_aside)

    @cached_property
    def keys(self) -> StageKeys:
        """The stage's keys; one call to Secrets Manager."""
        return StageKeys.fetch(clients.secretsmanager(), self.environment.keys_secret_arn)

    @cached_property
    def hasher(self) -> IdentityHasher:
        """Hashes identifiers."""
        return self.keys.identity_hasher()

    @cached_property
    def shopper_links(self) -> ShopperLinks:
        """Makes the links that shoppers get."""
        keys = self.keys
        return ShopperLinks(self.environment.public_url, keys.recovery_codes(), keys.unsubscribe_codes())

    @cached_property
    def checkouts(self) -> CheckoutStore:
        """Checkouts."""
        return CheckoutStore(self.table, self.hasher, self.environment.due_shards)

    @cached_property
    def deliveries(self) -> DeliveryStore:
        """Deliveries."""
        return DeliveryStore(self.table, self.environment.due_shards)

    @cached_property
    def cipher(self) -> CredentialCipher:
        """Seals and opens credentials."""
        return CredentialCipher(self.data_keys, clients.kms(), self._credentials_key)

    @cached_property
    def data_keys(self) -> DataKeys:
        """The versions of the data key."""
        store = DataKeyStore(self.table)
        return DataKeys(clients.kms(), self._credentials_key, self.environment.stage, store, now)

    @property
    def _credentials_key(self) -> str:
        return self.environment.variable("CREDENTIALS_KEY_ARN")

    @cached_property
    def queues(self) -> DeliveryQueues:
        """The delivery queues."""
        given = self.environment.variables.get
        urls = QueueUrls(
            retries=given("RETRIES_QUEUE_URL"),
            deliveries=given("DELIVERIES_QUEUE_URL"),
            steps=given("STEPS_QUEUE_URL"),
            slow=given("SLOW_QUEUE_URL"),
        )
        return DeliveryQueues(clients.sqs(), urls)

    @cached_property
    def pulls(self) -> PullQueue:
        """The queue of what must be asked from providers."""
        given_up = self.environment.variables.get("PULLS_DEAD_LETTERS_QUEUE_URL")
        return PullQueue(clients.sqs(), self.environment.variable("PULLS_QUEUE_URL"), given_up)

    @cached_property
    def bucket(self) -> QuarantineBucket:
        """The quarantine bucket."""
        return QuarantineBucket(clients.s3(), self.environment.variable("QUARANTINE_BUCKET"))

    @cached_property
    def facts_bucket(self) -> "FactsBucket":
        """Daily files of facts."""
        from shared.aws.facts_bucket import FactsBucket

        return FactsBucket(clients.s3(), self.environment.variable("FACTS_BUCKET"))

    @cached_property
    def schedules(self) -> "EventBridgeSchedules":
        """Schedules of campaigns."""
        from shared.aws.schedules import EventBridgeSchedules

        variable = self.environment.variable
        return EventBridgeSchedules(
            clients.scheduler(),
            group=variable("SCHEDULE_GROUP"),
            role_arn=variable("SCHEDULER_ROLE_ARN"),
            queue_arn=variable("CAMPAIGN_RUNS_QUEUE_ARN"),
        )

    @cached_property
    def campaign_runs(self) -> "CampaignQueue":
        """The queue of campaign runs."""
        from shared.aws.campaign_queue import CampaignQueue

        return CampaignQueue(clients.sqs(), self.environment.variable("CAMPAIGN_RUNS_QUEUE_URL"))
