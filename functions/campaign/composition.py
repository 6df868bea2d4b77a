"""What the campaign function is made of, built once per process."""

from functools import cache

from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.store.activities import ActivityStore
from shared.store.campaign_runs import RunStore
from shared.store.campaigns import CampaignStore
from shared.store.configuration import MerchantStore
from shared.store.episodes import EpisodeStore
from shared.store.fact_walk import FactWalkStore
from shared.store.facts import FactStore
from shared.store.listing import CheckoutListing
from shared.store.shoppers import ShopperStore
from shared.workflows.campaigns.reconcile import Reconciliation
from shared.workflows.campaigns.run import CampaignRunner
from shared.workflows.campaigns.run_page import RunPages
from shared.workflows.campaigns.schedules import CampaignSchedules
from shared.workflows.campaigns.start import EpisodeStarter
from shared.workflows.insight.fact_files import FactFiles
from shared.workflows.recovery.facts import FactRecorder


@cache
def _stores() -> Stores:
    return Stores(Environment.read())


@cache
def schedules() -> CampaignSchedules:
    """What settles schedules."""
    return CampaignSchedules(CampaignStore(_stores().table), _stores().schedules)


@cache
def reconciliation() -> Reconciliation:
    """What walks all merchants' campaigns."""
    table = _stores().table
    return Reconciliation(MerchantStore(table), CampaignStore(table), schedules())


@cache
def fact_files() -> FactFiles:
    """What writes the daily files of facts; of stages that have a bucket for them."""
    stores = _stores()
    table = stores.table
    return FactFiles(MerchantStore(table), FactStore(table), FactWalkStore(table), stores.facts_bucket, now)


@cache
def runner() -> CampaignRunner:
    """The runner of this process."""
    stores = _stores()
    table = stores.table
    merchants, shoppers = MerchantStore(table), ShopperStore(table)
    episodes = EpisodeStore(table, stores.environment.due_shards)
    return CampaignRunner(
        campaigns=CampaignStore(table),
        merchants=merchants,
        pages=RunPages(stores.checkouts, shoppers, CheckoutListing(table), stores.hasher),
        runs=RunStore(table),
        schedules=schedules(),
        starter=EpisodeStarter(
            table,
            stores.checkouts,
            shoppers,
            episodes,
            merchants,
            CampaignStore(table),
            stores.hasher,
            FactRecorder(FactStore(table), episodes, ActivityStore(table), now),
        ),
        queue=stores.campaign_runs,
        now=now,
    )
