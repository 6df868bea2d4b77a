"""The episode of an abandoned checkout: opened or joined, its messages planned; paused while the shopper is back."""

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from shared.domain import campaign as campaigns
from shared.domain import planning
from shared.domain.campaign import Campaign, CampaignId
from shared.domain.campaign_choice import left_to
from shared.domain.checkout import Activity, Checkout
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.holdout import in_holdout
from shared.domain.identity import not_named
from shared.domain.ids import EpisodeId, MerchantId
from shared.domain.instants import to_rfc3339
from shared.domain.settings import Settings
from shared.domain.step_state import StepState
from shared.domain.suppression import EndReason
from shared.domain.transitions import retention_end
from shared.store.activities import ActivityStore
from shared.store.checkouts import CheckoutStore
from shared.store.episodes import EpisodeMoved, EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.store.table import ConditionFailed, StoreUnavailable
from shared.store.writes import Put, Write
from shared.workflows.recovery.audience import Audience
from shared.workflows.recovery.known_shopper import ShopperRecords
from shared.workflows.recovery.outbox import Transition

_ROUNDS = 5


def kept_with(episode: Episode, checkout: Checkout) -> datetime | None:
    """When the checkout's row goes, where the episode is that checkout's alone; None where others have a part in it."""
    alone = episode.campaign_id is None and episode.checkouts == (checkout.digest,)
    return checkout.kept_until if alone and not not_named(episode.identities) else None


class CampaignVersions(Protocol):
    """Campaigns as an open episode keeps them."""

    def version(self, merchant_id: MerchantId, campaign_id: CampaignId, version: int) -> Campaign | None:
        """A campaign as it stood at a version."""
        ...


class EpisodePlanner:
    """Plans episodes. What it makes for an abandonment is written by whoever announces it, all or nothing."""

    def __init__(
        self,
        episodes: EpisodeStore,
        checkouts: CheckoutStore,
        shoppers: ShopperStore,
        campaigns: CampaignVersions,
        activities: ActivityStore,
    ) -> None:
        """Share the stores of one process."""
        self._episodes = episodes
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._campaigns = campaigns
        self._activities = activities

    def planned(
        self,
        checkout: Checkout,
        records: ShopperRecords,
        audience: Audience,
        now: datetime,
        *,
        cause: str | None = None,
    ) -> tuple[Episode | None, list[Write]]:
        """The episode that an abandonment opens or joins, planned, and its writes; an anonymous checkout has none.

        Of two open ones the older stays, with its campaign; one that has none gets the one that this abandonment
        starts. One whose time to send was over when the cart was left makes way for another. ``cause``: the
        abandonment's correlation id.
        """
        if not records:
            return None, []
        settings = audience.merchant.settings
        goes_on, ends = self._standing(checkout, records, settings, now)
        identities = {*records, *(one for own, _ in ends for one in own.identities)}
        if goes_on is None:
            campaign = campaigns.chosen(audience.campaigns, checkout, now)
            holdout = in_holdout(records, settings.holdout_percent)
            planned = planning.opened(checkout, identities, now, campaign=campaign, holdout=holdout, settings=settings)
        else:
            episode, campaign = goes_on
            if episode.campaign_id is None and (campaign := campaigns.chosen(audience.campaigns, checkout, now)):
                episode = replace(episode, campaign_id=campaign.id, campaign_version=campaign.version)
            planned = planning.joined(episode, checkout, identities, now, campaign=campaign, settings=settings)
        planned = replace(planned, correlation_id=cause)
        self._shoppers.find_by_themselves(not_named(planned.identities) - records.keys())
        due_at, kept_until = planning.due_of(planned, settings), kept_with(planned, checkout)
        if goes_on is None:
            writes: list[Write] = [self._episodes.created(planned, now, due_at, kept_until)]
        else:
            writes = [self._episodes.rewritten(planned, goes_on[0].version, now, due_at, kept_until)]
        for own, reason in ends:
            writes.append(self._episodes.ended(own.id, reason, now, own.version))
            writes += self._handed_over(own, records, planned.id)
        return planned, writes

    def _standing(
        self, checkout: Checkout, records: ShopperRecords, settings: Settings, now: datetime
    ) -> tuple[tuple[Episode, Campaign | None] | None, list[tuple[Episode, EndReason]]]:
        """Of the shopper's open episodes the one that takes up the cart, with its campaign, and those that end."""
        goes_on: tuple[Episode, Campaign | None] | None = None
        ends: list[tuple[Episode, EndReason]] = []
        for own in self._alive(checkout, records, settings, now):
            campaign = self._campaign_of(own)
            if planning.is_finished(own, campaign, settings, checkout):
                ends.append((own, EndReason.FOLLOWED))
            elif goes_on is None:
                goes_on = own, campaign
            else:
                ends.append((own, EndReason.JOINED))
        return goes_on, ends

    def note_planned(self, transition: Transition, episode: Episode, settings: Settings, *, before: bool) -> None:
        """The messages ahead, or why there is none, on the timeline: the same however often the abandonment is told.

        ``before``: by an earlier run. What moved in the episode since was not planned by this abandonment.
        """
        checkout, sent_at = transition.checkout, episode.last_hand_over
        sent_since = sent_at is not None and sent_at >= transition.at
        if before and (episode.newest_checkout != checkout.digest or sent_since):
            return
        ended_since = any(own.ended_at is not None and own.ended_at > transition.at for own in episode.steps)
        why = None if before and ended_since else planning.why_none_is_left(episode)
        if why is not None:
            none = Activity(transition.at, "NOT_SENT", {"campaign_id": episode.campaign_id or "", "reason": why})
            self._activities.add(checkout.digest, none, retention_end(checkout, settings))
        for step in episode.steps:
            if step.state is StepState.PLANNED and not (before and step.put_off):
                detail: dict[str, str | int] = {"step": step.number, "due_at": to_rfc3339(step.due_at)}
                detail |= {"campaign_id": episode.campaign_id or ""}
                entry = Activity(transition.at, "SCHEDULED", detail)
                self._activities.add(checkout.digest, entry, retention_end(checkout, settings))

    def note_left_alone(self, checkout: Checkout, episode: Episode, audience: Audience, now: datetime) -> None:
        """The fitting campaigns that another one keeps from the shopper, on the timeline: the same entries each time.

        Where the episode has no campaign, none was chosen over the others.
        """
        if episode.campaign_id is None:
            return
        settings = audience.merchant.settings
        for own in campaigns.fitting(audience.campaigns, checkout, now):
            if own.id != episode.campaign_id:
                entry = left_to(own.id, episode.campaign_id, checkout.abandoned_at or now)
                self._activities.add(checkout.digest, entry, retention_end(checkout, settings))

    def pause(self, checkout: Checkout, settings: Settings, now: datetime) -> None:
        """The shopper is back: the episode waits, unless it is about a newer checkout by now.

        Raises StoreUnavailable when others kept writing the episode.
        """
        for _ in range(_ROUNDS):
            episode = self._episodes.get(EpisodeId(checkout.episode_id)) if checkout.episode_id else None
            if episode is None or episode.status is not EpisodeStatus.ACTIVE:
                return
            if episode.newest_checkout != checkout.digest or self._left_again(checkout):
                return
            waiting = planning.paused(episode)
            try:
                due_at, ends = planning.due_of(waiting, settings), kept_with(waiting, checkout)
                self._episodes.write(self._episodes.rewritten(waiting, episode.version, now, due_at, ends))
            except EpisodeMoved:
                continue
            return
        raise StoreUnavailable("the episode kept changing")

    def _left_again(self, reopened: Checkout) -> bool:
        """Whether an abandonment was told after this reopening, which is told again: it has set the episode going.

        Read after the episode: one that is told in between has written the episode, too.
        """
        current = self._checkouts.get(reopened.digest)
        return current is not None and (current.announced or 0) > reopened.version

    def of(self, checkout: Checkout) -> Episode | None:
        """The episode the checkout is in, as it stands."""
        return self.known(EpisodeId(checkout.episode_id) if checkout.episode_id else None)

    def known(self, episode_id: EpisodeId | None) -> Episode | None:
        """The episode of this id as it stands."""
        return None if episode_id is None else self._episodes.get(episode_id)

    def open(self, created: Write) -> None:
        """Write a new episode alone, before anybody holds it. Raises EpisodeMoved where a campaign has it by now."""
        assert isinstance(created, Put)  # noqa: S101 - what is new is put
        self._episodes.open(created)

    def take_back(self, checkout: Checkout, records: ShopperRecords, now: datetime, *, begun: bool) -> None:
        """What was begun for an abandonment that is not told: its own episode, unless somebody has joined it by now.

        ``begun``: this run has; else ``records`` tell whether an earlier one had.
        """
        own_id = planning.own_episode(checkout, now)
        if not begun and all(own.episode_id != own_id for own in records.values()):
            return
        if self._episodes.withdraw(own_id, now):
            for identity in records:
                self._shoppers.forget_episode(identity, own_id, now)

    def end_with(self, checkout: Checkout, now: datetime) -> None:
        """The checkout's horizon is over: so is the episode that is about it and has no campaign, and is due nowhere.

        Raises StoreUnavailable when others kept writing the episode.
        """
        for _ in range(_ROUNDS):
            episode = self.of(checkout)
            if episode is None or episode.status is EpisodeStatus.ENDED or episode.campaign_id is not None:
                return
            if episode.newest_checkout != checkout.digest:
                return
            over = planning.ended(episode, EndReason.HORIZON, now)
            try:
                ends = kept_with(over, checkout)
                self._episodes.write(self._episodes.rewritten(over, episode.version, now, None, ends))
            except EpisodeMoved:
                continue
            for identity in episode.identities:
                with contextlib.suppress(ConditionFailed):  # it holds another one by now
                    self._shoppers.write(self._shoppers.released(identity, episode.id))
            return
        raise StoreUnavailable("the episode kept changing")

    def newest_of_others(
        self, checkout: Checkout, records: ShopperRecords, settings: Settings, now: datetime
    ) -> frozenset[str]:
        """Digests of the checkouts that the shopper's open episodes are about at present, without this one."""
        alive = self._alive(checkout, records, settings, now) if records else []
        newest = {own.newest_checkout for own in alive}
        return frozenset(own for own in newest if own is not None and own != checkout.digest)

    def _alive(self, checkout: Checkout, records: ShopperRecords, settings: Settings, now: datetime) -> list[Episode]:
        """The open episodes of the shopper, the oldest first; none whose horizon is over, whatever is yet to end it."""
        held = {own.episode_id for own in records.values() if own.episode_id is not None}
        if checkout.episode_id is not None:
            # Its identifiers may have changed since: the episode it is in stays its own.
            held.add(EpisodeId(checkout.episode_id))
        known = self._episodes.get_many(held).values()
        open_ones = (own for own in known if own.status is not EpisodeStatus.ENDED)
        return sorted((own for own in open_ones if not planning.is_over(own, settings, now)), key=lambda own: own.id)

    def _handed_over(self, younger: Episode, records: ShopperRecords, to: EpisodeId) -> Iterable[Write]:
        """A younger episode's identifiers that the checkout does not carry hold the older one from now on."""
        others = self._shoppers.get_many(own for own in younger.identities if own not in records)
        return [
            self._shoppers.moved(identity, younger.id, to)
            for identity, own in others.items()
            if own.episode_id == younger.id
        ]

    def _campaign_of(self, episode: Episode) -> Campaign | None:
        """The campaign at the version the episode keeps."""
        if episode.campaign_id is None:
            return None
        return self._campaigns.version(episode.merchant_id, CampaignId(episode.campaign_id), episode.campaign_version)
