"""Dispatch on stream records made by real writes: each transition is told once, and only while it is true."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from functions.dispatch.poison import poison_name
from functions.dispatch.unfinished import OutOfTime
from shared.aws import clients, deadline
from shared.aws.faults import code_of
from shared.aws.quarantine_bucket import QuarantineBucket
from shared.aws.queues import DeliveryQueues, QueueUnavailable
from shared.domain.checkout import Checkout, Status
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.ids import EpisodeId
from shared.domain.recovery_link import RecoveryCodes
from shared.store import keys
from shared.store.checkouts import CheckoutStore
from shared.store.deliveries import DeliveryStatus
from shared.store.episodes import EpisodeStore
from shared.store.table import StoreRefused, StoreUnavailable, Table
from shared.store.writes import Update
from shared.workflows.recovery.episode_plan import EpisodePlanner
from tests.integration.account import onlookers_client
from tests.integration.shop import MERCHANT, SESSION, Invocation, Shop, forget_compositions, stranger
from tests.unit.domain.sessions import after


def episode(shop: Shop, session: str = SESSION) -> Episode:
    own = EpisodeStore(shop.table).get(EpisodeId(shop.checkout(session).episode_id or ""))
    assert own is not None
    return own


def test_activity_alone_is_told_to_nobody(shop: Shop) -> None:
    shop.webhook()
    assert shop.stream() == []


def test_an_abandonment_is_announced_in_one_transaction(shop: Shop) -> None:
    endpoint = shop.endpoint()
    shop.abandon()
    (record,) = shop.dispatch()
    own = shop.checkout()
    (event,) = shop.events()
    body = json.loads(event.body)
    assert (own.status, own.announced, own.version) == (Status.ABANDONED, 2, 3)
    assert (event.type, event.version, event.endpoint_ids) == ("checkout.abandoned", 2, (endpoint.id,))
    assert (body["id"], body["sequence"], body["timestamp"]) == (event.id, 2, "2026-11-21T12:31:00Z")
    assert body["data"]["checkout"]["status"] == "abandoned"
    assert body["data"]["episode"]["id"] == own.episode_id
    assert body["messaging"] == {"may_send": True, "reason": None}
    assert body["do_not_send_after"] == "2026-11-24T12:00:00Z"
    opened = episode(shop)
    assert (opened.status, opened.anchor, opened.checkouts) == (EpisodeStatus.ACTIVE, after(), (own.digest,))
    (delivery,) = shop.deliveries()
    assert (delivery.status, delivery.event_id) == (DeliveryStatus.PENDING, event.id)
    assert json.loads(shop.queued()[0])["delivery_id"] == delivery.id
    assert record["eventName"] == "MODIFY"
    assert shop.stream() == [], "telling is no fact to tell"


def test_the_link_in_the_event_is_the_checkouts_own_code(shop: Shop) -> None:
    shop.endpoint()
    shop.abandon()
    shop.dispatch()
    url = json.loads(shop.events()[0].body)["data"]["checkout"]["recovery_url"]
    codes: RecoveryCodes = shop.stores.keys.recovery_codes()
    target = codes.read(url.removeprefix("https://hooks.example.com/r/"))
    assert target is not None
    assert target.digest == shop.digest()


def test_the_same_record_twice_has_one_effect(shop: Shop) -> None:
    shop.endpoint()
    shop.abandon()
    records = shop.dispatch()
    before = shop.rows()
    shop.wait(minutes=3)
    shop.dispatch(records)
    assert sorted(shop.rows(), key=str) == sorted(before, key=str)
    bodies = shop.queued()
    assert len(set(bodies)) == 1
    shop.deliver(bodies)
    assert len(shop.sent) == 1


@pytest.mark.parametrize("asked_for", ["checkout.abandoned", "checkout.recovered"])
def test_a_record_that_comes_again_tells_no_endpoint_registered_since(shop: Shop, asked_for: str) -> None:
    first = shop.endpoint("checkout.abandoned", "checkout.recovered")
    shop.abandon()
    if asked_for == "checkout.recovered":
        shop.settle()
        shop.webhook(session_state="COMPLETED")
    records = shop.dispatch()
    shop.wait(seconds=1)
    shop.endpoint("checkout.abandoned", "checkout.recovered")
    shop.dispatch(records)
    assert {own.endpoint_id for own in shop.deliveries()} == {first.id}


def test_a_purchase_before_the_announcement_supersedes_silently(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned", "checkout.superseded")
    shop.abandon()
    announcement = shop.stream()
    shop.webhook(session="other-device", session_state="COMPLETED")
    shop.dispatch(announcement)
    assert shop.checkout().status is Status.SUPERSEDED
    shop.settle()
    assert (shop.events(), shop.deliveries()) == ([], [])


def test_a_purchase_between_reading_and_announcing_supersedes_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shopper buys after dispatch has looked; the transaction's condition on the shopper refuses."""
    from shared.workflows.recovery import episode_plan as module

    shop.endpoint("checkout.abandoned", "checkout.superseded")
    shop.abandon()
    announcement = shop.stream()
    original = module.EpisodePlanner.planned
    done: list[object] = []

    def bought_meanwhile(self: Any, *arguments: Any, **named: Any) -> Any:
        if not done:
            done.append(shop.webhook(session="other-device", session_state="COMPLETED"))
        return original(self, *arguments, **named)

    monkeypatch.setattr(module.EpisodePlanner, "planned", bought_meanwhile)
    shop.dispatch(announcement)
    assert shop.checkout().status is Status.SUPERSEDED
    assert shop.events() == []


def test_a_checkout_that_moved_on_is_not_announced(shop: Shop) -> None:
    shop.endpoint()
    shop.abandon()
    announcement = shop.stream()
    shop.webhook(session_state="PAYMENT_LOADED")
    shop.dispatch(announcement)
    assert (shop.checkout().status, shop.checkout().announced) == (Status.OPEN, None)
    assert (shop.events(), shop.deliveries()) == ([], [])


def test_whoever_got_the_abandonment_hears_that_it_was_reopened_and_nobody_else(shop: Shop) -> None:
    told = shop.endpoint("checkout.abandoned")
    shop.wait(seconds=1)
    shop.endpoint("checkout.expired")
    shop.abandon()
    shop.settle()
    shop.webhook(session_state="PAYMENT_LOADED")
    shop.settle()
    assert [(own.event_type, own.endpoint_id) for own in shop.deliveries()] == [
        ("checkout.abandoned", told.id),
        ("checkout.updated", told.id),
    ]


def test_an_order_calls_off_the_shoppers_other_checkouts_and_says_so_where_it_was_told(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned", "checkout.superseded")
    shop.abandon("announced")
    shop.settle()
    shop.webhook(session="still-open")
    shop.wait(minutes=1)
    shop.webhook(session="of-somebody-else", user={"phone_no": "8888877777", "dial_code": "91"})
    shop.webhook(session="bought", session_state="COMPLETED")
    shop.settle()
    statuses = {own: shop.checkout(own).status.value for own in ("announced", "still-open", "of-somebody-else")}
    assert statuses == {"announced": "superseded", "still-open": "superseded", "of-somebody-else": "open"}
    assert [own.event_type for own in shop.deliveries()] == ["checkout.abandoned", "checkout.superseded"]
    assert [own.type for own in shop.events("still-open")] == []


@pytest.mark.long
def test_a_shops_own_phone_joins_nobody(shop: Shop) -> None:
    for number in range(22):
        shop.webhook(session=f"session-{number}")
    shop.wait(minutes=1)
    shop.webhook(session="bought", session_state="COMPLETED")
    shop.settle()
    assert {shop.checkout(f"session-{number}").status for number in range(22)} == {Status.OPEN}


def test_a_recovery_is_told_and_ends_the_episode(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned", "checkout.recovered", "checkout.completed")
    shop.abandon()
    shop.settle()
    shop.webhook(session_state="COMPLETED")
    assert episode(shop).status is EpisodeStatus.ENDED
    shop.settle()
    assert [own.event_type for own in shop.deliveries()] == ["checkout.abandoned", "checkout.recovered"]


def test_two_abandoned_checkouts_of_one_shopper_share_the_episode(shop: Shop) -> None:
    shop.endpoint()
    shop.abandon("first")
    shop.settle()
    shop.abandon("second")
    shop.settle()
    assert shop.checkout("first").episode_id == shop.checkout("second").episode_id
    joined = episode(shop, "second")
    assert joined.checkouts == (shop.digest("first"), shop.digest("second"))
    assert joined.anchor == after(minutes=31)


def test_a_disabled_endpoints_delivery_is_held(shop: Shop) -> None:
    from shared.store.configuration import EndpointStore

    endpoint = shop.endpoint()
    EndpointStore(shop.table).disable(MERCHANT, endpoint.id, "asked")
    shop.abandon()
    shop.settle()
    (delivery,) = shop.deliveries()
    assert (delivery.status, delivery.reason) == (DeliveryStatus.HELD, "endpoint_disabled")
    assert shop.queued() == []


def test_a_poison_record_is_kept_whole_and_the_rest_is_told(shop: Shop) -> None:
    shop.endpoint()
    shop.abandon()
    poison = {
        "eventID": "p1",
        "dynamodb": {"NewImage": {"pk": {"S": "C#x"}, "te": {"S": "abandoned"}, "tr": {"N": "1"}}},
    }
    shop.dispatch([poison, {"eventID": "p2", "dynamodb": {}}, *shop.stream()])
    assert len(shop.deliveries()) == 1
    kept = onlookers_client("s3").get_object(Bucket="quarantine", Key="poison/p1.json")["Body"].read()
    assert json.loads(kept) == poison
    letters = [json.loads(own) for own in shop.queued("DEAD_LETTERS_QUEUE_URL")]
    assert letters == [{"poison": f"poison/p{at}.json", "cause": "MalformedRecord"} for at in (1, 2)]


def test_a_temporary_error_is_raised_after_the_rest_and_the_batch_repeats_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.endpoint()
    shop.abandon("first")
    shop.abandon("second", user={"phone_no": "8888877777", "dial_code": "91"})
    records = shop.stream()
    original = DeliveryQueues.fresh
    refused: list[object] = []

    def refusing_once(self: DeliveryQueues, messages: Any) -> None:
        if not refused:
            refused.append(messages)
            raise QueueUnavailable("1 messages refused")
        original(self, messages)

    monkeypatch.setattr(DeliveryQueues, "fresh", refusing_once)
    with pytest.raises(ExceptionGroup) as failed:
        shop.dispatch(records)
    assert [type(own) for own in failed.value.exceptions] == [QueueUnavailable] * 2, "they went in one request"
    assert [own.announced for own in map(shop.checkout, ("first", "second"))] == [2, 2]
    shop.dispatch(records)
    shop.deliver()
    assert len(shop.sent) == 2


def refusing(code: str, status: int = 400) -> ClientError:
    """What DynamoDB answers to a write it does not take."""
    answer: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "UpdateItem")


@pytest.mark.parametrize("error", [refusing("ValidationException"), StoreRefused("ItemTooLarge")], ids=str)
def test_a_write_that_the_table_never_takes_costs_its_record_and_not_its_shard(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    shop.endpoint()
    shop.abandon("absurd")
    shop.abandon("other", user={"phone_no": "8888877777", "dial_code": "91"})
    records = shop.stream()
    original = Table.update

    def never(self: Table, update: Update) -> None:
        if update.key == keys.checkout(shop.digest("absurd")):
            raise error
        original(self, update)

    monkeypatch.setattr(Table, "update", never)
    shop.dispatch(records)
    assert [own.checkout_digest for own in shop.deliveries()] == [shop.digest("other")]
    (letter,) = [json.loads(own) for own in shop.queued("DEAD_LETTERS_QUEUE_URL")]
    name = f"poison/{MERCHANT}/{shop.digest('absurd')}/{records[0]['eventID']}.json"
    assert letter == {"poison": name, "cause": code_of(error)}
    kept = onlookers_client("s3").get_object(Bucket="quarantine", Key=name)["Body"].read()
    assert json.loads(kept) == records[0]


def test_a_right_that_a_deploy_forgot_makes_records_wait(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.endpoint()
    shop.abandon()
    records = shop.stream()
    with monkeypatch.context() as patched:

        def denied(*_: object) -> None:
            raise refusing("AccessDeniedException")

        patched.setattr(Table, "put", denied)
        with pytest.raises(ExceptionGroup):
            shop.dispatch(records)
    assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []
    shop.dispatch(records)
    assert len(shop.deliveries()) == 1


def test_poison_that_cannot_be_kept_now_comes_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    poison = {"eventID": "p1", "dynamodb": {}}
    with monkeypatch.context() as patched:

        def denied(*_: object) -> None:
            raise refusing("AccessDenied", 403)

        patched.setattr(QuarantineBucket, "keep_poison", denied)
        with pytest.raises(ExceptionGroup):
            shop.dispatch([poison])
    shop.dispatch([poison])
    assert len(shop.queued("DEAD_LETTERS_QUEUE_URL")) == 1


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ({"mer": {"S": MERCHANT}, "pk": {"S": "C#aaaaaaaaaaaaaaaaaaaaaaaaae"}}, f"{MERCHANT}/{'a' * 25}e/e1.json"),
        (
            {"mer": {"S": MERCHANT}, "pk": {"S": "O#1"}, "chk": {"S": "aaaaaaaaaaaaaaaaaaaaaaaaae"}},
            f"{MERCHANT}/{'a' * 25}e/e1.json",
        ),
        ({"mer": {"S": MERCHANT}, "pk": {"S": "C#../x"}}, f"{MERCHANT}/e1.json"),
        ({"mer": {"S": "../mer"}, "pk": {"S": "C#x"}}, "e1.json"),
        ({"mer": {"N": "1"}}, "e1.json"),
    ],
)
def test_poison_lies_where_an_erasure_finds_it(image: dict[str, Any], name: str) -> None:
    assert poison_name({"eventID": "e1", "dynamodb": {"NewImage": image}}) == name


class Killed(BaseException):
    """The function ran out of time or memory: the process is gone, and nothing that catches errors sees it."""


@pytest.fixture
def never_ends(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Telling of the checkout "endless" kills the process; the digests it was tried for."""
    tried: list[str] = []
    original = EpisodePlanner.planned

    def planned(self: EpisodePlanner, checkout: Checkout, *arguments: Any, **named: Any) -> Any:
        if checkout.digest == shop.digest("endless"):
            tried.append(checkout.digest)
            raise Killed
        return original(self, checkout, *arguments, **named)

    monkeypatch.setattr(EpisodePlanner, "planned", planned)
    return tried


def written_at(records: list[dict[str, Any]], at: datetime) -> list[dict[str, Any]]:
    """The records as Lambda hands them over: with the second they were written in."""
    for record in records:
        record["dynamodb"]["ApproximateCreationDateTime"] = at.timestamp() // 1
    return records


def tried_once_more(shop: Shop, records: list[dict[str, Any]]) -> bool:
    """Lambda hands the batch over once more, a minute later; whether the process survives it."""
    try:
        shop.dispatch(records)
    except Killed:
        shop.wait(minutes=1)
        return False
    return True


def test_a_record_that_outlasts_the_functions_time_is_set_aside_and_its_shard_goes_on(
    shop: Shop, never_ends: list[str]
) -> None:
    shop.endpoint()
    shop.abandon("endless")
    shop.abandon("behind it", user=stranger(1))
    records = written_at(shop.stream(), shop.now)
    assert [tried_once_more(shop, records) for _ in range(4)] == [False, False, False, True]
    assert len(never_ends) == 3, "the first time leaves no mark: a fresh batch costs nothing"
    assert [own.checkout_digest for own in shop.deliveries()] == [shop.digest("behind it")]
    (letter,) = [json.loads(own) for own in shop.queued("DEAD_LETTERS_QUEUE_URL")]
    assert letter["cause"] == "NeverEnded"
    kept = onlookers_client("s3").get_object(Bucket="quarantine", Key=letter["poison"])["Body"].read()
    assert json.loads(kept) == records[0]


def test_a_record_whose_workers_are_killed_is_no_record_that_never_ends(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four workers are gone within seconds, as in a host's failure; the fifth tells it."""
    shop.endpoint()
    shop.abandon()
    records = written_at(shop.stream(), shop.now)
    shop.wait(seconds=31)
    original, lives = EpisodePlanner.planned, iter((False, False, False, False, True))

    def planned(self: EpisodePlanner, *arguments: Any, **named: Any) -> Any:
        if not next(lives):
            raise Killed
        return original(self, *arguments, **named)

    monkeypatch.setattr(EpisodePlanner, "planned", planned)
    for _ in range(4):
        with pytest.raises(Killed):
            shop.dispatch(records)
        shop.wait(seconds=9)
    shop.dispatch(records)
    assert len(shop.deliveries()) == 1
    assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []


def test_a_record_that_kills_every_worker_is_set_aside_within_a_minute(shop: Shop, never_ends: list[str]) -> None:
    """It takes all memory there is: each worker is gone at once."""
    shop.endpoint()
    shop.abandon("endless")
    records = written_at(shop.stream(), shop.now)
    shop.wait(seconds=31)
    while True:
        try:
            shop.dispatch(records)
        except Killed:
            shop.wait(seconds=2)
        else:
            break
    assert len(never_ends) == 8
    (letter,) = [json.loads(own) for own in shop.queued("DEAD_LETTERS_QUEUE_URL")]
    assert letter["cause"] == "NeverEnded"


def test_a_batch_that_comes_again_for_another_reason_counts_against_nobody(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage of an hour: the batch is tried again and again, and every record ends each time."""
    shop.endpoint()
    shop.abandon()
    shop.abandon("another", user=stranger(1))
    records = written_at(shop.stream(), shop.now)
    with monkeypatch.context() as patched:

        def refusing(*_: object) -> None:
            raise QueueUnavailable("1 messages refused")

        patched.setattr(DeliveryQueues, "fresh", refusing)
        for _ in range(6):
            shop.wait(minutes=10)
            with pytest.raises(ExceptionGroup):
                shop.dispatch(records)
    shop.dispatch(records)
    assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []
    assert len(set(shop.queued())) == 2


def test_what_fails_for_a_day_is_set_aside_where_an_erasure_finds_it_an_hour_before_lambda_gives_it_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.endpoint()
    shop.abandon()
    shop.abandon("another", user=stranger(1))
    records = written_at(shop.stream(), shop.now)
    with monkeypatch.context() as patched:
        original = EpisodePlanner.planned

        def unavailable_for_one(self: EpisodePlanner, checkout: Checkout, *arguments: Any, **named: Any) -> Any:
            if checkout.digest == shop.digest():
                raise StoreUnavailable("for a day")
            return original(self, checkout, *arguments, **named)

        patched.setattr(EpisodePlanner, "planned", unavailable_for_one)
        shop.wait(hours=21, minutes=59)
        with pytest.raises(ExceptionGroup):
            shop.dispatch(records)
        assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []
        shop.wait(minutes=2)
        shop.dispatch(records)
    (letter,) = [json.loads(own) for own in shop.queued("DEAD_LETTERS_QUEUE_URL")]
    name = f"poison/{MERCHANT}/{shop.digest()}/{records[0]['eventID']}.json"
    assert letter == {"poison": name, "cause": "StoreUnavailable"}
    assert [own.checkout_digest for own in shop.deliveries()] == [shop.digest("another")]
    assert shop.stores.bucket.delete_poison_of(MERCHANT, shop.digest())


@pytest.mark.parametrize("whose", ["customer", "merchant"])
def test_poison_of_a_checkout_that_was_erased_meanwhile_is_not_kept(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """The erasure has been; it would not find what is kept after it."""
    shop.abandon()
    (record,) = written_at(shop.stream(), shop.now)
    found = shop.checkout()
    with monkeypatch.context() as patched:
        stands = replace(found, erased=True) if whose == "customer" else None
        patched.setattr(CheckoutStore, "get", lambda _, digest: stands if digest == found.digest else found)
        record["dynamodb"]["NewImage"]["te"] = {"S": "no such mark"}
        shop.dispatch([record])
    assert "Contents" not in onlookers_client("s3").list_objects_v2(Bucket="quarantine")
    assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []
    shop.dispatch([record])
    assert len(shop.queued("DEAD_LETTERS_QUEUE_URL")) == 1


def test_a_fresh_batch_writes_nothing_to_count_itself(shop: Shop) -> None:
    shop.endpoint()
    shop.abandon()
    shop.dispatch(written_at(shop.stream(), shop.now))
    assert [row for row in shop.rows() if row["pk"].startswith("D#")] == []


def test_what_was_set_aside_for_never_ending_may_be_replayed(shop: Shop, never_ends: list[str]) -> None:
    shop.endpoint()
    shop.abandon("endless")
    records = written_at(shop.stream(), shop.now)
    while not tried_once_more(shop, records):
        pass
    del never_ends[:]
    assert [tried_once_more(shop, records) for _ in range(3)] == [False, False, True]


def test_no_record_is_begun_that_the_functions_time_may_not_suffice_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.endpoint()
    shop.abandon()
    shop.abandon("another", user=stranger(1))
    records = shop.stream()
    left = iter([60_000, 19_000, 18_000])
    with monkeypatch.context() as late:
        late.setattr(Invocation, "get_remaining_time_in_millis", lambda _: next(left))
        with pytest.raises(ExceptionGroup) as failed:
            shop.dispatch(records)
    assert [type(own) for own in failed.value.exceptions] == [OutOfTime]
    assert len(shop.deliveries()) == 1
    shop.dispatch(records)
    assert len(shop.deliveries()) == 2


def test_a_record_that_aws_is_slow_for_ends_each_time_and_is_not_taken_for_one_that_never_does(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage in which every call takes six seconds; Lambda kills what has not returned after sixty."""
    shop.endpoint()
    shop.abandon()
    records = written_at(shop.stream(), shop.now)
    make = BaseClient._make_api_call  # type: ignore[attr-defined]  # the one place all calls pass
    passed = [0.0]

    def slowly(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        answer = make(client, operation, arguments)
        passed[0] += 6
        if passed[0] > 60:
            raise Killed
        return answer

    with monkeypatch.context() as outage:
        for name in ("dynamodb", "sqs"):
            client = getattr(clients, name).__wrapped__()
            # Watched on its way out, a call is a request, and all that listens before one hears of it.
            client.meta.events.register("before-send", lambda **_: None)
            outage.setattr(clients, name, lambda own=client: own)
        forget_compositions()
        outage.setattr(BaseClient, "_make_api_call", slowly)
        outage.setattr(deadline, "clock", lambda: passed[0])
        for _ in range(4):
            shop.wait(minutes=1)
            passed[0] = 0.0
            with pytest.raises(ExceptionGroup) as failed:
                shop.dispatch(records)
            assert [type(own) for own in failed.value.exceptions] == [deadline.DeadlinePassed]
    forget_compositions()
    shop.dispatch(records)
    assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []
    assert len(shop.deliveries()) == 1
