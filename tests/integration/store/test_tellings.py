"""What counts the beginnings of a stream record."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.store import keys
from shared.store.table import Table
from shared.store.tellings import MOST_LOST, Tellings
from shared.store.writes import Update
from tests.integration.shop import Shop

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
MUCH_LATER = NOW + timedelta(minutes=2)


@pytest.fixture
def answers_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write takes effect, its answer is lost twice, and botocore repeats it by itself."""
    once = Table.update

    def as_botocore_repeats_it(table: Table, update: Update) -> None:
        for _ in range(3):
            once(table, update)

    monkeypatch.setattr(Table, "update", as_botocore_repeats_it)


@pytest.mark.usefixtures("answers_are_lost")
def test_one_beginning_whose_answer_was_lost_twice_is_no_record_that_never_ends(shop: Shop) -> None:
    assert Tellings(shop.table).begin("one-record", NOW)


@pytest.mark.usefixtures("answers_are_lost")
def test_a_beginning_counts_once_however_often_its_answer_was_lost(shop: Shop) -> None:
    """The first worker is killed; the next one, a minute later, has its turn, and only the third is refused."""
    tellings = Tellings(shop.table)
    assert [tellings.begin("one-record", at) for at in (NOW, LATER, MUCH_LATER)] == [True, True, False]


@pytest.mark.usefixtures("answers_are_lost")
def test_a_record_that_ended_each_time_may_come_as_often_as_it_will(shop: Shop) -> None:
    tellings = Tellings(shop.table)
    for minutes in range(10):
        assert tellings.begin("one-record", NOW + timedelta(minutes=minutes))
        tellings.ended("one-record")


def test_a_beginning_that_is_repeated_after_its_record_has_ended_counts_as_one(shop: Shop) -> None:
    """The network held it up: a beginning arrives when the record is told, and the record comes again twice."""
    tellings = Tellings(shop.table)
    tellings.begin("one-record", NOW)
    tellings.ended("one-record")
    tellings.begin("one-record", NOW)
    assert tellings.begin("one-record", LATER)
    assert not tellings.begin("one-record", MUCH_LATER)


def test_a_record_that_two_workers_have_at_once_ends_for_both(shop: Shop) -> None:
    one, other = Tellings(shop.table), Tellings(shop.table)
    assert one.begin("one-record", NOW)
    assert other.begin("one-record", NOW)
    one.ended("one-record")
    assert one.begin("one-record", LATER)
    other.ended("one-record")
    assert one.begin("one-record", MUCH_LATER)


def test_what_a_record_leaves_behind_is_written_for_one_unit(shop: Shop) -> None:
    """However often it was begun: a write costs a unit for each kilobyte."""
    tellings = Tellings(shop.table)
    begun = [tellings.begin("0" * 36, NOW) for _ in range(MOST_LOST + 2)]
    assert begun.count(True) == MOST_LOST
    row = shop.table.get(keys.telling("0" * 36))
    assert row is not None
    assert len(repr(row)) < 1024
