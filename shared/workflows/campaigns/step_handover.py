"""A step as its destination gets it: the message with its links, and the request that hands it over."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.aws.credential_cipher import CredentialCipher
from shared.delivery.exchange import OutboundRequest, SendResult
from shared.delivery.outcome import Attempt
from shared.destinations import registry
from shared.destinations.destination import Delivery, Destination
from shared.destinations.destination import Endpoint as Target
from shared.destinations.liquid import on_behalf_of
from shared.domain import gate
from shared.domain.announcement import EventType, StepEventJson, StepJson, envelope, messaging
from shared.domain.consent import Channel
from shared.domain.instants import to_rfc3339
from shared.domain.merchant import Endpoint
from shared.domain.recovery_link import ShopperLinks
from shared.workflows.campaigns.step_case import StepCase
from shared.workflows.delivering.attempts import target_of


@dataclass(frozen=True, slots=True)
class Receiver:
    """An endpoint with its secrets in the clear, and the module that speaks to its kind."""

    target: Target
    kind: Destination

    def attempt(self, result: SendResult) -> Attempt:
        """What an exchange with it means."""
        return self.kind.classify(result, self.target)


@dataclass(frozen=True, slots=True)
class HandOver:
    """The request that hands the step over, and what the vendor must be told before, if anything."""

    request: OutboundRequest
    first: OutboundRequest | None


class HandOvers:
    """Writes steps down as requests. One per process."""

    def __init__(self, cipher: CredentialCipher, links: ShopperLinks, now: Callable[[], datetime]) -> None:
        """``now`` is the clock."""
        self._cipher = cipher
        self._links = links
        self._now = now

    def receiver(self, endpoint: Endpoint) -> Receiver:
        """Who receives the step; decrypts the endpoint's credentials."""
        target = target_of(endpoint, self._cipher.endpoint(endpoint), self._now())
        return Receiver(target, registry.destination(endpoint.kind))

    def made(self, case: StepCase, receiver: Receiver, channel: Channel | None, code: str | None) -> HandOver:
        """The step's requests. Raises Unsendable, and ValueError where the endpoint's set-up allows none."""
        delivery = self._delivery(case, channel, code)
        preparing = registry.preparing(receiver.kind)
        with on_behalf_of(case.merchant.id):
            request = receiver.kind.build(delivery, receiver.target)
            return HandOver(request, preparing.prepare(delivery, receiver.target) if preparing else None)

    def _delivery(self, case: StepCase, channel: Channel | None, code: str | None) -> Delivery:
        """The step as its destination gets it; every link in it names the step."""
        now = self._now()
        recovery_url = self._links.back(case.checkout.digest, case.step.number)
        step: StepJson = {
            "index": case.step.number,
            "campaign_id": case.campaign.id,
            "template": dict(case.planned.template) or None,
            "coupon_code": code,
            "recovery_url": recovery_url,
            "unsubscribe_url": self._links.out(case.checkout.digest),
            "idempotency_key": case.delivery_id,
        }
        told = envelope(
            case.event_id,
            EventType.ABANDONED,
            case.checkout.abandoned_at or now,
            case.checkout,
            recovery_url=recovery_url,
            episode=case.episode,
            messaging=messaging(gate.Send(tuple(Channel) if channel is None else (channel,))),
            settings=case.settings,
        )
        facts: StepEventJson = {
            "id": told["id"],
            "type": told["type"],
            "timestamp": told["timestamp"],
            "sequence": told["sequence"],
            "merchant_id": told["merchant_id"],
            # The campaign's own end, where the feed tells the merchant's: a receiver that obeys it obeys the campaign.
            "do_not_send_after": to_rfc3339(
                gate.do_not_send_after(case.checkout, case.settings, case.episode, case.campaign)
            ),
            "messaging": told["messaging"],
            "data": {**told["data"], "step": step},
            "merchant": {"id": case.merchant.id, "name": case.merchant.name},
        }
        return Delivery(
            id=case.delivery_id,
            message_id=case.event_id,
            event_type=EventType.ABANDONED.value,
            attempted_at=now,
            body=json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode(),
            facts=facts,
            step=step,
        )
