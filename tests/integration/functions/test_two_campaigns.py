"""A scheduled run and a campaign of abandonments come to one shopper: who has them is read off the campaigns."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from functions.campaign import composition
from shared.domain.campaign import Campaign, CampaignId, CampaignStatus, CampaignStep
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.metrics import FactKind, cohort_of
from shared.domain.settings import Settings
from shared.domain.step_state import StepState
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.coupons import CouponStore
from shared.store.episodes import EpisodeStore
from shared.store.facts import FactStore
from shared.store.listing import CheckoutListing
from shared.store.shoppers import ShopperStore
from shared.workflows.campaigns.preview import CampaignPreview
from shared.workflows.insight.checkout_search import CheckoutSearch
from shared.workflows.recovery.facts import FactRecorder
from tests.integration.functions.test_campaign import CAMPAIGN, _deployed, campaign, counts, episodes, fire
from tests.integration.shop import SESSION, Shop
from tests.unit.domain.sessions import MERCHANT

__all__ = ["_deployed", "campaign"]

AT_ONCE = CampaignId("cmp_2")
OTHER = CampaignId("cmp_3")
MINUTES_10 = timedelta(minutes=10)


@pytest.fixture(autouse=True)
def _nothing_else_holds_back(shop: Shop) -> None:
    merchants = MerchantStore(shop.table)
    stored = merchants.get(MERCHANT)
    assert stored is not None
    settings = Settings(quiet_hours=None, consent="unknown_allowed", holdout_percent=0)
    merchants.replace(replace(stored.value, settings=settings), stored.version)


@pytest.fixture(params=["the run is first", "dispatch is first"])
def order(request: pytest.FixtureRequest, shop: Shop, campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> str:
    """Between moving a cart and starting its episode, dispatch may or may not have told of the abandonment."""
    if request.param == "dispatch is first":
        starter = composition.runner()._starter
        start: Callable[..., str] = starter.start_episode

        def after_dispatch(*given: Any) -> str:
            shop.settle()
            return start(*given)

        monkeypatch.setattr(starter, "start_episode", after_dispatch)
    return str(request.param)


def on_abandonment(shop: Shop, campaign_id: CampaignId = AT_ONCE, **changes: Any) -> Campaign:
    """A campaign that abandonments start: ten minutes after the shopper has left."""
    made = Campaign(
        id=campaign_id,
        merchant_id=MERCHANT,
        version=1,
        name="At once",
        created_at=shop.now,
        steps=(CampaignStep(timedelta(hours=2), shop.endpoint().id), CampaignStep(timedelta(hours=9), "ep_x")),  # type: ignore[arg-type]  # nobody looks at it
        activated_at=shop.now,
    )
    CampaignStore(shop.table).create(replace(made, **changes))
    return replace(made, **changes)


def of_priority(shop: Shop, priority: int, campaign_id: CampaignId = CAMPAIGN) -> None:
    """The merchant edits a campaign's priority."""
    store = CampaignStore(shop.table)
    found = store.get(MERCHANT, campaign_id)
    assert found is not None
    store.revise(found, replace(found.value, priority=priority))


def restated(shop: Shop, campaign_id: CampaignId, status: CampaignStatus) -> None:
    store = CampaignStore(shop.table)
    found = store.get(MERCHANT, campaign_id)
    assert found is not None
    store.restate(found, status, shop.now)


def left(shop: Shop) -> None:
    """A cart that nobody has touched for 20 minutes: only a run takes it before its idle time is over."""
    shop.webhook()
    shop.wait(minutes=20)


def the_episode(shop: Shop) -> Episode:
    (episode,) = episodes(shop)
    assert shop.checkout().episode_id == episode.id
    return episode


def stood_back(shop: Shop, session: str = SESSION) -> set[tuple[str, str]]:
    """Who stands back for whom, on the checkout's timeline; each once."""
    entries, _ = ActivityStore(shop.table).page(shop.digest(session), limit=50, after=None)
    found = [own.detail for own in entries if own.type == "NOT_SENT"]
    assert all(own["reason"] == "another_campaign" for own in found)
    pairs = [(str(own["campaign_id"]), str(own["taken_by"])) for own in found]
    assert len(pairs) == len(set(pairs))
    return set(pairs)


def previewed(shop: Shop, campaign_id: CampaignId) -> tuple[str | None, str | None]:
    """What the preview says of the only cart: why the campaign would not write, and who has the shopper."""
    stores = composition._stores()
    table = stores.table
    search = CheckoutSearch(stores.checkouts, CheckoutListing(table), stores.hasher)
    own = CampaignPreview(
        search,
        ShopperStore(table),
        EndpointStore(table),
        CouponStore(table),
        CampaignStore(table),
        EpisodeStore(table),
        stores.hasher,
    )
    found, merchant = CampaignStore(table).get(MERCHANT, campaign_id), MerchantStore(table).get(MERCHANT)
    assert found is not None
    assert merchant is not None
    (only,) = own.page(found.value, merchant.value, shop.now, days=1, limit=5, after=None).simulated
    return only.reason, only.taken_by


@pytest.mark.usefixtures("order")
class TestAnOpenCartThatARunMoves:
    def test_is_the_runs_where_its_campaign_has_the_higher_priority(self, shop: Shop) -> None:
        on_abandonment(shop)
        of_priority(shop, 1)
        left(shop)

        assert previewed(shop, CAMPAIGN) == (None, None)

        fire(shop, revision=2)
        shop.settle()

        after = the_episode(shop)
        assert (after.campaign_id, after.anchor) == (CAMPAIGN, shop.now)
        assert previewed(shop, CAMPAIGN) == (None, None)
        assert previewed(shop, AT_ONCE) == ("another_campaign", CAMPAIGN)
        assert [own.due_at for own in after.steps] == [shop.now + timedelta(hours=1)], "the run's steps, nobody else's"
        assert counts(shop) == {"started": 1}
        assert stood_back(shop) == {(AT_ONCE, CAMPAIGN)}

    def test_is_the_other_campaigns_where_that_has_it(self, shop: Shop) -> None:
        on_abandonment(shop, priority=1)
        left(shop)
        last_activity = shop.checkout().last_activity_at
        assert previewed(shop, CAMPAIGN) == ("another_campaign", AT_ONCE)

        fire(shop)
        shop.settle()

        after = the_episode(shop)
        assert (after.campaign_id, after.anchor) == (AT_ONCE, last_activity)
        assert counts(shop) == {"another_campaign": 1}
        assert stood_back(shop) == {(CAMPAIGN, AT_ONCE)}
        assert previewed(shop, CAMPAIGN) == ("another_campaign", AT_ONCE)
        assert previewed(shop, AT_ONCE) == (None, None)

    @pytest.mark.parametrize(("older_by", "expected"), [(1, AT_ONCE), (-1, CAMPAIGN), (0, CAMPAIGN)])
    def test_of_equals_is_the_older_ones_and_of_one_age_the_smaller_ids(
        self, shop: Shop, older_by: int, expected: CampaignId
    ) -> None:
        on_abandonment(shop, created_at=shop.now - older_by * MINUTES_10)
        left(shop)

        fire(shop)
        shop.settle()

        assert the_episode(shop).campaign_id == expected
        assert stood_back(shop) == {(AT_ONCE if expected == CAMPAIGN else CAMPAIGN, expected)}

    @pytest.mark.parametrize(
        "other",
        [
            {"status": "paused"},
            {"criteria": {"field": "total", "op": "gte", "value": "100000"}},
            {"activated_at": None},
        ],
        ids=["paused", "for dearer carts", "never active"],
    )
    def test_is_the_runs_where_the_other_is_not_in_it(self, shop: Shop, other: dict[str, Any]) -> None:
        on_abandonment(shop, priority=9, **other)
        left(shop)

        fire(shop)
        shop.settle()

        assert the_episode(shop).campaign_id == CAMPAIGN
        assert stood_back(shop) == set()

    def test_a_run_that_is_repeated_says_it_once(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        on_abandonment(shop, priority=1)
        left(shop)
        fire(shop)
        shop.settle()
        for _ in range(2):
            shop.wait(minutes=5)
            fire(shop)

        assert the_episode(shop).campaign_id == AT_ONCE
        assert stood_back(shop) == {(CAMPAIGN, AT_ONCE)}


def started_in_figures(shop: Shop) -> set[str | None]:
    """Whose start the figures count."""
    day = cohort_of(shop.checkout().abandoned_at or shop.now, shop.merchant.timezone)
    return {own.campaign for own in FactStore(shop.table).of_cohort(MERCHANT, day) if own.kind is FactKind.STARTED}


def abandoned_at_once(shop: Shop) -> Episode:
    """The cart was left for its idle time; its episode is the other campaign's."""
    shop.webhook()
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    found = the_episode(shop)
    assert found.campaign_id == AT_ONCE
    return found


class TestAnEpisodeOfAnotherCampaign:
    def test_is_taken_over_before_its_first_message_by_who_outranks_it(self, shop: Shop, campaign: Campaign) -> None:
        on_abandonment(shop)
        of_priority(shop, 1)
        before = abandoned_at_once(shop)
        assert previewed(shop, CAMPAIGN) == (None, None)

        fire(shop, revision=2)

        after = the_episode(shop)
        assert (after.id, after.campaign_id, after.version) == (before.id, CAMPAIGN, before.version + 1)
        assert [(own.number, own.due_at) for own in after.steps] == [(1, shop.now + timedelta(hours=1))]
        assert stood_back(shop) == {(AT_ONCE, CAMPAIGN)}
        assert started_in_figures(shop) == {CAMPAIGN}

    def test_stays_where_the_priority_is_lower_and_goes_once_it_was_raised(
        self, shop: Shop, campaign: Campaign
    ) -> None:
        on_abandonment(shop, priority=1)
        abandoned_at_once(shop)
        fire(shop)
        assert the_episode(shop).campaign_id == AT_ONCE
        assert stood_back(shop) == {(CAMPAIGN, AT_ONCE)}

        of_priority(shop, 2)
        shop.wait(minutes=5)
        fire(shop, revision=2)

        assert the_episode(shop).campaign_id == CAMPAIGN
        assert stood_back(shop) == {(CAMPAIGN, AT_ONCE), (AT_ONCE, CAMPAIGN)}

    def test_priorities_count_as_they_are_when_the_run_comes(self, shop: Shop, campaign: Campaign) -> None:
        on_abandonment(shop, priority=5)
        of_priority(shop, 3)
        abandoned_at_once(shop)
        of_priority(shop, 1, AT_ONCE)

        fire(shop, revision=2)

        assert the_episode(shop).campaign_id == CAMPAIGN

    def test_stays_once_a_message_went_out_whatever_the_priority(self, shop: Shop, campaign: Campaign) -> None:
        on_abandonment(shop)
        of_priority(shop, 9)
        abandoned_at_once(shop)
        shop.wait(hours=2)
        shop.sweep()
        shop.deliver()
        assert the_episode(shop).steps[0].state is StepState.SENT
        assert previewed(shop, CAMPAIGN) == ("another_campaign", AT_ONCE)

        fire(shop, revision=2)

        assert the_episode(shop).campaign_id == AT_ONCE
        assert counts(shop) == {"another_campaign": 1}

    @pytest.mark.parametrize("gone", ["paused", "deleted"])
    def test_gives_way_where_its_campaign_is_paused_or_deleted(self, shop: Shop, campaign: Campaign, gone: str) -> None:
        on_abandonment(shop, priority=9)
        abandoned_at_once(shop)
        store = CampaignStore(shop.table)
        found = store.get(MERCHANT, AT_ONCE)
        assert found is not None
        if gone == "paused":
            restated(shop, AT_ONCE, "paused")
        else:
            store.delete(found)

        fire(shop)

        assert the_episode(shop).campaign_id == CAMPAIGN
        restated(shop, AT_ONCE, "active") if gone == "paused" else None
        shop.wait(minutes=5)
        fire(shop)
        assert counts(shop) == {"already_running": 1}, "what is the run's stays the run's"

    def test_a_message_on_its_way_for_the_old_plan_sends_nothing_of_it(self, shop: Shop, campaign: Campaign) -> None:
        on_abandonment(shop)
        of_priority(shop, 1)
        abandoned_at_once(shop)
        shop.deliver()
        shop.wait(minutes=89)
        shop.sweep()
        (step_message,) = shop.queued()

        fire(shop, revision=2)
        shop.deliver([step_message])

        after = the_episode(shop)
        assert after.campaign_id == CAMPAIGN
        assert [own.state for own in after.steps] == [StepState.PLANNED]

    def test_a_crash_behind_the_start_leaves_the_entry(
        self, shop: Shop, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        on_abandonment(shop)
        of_priority(shop, 1)
        abandoned_at_once(shop)
        runs = composition.runner()._runs
        with monkeypatch.context() as dying:
            dying.setattr(type(runs), "done", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                fire(shop, revision=2)
        shop.wait(minutes=4)

        fire(shop, revision=2, fired_at=(shop.now - timedelta(minutes=4)).isoformat())

        assert the_episode(shop).campaign_id == CAMPAIGN
        assert stood_back(shop) == {(AT_ONCE, CAMPAIGN)}

    def test_a_crash_before_the_start_is_counted_leaves_it_to_the_next(
        self, shop: Shop, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        on_abandonment(shop)
        of_priority(shop, 1)
        abandoned_at_once(shop)
        with monkeypatch.context() as dying:
            dying.setattr(FactRecorder, "started", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                fire(shop, revision=2)
        assert started_in_figures(shop) == {AT_ONCE}
        shop.wait(minutes=4)

        fire(shop, revision=2, fired_at=(shop.now - timedelta(minutes=4)).isoformat())

        assert started_in_figures(shop) == {CAMPAIGN}


def test_two_campaigns_of_abandonments_are_settled_by_the_same_rule_and_told_the_same_way(shop: Shop) -> None:
    on_abandonment(shop, AT_ONCE)
    on_abandonment(shop, OTHER, priority=1)
    shop.abandon()
    shop.settle()

    assert the_episode(shop).campaign_id == OTHER
    assert stood_back(shop) == {(AT_ONCE, OTHER)}


@pytest.mark.usefixtures("order")
def test_a_shopper_who_came_back_to_the_cart_that_a_run_then_moves_is_not_taken_for_active(shop: Shop) -> None:
    shop.abandon()
    shop.settle()
    shop.webhook(current_screen="PAYMENT_LOADED")
    shop.settle()
    assert the_episode(shop).status is EpisodeStatus.PAUSED
    shop.wait(minutes=20)

    fire(shop)
    shop.settle()

    after = the_episode(shop)
    assert (after.campaign_id, after.status) == (CAMPAIGN, EpisodeStatus.ACTIVE)
