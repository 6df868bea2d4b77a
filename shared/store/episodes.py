"""Episodes: created or joined at an announcement, ended by a purchase, each write under the version read."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from boto3.dynamodb.conditions import Attr

from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import EpisodeId, MerchantId
from shared.domain.instants import from_ms, to_ms
from shared.store import keys
from shared.store.table import Item, Put, Table, Update

KEPT_AFTER_END = timedelta(days=90)


class EpisodeStore:
    """Episodes by id."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self, episode_id: EpisodeId) -> Episode | None:
        """The episode, consistently read, or None."""
        item = self._table.get(keys.episode(episode_id))
        return None if item is None else _episode(item)

    def get_many(self, episode_ids: Iterable[EpisodeId]) -> dict[EpisodeId, Episode]:
        """The episodes that exist, by id."""
        items = self._table.batch_get(keys.episode(episode_id) for episode_id in episode_ids)
        return {episode.id: episode for episode in map(_episode, items.values())}

    @staticmethod
    def created(episode: Episode, now: datetime) -> Put:
        """A new episode; a retry finds its own."""
        return Put(_item(episode, now), Attr("pk").not_exists())

    @staticmethod
    def rewritten(episode: Episode, read_version: int, now: datetime) -> Put:
        """The episode over the version it was read at."""
        return Put(_item(episode, now), Attr("v").eq(read_version))

    @staticmethod
    def ended(episode_id: EpisodeId, reason: str, now: datetime) -> Update:
        """End the episode, whatever it is at; the first end stays. Fails only where there is none any more."""
        return Update(
            key=keys.episode(episode_id),
            set={"st": EpisodeStatus.ENDED.value, "ttl": to_ms(now + KEPT_AFTER_END) // 1000},
            set_if_absent={"end": to_ms(now), "why": reason},
            add={"v": 1},
            condition=Attr("pk").exists(),
        )


def _item(episode: Episode, now: datetime) -> Item:
    pk, sk = keys.episode(episode.id)
    item: Item = {
        "pk": pk,
        "sk": sk,
        "mer": episode.merchant_id,
        "st": episode.status.value,
        "v": episode.version,
        "an": to_ms(episode.anchor),
        "ca": to_ms(episode.started_at),
        "who": {identity.kind.value: identity.mac for identity in episode.identities},
        "chk": list(episode.checkouts),
        "ttl": to_ms(now + KEPT_AFTER_END) // 1000,
        "end": None if episode.ended_at is None else to_ms(episode.ended_at),
        "why": episode.end_reason,
    }
    return {name: value for name, value in item.items() if value is not None}


def _episode(item: Item) -> Episode:
    merchant_id = MerchantId(item["mer"])
    return Episode(
        id=EpisodeId(item["pk"].removeprefix("P#")),
        merchant_id=merchant_id,
        status=EpisodeStatus(item["st"]),
        version=int(item["v"]),
        anchor=from_ms(int(item["an"])),
        started_at=from_ms(int(item["ca"])),
        identities=tuple(Identity(merchant_id, IdentityKind(kind), mac) for kind, mac in sorted(item["who"].items())),
        checkouts=tuple(item["chk"]),
        ended_at=from_ms(int(item["end"])) if "end" in item else None,
        end_reason=item.get("why"),
    )
