"""Starting a scheduled campaign's episode for an abandoned checkout: opened, or an open one taken over.

An open episode without a campaign becomes the run's. One of another campaign does where the run's outranks it and
nothing has become of its messages; otherwise the run leaves the shopper alone. Either way the timeline says which
campaign stood back, and for which.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from shared.domain import planning
from shared.domain.campaign import Campaign, CampaignId
from shared.domain.campaign_choice import ANOTHER_CAMPAIGN, is_told, left_to, rival_of, stays
from shared.domain.checkout import Activity, Checkout
from shared.domain.deadline import bought_elsewhere, floor_of
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.holdout import in_holdout
from shared.domain.identity import Identity, IdentityHasher, not_named
from shared.domain.ids import EpisodeId, derived_ulid
from shared.domain.settings import Settings
from shared.domain.transitions import retention_end
from shared.store import keys
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import MerchantStore
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperRecord, ShopperStore
from shared.store.table import StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Put, Write
from shared.workflows.recovery.facts import FactRecorder

_ROUNDS = 5


class EpisodeStarter:
    """Starts episodes of scheduled campaigns. Starting again what runs already changes nothing."""

    def __init__(
        self,
        table: Table,
        checkouts: CheckoutStore,
        shoppers: ShopperStore,
        episodes: EpisodeStore,
        merchants: MerchantStore,
        campaigns: CampaignStore,
        hasher: IdentityHasher,
        facts: FactRecorder,
    ) -> None:
        """Share the stores of one process."""
        self._table = table
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._episodes = episodes
        self._merchants = merchants
        self._campaigns = campaigns
        self._activities = ActivityStore(table)
        self._hasher = hasher
        self._facts = facts

    def start_episode(self, checkout: Checkout, campaign: Campaign, now: datetime) -> str:
        """Start the campaign's episode, its steps counted from ``now``; answers what came of it.

        ``started``; ``already_running`` in the shopper's open episode; ``another_campaign`` has the shopper or is about
        to, or they are back at another cart of theirs (``shopper_active``); ``no_contact``, ``purchased``;
        ``moved_on``: the checkout is abandoned no more. Raises StoreUnavailable.
        """
        merchant = self._merchants.get(checkout.merchant_id)
        if merchant is None:
            return "merchant_gone"
        shopper = [
            identity for identity in self._hasher.of_shopper(checkout) if not self._checkouts.is_shared(identity, now)
        ]
        if not shopper:
            return "no_contact"
        settings = merchant.value.settings
        for _ in range(_ROUNDS):
            records = self._shoppers.get_many(shopper)
            if any(bought_elsewhere(checkout, own.purchased_at) for own in records.values()):
                return "purchased"
            open_one = self._open_episode(records.values())
            if open_one is not None and open_one.campaign_id == campaign.id:
                # Whoever started it may have died before it was counted.
                self._facts.started(checkout, open_one, merchant.value)
                return "already_running"
            taker = self._taken_by(open_one, checkout, campaign, now)
            if taker is not None:
                self._note(checkout, left_to(campaign.id, taker, checkout.abandoned_at or now), settings)
                return ANOTHER_CAMPAIGN
            if open_one is not None and _is_back(open_one, checkout):
                return "shopper_active"
            episode, writes = self._begun(open_one, checkout, shopper, campaign, settings, now)
            self._shoppers.find_by_themselves(not_named(episode.identities) - records.keys())
            pieces: list[Write] = [
                self._checkouts.in_episode(checkout, episode.id),
                *writes,
                *(self._shoppers.joined(own, episode.id, floor_of(checkout), now) for own in records.values()),
            ]
            try:
                self._table.transact(pieces)
            except TransactionCancelled as cancelled:
                if cancelled.reasons[0].failed_condition:
                    return "moved_on"
            else:
                self._facts.started(checkout, episode, merchant.value)
                return "started"
        raise StoreUnavailable("the shopper's records kept changing")

    def _taken_by(
        self, open_one: Episode | None, checkout: Checkout, campaign: Campaign, now: datetime
    ) -> CampaignId | None:
        """The campaign that has the shopper, or is about to, and does not give way to the run's."""
        if open_one is None:
            if is_told(checkout):
                return None
            # Dispatch is about to choose among these, without knowing of the run.
            rival = rival_of(campaign, self._campaigns.active(campaign.merchant_id), checkout, now)
            return None if rival is None else rival.id
        if open_one.campaign_id is None:
            return None
        holder_id = CampaignId(open_one.campaign_id)
        holder = self._campaigns.get(campaign.merchant_id, holder_id)
        if stays(open_one, None if holder is None else holder.value, campaign):
            return holder_id
        # A code of the other campaign's, given out before its message, would go into the run's.
        given = self._table.keys_of(keys.episode(open_one.id)[0], prefix="K#")
        return holder_id if given else None

    def _note(self, checkout: Checkout, entry: Activity, settings: Settings) -> None:
        self._activities.add(checkout.digest, entry, retention_end(checkout, settings))

    def _open_episode(self, records: Iterable[ShopperRecord]) -> Episode | None:
        held = {own.episode_id for own in records if own.episode_id is not None}
        known = self._episodes.get_many(held).values()
        return min(
            (own for own in known if own.status is not EpisodeStatus.ENDED), key=lambda own: own.id, default=None
        )

    def _begun(
        self,
        open_one: Episode | None,
        checkout: Checkout,
        shopper: list[Identity],
        campaign: Campaign,
        settings: Settings,
        now: datetime,
    ) -> tuple[Episode, list[Write]]:
        if open_one is None:
            opened = planning.opened(
                checkout,
                shopper,
                now,
                campaign=campaign,
                holdout=in_holdout(shopper, settings.holdout_percent),
                settings=settings,
                anchor=now,
            )
            # The abandonment's own episode may have ended before: this one is the run's.
            own_id = EpisodeId("epi_" + derived_ulid(now, checkout.digest, campaign.id))
            cause = self._checkouts.cause_of(checkout.digest)
            opened = replace(opened, id=own_id, started_at=now, correlation_id=cause)
            return opened, [self._episodes.created(opened, now, planning.due_of(opened, settings))]
        adopted = replace(
            open_one,
            status=EpisodeStatus.ACTIVE,
            version=open_one.version + 1,
            anchor=max(open_one.anchor, now),
            identities=tuple(sorted({*open_one.identities, *shopper})),
            checkouts=(*(own for own in open_one.checkouts if own != checkout.digest), checkout.digest),
            campaign_id=campaign.id,
            campaign_version=campaign.version,
            steps=(),
        )
        adopted = planning.replanned(adopted, campaign, settings, now)
        writes: list[Write] = [
            self._episodes.rewritten(adopted, open_one.version, now, planning.due_of(adopted, settings))
        ]
        if open_one.campaign_id is not None:
            entry = left_to(open_one.campaign_id, campaign.id, checkout.abandoned_at or now)
            noted = ActivityStore.new(checkout.digest, entry, retention_end(checkout, settings))
            writes.append(Put(noted.item))
        return adopted, writes


def _is_back(episode: Episode, checkout: Checkout) -> bool:
    """Whether the shopper is at another cart of theirs. Of this one the abandonment may be still to be told."""
    return episode.status is EpisodeStatus.PAUSED and episode.newest_checkout != checkout.digest
