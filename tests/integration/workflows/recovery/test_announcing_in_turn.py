"""An abandonment without a campaign is told by one write after the other: whatever comes between two of them is heard.

Every gap is tried: before the first write, and between any two.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.checkout import Status
from shared.domain.episode import EpisodeStatus
from shared.domain.facts import cohort_day
from shared.domain.ids import EpisodeId
from shared.domain.instants import to_ms
from shared.store.episodes import EpisodeStore, read_episode
from shared.store.facts import FactStore
from shared.store.table import Table
from tests.integration.campaigning import an_hour_after
from tests.integration.shop import MERCHANT, Shop, stranger
from tests.integration.workflows.privacy.test_erasure_races import erase

type Step = Callable[[Shop], Any]
WRITES = 6
"""The episode, the identifier, the checkout, the event, its delivery and its fact."""
GAPS = range(WRITES)
ANOTHER = "another-device"


class Killed(BaseException):
    """The worker is gone."""


@pytest.fixture
def at_write(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], Any]], None]:
    """Do something right before the n-th write from now on."""
    left: list[tuple[int, Callable[[], Any]]] = []

    def counting(name: str) -> None:
        original = getattr(Table, name)

        def write(self: Table, *arguments: Any) -> Any:
            if left:
                number, step = left.pop()
                if number == 0:
                    step()
                else:
                    left.append((number - 1, step))
            return original(self, *arguments)

        monkeypatch.setattr(Table, name, write)

    for name in ("put", "update", "transact"):
        counting(name)
    return lambda number, step: left.append((number, step))


@pytest.fixture
def left(shop: Shop) -> Shop:
    """A shop whose endpoint hears everything, on a day that has facts already; a shopper has left their checkout."""
    shop.endpoint("checkout.abandoned", "checkout.recovered", "checkout.completed", "checkout.superseded")
    shop.abandon("somebody", user=stranger(7))
    shop.settle()
    shop.deliver()
    shop.webhook()
    shop.wait(minutes=31)
    shop.sweep()
    shop.sent.clear()
    return shop


def settled(shop: Shop) -> None:
    shop.settle()
    shop.deliver()
    shop.settle()
    shop.deliver()


def open_episodes(shop: Shop) -> list[EpisodeId]:
    """Of the shopper with the default phone."""
    rows = [own for own in shop.rows() if own["sk"] == "P" and "st" in own]
    found = [read_episode(own) for own in rows if own["st"] != EpisodeStatus.ENDED]
    somebody = shop.checkout("somebody").episode_id
    return [own.id for own in found if own.id != somebody]


def told(shop: Shop, session: str | None = None) -> list[str]:
    digest = shop.checkout(session).id if session else shop.checkout().id
    return [own["type"] for own in shop.told() if own["data"]["checkout"]["id"] == digest]


def test_so_many_writes_tell_one(left: Shop, at_write: Callable[..., None]) -> None:
    reached: list[str] = []
    at_write(WRITES - 1, lambda: reached.append("the last"))
    left.dispatch()
    assert reached == ["the last"]
    left.webhook(session=ANOTHER, user=stranger(8))
    left.wait(minutes=31)
    left.sweep()
    at_write(WRITES, lambda: reached.append("one more"))
    left.dispatch()
    assert reached == ["the last"]


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("session", [None, ANOTHER])
def test_after_a_purchase_nobody_hears_of_an_abandonment(
    left: Shop, at_write: Callable[..., None], gap: int, session: str | None
) -> None:
    """In the same checkout, or in another of the same shopper's."""
    named = {} if session is None else {"session": session}
    at_write(gap, lambda: left.webhook(session_state="COMPLETED", **named))
    left.dispatch()
    settled(left)
    assert "checkout.abandoned" not in told(left)
    assert left.checkout().status is (Status.RECOVERED if session is None else Status.SUPERSEDED)
    held = left.checkout().episode_id
    if held is not None:
        episode = EpisodeStore(left.table).get(EpisodeId(held))
        assert episode is not None
        assert episode.status is EpisodeStatus.ENDED


@pytest.mark.parametrize("gap", GAPS)
def test_a_shopper_who_comes_back_and_leaves_again_is_told_of_as_of_the_second_time(
    left: Shop, at_write: Callable[..., None], gap: int
) -> None:
    at_write(gap, lambda: left.webhook(session_state="PAYMENT_LOADED"))
    left.dispatch()
    settled(left)
    left.wait(minutes=31)
    left.sweep()
    settled(left)
    assert told(left)[-1] == "checkout.abandoned"
    assert open_episodes(left) == [left.checkout().episode_id]


@pytest.mark.parametrize("gap", GAPS)
def test_a_worker_that_dies_is_followed_by_one_that_ends_the_same(
    left: Shop, at_write: Callable[..., None], gap: int
) -> None:
    records = left.stream()

    def dies() -> None:
        raise Killed

    at_write(gap, dies)
    with pytest.raises(Killed):
        left.dispatch(records)
    left.dispatch(records)
    left.deliver()
    assert told(left) == ["checkout.abandoned"]
    assert open_episodes(left) == [left.checkout().episode_id]
    cohort = cohort_day(left.checkout(), left.merchant.timezone)
    assert cohort is not None
    facts = [own for own in FactStore(left.table).of_cohort(MERCHANT, cohort) if own.subject == left.digest()]
    assert sorted(own.kind for own in facts) == ["abandoned", "contactable"]


@pytest.mark.parametrize(("campaign", "before_the_event"), [(False, 3), (True, 1)])
def test_a_shopper_who_buys_elsewhere_while_the_worker_is_dead_is_announced_to_nobody(
    left: Shop, at_write: Callable[..., None], before_the_event: int, *, campaign: bool
) -> None:
    """The checkout says that it is told, and its event is yet to be put: from then on it would be untrue."""
    if campaign:
        an_hour_after(left, left.endpoint().id)
    records = left.stream()

    def dies() -> None:
        raise Killed

    at_write(before_the_event, dies)
    with pytest.raises(Killed):
        left.dispatch(records)
    assert left.checkout().announced is not None
    left.wait(seconds=5)
    left.webhook(session=ANOTHER, session_state="COMPLETED")
    left.dispatch(records)
    settled(left)

    assert told(left) == ["checkout.superseded"]
    assert told(left, ANOTHER) == ["checkout.completed"]
    assert open_episodes(left) == []
    cohort = cohort_day(left.checkout(), left.merchant.timezone)
    assert cohort is not None
    facts = [own for own in FactStore(left.table).of_cohort(MERCHANT, cohort) if own.subject == left.digest()]
    assert [own.kind for own in facts] == ["superseded"]
    left.wait(hours=2)
    left.sweep()
    settled(left)
    assert told(left) == ["checkout.superseded"]


@pytest.mark.parametrize("dies_too", [False, True])
@pytest.mark.parametrize("gap", range(4))
def test_of_a_shopper_who_was_erased_meanwhile_nothing_is_written(
    left: Shop, at_write: Callable[..., None], gap: int, *, dies_too: bool
) -> None:
    """Up to the event's own write; the worker may die of something else at the same moment."""
    records = left.stream()
    before = {row["pk"] for row in left.rows()}

    def erased() -> None:
        erase(left)
        if dies_too:
            raise Killed

    at_write(gap, erased)
    if dies_too:
        with pytest.raises(Killed):
            left.dispatch(records)
    left.dispatch(records)
    held = [row for row in left.rows() if "ttl" not in row or row["ttl"] > to_ms(left.now) // 1000]
    assert {row["pk"] for row in held if row.get("why") != "erased"} <= before
    assert not [row for row in held if row["pk"] == f"C#{left.digest()}" and row["sk"] != "C"]
    assert open_episodes(left) == []


@pytest.mark.parametrize("gap", GAPS)
def test_of_two_checkouts_that_are_told_at_once_one_stays_in_the_shoppers_one_episode(
    left: Shop, at_write: Callable[..., None], gap: int
) -> None:
    first = left.stream()
    left.wait(seconds=1)
    left.webhook(session=ANOTHER)
    left.wait(minutes=31)
    left.sweep()
    second = left.stream()
    at_write(gap, lambda: left.dispatch(second))
    left.dispatch(first)
    settled(left)
    assert sorted(own.status for own in (left.checkout(), left.checkout(ANOTHER))) == [
        Status.ABANDONED,
        Status.SUPERSEDED,
    ]
    assert len(open_episodes(left)) == 1


def test_an_episode_without_a_campaign_ends_with_its_checkout_and_is_due_nowhere(left: Shop) -> None:
    settled(left)
    held = left.checkout().episode_id
    assert held is not None
    (row,) = [own for own in left.rows() if own["pk"] == f"P#{held}"]
    assert "dq" not in row
    left.wait(days=7, hours=1)
    assert left.sweep(asked="by hand")["expired"] == 2
    settled(left)
    episode = EpisodeStore(left.table).get(EpisodeId(held))
    assert episode is not None
    assert (episode.status, episode.end_reason) == (EpisodeStatus.ENDED, "horizon")
    assert not [own for own in left.rows() if "ep" in own and own["sk"] == "I"]


def test_an_episode_that_nobody_ended_is_joined_no_more_once_its_horizon_is_over(left: Shop) -> None:
    """The checkout's end is not told yet when the shopper leaves the next one."""
    settled(left)
    first = left.checkout().episode_id
    left.wait(days=7)
    left.webhook(session=ANOTHER)
    left.wait(minutes=31)
    left.sweep()
    left.dispatch([own for own in left.stream() if own["dynamodb"]["Keys"]["pk"]["S"] == f"C#{left.digest(ANOTHER)}"])
    assert left.checkout(ANOTHER).episode_id not in {None, first}


def test_an_older_episode_that_is_due_ends_when_it_was_to(left: Shop) -> None:
    """As it was written before: it is in the due index, and a sweep ends it."""
    settled(left)
    held = EpisodeId(left.checkout().episode_id or "")
    store = EpisodeStore(left.table, 2)
    episode = store.get(held)
    assert episode is not None
    left.table.put(store.rewritten(episode, episode.version, left.now, episode.anchor + timedelta(days=7)))
    left.wait(days=6, hours=23, minutes=40)
    assert left.sweep()["episode_over"] == 1


def test_a_campaign_that_comes_later_finds_the_episode_due(left: Shop) -> None:
    """The shopper comes back and leaves again: who has no campaign by then stays without, as before."""
    settled(left)
    an_hour_after(left, left.endpoint().id)
    left.webhook(session_state="PAYMENT_LOADED")
    settled(left)
    left.wait(minutes=31)
    left.sweep()
    settled(left)
    assert open_episodes(left) == [left.checkout().episode_id]
