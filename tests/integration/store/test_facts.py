"""Facts as rows: an abandonment's row says besides whether its shopper could be reached, and reads as two facts."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from shared.domain.ids import MerchantId
from shared.domain.metrics import Fact, FactKind
from shared.store import keys
from shared.store.conditions import Key
from shared.store.facts import FactStore
from shared.store.table import Table

MERCHANT = MerchantId("mer_1")
DAY = date(2026, 11, 28)
AT = datetime(2026, 11, 28, 9, tzinfo=UTC)
LEFT = Fact(FactKind.ABANDONED, DAY, "chk_1", AT, provider="flexype", stage="address")
REACHED = replace(LEFT, kind=FactKind.CONTACTABLE)


@pytest.fixture
def facts(table: Table) -> FactStore:
    return FactStore(table)


def rows(table: Table) -> list[str]:
    """Which kinds of rows the day has."""
    found = [row for own in keys.facts(MERCHANT, DAY) for row in table.query_all(Key("pk").eq(own))]
    return sorted(str(row["kind"]) for row in found)


def test_an_abandonment_and_that_its_shopper_can_be_reached_are_one_row_and_two_facts(
    facts: FactStore, table: Table
) -> None:
    assert facts.add(MERCHANT, [LEFT, REACHED]) == [LEFT, REACHED]
    assert rows(table) == ["abandoned"]
    assert facts.of_cohort(MERCHANT, DAY) == [LEFT, REACHED]
    assert facts.add(MERCHANT, [LEFT, REACHED]) == []


def test_who_gives_an_address_later_is_counted_then(facts: FactStore, table: Table) -> None:
    assert facts.add(MERCHANT, [LEFT]) == [LEFT]
    assert facts.add(MERCHANT, [LEFT, REACHED]) == [REACHED]
    assert rows(table) == ["abandoned", "contactable"]
    assert sorted(own.kind for own in facts.of_cohort(MERCHANT, DAY)) == ["abandoned", "contactable"]


def test_rows_of_an_older_release_read_the_same_and_what_both_have_written_counts_once(
    facts: FactStore, table: Table
) -> None:
    for own in (LEFT, REACHED):
        facts.add(MERCHANT, [own])
    assert facts.add(MERCHANT, [LEFT, REACHED]) == []
    other, theirs = replace(LEFT, subject="chk_2"), replace(REACHED, subject="chk_2")
    facts.add(MERCHANT, [other, theirs])
    facts.add(MERCHANT, [theirs])  # an older worker, at the purchase
    assert rows(table) == ["abandoned", "abandoned", "contactable", "contactable"]
    assert len(facts.of_cohort(MERCHANT, DAY)) == 4
    assert len(list(facts.in_order(MERCHANT, DAY))) == 4


def test_a_days_facts_come_by_id_wherever_they_stand(facts: FactStore) -> None:
    for number in range(40):
        left = replace(LEFT, subject=f"chk_{number}")
        facts.add(MERCHANT, [left, replace(left, kind=FactKind.CONTACTABLE)])
        facts.add(MERCHANT, [replace(left, kind=FactKind.CLICKED), replace(left, kind=FactKind.RECOVERED)])
    in_order = list(facts.in_order(MERCHANT, DAY))
    assert len(in_order) == 160
    assert in_order == sorted(facts.of_cohort(MERCHANT, DAY), key=lambda own: own.id)
