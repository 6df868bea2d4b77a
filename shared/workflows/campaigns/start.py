"""Starting a scheduled campaign's episode for an abandoned checkout: opened, or adopted where it has no campaign."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from shared.domain import planning
from shared.domain.campaign import Campaign
from shared.domain.checkout import Checkout
from shared.domain.deadline import bought_elsewhere, floor_of
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.holdout import in_holdout
from shared.domain.identity import Identity, IdentityHasher
from shared.domain.ids import EpisodeId, derived_ulid
from shared.domain.settings import Settings
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import MerchantStore
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperRecord, ShopperStore
from shared.store.table import StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Write

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
        hasher: IdentityHasher,
    ) -> None:
        """Share the stores of one process."""
        self._table = table
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._episodes = episodes
        self._merchants = merchants
        self._hasher = hasher

    def start_episode(self, checkout: Checkout, campaign: Campaign, now: datetime) -> str:
        """Start the campaign's episode, its steps counted from ``now``; answers what came of it.

        ``started``; ``already_running`` in the shopper's open episode; ``another_campaign`` has it, or the shopper is
        back in it (``shopper_active``); ``no_contact``, ``purchased``; ``moved_on``: the checkout is abandoned no more.
        Raises StoreUnavailable.
        """
        merchant = self._merchants.get(checkout.merchant_id)
        if merchant is None:
            return "merchant_gone"
        shopper = [
            identity for identity in self._hasher.of_shopper(checkout) if not self._checkouts.is_shared(identity, now)
        ]
        if not shopper:
            return "no_contact"
        for _ in range(_ROUNDS):
            records = self._shoppers.get_many(shopper)
            if any(bought_elsewhere(checkout, own.purchased_at) for own in records.values()):
                return "purchased"
            open_one = self._open_episode(records.values())
            refusal = _refusal(open_one, campaign)
            if refusal is not None:
                return refusal
            episode, writes = self._begun(open_one, checkout, shopper, campaign, merchant.value.settings, now)
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
                return "started"
        raise StoreUnavailable("the shopper's records kept changing")

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
            version=open_one.version + 1,
            anchor=max(open_one.anchor, now),
            identities=tuple(sorted({*open_one.identities, *shopper})),
            checkouts=(*(own for own in open_one.checkouts if own != checkout.digest), checkout.digest),
            campaign_id=campaign.id,
            campaign_version=campaign.version,
        )
        adopted = planning.replanned(adopted, campaign, settings, now)
        return adopted, [self._episodes.rewritten(adopted, open_one.version, now, planning.due_of(adopted, settings))]


def _refusal(episode: Episode | None, campaign: Campaign) -> str | None:
    """Why the shopper's open episode cannot be the campaign's."""
    if episode is None:
        return None
    if episode.campaign_id == campaign.id:
        return "already_running"
    if episode.campaign_id is not None:
        return "another_campaign"
    return "shopper_active" if episode.status is EpisodeStatus.PAUSED else None
