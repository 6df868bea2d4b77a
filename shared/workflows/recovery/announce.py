"""How a transition is told: who hears of it, the event, its deliveries, and what else it sets going.

A committed write that carries the outbox mark IS the fact; everything here may run any number of times for it and
ends the same: ids are derived, rows are put if absent, a fact that is no longer true is dropped by its condition.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

from shared.aws.queues import DeliveryMessage
from shared.domain.transitions import Mark
from shared.store.checkouts import CheckoutStore
from shared.store.orders import ORDER_MARK, OrderRecord
from shared.store.writes import Item
from shared.workflows.delivering.fan_out import FanOut
from shared.workflows.recovery.abandonment import Abandonments, Announced, BoughtElsewhere, LeftEarlier
from shared.workflows.recovery.audience import Audience, Audiences, Hearers
from shared.workflows.recovery.episode_plan import EpisodePlanner
from shared.workflows.recovery.event_making import EventMaker
from shared.workflows.recovery.facts import FactRecorder
from shared.workflows.recovery.order_effects import OrderEffects
from shared.workflows.recovery.outbox import Transition, told_by


class Announcer:
    """Tells committed transitions. One per process; ``begin`` starts a batch."""

    def __init__(
        self,
        *,
        audiences: Audiences,
        checkouts: CheckoutStore,
        events: EventMaker,
        abandonments: Abandonments,
        planner: EpisodePlanner,
        effects: OrderEffects,
        fan_out: FanOut,
        facts: FactRecorder,
    ) -> None:
        """Share the parts of one process."""
        self._audiences = audiences
        self._checkouts = checkouts
        self._events = events
        self._abandonments = abandonments
        self._planner = planner
        self._effects = effects
        self._fan_out = fan_out
        self._facts = facts

    def begin(self) -> None:
        """Forget what the last batch read of merchants, and what it did not hand over: that comes again."""
        self._audiences.begin()
        self._fan_out.gathered()

    def gathered(self) -> list[DeliveryMessage]:
        """Deliveries that were announced since this was last asked for, and are yet to be handed over."""
        return self._fan_out.gathered()

    def hand_over(self, messages: Sequence[DeliveryMessage]) -> None:
        """Enqueue these, of whichever records. Raises QueueUnavailable, QueueRefused, and what SQS raises."""
        self._fan_out.hand_over(messages)

    def announce(self, image: Item, now: datetime) -> str:
        """Tell one marked image; returns the outcome for the log. Raises MalformedRecord for what is none of ours."""
        fact = told_by(image)
        merchant_id = fact.merchant_id if isinstance(fact, OrderRecord) else fact.checkout.merchant_id
        audience = self._audiences.of(merchant_id)
        if audience is None:
            return "merchant_gone"
        if isinstance(fact, OrderRecord):
            placed = image["te"] == ORDER_MARK
            return self._effects.follow(fact, audience.merchant.settings, now, placed=placed)
        if fact.mark is Mark.ABANDONED:
            return self._abandoned(fact, self._audiences.with_campaigns(audience), now)
        return self._happened(fact, audience, now)

    def _happened(self, transition: Transition, audience: Audience, now: datetime) -> str:
        """A fact that stays true: its event, put if absent, and its deliveries."""
        checkout, mark = transition.checkout, transition.mark
        if mark is Mark.REOPENED:
            self._planner.pause(checkout, audience.merchant.settings, now)
        if mark is Mark.EXPIRED:
            self._planner.end_with(checkout, now)
        self._facts.record_facts(checkout, mark, audience.merchant, None)
        hearers = self._audiences.hearers(transition, audience, now)
        if not hearers and mark is Mark.UPDATED:  # of every other fact there is an event, for who reads them
            return f"{mark}:nobody"
        current = self._checkouts.get(checkout.digest)
        if current is None or current.erased:
            return f"{mark}:erased"
        episode = self._planner.of(checkout)
        event = self._events.put(self._events.made(transition, audience, hearers, episode, now), now)
        if event is None:
            return f"{mark}:erased"
        self._fan_out.deliver(event, hearers.values(), of_many=mark is Mark.UPDATED)
        return str(mark)

    def _abandoned(self, transition: Transition, audience: Audience, now: datetime) -> str:
        """An abandonment: told only while it is true, with the episode it opens or joins."""
        checkout, settings = transition.checkout, audience.merchant.settings
        hearers = self._audiences.hearers(transition, audience, now)
        announced = self._abandonments.announce(transition, audience, hearers, now)
        if not isinstance(announced, Announced):
            self._tell_to_the_end(transition, hearers, audience, now)
        if announced is None:
            return "moved_on"
        if isinstance(announced, BoughtElsewhere):
            settled = self._effects.superseder.settle(checkout, announced.at, settings, now)
            return "superseded" if settled else "moved_on"
        if isinstance(announced, LeftEarlier):
            self._effects.superseder.give_way(checkout.digest, settings, now, transition.correlation_id)
            return "superseded"
        self._tell(transition, announced, hearers, audience, now)
        if announced.episode is not None:
            # When it is told again, the shopper may have left others after it: those stay.
            for digest in takewhile(lambda own: own != checkout.digest, announced.episode.checkouts):
                self._effects.superseder.give_way(digest, settings, now, transition.correlation_id, to=checkout)
        return "abandoned"

    def _tell_to_the_end(self, transition: Transition, hearers: Hearers, audience: Audience, now: datetime) -> None:
        """What an earlier run has written the event of, and it is not true any more: whoever delivers says so."""
        event = self._events.told(transition)
        if event is None:
            return
        current = self._checkouts.get(transition.checkout.digest)
        if current is not None and current.announced == transition.checkout.sequence:
            known = Announced(event, self._planner.of(current), before=True)
            self._tell(transition, known, hearers, audience, now)
        else:  # the checkout was left again since, and that is told by itself
            self._fan_out.deliver(event, hearers.values())

    def _tell(
        self, transition: Transition, announced: Announced, hearers: Hearers, audience: Audience, now: datetime
    ) -> None:
        """Endpoints, figures and the timeline hear of it, the same however often it is told."""
        checkout, episode = transition.checkout, announced.episode
        self._fan_out.deliver(announced.event, hearers.values())
        self._facts.record_facts(checkout, Mark.ABANDONED, audience.merchant, episode)
        if episode is not None:
            self._planner.note_planned(transition, episode, audience.merchant.settings, before=announced.before)
            self._planner.note_left_alone(checkout, episode, audience, now)
