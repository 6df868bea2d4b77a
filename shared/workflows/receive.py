"""A webhook's way in: who sent it, what it says, one durable write, and what to answer.

Nothing here calls a provider or knows of campaigns: the answer is given as soon as the write is durable.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shared.aws.credential_cipher import CredentialCipher
from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import Checkout
from shared.domain.ids import QuarantineId, SourceId, derived_ulid
from shared.domain.merchant import Merchant, Source
from shared.domain.transitions import Applied, Arrival, Effect, apply
from shared.providers import registry
from shared.providers.provider import Normalised, NotUnderstood, Provider, SourceContext, WebhookRequest
from shared.store.checkouts import CheckoutStore, StaleVersion
from shared.store.quarantine import QuarantineRecord, QuarantineStore
from shared.store.table import StoreUnavailable
from shared.workflows.purchase import Purchases
from shared.workflows.sources import SourceDirectory, context_of, settings_of

_ROUNDS = 5
LARGEST_BODY = 256 * 1024


class UnknownSource(LookupError):
    """No such source, or its merchant is gone."""


class Bodies(Protocol):
    """Where quarantined bytes are kept."""

    def keep_body(self, key: str, body: bytes, content_type: str | None) -> None:
        """Keep the exact bytes under ``key``."""
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a webhook: ``status`` as the contract names it, and what goes with it."""

    status: str
    provider: str
    checkout_ids: tuple[str, ...] = ()
    quarantine_id: str | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The answer's body."""
        answer: dict[str, Any] = {"status": self.status}
        if len(self.checkout_ids) == 1:
            answer["checkout_id"] = self.checkout_ids[0]
        elif self.checkout_ids:
            answer["checkout_ids"] = list(self.checkout_ids)
        if self.quarantine_id is not None:
            answer["quarantine_id"] = self.quarantine_id
        if self.reason is not None:
            answer["reason"] = self.reason
        return answer


class Receiver:
    """Receives webhooks. One per process."""

    def __init__(
        self,
        sources: SourceDirectory,
        cipher: CredentialCipher,
        checkouts: CheckoutStore,
        purchases: Purchases,
        quarantine: QuarantineStore,
        bodies: Callable[[], Bodies],
    ) -> None:
        """``bodies`` makes the bucket at first need: most webhooks never touch it."""
        self._sources = sources
        self._cipher = cipher
        self._checkouts = checkouts
        self._purchases = purchases
        self._quarantine = quarantine
        self._bodies = bodies

    def receive(self, source_id: SourceId, request: WebhookRequest) -> Receipt:
        """Take a webhook in.

        Raises UnknownSource, AuthenticationFailed and NotReadable (nothing is stored), and StoreUnavailable when the
        provider must try again.
        """
        found = self._sources.find(source_id)
        if found is None:
            raise UnknownSource(source_id)
        source, merchant = found
        provider = registry.provider(source.provider)
        context = context_of(source, merchant, self._cipher.source(source), provider)
        provider.authenticate(request, context)
        if len(request.body) > LARGEST_BODY:
            return self._set_aside(source, request, "body_too_large")
        try:
            normalised = self._normalised(provider, request, context)
        except NotUnderstood as unknown:
            return self._set_aside(source, request, str(unknown))
        if normalised.ignored is not None and not normalised.changes:
            return Receipt("ignored", source.provider, reason=normalised.ignored)
        return self._merge_all(normalised, source, merchant, request.arrived_at)

    def merge(self, change: CheckoutChange, arrival: Arrival) -> Applied:
        """Merge one change durably. Raises StoreUnavailable when others kept writing the same checkout."""
        if change.signal is Signal.PURCHASED:
            return self._purchases.record(change, arrival)
        applied = apply(None, change, arrival)
        try:
            if change.signal is Signal.ACTIVITY:
                self._checkouts.merge_in_order(applied.checkout, change, arrival)
                return applied
            self._checkouts.replace(
                None, applied.checkout, applied.mark, arrival.settings, change=change, at=arrival.at
            )
        except StaleVersion as stale:
            old = stale.current
        else:
            return applied
        return self._merge_over(old, change, arrival)

    def _merge_over(self, old: Checkout | None, change: CheckoutChange, arrival: Arrival) -> Applied:
        """The write under the version read, as often as others are faster, but not for ever."""
        for _ in range(_ROUNDS):
            applied = apply(old, change, arrival)
            if applied.effect is Effect.DUPLICATE:
                return applied
            try:
                self._checkouts.replace(
                    old, applied.checkout, applied.mark, arrival.settings, change=change, at=arrival.at
                )
            except StaleVersion as stale:
                old = stale.current
            else:
                return applied
        raise StoreUnavailable("the checkout kept changing")

    @staticmethod
    def _normalised(provider: Provider, request: WebhookRequest, context: SourceContext) -> Normalised:
        payload = provider.read(request, context)
        return provider.normalise(payload, request, context)

    def _merge_all(self, normalised: Normalised, source: Source, merchant: Merchant, at: datetime) -> Receipt:
        arrival = Arrival(
            merchant.id, source.id, source.provider, at, settings_of(source, merchant), feed=merchant.feed
        )
        merged = [self.merge(change, arrival) for change in normalised.changes]
        repeated = bool(merged) and all(own.effect is Effect.DUPLICATE for own in merged)
        ids = tuple(dict.fromkeys(own.checkout.id for own in merged))
        return Receipt("duplicate" if repeated else "accepted", source.provider, ids)

    def _set_aside(self, source: Source, request: WebhookRequest, reason: str) -> Receipt:
        """Keep an authentic body whole: bytes first, then the row that shows it.

        The id is made of the day, the source and the body, so that a provider's repeats of one body are one row.
        """
        body_digest = hashlib.sha256(request.body).hexdigest()
        day = request.arrived_at.replace(hour=0, minute=0, second=0, microsecond=0)
        quarantine_id = QuarantineId("qrn_" + derived_ulid(day, source.id, body_digest))
        self._bodies().keep_body(quarantine_id, request.body, request.headers.get("content-type"))
        self._quarantine.add(
            QuarantineRecord(
                id=quarantine_id,
                merchant_id=source.merchant_id,
                source_id=source.id,
                provider=source.provider,
                reason=reason,
                object_key=quarantine_id,
                size=len(request.body),
                received_at=request.arrived_at,
                event=request.event,
            )
        )
        return Receipt("quarantined", source.provider, quarantine_id=quarantine_id, reason=reason)
