"""A webhook's way in: who sent it, what it says, one durable write, and what to answer.

Nothing here calls a provider or knows of campaigns: the answer is given as soon as the write is durable.
"""

import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from shared.aws.credential_cipher import CredentialCipher
from shared.aws.environment import Environment
from shared.aws.faults import AWS_ERRORS, code_of, is_temporary
from shared.aws.pull_queue import PullQueue, content_message
from shared.aws.quarantine_bucket import body_key
from shared.aws.stores import Stores, now
from shared.domain.change import CheckoutChange, Signal
from shared.domain.ids import QuarantineId, SourceId, derived_ulid
from shared.domain.merchant import Merchant, Source, SourceCredentials
from shared.domain.reversal import Reversal
from shared.domain.sample import Sample
from shared.domain.transitions import Arrival, Effect
from shared.domain.webhook_rate import WebhookRates
from shared.providers import registry
from shared.providers.provider import (
    DEFECTS,
    AuthenticationFailed,
    Normalised,
    NotReadable,
    NotUnderstood,
    Provider,
    SourceContext,
    WebhookRequest,
)
from shared.store.configuration import SourceStore
from shared.store.quarantine import QuarantineRecord, QuarantineStore
from shared.store.webhook_counts import WebhookCounts
from shared.workflows.intake.merge import Merger, arrival_at, deferred, pointing
from shared.workflows.intake.purchase import purchases_over
from shared.workflows.intake.reversals import Recorded, Reversals
from shared.workflows.intake.sources import SourceDirectory, context_of
from shared.workflows.intake.webhook_rate import WebhookRate

LARGEST_BODY = 256 * 1024
_SECRET_HEADERS = re.compile(
    r"authorization|cookie|signature|hmac|secret|token|password|api-?key|forwarded|real-ip|sign$|^via$|^x-amz"
)
_CONTENT_TYPE = re.compile(r"[!-~]{1,100}/[ -~]{0,100}[!-~]")
_ENDS = frozenset({Signal.PURCHASED, Signal.ENDED})
_HEADERS_KEPT = 40
_HEADER_LENGTH = 512


def kept_headers(headers: Mapping[str, str], credentials: SourceCredentials) -> dict[str, str]:
    """The headers a replay needs (topic, version, event id), without any that proves the sender or names a caller."""
    secret = {*credentials.secrets, *(own.token for own in credentials.older_tokens)}
    secret |= {credentials.url_token} if credentials.url_token else set()
    kept = (
        (name, value)
        for name, value in sorted(headers.items())
        if name
        and _SECRET_HEADERS.search(name) is None
        and len(name) + len(value) <= _HEADER_LENGTH
        and not any(own in value for own in secret)
    )
    return dict(itertools.islice(kept, _HEADERS_KEPT))


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
        merger: Merger,
        reversals: Reversals,
        quarantine: QuarantineStore,
        bodies: Callable[[], Bodies],
        pulls: Callable[[], PullQueue],
        rate: WebhookRate,
    ) -> None:
        """``bodies`` and ``pulls`` make the bucket and the queue at first need: most webhooks never touch them."""
        self._sources = sources
        self._cipher = cipher
        self._merger = merger
        self._reversals = reversals
        self._quarantine = quarantine
        self._bodies = bodies
        self._pulls = pulls
        self._rate = rate

    def receive(self, source_id: SourceId, request: WebhookRequest, sample: Sample | None = None) -> Receipt:
        """Take a webhook in. ``sample``: it is one, which nobody sent from outside; not understood, it is not kept.

        Raises UnknownSource, TooManyWebhooks, AuthenticationFailed and NotReadable (nothing is stored), and
        StoreUnavailable when the provider must try again.
        """
        found = self._sources.find(source_id)
        if found is None:
            raise UnknownSource(source_id)
        source, merchant = found
        self._rate.admit(source, merchant, request.arrived_at)
        receipt = self._received(source, merchant, request, sample)
        self._rate.count(source, merchant, request.arrived_at)
        return receipt

    def _received(self, source: Source, merchant: Merchant, request: WebhookRequest, sample: Sample | None) -> Receipt:
        provider = registry.provider(source.provider)
        context = context_of(source, merchant, self._cipher.source(source), provider)
        try:
            provider.authenticate(request, context)
        except DEFECTS as defect:
            # A proof of a form that the module did not expect is none; whoever sent it is not known.
            raise AuthenticationFailed(f"a defect: {type(defect).__name__}") from defect
        if len(request.body) > LARGEST_BODY:
            return self._set_aside(source, request, "body_too_large", context)
        try:
            normalised = self._normalised(provider, request, context, merchant)
            if sample is not None:
                normalised = _of_a_sample(normalised, sample)
            return self._taken_in(normalised, source, context, merchant, request)
        except NotUnderstood as unknown:
            if sample is not None:
                return Receipt("quarantined", source.provider, reason=str(unknown))
            return self._set_aside(source, request, str(unknown), context)

    def replay(self, source_id: SourceId, request: WebhookRequest) -> Receipt:
        """Take in once more what was authentic when it came; ``request.arrived_at`` is that time.

        What is still not understood is answered as ``quarantined`` and stays where it is. Raises UnknownSource and
        StoreUnavailable.
        """
        found = self._sources.find(source_id)
        if found is None:
            raise UnknownSource(source_id)
        source, merchant = found
        provider = registry.provider(source.provider)
        context = context_of(source, merchant, self._cipher.source(source), provider)
        try:
            normalised = self._normalised(provider, request, context, merchant)
            return self._taken_in(normalised, source, context, merchant, request)
        except (NotUnderstood, NotReadable, AuthenticationFailed) as unknown:
            return Receipt("quarantined", source.provider, reason=str(unknown))

    @staticmethod
    def _normalised(
        provider: Provider, request: WebhookRequest, context: SourceContext, merchant: Merchant
    ) -> Normalised:
        version = None
        try:
            payload = provider.read(request, context)
            version = _new_version(provider, payload, request, context)
            normalised = _read(provider, payload, request, context)
            if version is not None:
                normalised = replace(normalised, new_version=version)
            # A body about several shoppers is nobody's own.
            if not merchant.raw or len(normalised.changes) != 1:
                return normalised
            from shared.providers.privacy import provider_body

            raw = provider_body(payload, keep_click_ids=context.settings.keep_click_ids)
            return replace(normalised, changes=tuple(replace(own, raw=raw) for own in normalised.changes))
        except DEFECTS as defect:
            raise NotUnderstood(_why(version, f"defect: {type(defect).__name__}")) from defect
        except NotUnderstood as unknown:
            raise NotUnderstood(_why(version, str(unknown))) from unknown

    def _taken_in(
        self,
        normalised: Normalised,
        source: Source,
        context: SourceContext,
        merchant: Merchant,
        request: WebhookRequest,
    ) -> Receipt:
        """Merge what the webhook says and ask for what it only points to; both are durable before the answer.

        Of a version that nobody has read, or that the source's mapping does not fit, only what ends a checkout is
        believed: it calls messages off and sends none.

        Raises NotUnderstood where all of it is elsewhere and nobody may ask there, and, after the rest, where a part of
        it can never be stored: sent again, it would meet the same end.
        """
        if normalised.new_version is not None or normalised.misfit is not None:
            ends = [replace(own, correlation_id=request.id) for own in normalised.changes if own.signal in _ENDS]
            self._stored(ends, (), arrival_at(request.arrived_at, source, merchant))
            raise NotUnderstood(_why(normalised.new_version, normalised.misfit))
        if normalised.ignored is not None and not normalised.changes and not normalised.reversals:
            return Receipt("ignored", source.provider, reason=normalised.ignored)
        asking = bool(normalised.pulls) and bool(context.credentials.api)
        if normalised.pulls and not asking and not normalised.changes:
            raise NotUnderstood("its content is at the provider's API, and credentials.api is not set")
        changes = [pointing(deferred(own)) for own in normalised.changes] if asking else normalised.changes
        changes = [replace(own, correlation_id=request.id) for own in changes]
        reversals = [replace(own, correlation_id=request.id) for own in normalised.reversals]
        done, refused = self._stored(changes, reversals, arrival_at(request.arrived_at, source, merchant))
        if asking:
            wanted = [(pull.kind, pull.reference) for pull in normalised.pulls]
            self._pulls().send(content_message(source.id, merchant.id, wanted, request.arrived_at, request.id))
        if refused is not None:
            raise NotUnderstood(f"cannot be stored: {code_of(refused)}") from refused
        repeated = bool(done) and all(effect is Effect.DUPLICATE for _, effect in done)
        ids = tuple(dict.fromkeys(of for of, _ in done if of is not None))
        return Receipt("duplicate" if repeated else "accepted", source.provider, ids)

    def _stored(
        self, changes: Iterable[CheckoutChange], reversals: Iterable[Reversal], arrival: Arrival
    ) -> tuple[list[Recorded], Exception | None]:
        """What became of each change and reversal, and what the last met of those that the table will never take."""
        done: list[Recorded] = []
        refused: Exception | None = None
        said: list[CheckoutChange | Reversal] = [*changes, *reversals]
        for own in said:
            try:
                if isinstance(own, Reversal):
                    done.append(self._reversals.record(own, arrival))
                else:
                    applied = self._merger.merge(own, arrival)
                    done.append((applied.checkout.id, applied.effect))
            except (*AWS_ERRORS, *DEFECTS) as failure:
                if is_temporary(failure):
                    raise
                refused = failure
        return done, refused

    def _set_aside(self, source: Source, request: WebhookRequest, reason: str, context: SourceContext) -> Receipt:
        """Keep an authentic body whole: bytes first, then the row that shows it.

        The id is made of the day, the source and the body, so that a provider's repeats of one body are one row. One
        that an erasure has taken is not kept again.
        """
        body_digest = hashlib.sha256(request.body).hexdigest()
        if self._quarantine.was_erased(source.id, body_digest):
            return Receipt("duplicate", source.provider)
        day = request.arrived_at.replace(hour=0, minute=0, second=0, microsecond=0)
        quarantine_id = QuarantineId("qrn_" + derived_ulid(day, source.id, body_digest))
        key = body_key(source.merchant_id, quarantine_id)
        self._bodies().keep_body(key, request.body, _storable(request.headers.get("content-type")))
        self._quarantine.add(
            QuarantineRecord(
                id=quarantine_id,
                merchant_id=source.merchant_id,
                source_id=source.id,
                provider=source.provider,
                reason=reason,
                object_key=key,
                size=len(request.body),
                received_at=request.arrived_at,
                event=request.event,
                headers=kept_headers(request.headers, context.credentials),
                correlation_id=request.id,
            )
        )
        return Receipt("quarantined", source.provider, quarantine_id=quarantine_id, reason=reason)


def _read(provider: Provider, payload: Any, request: WebhookRequest, context: SourceContext) -> Normalised:
    """What the payload says. Where the source's mapping does not fit it, what it says without, if that ends a checkout.

    Raises NotUnderstood.
    """
    try:
        return provider.normalise(payload, request, context)
    except NotUnderstood as unknown:
        if not context.settings.mapping:
            raise
        unmapped = replace(context, settings=replace(context.settings, mapping={}))
        try:
            normalised = provider.normalise(payload, request, unmapped)
        except (NotUnderstood, *DEFECTS):
            raise unknown from None
        if not any(own.signal in _ENDS for own in normalised.changes):
            raise
        return replace(normalised, misfit=str(unknown))


def _of_a_sample(normalised: Normalised, sample: Sample) -> Normalised:
    """What is taken in of it: nobody is asked for what it points to, as nothing of it is at the provider."""
    changes = tuple(taken for own in normalised.changes if (taken := sample.taken(own)) is not None)
    ignored = normalised.ignored
    if ignored is None and not changes:
        ignored = "a sample neither buys nor takes back, and nothing of it is at the provider's API"
    return replace(normalised, changes=changes, ignored=ignored, pulls=(), reversals=())


def _new_version(provider: Provider, payload: Any, request: WebhookRequest, context: SourceContext) -> str | None:
    """The version of the payload, where neither the provider's module nor the merchant knows it."""
    known = registry.versions(provider.name)
    return None if known is None else known.new(payload, request, context.settings.accept_versions)


def _why(version: str | None, reason: str | None = None) -> str:
    """Why a webhook is kept aside, told of a version that nobody has read before all else."""
    return ": ".join(filter(None, (None if version is None else f"new_version: {version}", reason)))


def _storable(content_type: str | None) -> str | None:
    """The content type, where it is one that can be written into a header."""
    return content_type if content_type and _CONTENT_TYPE.fullmatch(content_type) else None


def receiver_over(stores: Stores) -> Receiver:
    """A receiver over a process's stores, which remembers nothing of sources yet."""
    return Receiver(
        SourceDirectory(SourceStore(stores.table), now),
        stores.cipher,
        Merger(stores.checkouts, purchases_over(stores)),
        Reversals(stores.table, stores.checkouts),
        QuarantineStore(stores.table),
        lambda: stores.bucket,
        lambda: stores.pulls,
        WebhookRate(WebhookCounts(stores.table), _rates(stores.environment)),
    )


def _rates(environment: Environment) -> WebhookRates:
    """The stage's limits."""
    named = {
        "per_source": environment.variables.get("WEBHOOKS_PER_MINUTE_OF_SOURCE"),
        "per_merchant": environment.variables.get("WEBHOOKS_PER_MINUTE_OF_MERCHANT"),
    }
    return WebhookRates(**{name: int(limit) for name, limit in named.items() if limit})
