"""Providers add fields without a word: a payload with fields that nobody knows says what it said without them."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.change import CheckoutChange, OrderKey
from shared.domain.reversal import Refund
from shared.providers import registry
from shared.providers.provider import Normalised, NotUnderstood
from tests.unit.providers.conftest import EVENTS, Bench

pytestmark = pytest.mark.long

TOPICS = {
    "carts-update": "carts/update",
    "checkouts-create": "checkouts/create",
    "checkouts-delete": "checkouts/delete",
    "checkouts-update-completed": "checkouts/update",
    "orders-cancelled": "orders/cancelled",
    "orders-create": "orders/create",
    "orders-updated": "orders/updated",
    "refunds-create": "refunds/create",
}
OF_EMPORIX = {"cart": "cart.updated", "order": "order.updated"}
FREE_MAPS = frozenset(
    (
        *("metadata", "notes", "order_tags", "attributes", "options", "properties", "note_attributes", "mixins"),
        *("utm_parameters", "metaData", "customAttributes", "custom_attributes"),
    )
)
"""What a shop puts there of its own is no new field of the provider's."""
NAMES = st.sampled_from(["x_new_in_2027", "xNewIn2027", "x-new", "X New", "_x_new", "x.new", "\U0001f6d2"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda own: st.lists(own, max_size=3) | st.dictionaries(st.text(max_size=9), own, max_size=3),
    max_leaves=6,
)


def samples() -> Iterator[tuple[str, str]]:
    for name in registry.names():
        for path in sorted((EVENTS / name).glob("*.json")):
            if not path.stem.endswith((".expected", ".mapping")):
                yield name, path.stem


SAMPLES = list(samples())


def posted(provider: str, sample: str) -> tuple[Bench, dict[str, str], str | None]:
    """A source and what goes with the sample besides its body."""
    bench = Bench(provider)
    if provider == "razorpay":
        bench.configure(money_unit="minor")
    if provider == "custom" and sample == "mapped":
        bench.configure(mapping=bench.sample("mapped.mapping"), money_unit="minor")
    if provider == "shopify" and sample in TOPICS:
        return bench, {"x-shopify-topic": TOPICS[sample]}, None
    if provider == "woocommerce":
        return bench, {"x-wc-webhook-topic": "order.deleted" if sample == "order-deleted" else "order.updated"}, None
    if provider == "cashfree" and sample.startswith("ecom360"):
        return bench, {"x-webhook-topic": "abandonedCheckout"}, None
    if provider == "emporix" and not sample.endswith(("search", "content")):
        kind, _, rest = sample.partition("-")
        known = rest in {"created", "updated", "closed", "merged", "item-added"}
        return bench, {}, f"{kind}.{rest}" if known else OF_EMPORIX[kind]
    return bench, {}, None


def unwrapped(value: Any) -> Any:
    """Texts that hold JSON objects (Wix) as objects, marked."""
    if isinstance(value, dict):
        return {name: unwrapped(own) for name, own in value.items()}
    if isinstance(value, list):
        return [unwrapped(own) for own in value]
    if isinstance(value, str) and value.startswith("{"):
        return ("text", unwrapped(json.loads(value)))
    return value


def wrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: wrapped(own) for name, own in value.items()}
    if isinstance(value, list):
        return [wrapped(own) for own in value]
    return json.dumps(wrapped(value[1])) if isinstance(value, tuple) else value


def objects_in(value: Any, name: str = "") -> Iterator[dict[str, Any]]:
    if isinstance(value, tuple):
        yield from objects_in(value[1], name)
    elif isinstance(value, dict):
        if name not in FREE_MAPS:
            yield value
            for own_name, own in value.items():
                yield from objects_in(own, own_name)
    elif isinstance(value, list):
        for own in value:
            yield from objects_in(own, name)


def bare(change: CheckoutChange) -> CheckoutChange:
    """Without what is made of the body's bytes: the digest, and the tie that it breaks."""
    clock = change.order_key.value.rpartition(".")[0]
    return replace(change, body_digest=b"", order_key=OrderKey(clock, change.order_key.clockless))


def said(bench: Bench, body: Any, headers: dict[str, str], event: str | None) -> Any:
    try:
        found: Normalised = bench.normalise(body, headers, event=event)
    except NotUnderstood as unknown:
        return str(unknown)
    backs = tuple(replace(own, refunds=tuple(map(unnamed, own.refunds))) for own in found.reversals)
    return replace(found, changes=tuple(map(bare, found.changes)), reversals=backs)


def unnamed(refund: Refund) -> Refund:
    """Where the body's digest stands in for an id."""
    return replace(refund, id="") if re.fullmatch("[0-9a-f]{32}", refund.id) else refund


@pytest.mark.parametrize(("provider", "sample"), SAMPLES)
def test_fields_that_nobody_knows_change_nothing(provider: str, sample: str) -> None:
    bench, headers, event = posted(provider, sample)
    body = bench.sample(sample)
    known = said(bench, body, headers, event)
    count = len(list(objects_in(unwrapped(body))))

    @settings(max_examples=settings().max_examples // 4)
    @given(st.lists(st.tuples(st.integers(0, count - 1), NAMES, JSON), min_size=1, max_size=4))
    def changes_nothing(added: list[tuple[int, str, Any]]) -> None:
        grown = unwrapped(bench.sample(sample))
        places = list(objects_in(grown))
        for place, name, value in added:
            places[place][name] = value
        assert said(bench, wrapped(grown), headers, event) == known

    changes_nothing()


@pytest.mark.parametrize(("provider", "sample"), SAMPLES)
def test_a_new_field_in_every_object_at_once_changes_nothing(provider: str, sample: str) -> None:
    bench, headers, event = posted(provider, sample)
    grown = unwrapped(bench.sample(sample))
    for number, place in enumerate(list(objects_in(grown))):
        place["x_new_in_2027"] = ["text", number, None, True, {"amount": "1.00"}, [1]][number % 6]
    assert said(bench, wrapped(grown), headers, event) == said(bench, bench.sample(sample), headers, event)
