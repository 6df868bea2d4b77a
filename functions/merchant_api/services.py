"""What the API's routes share: stores and workflows, each made at first use and kept for the life of the process."""

from collections.abc import Callable
from datetime import datetime
from functools import cache, cached_property

from functions.merchant_api.samples import made_webhook
from shared.api.authentication import Authenticator
from shared.api.idempotency import Idempotency
from shared.aws import clients
from shared.aws.environment import Environment
from shared.aws.function_log import function_logger
from shared.aws.stage_watch import StageWatch
from shared.aws.stores import Stores, now
from shared.domain.campaign import Campaign
from shared.domain.recovery_link import RecoveryCodes
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore, SourceStore, TokenStore
from shared.store.console_access import ConsoleAccess
from shared.store.coupons import CouponStore
from shared.store.episodes import EpisodeStore
from shared.store.event_places import EventPlaces
from shared.store.events import EventStore
from shared.store.facts import FactStore
from shared.store.health import HealthStore
from shared.store.idempotency import IdempotencyStore
from shared.store.job_list import JobList
from shared.store.jobs import JobStore
from shared.store.listing import CheckoutListing
from shared.store.quarantine import QuarantineStore
from shared.store.resend_jobs import ResendJobStore
from shared.store.sample_limits import SampleLimits
from shared.store.shoppers import ShopperStore
from shared.store.suppressions import SuppressionStore
from shared.store.waiting_places import WaitingPlaces
from shared.workflows.campaigns.preview import CampaignPreview
from shared.workflows.campaigns.schedules import CampaignSchedules
from shared.workflows.campaigns.setup import CampaignSetup
from shared.workflows.campaigns.suppress import Suppressions
from shared.workflows.delivering.history import DeliveryHistory
from shared.workflows.delivering.payload_preview import PayloadPreview
from shared.workflows.delivering.resend import ResendJobs
from shared.workflows.delivering.test_event import EndpointTests, test_events
from shared.workflows.insight.checkout_search import CheckoutSearch
from shared.workflows.insight.event_stream import EventStream
from shared.workflows.insight.metrics import Metrics
from shared.workflows.intake.backfill import Backfills
from shared.workflows.intake.purchase import purchases_over
from shared.workflows.intake.receive import Receiver, receiver_over
from shared.workflows.intake.replay import Replays
from shared.workflows.intake.sample import SampleWebhooks
from shared.workflows.privacy.credential_rotation import CredentialRotation
from shared.workflows.privacy.customer_erasure import CustomerErasure
from shared.workflows.privacy.customer_export import CustomerExport
from shared.workflows.privacy.merchant_erasure import Clock, MerchantErasure
from shared.workflows.recovery.dismissal import Dismissals
from shared.workflows.recovery.eligibility import Eligibility


class Services(Stores):
    """The stores of every function and what only the API needs. ``now`` is the clock, ``clock`` measures erasures."""

    now: Callable[[], datetime] = staticmethod(now)
    clock = Clock()

    @cached_property
    def merchants(self) -> MerchantStore:
        """Merchants."""
        return MerchantStore(self.table)

    @cached_property
    def tokens(self) -> TokenStore:
        """Merchant tokens."""
        return TokenStore(self.table)

    @cached_property
    def sources(self) -> SourceStore:
        """Sources."""
        return SourceStore(self.table)

    @cached_property
    def endpoints(self) -> EndpointStore:
        """Endpoints."""
        return EndpointStore(self.table)

    @cached_property
    def credential_rotation(self) -> CredentialRotation:
        """Seals all credentials anew."""
        return CredentialRotation(self.merchants, self.sources, self.endpoints, self.data_keys, self.cipher)

    @cached_property
    def activities(self) -> ActivityStore:
        """Timelines."""
        return ActivityStore(self.table)

    @cached_property
    def events(self) -> EventStore:
        """Events."""
        return EventStore(self.table)

    @cached_property
    def event_stream(self) -> EventStream:
        """Events one after another."""
        return EventStream(EventPlaces(self.table), self.events, WaitingPlaces(self.table))

    @cached_property
    def quarantine(self) -> QuarantineStore:
        """Quarantined bodies."""
        return QuarantineStore(self.table)

    @cached_property
    def codes(self) -> RecoveryCodes:
        """Recovery codes."""
        return self.keys.recovery_codes()

    @cached_property
    def authenticator(self) -> Authenticator:
        """Who is asking."""
        return Authenticator(self.tokens, self._admin_key)

    @cached_property
    def console_access(self) -> ConsoleAccess:
        """Who may look at the console."""
        return ConsoleAccess(self.table)

    @cached_property
    def idempotency(self) -> Idempotency:
        """First answers."""
        return Idempotency(IdempotencyStore(self.table), self.cipher, self.keys.request_mac, self.now)

    def cursor_mac(self, text: bytes) -> str:
        """A keyed hash of a cursor's place; the keys are fetched when a list first has a second page."""
        return self.keys.cursor_mac(text)

    @cached_property
    def search(self) -> CheckoutSearch:
        """Finds checkouts."""
        return CheckoutSearch(self.checkouts, CheckoutListing(self.table), self.hasher)

    @cached_property
    def dismissals(self) -> Dismissals:
        """Ends checkouts at the merchant's word."""
        return Dismissals(self.table, self.checkouts, EpisodeStore(self.table), purchases_over(self), self.now)

    @cached_property
    def suppressions(self) -> Suppressions:
        """Closes and opens channels."""
        return Suppressions(self.table, ShopperStore(self.table), EpisodeStore(self.table), self.now)

    @cached_property
    def suppression_list(self) -> SuppressionStore:
        """The merchants' lists of suppressions."""
        return SuppressionStore(self.table)

    @cached_property
    def eligibility(self) -> Eligibility:
        """Runs the gate for whoever sends on their own."""
        return Eligibility(self.checkouts, ShopperStore(self.table), EpisodeStore(self.table), self.hasher, self.now)

    @cached_property
    def facts(self) -> FactStore:
        """What is counted."""
        return FactStore(self.table)

    @cached_property
    def metrics(self) -> Metrics:
        """Figures."""
        return Metrics(self.facts, self.now)

    @cached_property
    def customer_erasure(self) -> CustomerErasure:
        """Erases customers."""
        return CustomerErasure(
            self.table,
            self.checkouts,
            self.deliveries,
            lambda: self.queues,
            self.hasher,
            lambda: self.bucket,
            self.now,
            self.clock,
        )

    @cached_property
    def customer_export(self) -> CustomerExport:
        """Exports customers."""
        episodes, shoppers = EpisodeStore(self.table), ShopperStore(self.table)
        return CustomerExport(
            self.checkouts,
            self.activities,
            self.events,
            self.deliveries,
            episodes,
            shoppers,
            self.hasher,
            self.now,
        )

    @cached_property
    def history(self) -> DeliveryHistory:
        """Deliveries."""
        return DeliveryHistory(
            self.deliveries, self.events, self.endpoints, self.activities, lambda: self.queues, self.now
        )

    @cached_property
    def test_events(self) -> EndpointTests:
        """Sends test events."""
        return test_events(self)

    @cached_property
    def resends(self) -> ResendJobs:
        """Sends undelivered deliveries again."""
        return ResendJobs(ResendJobStore(self.table, self.environment.due_shards), self.now)

    @cached_property
    def payload_preview(self) -> PayloadPreview:
        """Shows what endpoints would be sent."""
        return PayloadPreview(lambda: self.shopper_links, self.now)

    @cached_property
    def health(self) -> HealthStore:
        """Health of endpoints."""
        return HealthStore(self.table)

    @cached_property
    def campaigns(self) -> CampaignStore:
        """Campaigns."""
        return CampaignStore(self.table)

    @cached_property
    def coupons(self) -> CouponStore:
        """Coupon pools."""
        return CouponStore(self.table)

    @cached_property
    def campaign_setup(self) -> CampaignSetup:
        """Creates and changes campaigns."""
        schedules = CampaignSchedules(self.campaigns, self.schedules)
        stores = self.campaigns, self.endpoints, self.coupons, self.merchants
        return CampaignSetup(*stores, schedules, _unsettled, local=self.environment.local)

    @cached_property
    def campaign_preview(self) -> CampaignPreview:
        """Plays campaigns over stored checkouts."""
        return CampaignPreview(
            self.search,
            ShopperStore(self.table),
            self.endpoints,
            self.coupons,
            self.campaigns,
            EpisodeStore(self.table),
            self.hasher,
        )

    @cached_property
    def erasure(self) -> MerchantErasure:
        """Erases merchants."""
        schedules = CampaignSchedules(self.campaigns, self.schedules)
        files = self.facts_bucket if "FACTS_BUCKET" in self.environment.variables else None
        return MerchantErasure(self.table, self.bucket, schedules.settle, self.now, self.clock, files)

    @cached_property
    def stage_watch(self) -> StageWatch:
        """Asks how the stage fares."""
        return StageWatch(clients.cloudwatch, clients.sqs, self.environment)

    @cached_property
    def backfills(self) -> Backfills:
        """Backfill jobs."""
        return Backfills(JobStore(self.table), self.jobs, self.cipher, lambda: self.pulls, self.now)

    @cached_property
    def jobs(self) -> JobList:
        """Jobs of every kind."""
        return JobList(self.table)

    @cached_property
    def replays(self) -> Replays:
        """Replays quarantined bodies."""
        return Replays(lambda: self._receiver, self.quarantine, lambda: self.bucket, self.now)

    @cached_property
    def samples(self) -> SampleWebhooks:
        """Sends providers' sample webhooks."""
        return SampleWebhooks(lambda: self._receiver, made_webhook, self.cipher, SampleLimits(self.table), self.now)

    @property
    def _receiver(self) -> Receiver:
        """Made anew for each replay and sample: a mapping that was changed a moment ago must be seen."""
        return receiver_over(self)

    def _admin_key(self) -> str:
        return clients.secretsmanager().get_secret_value(SecretId=self.environment.variable("ADMIN_SECRET_ARN"))[
            "SecretString"
        ]


def _unsettled(campaign: Campaign, failure: Exception) -> None:
    """The campaign is stored; the campaign function's repair settles its schedule."""
    logger = function_logger("merchant_api")
    logger.warning("schedule_unsettled", campaign_id=campaign.id, error=type(failure).__name__)


@cache
def services() -> Services:
    """The process's services. Raises MissingVariable."""
    return Services(Environment.read())


def prepare() -> None:
    """Do ahead what the first request would wait for."""
    services().connect()
