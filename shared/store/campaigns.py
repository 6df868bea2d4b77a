"""Campaigns: the one row of each as it is now, its versions, and which schedules still have to follow.

An edit makes a version that never changes again: an episode keeps the one it began with, even after the campaign was
deleted. Pausing and resuming make none. A write that concerns a schedule leaves a note in the same transaction, taken
away when the schedule is as the campaign says: no crash in between leaves an orphan.
"""

from dataclasses import replace
from datetime import datetime

from shared.domain.campaign import Campaign, CampaignId, CampaignStatus
from shared.domain.ids import MerchantId
from shared.store import keys
from shared.store.codec import pack, unpack
from shared.store.conditions import Attr, Condition, Key
from shared.store.configuration import VersionConflict, Versioned, entry_ids
from shared.store.table import ConditionFailed, Table, TransactionCancelled
from shared.store.writes import Delete, Item, Put, Write


class CampaignStore:
    """Campaigns of a merchant. ``Versioned.version`` is the row's revision (the API's ETag), not the campaign's."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self, merchant_id: MerchantId, campaign_id: CampaignId) -> Versioned[Campaign] | None:
        """The campaign as it is now, or None."""
        item = self._table.get(keys.campaign(merchant_id, campaign_id))
        return None if item is None else _current(item)

    def version(self, merchant_id: MerchantId, campaign_id: CampaignId, version: int) -> Campaign | None:
        """One version, whatever became of the campaign; its ``status`` is that of its day."""
        item = self._table.get(keys.campaign_version(merchant_id, campaign_id, version))
        return None if item is None else unpack(Campaign, item)

    def is_active(self, merchant_id: MerchantId, campaign_id: CampaignId) -> bool:
        """Whether the campaign may send at this moment; a deleted one may not."""
        found = self.get(merchant_id, campaign_id)
        return found is not None and found.value.active

    def active(self, merchant_id: MerchantId) -> list[Campaign]:
        """The active campaigns that abandonments start, at their newest versions. One query."""
        found = (own.value for own in self.listed(merchant_id))
        return [own for own in found if own.active and own.trigger.type == "abandonment"]

    def listed(self, merchant_id: MerchantId) -> list[Versioned[Campaign]]:
        """The merchant's campaigns, oldest first."""
        condition = Key("pk").eq(keys.merchant(merchant_id)) & Key("sk").begins_with("CMP#")
        return list(self._table.readable(self._table.query_all(condition, consistent=True), _current))

    def ids(self, merchant_id: MerchantId) -> list[CampaignId]:
        """The ids of all the merchant's campaigns, which are not read."""
        return [CampaignId(own) for own in entry_ids(self._table, merchant_id, "CMP#")]

    def create(self, campaign: Campaign) -> None:
        """Write a new campaign at its first version."""
        note = _note(campaign, 1) if _scheduled(campaign) else None
        # Again, unchanged, by the same request whose end nobody saw: ids are random, or follow from a request.
        as_made = Attr("pk").not_exists() | Attr("rev").eq(1)
        self._table.transact(_revision(campaign, 1, as_made, note))

    def revise(self, before: Versioned[Campaign], after: Campaign) -> Versioned[Campaign]:
        """Write an edit as the next version. Raises VersionConflict."""
        edited = replace(after, version=before.value.version + 1)
        revision = before.version + 1
        note = _note(edited, revision) if _scheduled(before.value) or _scheduled(edited) else None
        self._replace(_revision(edited, revision, _as_read(before), note))
        return Versioned(edited, revision)

    def restate(self, before: Versioned[Campaign], status: CampaignStatus, now: datetime) -> Versioned[Campaign]:
        """Pause or resume: the version stays; the first activation is remembered. Raises VersionConflict."""
        after = replace(before.value, status=status)
        if after.active and after.activated_at is None:
            after = replace(after, activated_at=now)
        revision = before.version + 1
        writes: list[Write] = [Put(_head(after, revision), _as_read(before))]
        if _scheduled(after):
            writes.append(_note(after, revision))
        self._replace(writes)
        return Versioned(after, revision)

    def delete(self, before: Versioned[Campaign]) -> None:
        """Remove the campaign; its versions stay for the episodes begun with them. Raises VersionConflict."""
        campaign = before.value
        writes: list[Write] = [Delete(keys.campaign(campaign.merchant_id, campaign.id), _as_read(before))]
        if _scheduled(campaign):
            writes.append(_note(campaign, before.version + 1))
        self._replace(writes)

    def erase(self, merchant_id: MerchantId, campaign_id: CampaignId) -> None:
        """Remove the campaign, readable or not, and leave the note by which its schedule goes."""
        pk, sk = keys.unscheduled(merchant_id, campaign_id)
        self._table.transact([Delete(keys.campaign(merchant_id, campaign_id)), Put({"pk": pk, "sk": sk, "rev": 0})])

    def unsettled_of(self, merchant_id: MerchantId) -> list[CampaignId]:
        """The merchant's campaigns whose schedules may not be as they say."""
        condition = Key("pk").eq(keys.UNSCHEDULED) & Key("sk").begins_with(f"{merchant_id}#")
        found = self._table.query_all(condition, consistent=True)
        return [CampaignId(item["sk"].partition("#")[2]) for item in found]

    def unsettled(self) -> list[tuple[MerchantId, CampaignId]]:
        """The campaigns, of all merchants, whose schedules may not be as they say."""
        found = self._table.query_all(Key("pk").eq(keys.UNSCHEDULED), consistent=True)
        parts = [item["sk"].partition("#") for item in found]
        return [(MerchantId(merchant_id), CampaignId(campaign_id)) for merchant_id, _, campaign_id in parts]

    def settled(self, merchant_id: MerchantId, campaign_id: CampaignId, revision: int | None) -> None:
        """The schedule is as this revision says (None: as the deletion says); a later write's note stays."""
        condition = None if revision is None else Attr("rev").lte(revision) | Attr("pk").not_exists()
        try:
            self._table.delete(Delete(keys.unscheduled(merchant_id, campaign_id), condition))
        except ConditionFailed:
            return

    def _replace(self, writes: list[Write]) -> None:
        try:
            self._table.transact(writes)
        except TransactionCancelled as cancelled:
            raise VersionConflict from cancelled


def _scheduled(campaign: Campaign) -> bool:
    return campaign.trigger.type == "schedule"


def _revision(campaign: Campaign, revision: int, condition: Condition, note: Put | None) -> list[Write]:
    pk, sk = keys.campaign_version(campaign.merchant_id, campaign.id, campaign.version)
    version = Put({**pack(campaign), "pk": pk, "sk": sk}, None if revision == 1 else Attr("pk").not_exists())
    return [Put(_head(campaign, revision), condition), version, *([] if note is None else [note])]


def _head(campaign: Campaign, revision: int) -> Item:
    pk, sk = keys.campaign(campaign.merchant_id, campaign.id)
    return {**pack(campaign), "pk": pk, "sk": sk, "rev": revision}


def _note(campaign: Campaign, revision: int) -> Put:
    pk, sk = keys.unscheduled(campaign.merchant_id, campaign.id)
    return Put({"pk": pk, "sk": sk, "rev": revision})


def _current(item: Item) -> Versioned[Campaign]:
    return Versioned(unpack(Campaign, item), int(item["rev"]))


def _as_read(before: Versioned[Campaign]) -> Condition:
    return Attr("rev").eq(before.version)
