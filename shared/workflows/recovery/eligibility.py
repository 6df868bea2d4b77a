"""Whether a message about a checkout may go out now: asked by whoever sends on their own, just before they do."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.domain import gate
from shared.domain.checkout import Checkout, Status
from shared.domain.identity import Identity, IdentityHasher
from shared.domain.ids import EpisodeId
from shared.domain.merchant import Merchant
from shared.domain.shopper import together
from shared.store.checkouts import CheckoutStore
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperStore

_OTHERS_LOOKED_AT = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer. ``ask_again_at``: when a refusal may be over; None where it is final, or there is none."""

    may_send: bool
    reason: str | None
    do_not_send_after: datetime
    channels: tuple[str, ...] = ()
    ask_again_at: datetime | None = None


class Eligibility:
    """Runs the gate in full over consistent reads, for a receiver that chooses its channel and its moment itself."""

    def __init__(
        self,
        checkouts: CheckoutStore,
        shoppers: ShopperStore,
        episodes: EpisodeStore,
        hasher: IdentityHasher,
        now: Callable[[], datetime],
    ) -> None:
        """Share the stores of one process; ``now`` is the clock."""
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._episodes = episodes
        self._hasher = hasher
        self._now = now

    def verdict(self, checkout: Checkout, merchant: Merchant) -> Verdict:
        """The verdict on a checkout that was read consistently just now."""
        now = self._now()
        own = self._hasher.of_shopper(checkout)
        episode = self._episodes.get(EpisodeId(checkout.episode_id)) if checkout.episode_id else None
        who = {*own, *(episode.identities if episode else ())}
        facts = gate.GateFacts(
            now=now,
            checkout=checkout,
            settings=merchant.settings,
            merchant_zone=merchant.timezone,
            merchant_country=merchant.country,
            episode=episode,
            shopper=together(record.memory for record in self._shoppers.get_many(who).values()),
            other_activity_at=self._other_activity(checkout, own, now),
        )
        decision = gate.gate(facts)
        return Verdict(
            may_send=isinstance(decision, gate.Send),
            reason=None if decision.reason is None else decision.reason.value,
            do_not_send_after=gate.do_not_send_after(checkout, merchant.settings, episode),
            channels=tuple(each.value for each in decision.channels) if isinstance(decision, gate.Send) else (),
            ask_again_at=decision.until if isinstance(decision, gate.Defer) else None,
        )

    def _other_activity(self, checkout: Checkout, identities: list[Identity], now: datetime) -> datetime | None:
        """When the shopper was last active in another open checkout. The index that finds it may lag by a moment."""
        digests: set[str] = set()
        for identity in identities:
            if not self._checkouts.is_shared(identity, now):
                digests |= set(self._checkouts.by_identity(identity, since=checkout.created_at)[:_OTHERS_LOOKED_AT])
        others = self._checkouts.get_readable(digests - {checkout.digest}).values()
        return max((other.last_activity_at for other in others if other.status is Status.OPEN), default=None)
