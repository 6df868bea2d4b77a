"""The one place where samples are made, as the API uses it: that of the command line (``checkback.samples``).

Its modules and the samples of ``events/`` lie in this function's bundle and are loaded with the first sample.
"""

from datetime import datetime
from random import Random

from shared.domain.merchant import Merchant, Source
from shared.domain.sample import Sample
from shared.workflows.delivering.refusals import Conflict, Invalid
from shared.workflows.intake.sample import MadeWebhook

_NO_SECRET = "There is no secret to sign with yet: give the source its secret first."  # noqa: S105 - a sentence


def made_webhook(
    source: Source, merchant: Merchant, secret: str | None, sample: Sample, at: datetime, chance: bytes
) -> MadeWebhook:
    """The provider's usual webhook of a cart, signed with ``secret`` as the source's settings say.

    Raises Conflict where nobody but the provider can sign it, or there is no secret yet, and Invalid where it has no
    place for a contact.
    """
    from checkback.proofs import proved
    from checkback.samples import ProviderSamples, Wanted
    from checkback.unfit import NoKey, Unfit

    try:
        samples = ProviderSamples(source.provider)
    except Unfit:
        raise Conflict("There is no sample of this provider. Leave a checkout in the shop instead.") from None
    if (instead := samples.proof.get("instead")) is not None:
        raise Conflict(f"Only the provider has the key that signs its webhooks. {instead}")
    wanted = Wanted(
        phone=sample.phone, email=sample.email, nobody=True, test=True, host=next(iter(merchant.store_domains), None)
    )
    try:
        # Chance that follows from the request: its ids are no secret, and must be the same when it is done again.
        fresh = samples.sample(samples.default, wanted, at, Random(chance))  # noqa: S311
    except Unfit:
        places = [(f"/contact/{name}", getattr(sample, name)) for name in ("phone", "email")]
        told = "the provider's sample has no place for it"
        raise Invalid([(place, told) for place, given in places if given is not None]) from None
    try:
        webhook = proved(samples, fresh, secret, at, {"signature": source.settings.signature})
    except NoKey:
        raise Conflict(_NO_SECRET) from None
    except Unfit as unfit:
        raise Conflict(f"The source's secret cannot sign: {unfit}.") from unfit
    return MadeWebhook(samples.default, webhook.body, webhook.headers, webhook.path.removeprefix("/") or None)
