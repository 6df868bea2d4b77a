"""Which facts a transition, a step or a click makes.

Every fact is dated by the first abandonment of the checkout it is about, on the merchant's clock, so that whatever
follows from an abandonment meets in one cohort. Test checkouts make none.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime

from shared.domain.attribution import Attribution, Click, Tier, Touch
from shared.domain.checkout import Checkout
from shared.domain.episode import Episode
from shared.domain.metrics import Fact, FactKind, cohort_of
from shared.domain.money import Money
from shared.domain.step_state import EpisodeStep

_CODE = re.compile(r"HTTP \d{3}|[\w.#-]{1,64}", re.ASCII)


def cohort_day(checkout: Checkout, zone: str) -> date | None:
    """The day whose cohort the checkout belongs to; None while it has neither been abandoned nor bought."""
    at = checkout.first_abandoned_at or checkout.abandoned_at or checkout.completed_at
    return None if at is None else cohort_of(at, zone)


def abandonment(checkout: Checkout, episode: Episode | None, zone: str) -> tuple[Fact, ...]:
    """An announced abandonment: itself, whether its shopper can be reached, and the episode with a campaign."""
    at = checkout.first_abandoned_at or checkout.abandoned_at
    if at is None or checkout.test:
        return ()
    base = _about(checkout, FactKind.ABANDONED, cohort_of(at, zone), at)
    facts = [base]
    if checkout.text("customer.phone") or checkout.text("customer.email"):
        facts.append(replace(base, kind=FactKind.CONTACTABLE))
    if episode is not None and episode.campaign_id is not None:
        started = _of_episode(base, FactKind.STARTED, episode, episode.started_at)
        facts.append(replace(started, treated=not episode.holdout, part=""))
    return tuple(facts)


def superseded(checkout: Checkout, zone: str) -> tuple[Fact, ...]:
    """A checkout that was called off; one that was never abandoned is in no cohort."""
    at = checkout.first_abandoned_at
    if at is None or checkout.test:
        return ()
    return (_about(checkout, FactKind.SUPERSEDED, cohort_of(at, zone), checkout.updated_at),)


def direct(checkout: Checkout, zone: str) -> tuple[Fact, ...]:
    """A purchase without an abandonment that counts: its cohort is the day of the purchase."""
    at = checkout.completed_at
    if at is None or checkout.test:
        return ()
    return (replace(_about(checkout, FactKind.DIRECT, cohort_of(at, zone), at), amount=order_total(checkout)),)


def recovery(
    checkout: Checkout,
    episode: Episode | None,
    attribution: Attribution,
    zone: str,
    *,
    stage: str | None = None,
    endpoint: str | None = None,
    coupon_used: bool = False,
) -> tuple[Fact, ...]:
    """A recovered checkout: the order with its tier, what its coupon took off, and the abandonment before it.

    ``stage`` is where the shopper had left (by now the checkout is at another), ``endpoint`` the attributed step's.
    """
    at = checkout.completed_at
    before = abandonment(replace(checkout, leaves={**checkout.leaves, "stage": stage or ""}), episode, zone)
    if at is None or not before:
        return before
    order = replace(
        before[0],
        kind=FactKind.RECOVERED,
        at=at,
        episode=checkout.episode_id,
        campaign=None if episode is None else episode.campaign_id,
        step=attribution.step,
        endpoint=endpoint,
        tier=int(attribution.tier),
        amount=order_total(checkout),
    )
    discount = checkout.cart.totals.discount if checkout.cart else None
    if not coupon_used or discount is None or discount.minor == 0:
        return (*before, order)
    cost = replace(order, kind=FactKind.COUPON_COST, amount=Money(abs(discount.minor), discount.currency))
    return (*before, order, cost)


def step_ended(
    episode: Episode, step: EpisodeStep, checkout: Checkout, endpoint: str | None, zone: str
) -> tuple[Fact, ...]:
    """A step's recorded outcome: a message, or why there was none."""
    cohort = cohort_day(checkout, zone)
    if cohort is None or checkout.test or not step.state.ended:
        return ()
    at = step.handed_over_at or step.ended_at or step.due_at
    kind = FactKind.MESSAGED if step.state.counts_as_sent else FactKind.NOT_SENT
    fact = _of_episode(_about(checkout, kind, cohort, at), kind, episode, at)
    fact = replace(fact, part=str(step.number), step=step.number, endpoint=endpoint)
    return (fact if kind is FactKind.MESSAGED else replace(fact, reason=coded(step.reason)),)


def coded(reason: str | None) -> str | None:
    """A reason without what a vendor says to it: facts outlive their shopper's erasure, and words may name anybody."""
    if reason is None:
        return None
    code = reason.partition(":")[0].strip()
    return code if _CODE.fullmatch(code) else "other"


def reported(
    kind: FactKind, episode: Episode, step: int, checkout: Checkout, endpoint: str | None, at: datetime, zone: str
) -> tuple[Fact, ...]:
    """A vendor's later word of a message: ``FactKind.DELIVERED`` or ``READ``."""
    cohort = cohort_day(checkout, zone)
    if cohort is None or checkout.test:
        return ()
    fact = _of_episode(_about(checkout, kind, cohort, at), kind, episode, at)
    return (replace(fact, part=str(step), step=step, endpoint=endpoint),)


def click(checkout: Checkout, episode: Episode | None, visit: Click, zone: str) -> tuple[Fact, ...]:
    """A visit through a recovery link after an abandonment; a bot's is none."""
    cohort = cohort_day(checkout, zone)
    if cohort is None or checkout.test or checkout.first_abandoned_at is None or visit.classed == "probable_bot":
        return ()
    fact = _about(checkout, FactKind.CLICKED, cohort, visit.at)
    if episode is not None:
        fact = _of_episode(fact, FactKind.CLICKED, episode, visit.at)
    return (replace(fact, part=str(visit.step), step=visit.step or None),)


def reversals(checkout: Checkout, zone: str) -> tuple[Fact, ...]:
    """What is taken back of a bought checkout's order by now, a fact per currency: each replaces the one before it."""
    cohort = cohort_day(checkout, zone)
    if cohort is None or checkout.order is None or checkout.test:
        return ()
    base = _about(checkout, FactKind.REVERSED, cohort, checkout.updated_at)
    base = replace(base, episode=checkout.episode_id)
    return tuple(replace(base, part=own.currency, amount=own) for own in checkout.order.reversed)


def touches(episode: Episode, delivered_at: Mapping[int, datetime], coupons: Mapping[int, str]) -> tuple[Touch, ...]:
    """The episode's messages, by step number, as attribution takes them."""
    return tuple(
        Touch(own.number, own.handed_over_at, delivered_at.get(own.number), coupons.get(own.number))
        for own in episode.steps
        if own.handed_over_at is not None and own.state.counts_as_sent
    )


def coupon_used(checkout: Checkout, coupons: Iterable[str]) -> bool:
    """Whether the order carries one of our codes."""
    used = {code.casefold() for code in (checkout.cart.discount_codes if checkout.cart else ())}
    return any(code.casefold() in used for code in coupons)


def order_total(checkout: Checkout) -> Money | None:
    """What the order was worth: its own total, else the last cart's."""
    if checkout.order is not None and checkout.order.total is not None:
        return checkout.order.total
    return checkout.cart.total() if checkout.cart else None


ALONE = Attribution(Tier.ALONE)
"""Nothing of ours touched the shopper."""


def _about(checkout: Checkout, kind: FactKind, cohort: date, at: datetime) -> Fact:
    return Fact(
        kind=kind,
        cohort=cohort,
        subject=checkout.digest,
        at=at,
        provider=checkout.provider,
        stage=checkout.text("stage") or None,
    )


def _of_episode(fact: Fact, kind: FactKind, episode: Episode, at: datetime) -> Fact:
    return replace(fact, kind=kind, subject=episode.id, episode=episode.id, at=at, campaign=episode.campaign_id)
