"""What `checkback trigger` sends is what the provider sends: proved, understood, now, another checkout each time."""

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from checkback.proofs import Webhook, proved
from checkback.samples import ProviderSamples, Sample, Wanted, folder, providers
from checkback.unfit import NoKey, Unfit
from infra.local.engine import PROJECT
from shared.domain.merchant import SourceCredentials, SourceSettings
from shared.providers import registry
from shared.providers.provider import AuthenticationFailed, Normalised, SourceContext, WebhookRequest

NOW = datetime(2027, 2, 3, 10, 20, 30, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, no less").decode()
URL_TOKEN = "the-token-of-the-url"
EVERY = [(name, event) for name in providers() for event in ProviderSamples(name).events]
CUSTOM = {
    "mapping": json.loads((PROJECT / "events/custom/mapped.mapping.json").read_text()),
    "money_unit": "minor",
}


@cache
def key_pair() -> tuple[str, str]:
    """A private key and its public half, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def source(provider: str, **settings: Any) -> SourceContext:
    credentials = SourceCredentials((SECRET,), key_pair()[1], {}, URL_TOKEN)
    own = SourceSettings(**{**ProviderSamples(provider).settings, **settings})
    return SourceContext(own, credentials, "INR", "IN", frozenset({"shop.example.com"}))


def sent(provider: str, event: str, wanted: Wanted | None = None, **settings: Any) -> tuple[Sample, Webhook]:
    samples = ProviderSamples(provider)
    sample = samples.sample(event, wanted or Wanted(), NOW)
    return sample, proved(samples, sample, key_pair()[0] if provider == "wix" else SECRET, NOW, settings)


def received(provider: str, webhook: Webhook, arrived_at: datetime = NOW, **settings: Any) -> Normalised:
    """As ingest does: proved first, then read."""
    own = source(provider, **settings)
    module = registry.provider(provider)
    query = {"token": URL_TOKEN} if ProviderSamples(provider).proof["scheme"] in {"url", "source"} else {}
    headers = {name.lower(): value for name, value in webhook.headers.items()}
    request = WebhookRequest(headers, query, webhook.body, arrived_at, webhook.path.removeprefix("/") or None)
    module.authenticate(request, own)
    return module.normalise(module.read(request, own), request, own)


def settings_for(event: str) -> dict[str, Any]:
    return CUSTOM if event == "mapped" else {}


def test_every_provider_there_is_has_samples_to_send() -> None:
    assert providers() == registry.names()
    assert all(ProviderSamples(name).default in ProviderSamples(name).events for name in providers())


@pytest.mark.parametrize(("provider", "event"), EVERY)
def test_a_sample_names_nobody_but_whom_it_is_asked_to(provider: str, event: str) -> None:
    """What goes to a stage goes on to phones: a sample's own number may be anybody's."""
    _, webhook = sent(provider, event, Wanted(nobody=True))
    read = received(provider, webhook, **settings_for(event))
    assert read.changes or read.pulls or read.reversals or read.ignored
    for change in read.changes:
        contact = {name for name in change.leaves if name.endswith(("phone", ".email")) and "consent" not in name}
        assert contact == set()


@pytest.mark.parametrize(("provider", "event"), EVERY)
def test_every_sample_is_proved_and_understood(provider: str, event: str) -> None:
    _, webhook = sent(provider, event)
    read = received(provider, webhook, **settings_for(event))
    assert read.changes or read.pulls or read.reversals or read.ignored


@pytest.mark.parametrize("provider", [own for own in providers() if own != "custom"])
def test_no_sample_is_accepted_with_another_secret(provider: str) -> None:
    samples = ProviderSamples(provider)
    if samples.proof["scheme"] in {"url", "jwt"}:
        pytest.skip("its proof is not the secret")
    sample = samples.sample(samples.default, Wanted(), NOW)
    forged = proved(samples, sample, "whsec_" + base64.b64encode(b"another").decode(), NOW, {})
    with pytest.raises(AuthenticationFailed):
        received(provider, forged)


@pytest.mark.parametrize("provider", providers())
def test_each_call_is_another_checkout_unless_one_is_named(provider: str) -> None:
    default = ProviderSamples(provider).default
    first, second = sent(provider, default), sent(provider, default)
    again = sent(provider, default, Wanted(external_id=first[0].external_id))
    named = [{own.external_id for own in received(provider, webhook).changes} for _, webhook in (first, second, again)]
    assert named[0]
    assert named[0].isdisjoint(named[1])
    if provider != "wix":  # names a checkout by an id of Wix' own beside the one that orders tell
        assert named[2] == named[0]


@pytest.mark.parametrize("provider", [own for own in providers() if own != "bigcommerce"])
def test_a_sample_happens_now(provider: str) -> None:
    """Samples are of the past: what lies outside the horizon would be timed by its arrival."""
    _, webhook = sent(provider, ProviderSamples(provider).default)
    times = [own.occurred_at for own in received(provider, webhook).changes if own.occurred_at is not None]
    assert all(abs(NOW - own) < timedelta(minutes=5) for own in times), times


WITH_PHONE = [
    *(("flexype", "acr"), ("cashfree", "abandoned-checkout"), ("wix", "abandoned-checkout-created")),
    *(("shopify", "checkouts-create"), ("emporix", "cart-updated"), ("razorpay", "abandoned-cart")),
    *(("stripe", "checkout-session-expired"), ("woocommerce", "order-created"), ("shopflo", "checkout-abandoned")),
    ("custom", "checkout"),
]


@pytest.mark.parametrize(("provider", "event"), WITH_PHONE)
def test_the_shopper_is_the_one_who_was_asked_for(provider: str, event: str) -> None:
    _, webhook = sent(provider, event, Wanted(phone="+919820012345"))
    [change] = received(provider, webhook).changes
    assert change.leaves["customer.phone"] == "+919820012345"


@pytest.mark.parametrize(
    ("provider", "event", "total", "currency", "minor"),
    [
        ("flexype", "acr", "1499.50", None, 149_950),
        ("cashfree", "abandoned-checkout", "1499.50", "INR", 149_950),
        ("shopify", "checkouts-create", "12.30", "EUR", 1_230),
        ("stripe", "checkout-session-expired", "1499.50", "INR", 149_950),
        ("stripe", "checkout-session-expired", "1500", "JPY", 1_500),
        ("wix", "abandoned-checkout-created", "99.99", "USD", 9_999),
        ("woocommerce", "order-created", "0.10", "INR", 10),
        ("custom", "checkout", "640.00", "INR", 64_000),
    ],
)
def test_the_total_is_exactly_the_one_asked_for(
    provider: str, event: str, total: str, currency: str | None, minor: int
) -> None:
    _, webhook = sent(provider, event, Wanted(total=total, currency=currency))
    [change] = received(provider, webhook).changes
    assert change.cart is not None
    shown = change.cart.totals.total
    assert shown is not None
    assert (shown.minor, shown.currency) == (minor, currency or "INR")


def test_what_a_sample_has_no_place_for_is_said() -> None:
    with pytest.raises(Unfit, match="no place for --total"):
        ProviderSamples("bigcommerce").sample("cart-created", Wanted(total="5"), NOW)
    with pytest.raises(Unfit, match="not an amount"):
        ProviderSamples("flexype").sample("acr", Wanted(total="lots"), NOW)
    with pytest.raises(Unfit, match="there are: abandoned-checkout"):
        ProviderSamples("flexype").sample("left", Wanted(), NOW)
    with pytest.raises(Unfit, match="no samples of paypal"):
        ProviderSamples("paypal")


@pytest.mark.parametrize(
    "signature",
    [
        {"header": "x-acme-signature", "algorithm": "sha256", "encoding": "hex"},
        {"header": "x-acme-signature", "algorithm": "sha512", "encoding": "base64", "signed_parts": ["v0:", "body"]},
        {
            "header": "x-acme-signature",
            "encoding": "hex",
            "timestamp_header": "x-acme-at",
            "signed_parts": ["timestamp", ".", "body"],
        },
        {"header": "x-acme-secret", "algorithm": "plain"},
    ],
)
def test_a_shops_own_scheme_is_the_one_of_its_source(signature: dict[str, Any]) -> None:
    _, webhook = sent("custom", "checkout", signature=signature)
    assert received("custom", webhook, signature=signature).changes


def test_where_a_secret_is_wanted_and_none_is_known_nothing_is_sent() -> None:
    samples = ProviderSamples("shopify")
    sample = samples.sample("checkouts-create", Wanted(), NOW)
    with pytest.raises(NoKey, match="secret is not kept here"):
        proved(samples, sample, None, NOW, {})


def test_every_id_clock_and_field_of_a_recipe_is_found_in_some_sample() -> None:
    """A recipe that names what is nowhere would silently change nothing."""
    for provider in providers():
        samples = ProviderSamples(provider)
        text = "".join((folder() / provider / f"{own}.json").read_text() for own in samples.events)
        recipe = (folder() / provider / "sending.toml").read_text()
        for name in ("phone", "email", "currency"):
            for field in _listed(recipe, name):
                assert field.rpartition("/")[2] in text, (provider, name, field)


def _listed(recipe: str, name: str) -> list[str]:
    import tomllib

    found: list[str] = tomllib.loads(recipe).get(name, [])
    return found


def test_samples_lie_in_the_tree_or_in_the_package() -> None:
    assert folder() == Path(PROJECT) / "events"
