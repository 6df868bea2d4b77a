"""What a provider payload becomes, without storing anything."""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.merchant import Merchant, Source, SourceCredentials
from shared.domain.representation import CheckoutJson, checkout_json
from shared.domain.transitions import Arrival, apply
from shared.providers import registry
from shared.providers.provider import (
    DEFECTS,
    AuthenticationFailed,
    NotReadable,
    NotUnderstood,
    Provider,
    WebhookRequest,
)
from shared.store.quarantine import QuarantineRecord
from shared.workflows.intake.replay import request_of
from shared.workflows.intake.sources import context_of


@dataclass(frozen=True, slots=True)
class Preview:
    """``checkouts`` as the contract shows them; ``missing`` and ``assumed`` name fields; ``ignored`` is a reason."""

    checkouts: list[CheckoutJson]
    ignored: str | None
    missing: tuple[str, ...]
    assumed: tuple[str, ...]


def preview(provider: Provider, request: WebhookRequest, source: Source, merchant: Merchant, at: datetime) -> Preview:
    """The checkouts that the payload alone makes. Raises NotReadable and NotUnderstood; signatures are not checked."""
    context = context_of(source, merchant, SourceCredentials(), provider)
    payload = provider.read(request, context)
    normalised = provider.normalise(payload, request, context)
    known = registry.versions(provider.name)
    new = None if known is None else known.new(payload, request, context.settings.accept_versions)
    arrival = Arrival(merchant.id, source.id, source.provider, at, merchant.settings)
    made = [apply(None, change, arrival).checkout for change in normalised.changes]
    shown = [checkout_json(checkout, checkout.pair("checkout_url")[1]) for checkout in made]
    assumed = (*normalised.assumed, *([] if new is None else ["version"]))
    return Preview(shown, normalised.ignored, normalised.missing, assumed)


def tried(record: QuarantineRecord, body: bytes, source: Source, merchant: Merchant, at: datetime) -> Preview:
    """What a quarantined body would become as ``source`` says. Raises NotUnderstood where it still means nothing."""
    provider = registry.provider(source.provider)
    try:
        return preview(provider, request_of(record, body), source, merchant, at)
    except DEFECTS as defect:
        raise NotUnderstood(f"defect: {type(defect).__name__}") from defect
    except (NotReadable, AuthenticationFailed) as unknown:
        raise NotUnderstood(str(unknown)) from unknown
