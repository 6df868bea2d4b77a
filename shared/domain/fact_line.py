"""A fact as one line of newline-delimited JSON: in answers of ``GET /v1/facts`` and in daily files, byte for byte."""

import json
from typing import TypedDict

from shared.domain.instants import DayText, InstantText, to_rfc3339
from shared.domain.metrics import Fact, FactKind


class FactJson(TypedDict):
    """One fact, on a line of its own."""

    id: str
    kind: FactKind
    cohort: DayText
    """The day of the abandonment on the merchant's clock."""
    at: InstantText
    subject: str
    """A checkout's id, or an episode's."""
    episode_id: str | None
    campaign_id: str | None
    step: int | None
    endpoint_id: str | None
    provider: str | None
    treated: bool | None
    """Whether the episode's shopper may be messaged."""
    tier: int | None
    """How sure it is that a message led to the order; 1 is a click or our coupon."""
    amount: str | None
    currency: str | None


def fact_line(fact: Fact) -> str:
    """Ids, times and amounts only, with the line break; nothing of a shopper."""
    said: FactJson = {
        "id": fact.id,
        "kind": fact.kind,
        "cohort": fact.cohort.isoformat(),
        "at": to_rfc3339(fact.at),
        "subject": fact.subject,
        "episode_id": fact.episode,
        "campaign_id": fact.campaign,
        "step": fact.step,
        "endpoint_id": fact.endpoint,
        "provider": fact.provider,
        "treated": fact.treated,
        "tier": fact.tier,
        "amount": fact.amount.amount() if fact.amount else None,
        "currency": fact.amount.currency if fact.amount else None,
    }
    return json.dumps(said, separators=(",", ":")) + "\n"
