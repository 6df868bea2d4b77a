"""What all processes together counted of a sender's last minute, in one row and one call."""

from collections.abc import Mapping
from datetime import timedelta

from shared.domain.ids import SourceId
from shared.domain.webhook_rate import slot_of
from shared.store.table import Table
from shared.store.webhook_counts import WebhookCounts
from tests.unit.domain.sessions import NOON, after

SOURCE = SourceId("src_1")


def rows(table: Table) -> list[Mapping[str, object]]:
    found = table._client.scan(TableName=table.name)["Items"]
    return [own for own in found if own["pk"]["S"].startswith("H#")]


def test_each_answer_holds_what_everybody_told_and_still_counts(table: Table) -> None:
    counts = WebhookCounts(table)
    first, later = slot_of(NOON), slot_of(after(seconds=42))
    assert counts.add(SOURCE, {first: 3}, NOON) == {first: 3}
    assert counts.add(SOURCE, {first: 2, later: 7}, after(seconds=42)) == {first: 5, later: 7}
    assert counts.add(SOURCE, {later: 1}, after(seconds=64.9)) == {first: 5, later: 8}
    assert counts.add(SOURCE, {later: 1}, after(seconds=65)) == {later: 9}, "all of the first slot is a minute old"
    assert len(rows(table)) == 1


def test_a_row_of_a_sender_that_never_rests_stays_small(table: Table) -> None:
    counts = WebhookCounts(table)
    for number in range(300):
        at = NOON + number * timedelta(seconds=7)
        assert sum(counts.add(SOURCE, {slot_of(at): 1}, at).values()) in range(1, 11)
        (row,) = rows(table)
        assert len(row) <= 60
        assert sum(len(name) + len(str(value)) for name, value in row.items()) < 2_000


def test_two_senders_count_apart(table: Table) -> None:
    counts = WebhookCounts(table)
    slot = slot_of(NOON)
    counts.add(SOURCE, {slot: 3}, NOON)
    assert counts.add(SourceId("src_2"), {slot: 1}, NOON) == {slot: 1}
