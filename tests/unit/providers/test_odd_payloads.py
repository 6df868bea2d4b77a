"""Odd values at any place of a payload: a purchase is never read as a cart that was left, and no value breaks a module.

What an odd value makes of a purchase is the same purchase, less of it, or a body that is kept; never, in silence,
something that writes to who has bought.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from shared.domain.change import Signal
from shared.domain.transitions import apply
from shared.providers.provider import NotUnderstood
from shared.workflows.intake.merge import arrival_at
from tests.unit.providers.conftest import Bench
from tests.unit.providers.test_unknown_fields import SAMPLES, posted, unwrapped, wrapped

ALWAYS: tuple[Any, ...] = (None, "", "  ", [], {}, True, "Ünïcødé \U0001f6d2 नमस्ते", 0, -1.5, "12.345", [None], 10**15)
SAY_WHAT_HAPPENED = frozenset(
    (
        *("event", "type", "scope", "status", "session_state", "slug", "entityFqdn", "eventType", "payment_status"),
        *("event_name", "completed_at", "method", "data", "payload", "payment", "entity", "actionEvent", "body"),
        *("order", "triggeredByAnonymizeRequest", "event_type", "id", "createdEvent", "updatedEvent"),
    )
)
"""Where another value says another thing: a purchase may cease to be one, but never become an abandonment."""

EACH = 4

type Path = tuple[Any, ...]


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, tuple):
        yield from places(value[1], (*path, 1))
        return
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, own in parts:
        yield (*path, name), own
        yield from places(own, (*path, name))


def odd(value: Any) -> Iterator[Any]:
    """What may stand in its place, by what it is."""
    yield from ALWAYS
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from (str(value), value * 1000, -value)
    if isinstance(value, str):
        yield from (value.replace(".", ","), f" {value} ", [value])
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return
        yield from (int(moment.timestamp()), int(moment.timestamp() * 1000), str(int(moment.timestamp())), value[:10])


@contextmanager
def changed(body: Any, path: Path, value: Any) -> Iterator[None]:
    """In between another value stands at the place."""
    holder = body
    for name in path[:-1]:
        holder = holder[name]
    kept, holder[path[-1]] = holder[path[-1]], value
    yield
    holder[path[-1]] = kept


def signals(bench: Bench, body: Any, headers: dict[str, str], event: str | None) -> list[Signal] | None:
    """What the payload says happened; None where it is kept. Whatever is understood can be merged."""
    try:
        said = bench.normalise(wrapped(body), headers, event=event).changes
    except NotUnderstood:
        return None
    for change in said:
        apply(None, change, arrival_at(bench.arrived_at, bench.source, bench.merchant))
    return [change.signal for change in said]


@pytest.mark.long
@pytest.mark.parametrize(("provider", "sample"), SAMPLES)
def test_no_odd_value_breaks_a_module_or_makes_a_left_cart_of_a_purchase(provider: str, sample: str) -> None:
    bench, headers, event = posted(provider, sample)
    body = unwrapped(bench.sample(sample))
    bought = signals(bench, body, headers, event) == [Signal.PURCHASED]
    for place, (path, own) in enumerate(list(places(body))):
        # Not every value at every place: they take turns, the same at each run.
        values = list(odd(own))
        for value in values[place % EACH :: EACH]:
            with changed(body, path, value):
                found = signals(bench, body, headers, event)
            if not bought or found is None:
                continue
            assert Signal.ABANDONED not in found, (path, value)
            assert path[-1] in SAY_WHAT_HAPPENED or found == [Signal.PURCHASED], (path, value, found)
    assert body == unwrapped(bench.sample(sample)), "each place was put back"


def test_a_shopify_checkout_whose_completion_has_an_unreadable_time_is_bought() -> None:
    bench, headers, _ = posted("shopify", "checkouts-update-completed")
    for at in (1775789983, 1775789983000, "10/04/2026 08:29"):
        change = bench.change(bench.sample("checkouts-update-completed") | {"completed_at": at}, headers)
        assert change.signal is Signal.PURCHASED
        assert change.order is not None
        assert change.order.at is None
    left = bench.sample("graphql-abandoned-checkouts")
    left["data"]["abandonedCheckouts"]["nodes"][0]["completedAt"] = 1775789983
    (change, *_) = bench.normalise(left).changes
    assert change.signal is Signal.PURCHASED


@pytest.mark.parametrize(
    ("sample", "signal"),
    [("payment-success", Signal.PURCHASED), ("payment-failed", Signal.PAYMENT_FAILED)],
)
def test_a_cashfree_payment_that_names_no_type_is_known_by_its_status(sample: str, signal: Signal) -> None:
    bench = Bench("cashfree")
    body = bench.sample(sample)
    del body["type"]
    assert bench.change(body).signal is signal
    body["data"]["payment"]["payment_status"] = None
    with pytest.raises(NotUnderstood):
        bench.normalise(body)


def test_a_cashfree_refund_of_a_status_that_nobody_knows_is_kept() -> None:
    bench = Bench("cashfree")
    body = bench.sample("refund-status")
    body["data"]["refund"]["refund_status"] = "REVERSED_BY_BANK"
    with pytest.raises(NotUnderstood, match="unknown status"):
        bench.normalise(body)
    body["data"]["refund"]["refund_status"] = "PENDING"
    assert bench.normalise(body).ignored is not None
