"""A recovery link followed: where to send the shopper, and a click on the timeline. A GET changes nothing else."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.aws.faults import AWS_ERRORS, code_of
from shared.domain.attribution import Click, ClickClass
from shared.domain.checkout import Activity, Checkout
from shared.domain.coupon import PRINTED_ONLY, CouponLink, with_coupon
from shared.domain.instants import parse_instant
from shared.domain.merchant import Merchant
from shared.domain.recovery_link import RecoveryCodes, allowed_destination, leads_back, with_tracking
from shared.domain.settings import Settings
from shared.domain.transitions import retention_end
from shared.store.activities import ActivityStore
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import MerchantStore
from shared.store.link_limits import LinkLimits

CLICKED = "LINK_CLICKED"
_LONGEST_LOCATION = 8_000
_LONGEST_AGENT = 512
"""The patterns of crawlers take time with the square of the length: 0.2 s for this much, 36 s for 8 KB (measured)."""
_BEFOREHAND = re.compile("prefetch|prerender|preview", re.IGNORECASE)
_logger = logging.getLogger(__name__)


class TooMany(Exception):
    """The link was used more often than anybody uses a link."""


@dataclass(frozen=True, slots=True)
class ProviderLinks:
    """What is special about one provider's links: the hosts of its own pages, and how a link applies a coupon."""

    hosts: frozenset[str]
    coupon: CouponLink


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
        limits: LinkLimits,
        clicked: Callable[[Checkout, Merchant, Click], None],
        code_of: Callable[[Checkout, int], str | None],
        provider_of: Callable[[str], ProviderLinks],
    ) -> None:
        """Share the stores of one process.

        ``clicked`` takes the click for the figures; ``code_of`` gives the coupon code of a step's message, and
        ``provider_of`` what is special about a provider's links, by its name.
        """
        self._codes = codes
        self._checkouts = checkouts
        self._merchants = merchants
        self._activities = activities
        self._limits = limits
        self._clicked = clicked
        self._code_of = code_of
        self._provider_of = provider_of

    def follow(self, code: str, visitor: Visitor | None, now: datetime) -> str | None:
        """Where the code leads, or None when it is not one of ours or its merchant is gone. Raises TooMany.

        ``visitor`` is None where nobody goes there: it is no click.
        """
        target = self._codes.read(code)
        if target is None:
            return None
        checkout = self._checkouts.get(target.digest)
        if checkout is None:
            return None
        merchant = self._merchants.get(checkout.merchant_id)
        if merchant is None:
            return None
        if not self._limits.take(target.digest, f"r{target.step}", now):
            raise TooMany
        if visitor is not None and not checkout.erased:  # nobody's visit is kept of whoever is to be forgotten
            self._count(Click(now, target.step, visitor_class(visitor)), checkout, merchant.value)
        coupon = self._code_of(checkout, target.step) if target.step else None
        known = self._provider_of(checkout.provider)
        return destination(checkout, merchant.value, now, coupon, known.coupon, known.hosts)

    def _count(self, visit: Click, checkout: Checkout, merchant: Merchant) -> None:
        try:
            self._note(checkout, visit, merchant.settings)
            self._clicked(checkout, merchant, visit)
        except AWS_ERRORS as error:
            # The shopper's way back matters more than its count.
            _logger.warning("click not recorded: %s", code_of(error))

    def _note(self, checkout: Checkout, visit: Click, settings: Settings) -> None:
        detail: dict[str, str | int] = {"visitor": visit.classed, "step": visit.step}
        self._activities.add(checkout.digest, Activity(visit.at, CLICKED, detail), retention_end(checkout, settings))


def click_of(entry: Activity) -> Click:
    """The click of a ``LINK_CLICKED`` entry."""
    said = str(entry.detail.get("visitor"))
    classed: ClickClass = "probable_bot" if said == "probable_bot" else "human" if said == "human" else "unknown"
    return Click(entry.at, int(entry.detail.get("step", 0)), classed)


def destination(
    checkout: Checkout,
    merchant: Merchant,
    now: datetime,
    code: str | None = None,
    coupon_link: CouponLink = PRINTED_ONLY,
    hosts: frozenset[str] = frozenset(),
) -> str | None:
    """The stored destination with tracking and coupon; the shop once checkout, link or horizon is over.

    ``hosts`` are the provider's own. A link was allowed when it arrived; it must be so still: a domain that the
    operator took from the merchant leads nobody anywhere any more.
    """
    _, stored = checkout.pair("checkout_url")
    link = None if stored is None else allowed_destination(stored, frozenset(merchant.store_domains) | hosts)
    ends = checkout.last_activity_at + merchant.settings.recovery_horizon
    provider_ends = parse_instant(checkout.text("expires_at"))
    over = ends < now or (provider_ends is not None and provider_ends <= now)
    if link is None or over or not leads_back(checkout):
        return f"https://{merchant.store_domains[0]}/" if merchant.store_domains else None
    tracking = {"utm_source": "checkback", "utm_medium": "recovery", "utm_campaign": "abandoned_checkout"}
    tracked = with_tracking(link, tracking)
    coupled = with_coupon(tracked, code, coupon_link)
    return coupled if len(coupled) <= _LONGEST_LOCATION else tracked


def visitor_class(visitor: Visitor) -> ClickClass:
    """``human``, ``probable_bot`` or ``unknown``: mail scanners and chat previews fetch links too."""
    if visitor.purpose and _BEFOREHAND.search(visitor.purpose):
        return "probable_bot"
    if not visitor.user_agent:
        return "unknown"
    from crawlerdetect import CrawlerDetect

    read = visitor.user_agent[:_LONGEST_AGENT]
    return "probable_bot" if CrawlerDetect(user_agent=read).isCrawler() else "human"
