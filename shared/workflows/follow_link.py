"""A recovery link followed: where to send the shopper, and a click on the timeline. A GET changes nothing else."""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.checkout import Activity, Checkout
from shared.domain.instants import parse_instant
from shared.domain.merchant import Merchant
from shared.domain.recovery_link import LinkTarget, RecoveryCodes, leads_back, with_tracking
from shared.domain.settings import Settings
from shared.domain.transitions import retention_end
from shared.store.activities import ActivityStore
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import MerchantStore

CLICKED = "LINK_CLICKED"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who follows a link, as far as its class needs it; nothing of it is stored but the class."""

    user_agent: str | None
    purpose: str | None = None


class Links:
    """Recovery links. One per process."""

    def __init__(
        self,
        codes: RecoveryCodes,
        checkouts: CheckoutStore,
        merchants: MerchantStore,
        activities: ActivityStore,
    ) -> None:
        """Share the stores of one process."""
        self._codes = codes
        self._checkouts = checkouts
        self._merchants = merchants
        self._activities = activities

    def follow(self, code: str, visitor: Visitor, now: datetime) -> str | None:
        """Where the code leads, or None when it is not one of ours or its merchant is gone."""
        target = self._codes.read(code)
        if target is None:
            return None
        checkout = self._checkouts.get(target.digest)
        if checkout is None:
            return None
        merchant = self._merchants.get(checkout.merchant_id)
        if merchant is None:
            return None
        self._record_click(checkout, target, visitor, merchant.value.settings, now)
        return destination(checkout, merchant.value, now)

    def _record_click(
        self, checkout: Checkout, target: LinkTarget, visitor: Visitor, settings: Settings, now: datetime
    ) -> None:
        detail: dict[str, str | int] = {"visitor": visitor_class(visitor), "step": target.step}
        self._activities.add(checkout.digest, Activity(now, CLICKED, detail), retention_end(checkout, settings))


def destination(checkout: Checkout, merchant: Merchant, now: datetime) -> str | None:
    """The stored, allowed destination with tracking; the shop once the checkout is finished, expired or its horizon over."""
    _, link = checkout.pair("checkout_url")
    ends = checkout.last_activity_at + merchant.settings.recovery_horizon
    provider_ends = parse_instant(checkout.text("expires_at"))
    over = ends < now or (provider_ends is not None and provider_ends <= now)
    if link is None or over or not leads_back(checkout):
        return f"https://{merchant.store_domains[0]}/" if merchant.store_domains else None
    tracking = {"utm_source": "checkback", "utm_medium": "recovery", "utm_campaign": "abandoned_checkout"}
    return with_tracking(link, tracking)


def visitor_class(visitor: Visitor) -> str:
    """``human``, ``probable_bot`` or ``unknown``: mail scanners and chat previews fetch links too."""
    if visitor.purpose and "prefetch" in visitor.purpose.lower():
        return "probable_bot"
    if not visitor.user_agent:
        return "unknown"
    from crawlerdetect import CrawlerDetect

    return "probable_bot" if CrawlerDetect(user_agent=visitor.user_agent).isCrawler() else "human"
