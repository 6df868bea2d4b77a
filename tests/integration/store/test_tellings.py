"""What counts the beginnings of a stream record."""

from datetime import UTC, datetime

import pytest

from shared.store.table import Table
from shared.store.tellings import Tellings
from shared.store.writes import Update
from tests.integration.shop import Shop

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_one_beginning_whose_answer_was_lost_twice_is_no_record_that_never_ends(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Table.update

    def as_botocore_repeats_it(table: Table, update: Update) -> None:
        for _ in range(3):
            once(table, update)

    monkeypatch.setattr(Table, "update", as_botocore_repeats_it)

    assert Tellings(shop.table).begin("one-record", NOW)
