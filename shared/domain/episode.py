"""An episode: one recovery attempt for one shopper. At most one is open per shopper and merchant."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypedDict

from shared.domain.identity import Identity
from shared.domain.ids import EpisodeId, MerchantId, derived_ulid
from shared.domain.instants import InstantText, to_rfc3339
from shared.domain.step_state import EpisodeStep


class EpisodeStatus(StrEnum):
    """Active, paused while the shopper is back at the checkout, or ended with a reason."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class EpisodeJson(TypedDict):
    """One recovery attempt for one shopper, of whom at most one is open at a time."""

    id: str
    status: EpisodeStatus
    anchor: InstantText
    """The last activity: steps count from here."""
    started_at: InstantText
    ended_at: InstantText | None
    end_reason: str | None


@dataclass(frozen=True, slots=True)
class Episode:
    """``anchor`` is the last activity that steps count from; ``checkouts`` are digests, newest last.

    The campaign stays the version it was chosen at. ``steps`` are numbered from 1 as in the campaign; one that was
    never planned is absent. ``closed_channels`` are refused for the rest of the episode. ``correlation_id`` is the
    request whose webhook led to what is planned: that of the newest abandonment.
    """

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
    campaign_id: str | None = None
    campaign_version: int = 0
    holdout: bool = False
    steps: tuple[EpisodeStep, ...] = ()
    closed_channels: frozenset[str] = frozenset()
    correlation_id: str | None = None

    def step(self, number: int) -> EpisodeStep | None:
        """The step with this number, or None where it was never planned."""
        return next((own for own in self.steps if own.number == number), None)

    @property
    def newest_checkout(self) -> str | None:
        """The digest of the checkout that messages are about."""
        return self.checkouts[-1] if self.checkouts else None

    @property
    def last_hand_over(self) -> datetime | None:
        """When a message of the episode was last handed over."""
        return max((own.handed_over_at for own in self.steps if own.handed_over_at is not None), default=None)

    def as_json(self) -> EpisodeJson:
        """The contract's episode object inside an event."""
        return {
            "id": self.id,
            "status": self.status,
            "anchor": to_rfc3339(self.anchor),
            "started_at": to_rfc3339(self.started_at),
            "ended_at": None if self.ended_at is None else to_rfc3339(self.ended_at),
            "end_reason": self.end_reason,
        }


def episode_id(at: datetime, checkout_digest: str, sequence: int) -> EpisodeId:
    """The id of the episode that an abandonment opens: derived, so that a retry opens the same one."""
    return EpisodeId("epi_" + derived_ulid(at, checkout_digest, str(sequence)))
