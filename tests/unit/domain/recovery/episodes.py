"""Words for the recovery engine's tests: an abandoned checkout, its campaign, its episode, and the gate's facts."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.domain.campaign import Campaign, CampaignId, CampaignStep
from shared.domain.checkout import Checkout, LeafValue, Reason
from shared.domain.consent import Channel
from shared.domain.episode import Episode
from shared.domain.gate import GateFacts
from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import EndpointId
from shared.domain.planning import opened
from shared.domain.settings import Settings
from shared.domain.step_state import CLAIM_LEASE, EpisodeStep, claimed, concluded
from shared.domain.transitions import abandoned
from tests.unit.domain.sessions import MERCHANT, NOON, begun, cart_of, told

ANYTIME = Settings(quiet_hours=None, consent="required", holdout_percent=0)
"""No quiet hours: what a test is not about does not depend on its hour."""
PHONE = Identity(MERCHANT, IdentityKind.PHONE, "p" * 20)
LEAVES: dict[str, LeafValue] = {
    "customer.phone": "+917777788888",
    "customer.email": "asha@example.com",
    "consent.channels.whatsapp": "granted",
    "consent.channels.email": "granted",
    "consent.channels.sms": "granted",
    "shipping_address.country": ("India", "IN"),
    "checkout_url": ("https://shop.example/c/1", "https://shop.example/c/1"),
}
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ENDPOINT = EndpointId("ep_01KAHJ0000000000000000ENDP")


def checkout_left(at: datetime = NOON, leaves: dict[str, LeafValue] | None = None, **changes: Any) -> Checkout:
    """A contactable checkout, last touched at ``at`` and abandoned half an hour later."""
    own = begun(told(at=at, cart=cart_of(), leaves={**LEAVES, **(leaves or {})}), at)
    own = abandoned(own, at + timedelta(minutes=30), Reason.INCOMPLETE, Settings())
    return replace(own, version=own.version + 1, sequence=own.version + 1, **changes)


def without(checkout: Checkout, *leaves: str) -> Checkout:
    """The checkout as if the provider had never sent these."""
    return replace(checkout, leaves={name: value for name, value in checkout.leaves.items() if name not in leaves})


def campaign_of(*offsets: timedelta, **changes: Any) -> Campaign:
    """An active campaign with steps at these offsets: 1 h, 24 h and 48 h unless told."""
    own = Campaign(
        id=CampaignId("cmp_01KAHJ0000000000000000CAMP"),
        merchant_id=MERCHANT,
        version=1,
        name="Come back",
        created_at=NOON - DAY,
        activated_at=NOON - DAY,
        steps=tuple(CampaignStep(after, ENDPOINT) for after in offsets or (HOUR, DAY, 2 * DAY)),
    )
    return replace(own, **changes)


def episode_of(
    checkout: Checkout, campaign: Campaign | None = None, settings: Settings = ANYTIME, *, holdout: bool = False
) -> Episode:
    """The episode that the abandoned checkout opened, when it was abandoned."""
    at = checkout.abandoned_at or NOON
    return opened(checkout, [PHONE], at, campaign=campaign or campaign_of(), holdout=holdout, settings=settings)


def sent(step: EpisodeStep, at: datetime, channel: str = "whatsapp") -> EpisodeStep:
    """The step, handed over at ``at``."""
    mine = claimed(step, "d" * 26, at, CLAIM_LEASE)
    return concluded(mine, "delivered", at, do_not_send_after=at + DAY, channel=channel).step


def facts_of(at: datetime | None = None, **changes: Any) -> GateFacts:
    """Facts under which the first step may be sent, an hour after the shopper left."""
    checkout = changes.pop("checkout", None) or checkout_left()
    own = GateFacts(
        now=at or NOON + HOUR,
        checkout=checkout,
        settings=ANYTIME,
        merchant_zone="Asia/Kolkata",
        merchant_country="IN",
        episode=episode_of(checkout),
        campaign=campaign_of(),
        step=1,
        channel=Channel.WHATSAPP,
    )
    return replace(own, **changes)
