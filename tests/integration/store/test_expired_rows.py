"""A row past its TTL is gone for everybody, though DynamoDB takes it away only within days."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from shared.aws import clients
from shared.domain.breaker import Health
from shared.domain.change import Signal
from shared.domain.checkout import Activity
from shared.domain.consent import Channel
from shared.domain.coupon import Allocation
from shared.domain.identity import Identity, IdentityHasher, IdentityKind
from shared.domain.ids import (
    CampaignId,
    DeliveryId,
    EndpointId,
    EpisodeId,
    EventId,
    JobId,
    QuarantineId,
    checkout_digest,
)
from shared.domain.metrics import Fact, FactKind
from shared.domain.rate_limit import RateLimit
from shared.store import keys
from shared.store.activities import ActivityStore
from shared.store.api_limits import ApiLimits
from shared.store.campaign_runs import RunStore
from shared.store.checkouts import CheckoutStore
from shared.store.conditions import Attr, Key
from shared.store.coupons import CouponStore
from shared.store.deliveries import DeliveryRecord, DeliveryStatus, DeliveryStore
from shared.store.due import DueStore
from shared.store.episodes import EpisodeStore
from shared.store.events import EventRecord, EventStore
from shared.store.expiry import holds_for_nothing
from shared.store.facts import FactStore
from shared.store.health import HealthStore
from shared.store.idempotency import IdempotencyStore
from shared.store.jobs import Job, JobStore
from shared.store.link_limits import MOST_PER_MINUTE, LinkLimits
from shared.store.orders import OrderRecord, order_put
from shared.store.quarantine import QuarantineRecord, QuarantineStore
from shared.store.resend_jobs import ResendJob, ResendJobStore
from shared.store.shoppers import ShopperStore
from shared.store.suppressions import SuppressionStore
from shared.store.table import ConditionFailed, Table, TransactionCancelled
from shared.store.vendor_messages import VendorMessageStore
from shared.store.writes import Check, Delete, Put, Update
from shared.workflows.intake.merge import Merger
from shared.workflows.intake.purchase import Purchases
from tests.unit.domain.recovery.episodes import checkout_left, episode_of
from tests.unit.domain.sessions import MERCHANT, NOON, SOURCE, XID, after, arrival, cart_of, told

DIGEST = checkout_digest(MERCHANT, SOURCE, XID)
ENDPOINT = EndpointId("ep_01KAHJ0000000000000000ENDP")
DELIVERY = DeliveryId("dlv_01KAHJ0000000000000000DLVR" + ENDPOINT.removeprefix("ep_"))
CAMPAIGN = CampaignId("cmp_01KAHJ0000000000000000CMPN")
EPISODE = EpisodeId("epi_01KAHJ0000000000000000EPSD")
JOB = JobId("job_01KAHJ0000000000000000JOB0")
QUARANTINED = QuarantineId("qrn_01KAHJ0000000000000000QRNT")
PERSON = Identity(MERCHANT, IdentityKind.PHONE, "p" * 20)
PER_MINUTE = RateLimit(5, timedelta(minutes=1))
ROW = ("pk", "sk")


@pytest.fixture(autouse=True)
def _noon() -> Any:
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def expire(table: Table, *, but: tuple[str, ...] = ()) -> int:
    """The time of every row is over; how many there are. DynamoDB has not looked yet."""
    client = clients.dynamodb()
    aged = 0
    for row in client.scan(TableName=table.name)["Items"]:
        if "ttl" in row and row["pk"]["S"] not in but:
            client.update_item(
                TableName=table.name,
                Key={name: row[name] for name in ROW},
                UpdateExpression="SET #t = :t",
                ExpressionAttributeNames={"#t": "ttl"},
                ExpressionAttributeValues={":t": {"N": str(int(NOON.timestamp()))}},
            )
            aged += 1
    return aged


@dataclass
class Shelf:
    """The stores of one table."""

    table: Table
    hasher: IdentityHasher

    @property
    def checkouts(self) -> CheckoutStore:
        return CheckoutStore(self.table, self.hasher, 2)

    @property
    def merger(self) -> Merger:
        shoppers, episodes = ShopperStore(self.table), EpisodeStore(self.table)
        return Merger(self.checkouts, Purchases(self.table, self.checkouts, shoppers, episodes, self.hasher))

    @property
    def deliveries(self) -> DeliveryStore:
        return DeliveryStore(self.table, 2)


@pytest.fixture
def shelf(table: Table, hasher: IdentityHasher) -> Shelf:
    return Shelf(table, hasher)


def delivery(name: str = DELIVERY) -> DeliveryRecord:
    return DeliveryRecord(
        id=DeliveryId(name),
        endpoint_id=ENDPOINT,
        merchant_id=MERCHANT,
        event_id=EventId("evt_1"),
        event_type="checkout.abandoned",
        checkout_digest=DIGEST,
        event_version=2,
        status=DeliveryStatus.PENDING,
        created_at=NOON,
    )


def event() -> EventRecord:
    return EventRecord(
        *(EventId("evt_1"), "checkout.abandoned", NOON, MERCHANT, DIGEST, 2, b"{}", (ENDPOINT,), None, after(days=37))
    )


def quarantined() -> QuarantineRecord:
    return QuarantineRecord(QUARANTINED, MERCHANT, SOURCE, "custom", "no mapping", "key", 2, NOON)


def order() -> OrderRecord:
    return OrderRecord(MERCHANT, SOURCE, "id:1001", DIGEST, NOON, (PERSON,))


FACT = Fact(kind=FactKind.ABANDONED, cohort=NOON.date(), subject=DIGEST, at=NOON)
PLACES: dict[str, tuple[Callable[[Shelf], object], Callable[[Shelf], object]]] = {
    "activities": (
        lambda own: ActivityStore(own.table).add(DIGEST, Activity(NOON, "CLICKED", {}), after(days=1)),
        lambda own: (
            ActivityStore(own.table).page(DIGEST, limit=5, after=None)[0] or ActivityStore(own.table).count(DIGEST)
        ),
    ),
    "checkouts": (
        lambda own: own.merger.merge(told(cart=cart_of(), leaves={"customer.phone": "+917777788888"}), arrival()),
        lambda own: own.checkouts.get(DIGEST) or own.checkouts.get_many([DIGEST]),
    ),
    "coupons given": (
        lambda own: CouponStore(own.table).keep(EPISODE, Allocation(1, "TEA10", NOON, None), NOON),
        lambda own: CouponStore(own.table).allocations(EPISODE),
    ),
    "deliveries": (
        lambda own: own.deliveries.create(delivery()),
        lambda own: (
            own.deliveries.get(DELIVERY, ENDPOINT)
            or own.deliveries.get_many([delivery().key])
            or own.deliveries.of_endpoint(ENDPOINT, limit=5).records
            or own.deliveries.since(ENDPOINT, after="dlv_", below="dlv_~", limit=5).records
        ),
    ),
    "episodes": (
        lambda own: EpisodeStore(own.table, 2).write(
            EpisodeStore(own.table, 2).created(replace(episode_of(checkout_left()), id=EPISODE), NOON, after(hours=1))
        ),
        lambda own: EpisodeStore(own.table).get(EPISODE) or EpisodeStore(own.table).get_many([EPISODE]),
    ),
    "events": (
        lambda own: own.table.put(EventStore(own.table).new(event())),
        lambda own: (
            EventStore(own.table).get(DIGEST, 2)
            or EventStore(own.table).get_many([keys.event(DIGEST, 2)])
            or EventStore(own.table).of_checkout(DIGEST)
        ),
    ),
    "facts": (
        lambda own: FactStore(own.table).add(MERCHANT, [FACT]),
        lambda own: (
            FactStore(own.table).get_many(MERCHANT, [FACT]) or FactStore(own.table).of_cohort(MERCHANT, NOON.date())
        ),
    ),
    "health": (
        lambda own: HealthStore(own.table).replace(ENDPOINT, Health(failures=3), NOON),
        lambda own: HealthStore(own.table).get(ENDPOINT).failures,
    ),
    "jobs": (
        lambda own: JobStore(own.table).create(Job(JOB, MERCHANT, SOURCE, NOON, NOON, NOON)),
        lambda own: JobStore(own.table).get(JOB),
    ),
    "links": (
        lambda own: [LinkLimits(own.table).take(DIGEST, "r", NOON) for _ in range(MOST_PER_MINUTE)],
        lambda own: not LinkLimits(own.table).take(DIGEST, "r", NOON),
    ),
    "pauses of providers": (
        lambda own: ApiLimits(own.table).pause(SOURCE, after(minutes=1)),
        lambda own: ApiLimits(own.table).take(SOURCE, 1, 10, timedelta(seconds=1), NOON),
    ),
    "rates": (
        lambda own: HealthStore(own.table).reserve(ENDPOINT, PER_MINUTE, 5, NOON, NOON),
        lambda own: not HealthStore(own.table).reserve(ENDPOINT, PER_MINUTE, 5, NOON, NOON),
    ),
    "quarantine": (
        lambda own: QuarantineStore(own.table).add(quarantined()),
        lambda own: (
            QuarantineStore(own.table).get(QUARANTINED)
            or QuarantineStore(own.table).listed(MERCHANT, limit=5, start=None)[0]
        ),
    ),
    "requests with a key": (
        lambda own: IdempotencyStore(own.table).claim(MERCHANT, "mac", "request", NOON, 60, 60),
        lambda own: not IdempotencyStore(own.table).claim(MERCHANT, "mac", "request", NOON, 60, 60).mine,
    ),
    "resend jobs": (
        lambda own: ResendJobStore(own.table, 2).create(
            ResendJob(JOB, MERCHANT, ENDPOINT, NOON, NOON, NOON, ("failed",))
        ),
        lambda own: ResendJobStore(own.table, 2).get(MERCHANT, JOB) or ResendJobStore(own.table, 2).read(keys.job(JOB)),
    ),
    "runs": (
        lambda own: RunStore(own.table).begin(MERCHANT, CAMPAIGN, NOON, NOON, timedelta(minutes=1)),
        lambda own: RunStore(own.table).counts(CAMPAIGN, NOON),
    ),
    "shoppers": (
        lambda own: ShopperStore(own.table).messaged(PERSON, NOON),
        lambda own: ShopperStore(own.table).get_many([PERSON])[PERSON].memory.last_message_at,
    ),
    "vendors' messages": (
        lambda own: VendorMessageStore(own.table).remember(ENDPOINT, "wamid.1", DELIVERY, NOON),
        lambda own: VendorMessageStore(own.table).delivery_of(ENDPOINT, "wamid.1"),
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_row_past_its_time_is_not_read(shelf: Shelf, place: str) -> None:
    write, read = PLACES[place]
    write(shelf)
    assert place == "requests with a key" or read(shelf), "not there before"

    assert expire(shelf.table)

    assert not read(shelf)


@pytest.mark.parametrize("place", PLACES)
def test_a_row_past_its_time_is_written_anew_as_if_there_were_none(shelf: Shelf, place: str) -> None:
    write, read = PLACES[place]
    write(shelf)
    expire(shelf.table)

    write(shelf)

    assert read(shelf)


def test_what_an_expired_checkout_held_does_not_come_back_with_a_new_webhook(shelf: Shelf) -> None:
    shelf.merger.merge(
        told(cart=cart_of(), leaves={"customer.phone": "+917777788888", "note": "ring twice"}), arrival()
    )
    expire(shelf.table)

    shelf.merger.merge(told(at=after(minutes=1), leaves={"customer.email": "asha@example.com"}), arrival())

    new = shelf.checkouts.get(DIGEST)
    assert new is not None
    assert new.leaves == {"customer.email": "asha@example.com"}
    assert (new.version, new.cart) == (1, None)
    row = shelf.table.get(keys.checkout(DIGEST))
    assert row is not None
    assert "ip" not in row


def test_whoever_is_messaged_after_their_memory_has_expired_is_remembered_for_another_ninety_days(shelf: Shelf) -> None:
    shoppers = ShopperStore(shelf.table)
    shoppers.capped(PERSON, [Channel.WHATSAPP], after(days=400), NOON)
    expire(shelf.table)

    shoppers.messaged(PERSON, NOON)

    row = shelf.table.get(keys.identity(PERSON))
    assert row is not None
    assert int(row["ttl"]) == int(after(days=90).timestamp())
    assert "cap_whatsapp" not in row


def test_a_purchase_ends_no_episode_that_has_expired_and_is_recorded_all_the_same(shelf: Shelf) -> None:
    shelf.table.put(
        EpisodeStore(shelf.table, 2).created(replace(episode_of(checkout_left()), id=EPISODE), NOON, after(hours=1))
    )
    shoppers = ShopperStore(shelf.table)
    person = shelf.hasher.identity(MERCHANT, IdentityKind.PHONE, "+917777788888")
    shelf.table.update(shoppers.joined(shoppers.get_many([person])[person], EPISODE, NOON, NOON))
    shelf.table.put(order_put(order(), NOON + timedelta(days=37), named=False))
    expire(shelf.table, but=(keys.identity(person)[0],))

    shelf.merger.merge(told(Signal.PURCHASED, leaves={"customer.phone": "+917777788888"}), arrival())

    assert shelf.table.get(keys.episode(EPISODE)) is None
    record = shoppers.get_many([person])[person]
    assert (record.purchased_at, record.episode_id) == (NOON, None)
    found = shelf.table.get(keys.order(SOURCE, "id:1001"))
    assert found is not None
    assert found["tr"] == 1


def test_a_suppression_over_an_expired_memory_lasts_for_ever(shelf: Shelf) -> None:
    shoppers = ShopperStore(shelf.table)
    shoppers.messaged(PERSON, NOON)
    expire(shelf.table)

    record = shoppers.get_many([PERSON])[PERSON]
    shelf.table.transact(
        [
            shoppers.remembering(record, {Channel.EMAIL: "merchant"}, NOON),
            SuppressionStore.added(PERSON, [Channel.EMAIL], "merchant", NOON),
        ]
    )

    row = shelf.table.get(keys.identity(PERSON))
    assert row is not None
    assert (row["sup"], "ttl" in row, "lm" in row) == ({"email": "merchant"}, False, False)


def test_an_expired_claim_of_a_run_is_claimed_again_and_an_expired_run_is_begun_anew(shelf: Shelf) -> None:
    runs = RunStore(shelf.table)
    run = runs.begin(MERCHANT, CAMPAIGN, NOON, NOON, timedelta(minutes=1))
    assert run is not None
    assert runs.claim(run, DIGEST, NOON)
    runs.done(run, DIGEST)
    runs.save(run, finished="finished")
    assert not runs.claim(run, DIGEST, NOON)
    expire(shelf.table)

    assert runs.claim(run, DIGEST, NOON)
    assert runs.begin(MERCHANT, CAMPAIGN, NOON, NOON, timedelta(minutes=1)) is not None


def test_expired_rows_make_no_page_end_early(shelf: Shelf) -> None:
    deliveries = shelf.deliveries
    names = [f"dlv_01KAHJ00000000000000{number:06d}" + ENDPOINT.removeprefix("ep_") for number in range(40)]
    for name in names[:30]:
        deliveries.create(delivery(name))
    for number in range(6):
        ActivityStore(shelf.table).add(DIGEST, Activity(after(minutes=number), "CLICKED", {}), after(days=1))
    expire(shelf.table)
    for name in names[30:]:
        deliveries.create(delivery(name))
    for number in range(6, 9):
        ActivityStore(shelf.table).add(DIGEST, Activity(after(minutes=number), "CLICKED", {}), after(days=1))

    page = deliveries.since(ENDPOINT, after="dlv_", below="dlv_~", limit=4)
    assert [own.id for own in page.records] == names[30:34]
    first, place = ActivityStore(shelf.table).page(DIGEST, limit=2, after=None)
    rest, end = ActivityStore(shelf.table).page(DIGEST, limit=2, after=place)
    assert [own.at for own in (*first, *rest)] == [after(minutes=number) for number in (6, 7, 8)]
    assert end is None


def test_a_due_row_that_has_expired_is_moved_nowhere(shelf: Shelf) -> None:
    shelf.merger.merge(told(cart=cart_of()), arrival())
    expire(shelf.table)

    (page,) = [*DueStore(shelf.table).pages("C", 0, after(days=1)), *DueStore(shelf.table).pages("C", 1, after(days=1))]

    assert shelf.checkouts.get_many(row.key[0].removeprefix("C#") for row in page.rows) == {}


def test_an_erasure_still_sees_expired_rows(shelf: Shelf) -> None:
    shelf.merger.merge(told(cart=cart_of()), arrival())
    shelf.table.put(EventStore(shelf.table).new(event()))
    expire(shelf.table)

    partition = keys.checkout(DIGEST)[0]
    assert shelf.table.keys_of(partition) == [keys.checkout(DIGEST), keys.event(DIGEST, 2)]
    assert shelf.table.keys_of(partition, limit=1) == [keys.checkout(DIGEST)]
    assert list(shelf.table.rows_of([keys.checkout(DIGEST)])) == [keys.checkout(DIGEST)]


KEY = ("A#1", "A")
OLD = {"pk": KEY[0], "sk": KEY[1], "v": 7, "colour": "red", "ttl": int(NOON.timestamp())}
CONDITIONS = [
    (None, True),
    (Attr("pk").not_exists(), True),
    (Attr("v").not_exists(), True),
    (Attr("v").not_exists() | Attr("v").lt(3), True),
    (Attr("colour").ne("red"), True),
    (~Attr("colour").contains("red"), True),
    (~(Attr("pk").exists() & Attr("v").eq(7)), True),
    (Attr("pk").exists(), False),
    (Attr("v").eq(7), False),
    (Attr("v").lte(7) & Attr("pk").not_exists(), False),
    (Attr("colour").is_in(["red"]), False),
    (Attr("colour").begins_with("r"), False),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
def test_a_condition_holds_over_an_expired_row_as_it_does_over_nothing(
    table: Table, condition: Any, holds: bool
) -> None:
    assert holds_for_nothing(condition) is holds
    check = condition if condition is not None else Attr("never").not_exists()
    made = {"pk": KEY[0], "sk": KEY[1], "size": 1}
    writes: list[Callable[[], object]] = [
        lambda: table.update(Update(KEY, set={"size": 1}, condition=condition)),
        lambda: table.put(Put(made, condition)),
        lambda: table.transact([Update(KEY, set={"size": 1}, condition=condition)]),
        lambda: table.transact([Put(made, condition)]),
        lambda: table.transact([Check(KEY, check)]),
        lambda: table.delete(Delete(KEY, condition)),
        lambda: table.transact([Delete(KEY, condition)]),
    ]
    for there in (False, True):
        for number, write in enumerate(writes):
            table.delete(Delete(KEY))
            if there:
                table.put(Put(OLD))
            if holds:
                write()
                assert number >= 4 or table.get(KEY) == made, (there, number)
            else:
                with pytest.raises((ConditionFailed, TransactionCancelled)) as refused:
                    write()
                assert _met(refused.value) is None, (there, number)


def _met(refused: BaseException) -> object:
    return refused.old if isinstance(refused, ConditionFailed) else refused.reasons[0].old  # type: ignore[attr-defined]


def test_a_row_that_is_written_while_its_remains_are_met_is_not_lost(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.put(Put(OLD))
    client = clients.dynamodb()
    put_item = client.put_item

    def faster(**arguments: Any) -> Any:
        monkeypatch.setattr(client, "put_item", put_item)
        put_item(TableName=table.name, Item={"pk": {"S": KEY[0]}, "sk": {"S": KEY[1]}, "used": {"N": "4"}})
        return put_item(**arguments)

    monkeypatch.setattr(client, "put_item", faster)
    table.update(Update(KEY, add={"used": 1}))

    assert table.get(KEY) == {"pk": KEY[0], "sk": KEY[1], "used": 5}
    assert [own["used"] for own in table.query(Key("pk").eq(KEY[0])).items] == [5]
