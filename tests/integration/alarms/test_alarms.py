"""Each alarm is proved by its fault: the real handlers write the metrics, the synthesised alarm looks at them.

What AWS counts itself is given as AWS documents it. An alarm that no proof here names fails the run, and so does one
that fires on a healthy day.
"""

from collections.abc import Callable
from typing import Any

import pytest

from functions.ingest import answers
from infra.functions import FunctionName
from shared.aws import front
from shared.aws.front import FRONT_HEADER
from shared.store import keys
from shared.store.configuration import MerchantStore
from tests.integration.account import onlookers_client
from tests.integration.alarms.cloudwatch import Series
from tests.integration.alarms.stage_watch import StageWatch
from tests.integration.shop import MERCHANT, Shop, aws_event, forget_compositions, stranger
from tests.integration.workflows.recovery.test_set_aside import spoil
from tests.unit.infra.conftest import FRONTED, Synthesise, synthesise

__all__ = ["synthesise"]

NOT_UNDERSTOOD = b'{"session_state": "TELEPORTED", "note": "%d"}'

type Proof = Callable[[StageWatch, pytest.MonkeyPatch], None]


@pytest.fixture
def watch(
    shop: Shop, synthesise: Synthesise, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> StageWatch:
    monkeypatch.setattr(answers, "_heard", {})  # a process of its own
    return StageWatch(shop, synthesise("dev", never_silent_providers="flexype").service, capsys)


def not_understood(watch: StageWatch, number: int) -> None:
    watch.posted(body=NOT_UNDERSTOOD % number)


# --- Somebody is hurt now: one page.


def dynamodb_is_out(webhooks_per_minute: int) -> Proof:
    """Every webhook is answered 503, which Lambda counts as a success."""

    def proof(watch: StageWatch, monkeypatch: pytest.MonkeyPatch) -> None:
        with watch.throttled(monkeypatch):
            for minute in range(12):
                for number in range(webhooks_per_minute):
                    assert watch.posted(session=f"s-{minute}-{number}") == 503
                watch.shop.wait(minutes=1)

    return proof


def webhooks_take_long(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
    """Two in fifty wait for the start of a worker, which no function's duration holds."""
    for minute in range(16):
        for request in range(50):
            watch.of_function("ingest", "Duration", 40)
            route = "POST /hooks/{source_id}" + ("/{event}" if minute % 2 else "")
            watch.answered(3_500 if request < 2 else 60, route)
        watch.shop.wait(minutes=1)


def the_account_is_nearly_used_up(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
    used = Series.of(
        "AWS/Usage",
        "ResourceCount",
        {"Service": "Lambda", "Resource": "ConcurrentExecutions", "Type": "Resource", "Class": "None"},
    )
    watch.metrics.quotas[used] = 1000
    for _minute in range(4):
        watch.metrics.put(used, watch.shop.now, 850)
        watch.shop.wait(minutes=1)


def the_sweep_stops(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
    watch.minutes(10)
    assert "sweeplate" not in watch.firing()
    watch.minutes(8, sweeping=False)


def what_is_due_waits(watch: StageWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep comes each minute and moves nothing: what is due grows old."""
    watch.shop.webhook()
    watch.shop.wait(minutes=40)
    monkeypatch.setattr("shared.workflows.recovery.sweep.Sweeper._page", lambda *_: None)
    watch.minutes(6)


def every_sweep_fails(watch: StageWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.shop.webhook()
    watch.shop.wait(minutes=31)
    with watch.throttled(monkeypatch):
        watch.minutes(16)


def dispatch_was_down(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
    """Abandonments are written and told a quarter of an hour later."""
    watch.shop.endpoint()
    for number in range(5):
        watch.shop.webhook(session=f"s-{number}", user=stranger(number))
    watch.shop.wait(minutes=31)
    watch.swept()
    watch.shop.wait(minutes=15)
    watch.shop.settle()
    watch.shop.deliver()
    watch.shop.wait(minutes=5)


def old(name: str, seconds: float) -> Proof:
    """A queue's oldest message, or a stream's record, is as old as that."""

    def proof(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
        watch.put(name, seconds)
        watch.shop.wait(minutes=5)

    return proof


# --- To be looked at within the day.


def a_record_is_poison(watch: StageWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dispatch keeps it, and its pointer waits in the queue that SQS counts."""

    def stumble(*_: object) -> Any:
        raise KeyError("a field nobody thought of")

    watch.shop.endpoint()
    watch.shop.abandon()
    monkeypatch.setattr("shared.workflows.recovery.announce.Announcer.announce", stumble)
    watch.shop.dispatch()
    url = watch.shop.environment["DEAD_LETTERS_QUEUE_URL"]
    attributes = onlookers_client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    watch.put("recorddeadletters", int(attributes["ApproximateNumberOfMessages"]))
    watch.shop.wait(minutes=5)


def a_chain_is_cut(function: FunctionName) -> Proof:
    """Somebody took ``RecursiveLoop: Allow`` off the function; the two others count nothing."""

    def proof(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
        watch.of_function(function, "RecursiveInvocationsDropped", 1)
        watch.shop.wait(minutes=5)

    return proof


def the_sweep_is_not_started(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
    """EventBridge may not invoke it any more: each tick lies in the queue, with those before it."""
    for minute in range(65):
        watch.put("missedschedules", minute)
        assert minute > 60 or "missedschedules" not in watch.firing()
        watch.shop.wait(minutes=1)


def counted(name: str, value: float, minutes: int = 5) -> Proof:
    """AWS counts so many at once."""

    def proof(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
        watch.put(name, value)
        watch.shop.wait(minutes=minutes)

    return proof


def a_row_cannot_be_read(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
    watch.shop.webhook()
    watch.shop.wait(minutes=31)
    spoil(watch.shop, keys.checkout(watch.shop.digest()))
    watch.swept()
    watch.shop.wait(minutes=5)


def a_provider_changes_its_format(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
    for number in range(60):
        not_understood(watch, number)
        watch.shop.wait(seconds=15)


def a_sender_floods(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    found = MerchantStore(watch.shop.table).get(MERCHANT)
    assert found is not None
    settings = replace(found.value.settings, webhooks_per_minute=1)
    MerchantStore(watch.shop.table).replace(replace(found.value, settings=settings), found.version)
    forget_compositions()
    for minute in range(16):
        for request in range(3):
            watch.posted(session=f"s-{minute}-{request}")
        watch.shop.wait(minutes=1)


def webhooks_stay_away(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
    """An hourly webhook for a day, then none."""
    for _hour in range(24):
        watch.posted(session=f"s-{_hour}")
        watch.shop.wait(hours=1)
        assert _hour < 8 or "providersilent" not in watch.firing()
    watch.shop.wait(hours=8)


def repairs_fail(watch: StageWatch, _: pytest.MonkeyPatch) -> None:
    for _repair in range(4):
        watch.put("repairfailing", 1)
        watch.shop.wait(minutes=5)


PROOFS: dict[str, tuple[Proof, ...]] = {
    "webhooksnotstored": (dynamodb_is_out(1),),
    "apierrors": (dynamodb_is_out(1),),
    "tablethrottled": (dynamodb_is_out(12),),  # botocore soon repeats no more: one refusal for each webhook
    "webhooksslow": (webhooks_take_long,),
    "concurrencynearlimit": (the_account_is_nearly_used_up,),
    "sweeplate": (the_sweep_stops, what_is_due_waits),
    "sweepfailing": (every_sweep_fails,),
    "toldlate": (dispatch_was_down,),
    "deliveriesold": (old("deliveriesold", 301),),
    "stepsold": (old("stepsold", 301),),
    "campaignrunsold": (old("campaignrunsold", 901),),
    "dispatchlag": (old("dispatchlag", 301_000),),
    "retriesold": (old("retriesold", 1801),),
    "pullsold": (old("pullsold", 1801),),
    "slowold": (old("slowold", 3601),),
    "deadletters": (counted("deadletters", 1),),
    "recorddeadletters": (a_record_is_poison,),
    "missedschedules": (the_sweep_is_not_started,),
    "recursiondropped": (a_chain_is_cut("deliver"), a_chain_is_cut("pull"), a_chain_is_cut("campaign")),
    "campaigndeadletters": (counted("campaigndeadletters", 1),),
    "pulldeadletters": (counted("pulldeadletters", 21),),
    "streamgivenup": (counted("streamgivenup", 100),),
    "mailbounces": (counted("mailbounces", 0.051, minutes=60),),
    "mailcomplaints": (counted("mailcomplaints", 0.0011, minutes=60),),
    "setaside": (a_row_cannot_be_read,),
    "quarantined": (a_provider_changes_its_format,),
    "aboverate": (a_sender_floods,),
    "repairfailing": (repairs_fail,),
    "providersilent": (webhooks_stay_away,),
}
PAGES = {
    "webhooksnotstored", "apierrors", "tablethrottled", "webhooksslow", "concurrencynearlimit", "sweeplate",
    "sweepfailing", "toldlate", "deliveriesold", "stepsold", "campaignrunsold", "dispatchlag",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "proof"),
    [
        pytest.param(name, proof, id=f"{name}-{at}")
        for name, proofs in PROOFS.items()
        for at, proof in enumerate(proofs)
    ],
)
def test_the_fault_makes_its_alarm_fire(
    watch: StageWatch, monkeypatch: pytest.MonkeyPatch, name: str, proof: Proof
) -> None:
    proof(watch, monkeypatch)

    assert name in watch.firing()
    assert watch.tells(name) is (name not in PAGES)
    if name in PAGES:
        assert watch.pages()


def test_every_alarm_there_is_has_its_proof(watch: StageWatch) -> None:
    assert watch.names == set(PROOFS)


def test_a_front_with_another_key_than_the_functions_know_is_a_page(
    shop: Shop, synthesise: Synthesise, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every webhook is answered 403, which is no error for anybody but the provider. A stray request rings nothing."""
    watch = StageWatch(shop, synthesise("dev", **FRONTED).service, capsys)
    assert watch.names - set(PROOFS) == {"frontrefused"}
    monkeypatch.setenv("FRONT_ONLY", "on")
    monkeypatch.setattr(front, "_keys", lambda: (b"the key of today",))
    event = aws_event("webhook")
    for _minute in range(10):
        assert shop.posted(event)[0] == 403
        watch.shop.wait(minutes=1)
    assert "frontrefused" not in watch.firing()

    event["headers"] |= {FRONT_HEADER: "the key of yesterday"}
    for _minute in range(5):
        assert shop.posted(event)[0] == 403
        watch.shop.wait(minutes=1)
    assert "frontrefused" in watch.firing()
    assert watch.pages()


@pytest.mark.long
def test_a_healthy_day_with_merchants_own_mistakes_calls_nobody(watch: StageWatch) -> None:
    """A merchant's tight limit, a source that is not there and an odd body now and then are no fault of ours."""
    shop = watch.shop
    shop.endpoint(rate_limit={"max": 1, "per": 60_000})
    fired: set[str] = set()
    for minute in range(45):
        watch.posted(session=f"s-{minute}", user=stranger(minute))
        if minute % 8 == 0:
            not_understood(watch, minute)
            watch.shop.webhook(source_id="src_01KAHJ00000000000000N0NE00")
        watch.swept()
        shop.settle()
        shop.deliver()
        shop.deliver(shop.retries())
        for name in ("deliveriesold", "retriesold", "stepsold"):
            watch.put(name, 20)
        watch.put("dispatchlag", 900)
        watch.put("deadletters", 0)
        watch.put("recorddeadletters", 0)
        watch.put("missedschedules", 1)
        watch.answered(60)
        shop.wait(minutes=1)
        # Whoever has not been heard for six hours yet is silent.
        fired |= watch.firing() - {"providersilent"} if minute >= 5 else set()

    assert shop.sent, "abandonments were told meanwhile"
    assert fired == set()


def test_what_merchants_and_shoppers_wait_for_is_no_providers_wait(watch: StageWatch) -> None:
    """An export takes its time, and so does a link behind a slow phone."""
    for _minute in range(16):
        for _request in range(20):
            watch.answered(60)
            for route in ("ANY /v1/{proxy+}", "GET /r/{code}", "POST /callbacks/{endpoint_id}"):
                watch.answered(9_000, route)
        watch.shop.wait(minutes=1)

    assert "webhooksslow" not in watch.firing()


@pytest.mark.long
def test_what_a_merchants_limit_holds_back_is_not_told_late_by_us(watch: StageWatch) -> None:
    shop = watch.shop
    shop.endpoint(rate_limit={"max": 1, "per": 900_000})
    for number in range(6):
        shop.webhook(session=f"s-{number}", user=stranger(number))
    shop.wait(minutes=31)
    watch.swept()
    shop.settle()
    shop.deliver()
    for _ in range(120):
        shop.wait(minutes=1)
        watch.swept()
        shop.deliver(shop.retries())

    assert len(shop.sent) == 6
    assert "toldlate" not in watch.firing()


def test_an_idle_stage_is_well(watch: StageWatch) -> None:
    watch.minutes(30)

    assert watch.firing() == {"providersilent"}, "a stage that was told of one that never sends"
    assert not watch.pages()
