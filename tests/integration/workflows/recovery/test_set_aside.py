"""One row that nobody can read costs no other row anything: it is left out, counted, and met again after the mend."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.checkout import Status
from shared.domain.deadline import at_deadline
from shared.domain.identity import IdentityKind
from shared.domain.ids import EpisodeId
from shared.store import keys
from shared.store.activities import ActivityStore
from shared.store.deliveries import DeliveryStatus, Recorded
from shared.store.due import DueStore
from shared.store.table import StoreRefused, StoreUnavailable
from shared.store.writes import ItemKey, Update
from shared.workflows.delivering.history import DeliveryHistory, DeliveryQuery
from tests.integration.campaigning import an_hour_after
from tests.integration.shop import MERCHANT, Shop, stranger
from tests.integration.workflows.delivering.test_recover import abandon, recovered, switch

HOUR = timedelta(hours=1)


def spoil(shop: Shop, key: ItemKey, **values: Any) -> None:
    """Write into a row what no reader of it understands."""
    shop.table.update(Update(key, set=values or {"st": "teleported"}))


def counted(capsys: pytest.CaptureFixture[str]) -> int:
    """How often something was counted as set aside since the last look."""
    return capsys.readouterr().out.count('"SetAside":[1.0]')


@pytest.fixture
def three(shop: Shop) -> list[str]:
    """Three shoppers' checkouts that are due at once; their digests."""
    for number in range(3):
        shop.webhook(session=f"session-{number}", user=stranger(number))
    shop.wait(minutes=31)
    return [shop.digest(f"session-{number}") for number in range(3)]


class TestTheSweep:
    def test_a_checkout_that_cannot_be_read_is_looked_at_again_within_the_hour(
        self, shop: Shop, three: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        spoil(shop, keys.checkout(three[1]))
        assert shop.sweep() == {"abandoned": 2, "set_aside": 1}
        assert counted(capsys) == 1
        assert shop.sweep() == {}
        spoil(shop, keys.checkout(three[1]), st="open")
        shop.wait(hours=1)
        assert shop.sweep() == {"abandoned": 1}

    def test_a_shopper_whose_record_cannot_be_read_is_left_alone(
        self, shop: Shop, three: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The record may hold a purchase, or an opt-out."""
        who = shop.stores.hasher.of_checkout(shop.checkout("session-1"))[IdentityKind.PHONE]
        spoil(shop, keys.identity(who), po="yesterday")
        assert shop.sweep() == {"abandoned": 2, "set_aside": 1}
        assert shop.checkout("session-1").status is Status.OPEN
        assert counted(capsys) == 1

    def test_a_write_that_the_table_never_takes_is_set_aside_too(
        self, shop: Shop, three: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.fail_at(three[1], StoreRefused("ItemTooLarge"), monkeypatch)
        assert shop.sweep() == {"abandoned": 2, "set_aside": 1}
        assert counted(capsys) == 1
        assert shop.sweep() == {}

    def test_what_passes_is_tried_again_a_minute_later(
        self, shop: Shop, three: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            self.fail_at(three[1], StoreUnavailable("conflicts"), patched)
            with pytest.raises(ExceptionGroup):
                shop.sweep()
        assert shop.sweep() == {"abandoned": 1}

    def fail_at(self, digest: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
        def failing(checkout: Any, *arguments: Any) -> Any:
            if checkout.digest == digest:
                raise error
            return at_deadline(checkout, *arguments)

        monkeypatch.setattr("shared.workflows.recovery.sweep_checkouts.at_deadline", failing)

    def test_an_episode_that_cannot_be_read_does_not_keep_the_others_messages_back(
        self, shop: Shop, three: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        an_hour_after(shop, shop.endpoint().id)
        shop.sweep()
        shop.settle()
        episodes = [EpisodeId(shop.checkout(f"session-{number}").episode_id or "") for number in range(3)]
        spoil(shop, keys.episode(episodes[1]))
        shop.wait(days=8)
        assert (
            shop.sweep(kind="S", shard=0).get("set_aside", 0) + shop.sweep(kind="S", shard=1).get("set_aside", 0) == 1
        )
        assert counted(capsys) == 1
        kept = [keys.episode(own) for own in episodes]
        assert [shop.table.get(key)["st"] for key in kept] == ["ended", "teleported", "ended"]

    def test_a_late_retry_that_cannot_be_read_does_not_keep_the_others_back(self, shop: Shop) -> None:
        shop.endpoint()
        abandon(shop, 3)
        deliveries = shop.deliveries()
        for own in deliveries:
            later = Recorded(DeliveryStatus.RETRYING, "refused", next_attempt_at=shop.now + HOUR, by_sweep=True)
            assert shop.stores.deliveries.record(own, later)
        spoil(shop, deliveries[1].key)
        shop.wait(hours=1)
        assert shop.sweep() == {"retried": 2}

    def test_a_shard_that_cannot_be_read_does_not_keep_the_others_back(
        self, shop: Shop, three: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A throttled partition of the index, say, or a queue that takes nothing."""
        original = DueStore.pages

        def throttled(self: DueStore, kind: str, shard: int, *arguments: Any) -> Any:
            if (kind, shard) == ("C", 0):
                raise StoreUnavailable("throttled")
            return original(self, kind, shard, *arguments)

        shards = [int(keys.due_queue("C", own, 2)[1:]) for own in three]
        with monkeypatch.context() as patched:
            patched.setattr(DueStore, "pages", throttled)
            with pytest.raises(ExceptionGroup) as failed:
                shop.sweep()
        assert [type(own) for own in failed.value.exceptions] == [StoreUnavailable]
        moved = [shop.checkout(f"session-{number}").status is Status.ABANDONED for number in range(3)]
        assert moved == [shard == 1 for shard in shards]


class TestLists:
    def test_an_endpoint_that_cannot_be_read_does_not_keep_the_others_from_hearing(
        self, shop: Shop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spoiled = shop.endpoint()
        shop.wait(seconds=1)
        other = shop.endpoint()
        spoil(shop, keys.endpoint(MERCHANT, spoiled.id), created_at="yesterday")
        shop.abandon()
        shop.settle()
        assert [own.endpoint_id for own in shop.deliveries()] == [other.id]
        assert counted(capsys) > 0

    def history(self, shop: Shop) -> DeliveryHistory:
        from shared.store.configuration import EndpointStore
        from shared.store.events import EventStore

        table = shop.table
        return DeliveryHistory(
            *(shop.stores.deliveries, EventStore(table), EndpointStore(table), ActivityStore(table)),
            lambda: shop.stores.queues,
            lambda: shop.now,
        )

    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_a_list_of_deliveries_goes_on_after_one_that_cannot_be_read(self, shop: Shop, limit: int) -> None:
        shop.endpoint()
        shop.wait(seconds=1)
        shop.endpoint()
        abandon(shop, 4)
        deliveries = sorted(shop.deliveries(), key=lambda own: own.id, reverse=True)
        for own in deliveries[1:4]:
            spoil(shop, own.key)
        shown: list[str] = []
        before: str | None = None
        while True:
            page, before = self.history(shop).find(MERCHANT, DeliveryQuery(), limit=limit, before=before)
            shown += [own.id for own in page]
            if before is None:
                break
        assert shown == [deliveries[0].id, *(own.id for own in deliveries[4:])]

    def test_a_checkouts_deliveries_are_shown_without_the_event_that_cannot_be_read(self, shop: Shop) -> None:
        shop.endpoint("checkout.abandoned", "checkout.recovered")
        shop.abandon()
        shop.settle()
        shop.webhook(session_state="COMPLETED")
        shop.settle()
        spoil(shop, keys.event(shop.digest(), shop.events()[0].version), body=b"no zlib")
        query = DeliveryQuery(checkout_id=shop.checkout().id)
        shown, _ = self.history(shop).find(MERCHANT, query, limit=10, before=None)
        assert [own.event_type for own in shown] == ["checkout.recovered"]

    def test_a_timeline_is_shown_without_the_entry_that_cannot_be_read(self, shop: Shop) -> None:
        from shared.domain.checkout import Activity

        timeline = ActivityStore(shop.table)
        shop.webhook()
        for number in range(3):
            timeline.add(shop.digest(), Activity(shop.now, f"N{number}", {}), shop.now + HOUR)
            shop.wait(seconds=1)
        second = next(own for own in shop.rows() if own.get("ty") == "N1")
        spoil(shop, (second["pk"], second["sk"]), at="yesterday")
        shown, place = timeline.page(shop.digest(), limit=2, after=None)
        rest, end = timeline.page(shop.digest(), limit=2, after=place)
        assert [own.type for own in (*shown, *rest)] == ["N0", "N2"]
        assert end is None

    def test_sending_again_goes_on_beyond_a_delivery_that_cannot_be_read(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A page that looks short must not be taken for the last one."""
        monkeypatch.setattr("shared.workflows.delivering.resend._PAGE", 2)
        endpoint = switch(shop, shop.endpoint(), "disabled")
        abandon(shop, 5)
        active = switch(shop, endpoint, "active")
        spoil(shop, min(shop.deliveries(), key=lambda own: own.id).key)
        shop.wait(seconds=1)
        job = recovered(shop, active)
        assert (job.status, job.examined, job.resent) == ("completed", 5, 4)
        assert len(shop.sent) == 4

    def test_an_order_settles_the_carts_that_can_be_read(self, shop: Shop) -> None:
        for session in ("one", "two"):
            shop.webhook(session=session)
        spoil(shop, keys.checkout(shop.digest("one")))
        shop.wait(minutes=1)
        shop.webhook(session="bought", session_state="COMPLETED")
        shop.settle()
        assert shop.checkout("two").status is Status.SUPERSEDED
        assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []

    def test_a_fact_that_cannot_be_read_stops_no_announcement(self, shop: Shop) -> None:
        shop.endpoint()
        shop.abandon()
        shop.settle()
        fact = next(own for own in shop.rows() if own["pk"].startswith("N#") and "sums" not in own)
        spoil(shop, (fact["pk"], fact["sk"]), **{name: "odd" for name in fact if name not in {"pk", "sk"}})
        shop.wait(days=9)
        shop.abandon("later", user=stranger(7))
        shop.settle()
        assert [own.event_type for own in shop.deliveries()].count("checkout.abandoned") == 2
        assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []


def test_whoever_decides_about_one_shopper_reads_strictly(shop: Shop) -> None:
    """An opt-out that cannot be read must not read as none."""
    shop.endpoint()
    shop.abandon()
    who = shop.stores.hasher.of_checkout(shop.checkout())[IdentityKind.PHONE]
    spoil(shop, keys.identity(who), sup="everything")
    shop.dispatch()
    assert shop.deliveries() == []
    assert len(shop.queued("DEAD_LETTERS_QUEUE_URL")) == 1
    assert replace(shop.checkout()).announced is None
