"""Whoever was at work while a shopper was erased brings nothing of them back."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.aws.quarantine_bucket import QuarantineBucket
from shared.delivery.exchange import Answer
from shared.domain.change import Signal
from shared.domain.checkout import Order
from shared.domain.identity import IdentityKind
from shared.domain.ids import EpisodeId
from shared.store.activities import ActivityStore
from shared.store.configuration import MerchantStore
from shared.store.deliveries import DeliveryStatus, DeliveryStore
from shared.store.episodes import EpisodeStore
from shared.store.table import StoreUnavailable
from shared.workflows.campaigns.step_record import StepRecord
from shared.workflows.delivering.fan_out import FanOut
from shared.workflows.intake.purchase import purchases_over
from shared.workflows.privacy.customer_erasure import CustomerErasure
from shared.workflows.recovery.event_making import EventMaker
from tests.integration.account import onlookers_client
from tests.integration.shop import MERCHANT, Shop
from tests.integration.workflows.campaigns.test_campaign_steps import abandoned, endpoint
from tests.unit.domain.sessions import after, arrival, told

__all__ = ["abandoned", "endpoint"]
PHONE = "+917777788888"


def erase(shop: Shop) -> None:
    """The shopper's erasure, whole."""
    own = shop.stores
    from shared.aws.stores import now

    erasure = CustomerErasure(
        own.table, own.checkouts, own.deliveries, lambda: own.queues, own.hasher, lambda: own.bucket, now
    )
    assert erasure.erase(shop.merchant, IdentityKind.PHONE, PHONE).done


def left(shop: Shop) -> str:
    """Every row of checkouts, but those that are to be nothing."""
    ends = shop.now.timestamp()
    return str([row for row in shop.rows() if row.get("ttl", ends + 1) > ends])


def objects() -> dict[str, bytes]:
    """The bucket."""
    s3 = onlookers_client("s3")
    found = s3.list_objects_v2(Bucket="quarantine").get("Contents", [])
    return {own["Key"]: s3.get_object(Bucket="quarantine", Key=own["Key"])["Body"].read() for own in found}


@pytest.fixture
def meanwhile(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the shopper be erased right before, or right after, the next call of a method."""

    def play(kind: type, method: str, *, after: bool = False) -> None:
        original = getattr(kind, method)
        once = [True]

        def called(*arguments: Any, **named: Any) -> Any:
            first, once[:] = once == [True], []
            if first and not after:
                erase(shop)
            answer = original(*arguments, **named)
            if first and after:
                erase(shop)
            return answer

        monkeypatch.setattr(kind, method, called)

    return play


@pytest.mark.parametrize(("kind", "method"), [(EventMaker, "made"), (EventMaker, "put"), (FanOut, "deliver")])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_event_that_dispatch_had_begun_to_tell_is_not_kept(
    shop: Shop, meanwhile: Callable[..., None], kind: type, method: str, after: bool
) -> None:
    shop.endpoint("checkout.completed")
    shop.webhook(session_state="COMPLETED")
    meanwhile(kind, method, after=after)

    shop.settle()
    shop.deliver()

    assert [own for own in shop.events() if own.type != "customer.erased"] == []
    assert [own["type"] for own in shop.told() if own["type"] != "customer.erased"] == []
    assert "Gujarat" not in left(shop)
    assert {own.status for own in shop.deliveries() if own.event_type != "customer.erased"} <= {DeliveryStatus.SKIPPED}


class TestPoison:
    """A record that cannot be told, of whom is to be forgotten."""

    @pytest.fixture
    def record(self, shop: Shop) -> dict[str, Any]:
        """The marked record of a checkout that nobody can read."""
        shop.webhook(session_state="COMPLETED")
        record = next(own for own in shop.stream() if own["dynamodb"]["Keys"]["pk"]["S"].startswith("C#"))
        record["dynamodb"]["NewImage"]["tr"] = {"S": "odd"}
        return record

    def test_is_kept_while_nobody_was_erased(self, shop: Shop, record: dict[str, Any]) -> None:
        shop.dispatch([record])

        ((key, body),) = objects().items()
        assert key.startswith(f"poison/{MERCHANT}/{shop.digest()}/")
        assert b"Gujarat" in body

    def test_is_not_kept_after_the_erasure(self, shop: Shop, record: dict[str, Any]) -> None:
        erase(shop)

        shop.dispatch([record])

        assert objects() == {}
        assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_is_not_kept_when_the_erasure_comes_between(
        self, shop: Shop, record: dict[str, Any], meanwhile: Callable[..., None], after: bool
    ) -> None:
        meanwhile(QuarantineBucket, "keep_poison", after=after)

        shop.dispatch([record])

        assert not any(objects().values())
        assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []

    def test_of_an_erased_merchant_is_not_kept(self, shop: Shop, record: dict[str, Any]) -> None:
        MerchantStore(shop.table).close(MERCHANT, shop.now)

        shop.dispatch([record])

        assert objects() == {}

    def test_of_an_order_goes_by_its_checkout(self, shop: Shop) -> None:
        shop.webhook(session_state="COMPLETED")
        record = next(own for own in shop.stream() if own["dynamodb"]["Keys"]["pk"]["S"].startswith("O#"))
        record["dynamodb"]["NewImage"]["at"] = {"S": "odd"}
        erase(shop)

        shop.dispatch([record])

        assert objects() == {}

    def test_is_kept_while_nobody_can_say(
        self, shop: Shop, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Told later, it meets the erasure."""

        def unknown(*_: Any, **__: Any) -> Any:
            raise StoreUnavailable

        monkeypatch.setattr(MerchantStore, "get", unknown)

        shop.dispatch([record])

        assert len(objects()) == 1


def test_a_click_on_an_erased_checkout_is_not_noted(shop: Shop) -> None:
    shop.endpoint()
    shop.abandon()
    shop.settle()
    code = shop.stores.keys.recovery_codes().code(shop.digest())
    erase(shop)
    facts = [row for row in shop.rows() if row["pk"].startswith("N#")]

    status, location = shop.follow(code, "Mozilla/5.0 (iPhone) Safari/604.1")

    assert (status, location) == (302, "https://flexype.myshopify.com/")
    assert ActivityStore(shop.table).count(shop.digest()) == 0
    assert [row for row in shop.rows() if row["pk"].startswith("N#")] == facts


class TestAStepOnItsWay:
    """A vendor answers a message about a shopper who is erased meanwhile."""

    @pytest.mark.parametrize(
        ("kind", "method", "after"),
        [
            (DeliveryStore, "keep", False),
            (DeliveryStore, "keep", True),
            (StepRecord, "attempted", True),
        ],
    )
    def test_nothing_of_what_was_answered_is_kept(
        self,
        shop: Shop,
        abandoned: Callable[..., None],
        meanwhile: Callable[..., None],
        kind: type,
        method: str,
        after: bool,
    ) -> None:
        abandoned()
        episode_id = EpisodeId(shop.checkout().episode_id or "")
        shop.wait(minutes=31)
        shop.sweep()
        bodies = shop.queued()
        shop.answer = lambda _: Answer(400, body=b'{"error": "Asha Patel is not known here"}')
        meanwhile(kind, method, after=after)

        shop.deliver(bodies)

        assert "Asha" not in left(shop)
        (delivery,) = [own for own in shop.deliveries() if own.step == 1]
        assert (delivery.status, delivery.reason) == (DeliveryStatus.SKIPPED, "erased")
        assert ActivityStore(shop.table).count(shop.digest()) == 0
        stored = EpisodeStore(shop.table).get(episode_id)
        assert stored is not None
        assert (stored.end_reason, stored.identities) == ("erased", ())

    def test_while_the_vendor_is_slow_the_erasure_ends_the_step(
        self, shop: Shop, abandoned: Callable[..., None]
    ) -> None:
        abandoned()
        shop.wait(minutes=31)
        shop.sweep()

        def answer(_: Any) -> Answer:
            erase(shop)
            return Answer(500, body=b"Asha Patel")

        shop.answer = answer
        shop.deliver()

        assert "Asha" not in left(shop)
        (delivery,) = [own for own in shop.deliveries() if own.step == 1]
        assert (delivery.status, delivery.reason, delivery.attempts) == (DeliveryStatus.SKIPPED, "erased", ())
        shop.sent.clear()
        shop.wait(hours=3)
        shop.sweep()
        shop.deliver([*shop.queued(), *shop.retries()])
        assert [own["type"] for own in shop.told() if own["type"] != "customer.erased"] == []


def test_every_order_of_one_checkout_is_forgotten(shop: Shop) -> None:
    """A checkout names one order; a shop that splits or repeats its orders tells others of the same checkout.

    The first webhook names none: the second gives that purchase its id.
    """
    purchases = purchases_over(shop.stores)
    for minutes, order_id in enumerate((None, "1001", "1002", "1003")):
        at = after(minutes=minutes)
        bought = told(Signal.PURCHASED, at, leaves={"customer.phone": PHONE}, order=Order(order_id, at))
        purchases.record(bought, arrival(at))
    assert {own["oid"] for own in orders(shop)} == {"id:1001", "id:1002", "id:1003"}

    erase(shop)

    assert [(own["oid"], own["who"]) for own in orders(shop)] == [("erased", {})] * 3
    assert [row["sk"] for row in shop.rows() if row["pk"].startswith("C#")] == ["C"]


def orders(shop: Shop) -> list[dict[str, Any]]:
    """Every order's row, and what is left of one that holds anything but its end."""
    return [row for row in shop.rows() if row["pk"].startswith("O#") and row.keys() > {"pk", "sk", "ttl"}]
