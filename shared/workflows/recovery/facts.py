"""Recording facts, each once, from what dispatch, the senders and the recovery link see."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime

from shared.domain import facts
from shared.domain.attribution import Click, attributed
from shared.domain.checkout import Checkout
from shared.domain.episode import Episode
from shared.domain.ids import EpisodeId, MerchantId
from shared.domain.merchant import Merchant
from shared.domain.metrics import Fact, FactKind, immature
from shared.domain.step_state import EpisodeStep
from shared.domain.transitions import Mark
from shared.store.activities import ActivityStore
from shared.store.episodes import EpisodeStore
from shared.store.facts import FactStore, facts_end
from shared.workflows.insight.follow_link import CLICKED, click_of
from shared.workflows.insight.metrics import Metrics

_MOST_CLICKS = 200
_CHECKOUTS_LOOKED_AT = 5

FACTS_OF: Mapping[str, FactKind] = {"delivered": FactKind.DELIVERED, "read": FactKind.READ}
"""The fact of a vendor's later word on a message, by its status."""

type CouponsOf = Callable[[Episode], Mapping[int, str]]
"""The codes an episode's steps carried, by step number."""


class FactRecorder:
    """Records facts. Everything here may run any number of times: a fact's id is derived and it is put if absent."""

    def __init__(
        self,
        store: FactStore,
        episodes: EpisodeStore,
        activities: ActivityStore,
        now: Callable[[], datetime],
        coupons_of: CouponsOf = lambda _: {},
    ) -> None:
        """Share the stores of one process; ``now`` is the clock."""
        self._store = store
        self._episodes = episodes
        self._activities = activities
        self._now = now
        self._coupons_of = coupons_of
        self._metrics = Metrics(store, now)
        self._settled: dict[MerchantId, date] = {}

    def record_facts(self, checkout: Checkout, mark: Mark, merchant: Merchant, episode: Episode | None) -> None:
        """The facts of a committed transition. ``episode``: as announced, or None to be read where it is needed."""
        self._settle(merchant)
        zone = merchant.timezone
        match mark:
            case Mark.ABANDONED:
                self._add(merchant, facts.abandonment(checkout, episode, zone))
            case Mark.SUPERSEDED:
                self._add(merchant, facts.superseded(checkout, zone))
            case Mark.COMPLETED:
                self._add(merchant, facts.direct(checkout, zone))
            case Mark.REVERSED:
                self._amend(merchant, facts.reversals(checkout, zone), checkout.version)
            case Mark.RECOVERED:
                self._add(merchant, self._recovery(checkout, episode or self._episode(checkout), merchant))
            case _:
                return

    def started(self, checkout: Checkout, episode: Episode, merchant: Merchant) -> None:
        """That the episode is a campaign's by now: it may have been none's, or another's, when it was told."""
        made = [own for own in facts.abandonment(checkout, episode, merchant.timezone) if own.kind is FactKind.STARTED]
        known = self._store.get_many(merchant.id, made)
        self._amend(merchant, [own for own in made if _campaign_of(known.get(own.id)) != own.campaign], episode.version)

    def step_ended(
        self, episode: Episode, step: EpisodeStep, checkout: Checkout, merchant: Merchant, endpoint_id: str | None
    ) -> None:
        """The fact of a step's recorded outcome: a message, or why there was none."""
        self._add(merchant, facts.step_ended(episode, step, checkout, endpoint_id, merchant.timezone))

    def reported(
        self,
        kind: FactKind,
        episode: Episode,
        step: int,
        checkout: Checkout,
        merchant: Merchant,
        endpoint_id: str | None,
        at: datetime,
    ) -> None:
        """A vendor's later word: the message was delivered, or read."""
        self._add(merchant, facts.reported(kind, episode, step, checkout, endpoint_id, at, merchant.timezone))

    def clicked(self, checkout: Checkout, merchant: Merchant, visit: Click) -> None:
        """A visit through a recovery link; a bot's makes no fact."""
        if checkout.first_abandoned_at is not None and visit.classed != "probable_bot":
            self._add(merchant, facts.click(checkout, self._episode(checkout), visit, merchant.timezone))

    def _recovery(self, checkout: Checkout, episode: Episode | None, merchant: Merchant) -> tuple[Fact, ...]:
        zone = merchant.timezone
        known = facts.abandonment(checkout, episode, zone)
        if not known or checkout.completed_at is None:
            return ()
        stored = self._store.get_many(merchant.id, known[:1])
        stage = stored[known[0].id].stage if known[0].id in stored else checkout.text("stage")
        if episode is None:
            return facts.recovery(checkout, None, facts.ALONE, zone, stage=stage)
        coupons = self._coupons_of(episode)
        told = self._messages(checkout, episode, merchant.id, zone)
        delivered = {own.step: own.at for own in told if own.kind is FactKind.DELIVERED and own.step is not None}
        owed = attributed(
            checkout.completed_at,
            facts.touches(episode, delivered, coupons),
            self._clicks(episode),
            checkout.cart.discount_codes if checkout.cart else (),
        )
        endpoints = {own.step: own.endpoint for own in told if own.kind is FactKind.MESSAGED}
        return facts.recovery(
            checkout,
            episode,
            owed,
            zone,
            stage=stage,
            endpoint=endpoints.get(owed.step),
            coupon_used=facts.coupon_used(checkout, coupons.values()),
        )

    def _messages(self, checkout: Checkout, episode: Episode, merchant_id: MerchantId, zone: str) -> list[Fact]:
        """The stored facts of the episode's messages about this checkout: which endpoint, delivered when."""
        wanted: list[Fact] = []
        for step in episode.steps:
            wanted += facts.step_ended(episode, step, checkout, None, zone)
            if step.state.counts_as_sent:
                at = self._now()
                wanted += facts.reported(FactKind.DELIVERED, episode, step.number, checkout, None, at, zone)
        return list(self._store.get_many(merchant_id, wanted).values())

    def _clicks(self, episode: Episode) -> list[Click]:
        found: list[Click] = []
        for digest in episode.checkouts[-_CHECKOUTS_LOOKED_AT:]:
            entries, _ = self._activities.page(digest, limit=_MOST_CLICKS, after=None)
            found += [click_of(entry) for entry in entries if entry.type == CLICKED]
        return found

    def _settle(self, merchant: Merchant) -> None:
        """Once a day, process and merchant: cohorts that matured are summed before their facts go."""
        today = self._now().date()
        if self._settled.get(merchant.id) != today:
            self._metrics.settle(merchant)
            self._settled[merchant.id] = today

    def _episode(self, checkout: Checkout) -> Episode | None:
        return self._episodes.get(EpisodeId(checkout.episode_id)) if checkout.episode_id else None

    def _add(self, merchant: Merchant, made: Iterable[Fact]) -> None:
        now = self._now()
        fresh = self._store.add(merchant.id, [own for own in made if facts_end(own.cohort) > now])
        for cohort in {own.cohort for own in fresh}:
            if not immature(cohort, merchant.timezone, merchant.settings.recovery_horizon, now):
                self._store.forget_sums(merchant.id, cohort)

    def _amend(self, merchant: Merchant, made: Iterable[Fact], revision: int) -> None:
        """Facts whose amounts are what they are by now. Sums are forgotten each time: the last run may have died
        between the two."""
        now = self._now()
        for fact in made:
            if facts_end(fact.cohort) <= now:
                continue
            self._store.put_newest(merchant.id, fact, revision)
            if not immature(fact.cohort, merchant.timezone, merchant.settings.recovery_horizon, now):
                self._store.forget_sums(merchant.id, fact.cohort)


def _campaign_of(fact: Fact | None) -> str | None:
    return None if fact is None else fact.campaign
