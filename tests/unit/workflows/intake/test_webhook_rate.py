"""Sources and merchants are held to their rate by processes that tell each other little."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import MerchantId, SourceId
from shared.domain.merchant import Merchant, Source, SourceSettings
from shared.domain.settings import Settings
from shared.domain.webhook_rate import WebhookRates, counts_at, share
from shared.store.table import StoreUnavailable
from shared.workflows.intake.webhook_rate import TooManyWebhooks, WebhookRate
from tests.unit.domain.sessions import NOON, after

MERCHANT = Merchant(MerchantId("mer_1"), "A shop", (), "IN", "INR", "UTC", NOON)
SOURCE = Source(SourceId("src_1"), MERCHANT.id, "custom", NOON)
GENEROUS = WebhookRates()
OTHER = Source(SourceId("src_2"), MERCHANT.id, "custom", NOON)


class Counts:
    """The table's counts."""

    def __init__(self, *, twice: bool = False) -> None:
        self.of: Counter[tuple[str, int]] = Counter()
        self.writes = 0
        self.twice = twice
        """Whether every write is repeated unseen."""
        self.broken = False

    def add(self, sender: str, counts: Mapping[int, int], now: datetime) -> dict[int, int]:
        self.writes += 1
        if self.broken:
            raise StoreUnavailable("no table")
        for slot, count in counts.items():
            self.of[sender, slot] += 2 * count if self.twice else count
        return {slot: count for (own, slot), count in self.of.items() if own == sender and counts_at(slot, now)}


def process(counts: Counts, rates: WebhookRates = GENEROUS) -> WebhookRate:
    return WebhookRate(counts, rates)  # type: ignore[arg-type]  # stands in for the table


def taken(rate: WebhookRate, source: Source = SOURCE, merchant: Merchant = MERCHANT, at: float = 0) -> bool:
    """Whether a webhook of ``at`` seconds after noon is taken in; it is counted then."""
    try:
        rate.admit(source, merchant, after(seconds=at))
    except TooManyWebhooks:
        return False
    rate.count(source, merchant, after(seconds=at))
    return True


@given(
    st.integers(1, 900),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 200)), max_size=40),
)
def test_no_burst_below_the_limit_is_refused_and_none_goes_far_beyond(
    limit: int, processes: int, bursts: list[tuple[int, int]]
) -> None:
    counts = Counts()
    rates = [process(counts, WebhookRates(per_source=limit, per_merchant=limit)) for _ in range(processes)]
    total = 0
    for which, size in bursts:
        for _ in range(size):
            if taken(rates[which % processes]):
                total += 1
            else:
                assert total >= limit
    assert total <= limit + processes * 2 * share(limit)
    assert counts.writes <= 2 * (total // share(limit))


@given(st.integers(20, 2_000))
def test_what_is_counted_twice_by_mistake_refuses_nobody_below_the_limit(limit: int) -> None:
    """One telling that AWS took and did not answer is repeated by its client."""
    counts = Counts(twice=True)
    rate, other = (process(counts, WebhookRates(limit, limit)) for _ in range(2))
    for _ in range(share(limit)):
        assert taken(rate)
    counts.twice = False
    for _ in range(limit - share(limit)):
        assert taken(other)


def test_most_webhooks_cost_no_write() -> None:
    counts = Counts()
    rate = process(counts)
    for minute in range(60):
        for _ in range(99):
            assert taken(rate, at=60 * minute)
    assert counts.writes == 0
    for _ in range(10_000):
        assert taken(rate)
    assert counts.writes == 200


def test_what_another_process_took_counts_too() -> None:
    counts = Counts()
    rates = WebhookRates(per_source=1_000, per_merchant=5_000)
    busy, fresh = process(counts, rates), process(counts, rates)
    while taken(busy):
        pass
    assert sum(taken(fresh) for _ in range(1_000)) <= 2 * share(1_000)
    assert taken(fresh, OTHER)


def test_a_minute_later_all_is_taken_again_and_not_at_the_next_minute_of_the_clock() -> None:
    rate = process(Counts(), WebhookRates(3, 3))
    assert [taken(rate, at=30) for _ in range(4)] == [True, True, True, False]
    with pytest.raises(TooManyWebhooks) as refused:
        rate.admit(SOURCE, MERCHANT, after(seconds=30))
    assert refused.value.again_in == timedelta(seconds=60)
    assert not taken(rate, at=60)
    assert [taken(rate, at=90) for _ in range(4)] == [True, True, True, False]


def test_room_comes_back_as_it_was_taken() -> None:
    rate = process(Counts(), WebhookRates(3, 3))
    assert all(taken(rate, at=at) for at in (0, 20, 59))
    assert not taken(rate, at=59.9)
    assert [taken(rate, at=60) for _ in range(2)] == [True, False], "no second burst behind the edge of a minute"
    assert [taken(rate, at=80) for _ in range(2)] == [True, False]


@given(
    st.integers(1, 40),
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20_000), st.integers(1, 30)), max_size=60),
)
def test_in_any_minute_at_most_the_limit_is_taken_and_who_stays_below_it_is_never_refused(
    limit: int, processes: int, bursts: list[tuple[int, int, int]]
) -> None:
    """Bursts at any distance, over several processes: each beyond the first may exceed by what it has not heard."""
    counts = Counts()
    rates = [process(counts, WebhookRates(limit, limit)) for _ in range(processes)]
    at_ms, admitted = 0, list[int]()
    for which, later_ms, size in bursts:
        at_ms += later_ms
        for _ in range(size):
            if taken(rates[which % processes], at=at_ms / 1000):
                admitted.append(at_ms)
            else:
                assert sum(own > at_ms - 65_000 for own in admitted) >= limit
    beyond = (processes - 1) * 3 * share(limit)
    for begin in admitted:
        assert sum(begin <= own < begin + 60_000 for own in admitted) <= limit + beyond


def test_another_processs_burst_counts_until_its_slot_is_a_minute_old() -> None:
    counts = Counts()
    limits = WebhookRates(100, 100)
    busy, fresh = process(counts, limits), process(counts, limits)
    assert sum(taken(busy, at=58) for _ in range(200)) == 100
    assert sum(taken(fresh, at=62) for _ in range(200)) <= 2 * share(100), "whatever minute the clock has"
    with pytest.raises(TooManyWebhooks) as refused:
        fresh.admit(SOURCE, MERCHANT, after(seconds=62))
    assert refused.value.again_in <= timedelta(minutes=1)
    assert sum(taken(fresh, at=121) for _ in range(200)) >= 90


def test_the_sources_of_a_merchant_share_its_limit_and_each_has_its_own() -> None:
    rate = process(Counts(), WebhookRates(per_source=4, per_merchant=6))
    assert [taken(rate) for _ in range(5)] == [True] * 4 + [False]
    assert [taken(rate, OTHER) for _ in range(3)] == [True, True, False]
    stranger = replace(MERCHANT, id=MerchantId("mer_2"))
    assert taken(rate, replace(SOURCE, id=SourceId("src_3"), merchant_id=stranger.id), stranger)


def test_limits_of_their_own_are_the_operators_for_a_merchant_and_the_merchants_for_a_source() -> None:
    rates = WebhookRates(per_source=10, per_merchant=20)
    own = replace(MERCHANT, settings=Settings(webhooks_per_minute=5))
    assert (rates.of_merchant(own), rates.of_source(SOURCE, own)) == (5, 5)
    wide = replace(MERCHANT, settings=Settings(webhooks_per_minute=500))
    tuned = replace(SOURCE, settings=SourceSettings(webhooks_per_minute=400))
    assert (rates.of_source(SOURCE, wide), rates.of_source(tuned, wide), rates.of_source(tuned, own)) == (10, 400, 5)


def test_a_count_that_is_lost_loses_no_webhook_and_is_not_tried_at_each() -> None:
    counts = Counts()
    counts.broken = True
    rate = process(counts)
    assert all(taken(rate) for _ in range(1_000))
    assert counts.writes == 20
