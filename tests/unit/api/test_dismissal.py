"""What may be discarded."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.checkout import Checkout, Status
from shared.domain.dismissal import Finished, discarded
from shared.domain.ids import MerchantId, SourceId
from shared.domain.transitions import Mark

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
OPEN = Checkout(
    merchant_id=MerchantId("mer_1"),
    source_id=SourceId("src_1"),
    provider="flexype",
    external_id="one",
    digest="a" * 26,
    status=Status.OPEN,
    version=4,
    order_key="01",
    ordered_at=NOON,
    created_at=NOON,
    updated_at=NOON,
    last_activity_at=NOON,
    idle_ms=1_800_000,
    due_at=NOON + timedelta(minutes=30),
)


@pytest.mark.parametrize("status", [Status.OPEN, Status.PAYMENT_PENDING, Status.ABANDONED])
def test_what_is_not_finished_can_be_discarded(status: Status) -> None:
    moved, mark = discarded(replace(OPEN, status=status), NOON + timedelta(hours=1))

    assert mark is Mark.DISCARDED
    assert (moved.status, moved.version, moved.sequence) == (Status.DISCARDED, 5, 5)
    assert moved.due_at is None
    assert moved.last_activity_at == NOON


@pytest.mark.parametrize("status", [Status.SUPERSEDED, Status.RECOVERED, Status.COMPLETED, Status.EXPIRED])
def test_what_is_finished_cannot(status: Status) -> None:
    with pytest.raises(Finished):
        discarded(replace(OPEN, status=status), NOON)


def test_discarding_twice_changes_nothing() -> None:
    once, _ = discarded(OPEN, NOON)

    assert discarded(once, NOON + timedelta(hours=1)) == (once, None)
