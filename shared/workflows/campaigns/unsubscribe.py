"""Unsubscribing by link: a GET shows a page, a POST acts; both may be repeated.

Mail clients post ``List-Unsubscribe=One-Click`` (RFC 8058): that closes e-mail. The page lets the shopper choose
between e-mail and everything, which is also what a POST without a choice means.
"""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.checkout import Activity, Checkout
from shared.domain.consent import Channel
from shared.domain.identity import SHOPPER_KINDS, IdentityHasher
from shared.domain.ids import EpisodeId
from shared.domain.merchant import Merchant
from shared.domain.recovery_link import RecoveryCodes
from shared.domain.suppression import SuppressionReason, channels_meant
from shared.domain.transitions import retention_end
from shared.store.activities import ActivityStore
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import MerchantStore
from shared.store.link_limits import LinkLimits
from shared.workflows.campaigns.suppress import Suppressions
from shared.workflows.insight.follow_link import TooMany

UNSUBSCRIBED = "UNSUBSCRIBED"
EMAIL_ONLY = frozenset({Channel.EMAIL})
EVERYTHING = channels_meant(None)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Whose link it is. Both are None where nothing is kept of the checkout any more: no message can follow."""

    checkout: Checkout | None = None
    merchant: Merchant | None = None

    @property
    def shop(self) -> str | None:
        """The shop's name."""
        return None if self.merchant is None else self.merchant.name


class Unsubscribes:
    """Unsubscribe links. One per process."""

    def __init__(
        self,
        codes: RecoveryCodes,
        checkouts: CheckoutStore,
        merchants: MerchantStore,
        activities: ActivityStore,
        limits: LinkLimits,
        hasher: IdentityHasher,
        suppressions: Suppressions,
    ) -> None:
        """``codes`` are those of the purpose ``UNSUBSCRIBE``."""
        self._codes = codes
        self._checkouts = checkouts
        self._merchants = merchants
        self._activities = activities
        self._limits = limits
        self._hasher = hasher
        self._suppressions = suppressions

    def look(self, code: str) -> Subscriber | None:
        """Whose link it is; None for a code that is none of ours. Changes nothing."""
        target = self._codes.read(code)
        if target is None:
            return None
        checkout = self._checkouts.get(target.digest)
        merchant = None if checkout is None else self._merchants.get(checkout.merchant_id)
        return Subscriber() if merchant is None else Subscriber(checkout, merchant.value)

    def unsubscribe(self, code: str, channels: frozenset[Channel], now: datetime) -> Subscriber | None:
        """Close these channels for every identifier of the checkout's shopper. None as ``look``; raises TooMany."""
        found = self.look(code)
        if found is None or found.checkout is None or found.merchant is None:
            return found
        checkout = found.checkout
        if not self._limits.take(checkout.digest, "u", now):
            raise TooMany
        identities = self._hasher.of_checkout(checkout)
        who = [identities[kind] for kind in SHOPPER_KINDS if kind in identities]
        episodes = [EpisodeId(checkout.episode_id)] if checkout.episode_id else []
        fresh = self._suppressions.suppress(who, channels, SuppressionReason.OPT_OUT, episode_ids=episodes)
        if fresh:
            said = "all" if channels == EVERYTHING else ",".join(sorted(channels))
            noted = Activity(now, UNSUBSCRIBED, {"channels": said})
            self._activities.add(checkout.digest, noted, retention_end(checkout, found.merchant.settings))
        return found


def channels_chosen(form: str) -> frozenset[Channel]:
    """What a POST's body asks for: an urlencoded form, or the multipart one that RFC 8058 allows as well."""
    one_click = "List-Unsubscribe" in form
    return EMAIL_ONLY if one_click or "channels=email" in form.split("&") else EVERYTHING
