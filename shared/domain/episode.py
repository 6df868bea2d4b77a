"""An episode: one recovery attempt for one shopper. At most one is open per shopper and merchant."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.domain.identity import Identity
from shared.domain.ids import EpisodeId, MerchantId, derived_ulid
from shared.domain.instants import to_rfc3339


class EpisodeStatus(StrEnum):
    """Active, paused while the shopper is back at the checkout, or ended with a reason."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Episode:
    """``anchor`` is the last activity that steps count from; ``checkouts`` are digests, newest last."""

    id: EpisodeId
    merchant_id: MerchantId
    status: EpisodeStatus
    version: int
    anchor: datetime
    started_at: datetime
    identities: tuple[Identity, ...] = ()
    checkouts: tuple[str, ...] = ()
    ended_at: datetime | None = None
    end_reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The contract's episode object inside an event."""
        return {
            "id": self.id,
            "status": self.status.value,
            "anchor": to_rfc3339(self.anchor),
            "started_at": to_rfc3339(self.started_at),
            "ended_at": None if self.ended_at is None else to_rfc3339(self.ended_at),
            "end_reason": self.end_reason,
        }


def episode_id(at: datetime, checkout_digest: str, sequence: int) -> EpisodeId:
    """The id of the episode that an abandonment opens: derived, so that a retry opens the same one."""
    return EpisodeId("epi_" + derived_ulid(at, checkout_digest, str(sequence)))
