"""Episodes: opened or joined at an announcement, claimed step by step, ended by a purchase.

Every write but the blind end is conditional on the version read; the blind end bumps it, so that of a purchase and a
step's claim exactly one wins. The row is due when its next step is, or when its horizon ends; one without a campaign
is never due. One that a single checkout names, and no campaign has, is kept as long as that and found by it; others
stand in the list index.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from shared.domain import step_state
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.identity import Identity, IdentityKind, one_of_each_kind
from shared.domain.ids import EpisodeId, MerchantId
from shared.domain.instants import from_ms, to_ms
from shared.domain.step_state import EpisodeStep, StepState
from shared.domain.suppression import EndReason
from shared.store import keys
from shared.store.conditions import Attr
from shared.store.expiry import emptied
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item, ItemKey, Put, Update

KEPT_AFTER_END = timedelta(days=90)
_KEPT_OF_ERASED = frozenset({*("pk", "sk", "lp", "ls", "mer", "an", "ca", "chk", "end", "why", "cmp", "cv", "ho")})
_VENDORS_WORDS = frozenset({"vid", "why"})


class EpisodeMoved(Exception):
    """The episode was written meanwhile."""


class EpisodeStore:
    """Episodes by id."""

    def __init__(self, table: Table, due_shards: int | None = None) -> None:
        """``due_shards`` is the stage's number of due index shards; whoever only reads or ends needs none."""
        self._table = table
        self._due_shards = due_shards

    def get(self, episode_id: EpisodeId) -> Episode | None:
        """The episode, consistently read, or None."""
        item = self._table.get(keys.episode(episode_id))
        return None if item is None else read_episode(item)

    def get_many(self, episode_ids: Iterable[EpisodeId]) -> dict[EpisodeId, Episode]:
        """The episodes that exist, by id."""
        items = self._table.batch_get(keys.episode(episode_id) for episode_id in episode_ids)
        return {episode.id: episode for episode in map(read_episode, items.values())}

    def get_readable(self, episode_ids: Iterable[EpisodeId]) -> dict[EpisodeId, Episode]:
        """``get_many`` for a list: without those that cannot be read."""
        items = self._table.batch_get(keys.episode(episode_id) for episode_id in episode_ids)
        return {episode.id: episode for episode in self._table.readable(items.values(), read_episode)}

    def created(self, episode: Episode, now: datetime, due_at: datetime | None, ends: datetime | None = None) -> Put:
        """A new episode; a retry finds its own. ``due_at`` and ``ends`` as in ``rewritten``."""
        return Put(self._item(episode, now, due_at, ends), Attr("pk").not_exists())

    def rewritten(
        self,
        episode: Episode,
        read_version: int,
        now: datetime,
        due_at: datetime | None,
        ends: datetime | None = None,
    ) -> Put:
        """The episode over the version it was read at; ``due_at`` None where nothing is to be looked at again.

        ``ends``: when the row of the one checkout that names it goes; None where it must be found by itself.
        """
        return Put(self._item(episode, now, due_at, ends), Attr("v").eq(read_version))

    def open(self, created: Put) -> None:
        """Write a new episode alone; one that was left there by whoever died after it stays.

        Raises EpisodeMoved where a campaign has it by now.
        """
        try:
            self._table.put(created)
        except ConditionFailed as failed:
            if failed.old is not None and "cmp" in failed.old and failed.old["st"] != EpisodeStatus.ENDED.value:
                raise EpisodeMoved from failed

    def withdraw(self, episode_id: EpisodeId, now: datetime) -> bool:
        """Take back a new episode that nothing came of; False where somebody has joined it and it is not over."""
        put = emptied(keys.episode(episode_id), now)
        try:
            self._table.put(Put(put.item, Attr("v").eq(1) & Attr("cmp").not_exists()))
        except ConditionFailed as failed:
            return failed.old is None or failed.old["st"] == EpisodeStatus.ENDED.value
        return True

    def write(self, put: Put) -> None:
        """Write one episode alone. Raises EpisodeMoved."""
        try:
            self._table.put(put)
        except ConditionFailed as failed:
            raise EpisodeMoved from failed

    @staticmethod
    def ended(episode_id: EpisodeId, reason: str, now: datetime, read_version: int | None = None) -> Update:
        """End the episode without reading it; the first end stays. Fails only where there is none any more.

        What was planned in it reads as skipped for the end's reason. ``read_version``: fail, too, where it was written
        since.
        """
        there = Attr("pk").exists()
        return Update(
            key=keys.episode(episode_id),
            set={"st": EpisodeStatus.ENDED.value},
            set_if_absent={"end": to_ms(now), "why": reason},
            add={"v": 1},
            remove=("dq", "da"),
            condition=there if read_version is None else there & Attr("v").eq(read_version),
        )

    @staticmethod
    def erased(row: Item, now: datetime) -> Put:
        """The episode of a row, readable or not, ended and without a word of its shopper, at the version read.

        Steps keep when they were and what became of them: no id and no reason that a vendor gave. It is found by itself
        from now on.
        """
        version, steps = row.get("v"), row.get("steps")
        bare: Item = {"end": to_ms(now), "why": EndReason.ERASED.value}
        bare |= {name: value for name, value in row.items() if name in _KEPT_OF_ERASED}
        bare |= {
            "st": EpisodeStatus.ENDED.value,
            "who": {},
            "v": int(version) + 1 if isinstance(version, int | Decimal) else 1,
            "ttl": to_ms(now + KEPT_AFTER_END) // 1000,
        }
        if isinstance(row.get("mer"), str):
            bare |= keys.owned(row["mer"], row["pk"])
        if isinstance(steps, dict):
            bare["steps"] = {
                number: {name: value for name, value in step.items() if name not in _VENDORS_WORDS}
                for number, step in steps.items()
                if isinstance(step, dict)
            }
        return Put(bare, Attr("v").not_exists() if version is None else Attr("v").eq(version))

    def lease(self, key: ItemKey, seen: int, until: datetime) -> bool:
        """Push a due episode ahead while it is on its way to the queue; False when another sweep was faster."""
        update = Update(key=key, set={"da": to_ms(until)}, condition=Attr("da").eq(seen))
        try:
            self._table.update(update)
        except ConditionFailed:
            return False
        return True

    def _item(self, episode: Episode, now: datetime, due_at: datetime | None, ends: datetime | None) -> Item:
        pk, sk = keys.episode(episode.id)
        listed = keys.owned(episode.merchant_id, pk) if ends is None else {}
        item: Item = {
            "pk": pk,
            "sk": sk,
            **listed,
            "mer": episode.merchant_id,
            "st": episode.status.value,
            "v": episode.version,
            "an": to_ms(episode.anchor),
            "ca": to_ms(episode.started_at),
            "who": one_of_each_kind(episode.identities),
            "chk": list(episode.checkouts),
            "ttl": to_ms(ends or (episode.ended_at or now) + KEPT_AFTER_END) // 1000,
            "end": _ms(episode.ended_at),
            "why": episode.end_reason,
            "cmp": episode.campaign_id,
            "cv": episode.campaign_version or None,
            "ho": episode.holdout or None,
            "steps": {str(own.number): _step_item(own) for own in episode.steps} or None,
            "shut": sorted(episode.closed_channels) or None,
            "cid": episode.correlation_id,
        }
        if due_at is not None and episode.status is not EpisodeStatus.ENDED:
            if self._due_shards is None:
                raise ValueError("this store was made without the number of due shards")
            item["dq"] = keys.due_queue(keys.STEP_KIND, episode.checkouts[-1], self._due_shards)
            item["da"] = to_ms(due_at)
        return {name: value for name, value in item.items() if value is not None}


def read_episode(item: Item) -> Episode:
    """The episode of a row."""
    merchant_id = MerchantId(item["mer"])
    episode = Episode(
        id=EpisodeId(item["pk"].removeprefix("P#")),
        merchant_id=merchant_id,
        status=EpisodeStatus(item["st"]),
        version=int(item["v"]),
        anchor=from_ms(int(item["an"])),
        started_at=from_ms(int(item["ca"])),
        identities=tuple(Identity(merchant_id, IdentityKind(kind), mac) for kind, mac in sorted(item["who"].items())),
        checkouts=tuple(item["chk"]),
        ended_at=_instant(item, "end"),
        end_reason=item.get("why"),
        campaign_id=item.get("cmp"),
        campaign_version=int(item.get("cv", 0)),
        holdout=bool(item.get("ho", False)),
        steps=tuple(
            _read_step(int(number), step)
            for number, step in sorted(item.get("steps", {}).items(), key=lambda own: int(own[0]))
        ),
        closed_channels=frozenset(item.get("shut", ())),
        correlation_id=item.get("cid"),
    )
    return _with_outcomes(episode)


def _with_outcomes(episode: Episode) -> Episode:
    """A blind end leaves planned steps as they were: they read as skipped for its reason."""
    if episode.status is not EpisodeStatus.ENDED:
        return episode
    reason, at = episode.end_reason or "ended", episode.ended_at or episode.anchor
    steps = tuple(
        step_state.skipped(own, reason, at) if own.state is StepState.PLANNED else own for own in episode.steps
    )
    return replace(episode, steps=steps)


def _step_item(step: EpisodeStep) -> dict[str, Any]:
    plain = {
        "st": step.state.value,
        "at": to_ms(step.due_at),
        "n": step.attempts or None,
        "off": step.pauses or None,
        "cap": step.capped or None,
        "why": step.reason,
        "lease": _ms(step.lease_until),
        "by": step.claimed_by,
        "ho": _ms(step.handed_over_at),
        "ch": step.channel,
        "end": _ms(step.ended_at),
        "chk": step.checkout,
        "vid": step.vendor_message_id,
    }
    return {name: value for name, value in plain.items() if value is not None}


def _read_step(number: int, plain: dict[str, Any]) -> EpisodeStep:
    return EpisodeStep(
        number=number,
        state=StepState(plain["st"]),
        due_at=from_ms(int(plain["at"])),
        attempts=int(plain.get("n", 0)),
        pauses=int(plain.get("off", 0)),
        capped=int(plain.get("cap", 0)),
        reason=plain.get("why"),
        lease_until=_instant(plain, "lease"),
        claimed_by=plain.get("by"),
        handed_over_at=_instant(plain, "ho"),
        channel=plain.get("ch"),
        ended_at=_instant(plain, "end"),
        checkout=plain.get("chk"),
        vendor_message_id=plain.get("vid"),
    )


def _instant(item: Item, name: str) -> datetime | None:
    return from_ms(int(item[name])) if name in item else None


def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else to_ms(instant)
