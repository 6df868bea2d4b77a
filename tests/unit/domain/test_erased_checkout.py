"""An erased checkout takes nothing in: whatever webhook still comes, it stays as bare as it is."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.change import Signal
from shared.domain.checkout import Status
from shared.domain.transitions import Effect, apply
from tests.unit.domain.sessions import NOON, arrival, cart_of, told


@pytest.mark.parametrize("signal", list(Signal))
@pytest.mark.parametrize("status", [Status.DISCARDED, Status.COMPLETED, Status.RECOVERED, Status.EXPIRED])
@pytest.mark.parametrize("minutes", [-60, 0, 60])
def test_no_event_brings_contents_back(signal: Signal, status: Status, minutes: int) -> None:
    fresh = apply(None, told(), arrival()).checkout
    bare = replace(fresh, status=status, leaves={}, cart=None, due_at=None, erased=True)
    at = NOON + timedelta(minutes=minutes)
    late = told(signal, at, leaves={"customer.phone": "+917777788888"}, cart=cart_of())

    applied = apply(bare, late, arrival(max(at, NOON), feed=True))

    assert (applied.checkout, applied.effect, applied.mark) == (bare, Effect.DUPLICATE, None)
