"""Every AWS call of a flow fails once, before and after its effect; AWS repeats; the end is the same every time.

For each flow the calls are counted first, so a call that is added is covered by being made.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.delivery.exchange import Answer
from shared.domain.ids import SourceId
from shared.domain.merchant import Source, SourceCredentials
from shared.store import keys
from shared.store.configuration import EndpointStore, MerchantStore, SourceStore
from shared.store.resend_jobs import ResendJobStore
from shared.store.writes import Update
from shared.workflows.delivering.resend import ResendJobs
from tests.integration.conftest import DUE_SHARDS
from tests.integration.faults.aws_calls import AwsCalls, Kind
from tests.integration.faults.repeating import Aws, posted
from tests.integration.faults.theatre import Flow, Story, ends_the_same, in_turn, nothing, opened, played, sums_up
from tests.integration.shop import MERCHANT, Shop, stranger

pytestmark = pytest.mark.long

OTHER = {"checkout_url": "https://flexype.myshopify.com/?flx_s=another-device"}


def posts(**payload: Any) -> Story:
    return lambda aws: _accepted(aws.posts(posted(**payload)))


TILL = SourceId("src_01KAHJ0000000000000000T111")
TOKEN = "a-token-in-the-url"


def till_opens(aws: Aws) -> None:
    """A source of the shop's own (provider ``custom``), which names its orders and tells of refunds."""
    sealed = aws.shop.stores.cipher.seal_source(TILL, MERCHANT, SourceCredentials(url_token=TOKEN))
    SourceStore(aws.shop.table).create(Source(TILL, MERCHANT, "custom", aws.shop.now, sealed=sealed))


def till(**body: Any) -> Story:
    def post(aws: Aws) -> None:
        event = posted()
        event["pathParameters"] = {"source_id": TILL}
        event["queryStringParameters"] = {"token": TOKEN}
        event["body"] = json.dumps({"currency": "INR", **body})
        _accepted(aws.posts(event))

    return post


def walks_away(aws: Aws) -> None:
    aws.shop.wait(minutes=31)


def sweeps(aws: Aws) -> None:
    aws.sweeps()


def streams(aws: Aws) -> None:
    aws.streams()


def delivers(aws: Aws) -> None:
    aws.delivers()


def days_pass(aws: Aws) -> None:
    """The cohort has matured and was summed up."""
    aws.shop.wait(days=9)
    sums_up(aws.shop)


def endpoint_fails_once(aws: Aws) -> None:
    answers = iter([Answer(503)])
    aws.shop.answer = lambda _: next(answers, Answer(200))


def somebody_hears_every_update(aws: Aws) -> None:
    aws.shop.endpoint("checkout.updated", url="https://feed.example/")
    MerchantStore(aws.shop.table).flag(MERCHANT, feed=True, raw=False)
    aws.shop.wait(seconds=6)


def step_is_due(aws: Aws) -> None:
    aws.shop.wait(minutes=30)


def its_time_is_over(aws: Aws) -> None:
    aws.shop.wait(days=5)


def another_leaves(aws: Aws) -> None:
    posts(checkout_url="https://flexype.myshopify.com/?flx_s=another", user=stranger(3))(aws)


def is_spoilt(aws: Aws) -> None:
    """The other's row says what nobody understands, and is marked: the stream brings it."""
    aws.shop.table.update(Update(keys.checkout(aws.shop.digest("another")), set={"st": "teleported", "tr": "told"}))


def endpoint_fails_thrice(aws: Aws) -> None:
    """The fourth attempt is so late that no queue holds it: it waits in a due row."""
    aws.shop.answer = lambda _: Answer(503)
    for wait in (0, 10, 400):
        aws.shop.wait(seconds=wait)
        delivers(aws)


def endpoints_were_off(aws: Aws) -> None:
    """Each gave up what it could not deliver, and is asked to send it again."""
    aws.shop.answer = lambda _: Answer(400)
    delivers(aws)
    aws.shop.wait(seconds=1)
    shop = aws.shop
    for own in EndpointStore(shop.table).listed(MERCHANT):
        ResendJobs(ResendJobStore(shop.table, DUE_SHARDS), lambda: shop.now).start(own.value, None, None)


TOLD = in_turn(posts(), walks_away, sweeps, streams)
ABANDONED = in_turn(TOLD, delivers)
CART = {"external_id": "basket-1", "totals": {"total": "630.00"}, "customer": {"email": "asha@example.com"}}
ORDER = {"id": "A-1001"}
PAID = {**CART, "status": "paid", "order": ORDER}
CART_LEFT = in_turn(till_opens, till(**CART, status="open"), walks_away, sweeps, streams, delivers)
SOLD = in_turn(CART_LEFT, till(**PAID), streams, delivers)
REFUND = till(status="refunded", order=ORDER, refund={"id": "R-1", "amount": "100.00"})
FLOWS = [
    Flow("webhook, first", nothing, posts(), 1),
    Flow("webhook, repeat", posts(), posts(session_state="PAYMENT_LOADED"), 1),
    Flow("webhook, payment", posts(), posts(session_state="PAYMENT_INITIATED"), 1),
    Flow(
        "webhook, reopening",
        ABANDONED,
        in_turn(posts(session_state="PAYMENT_LOADED"), streams, delivers),
        8,
        variant=True,
    ),
    Flow("webhook, not understood", nothing, posts(session_state=["of no kind"]), 2),
    Flow("abandonment", posts(), in_turn(walks_away, sweeps, streams), 10),
    Flow(
        "abandonment, first of the day",
        in_turn(posts(), walks_away, sweeps),
        streams,
        18,
        variant=True,
        first_of_the_day=True,
    ),
    Flow(
        "abandonment, second device",
        in_turn(ABANDONED, posts(**OTHER)),
        in_turn(walks_away, sweeps, streams),
        10,
        variant=True,
    ),
    Flow(
        "abandonment, next attempt",
        in_turn(ABANDONED, step_is_due, sweeps, delivers, streams, its_time_is_over, posts(**OTHER)),
        in_turn(walks_away, sweeps, streams),
        11,
        variant=True,
    ),
    Flow("purchase of an open checkout", posts(), in_turn(posts(session_state="COMPLETED"), streams), 5),
    Flow("purchase of an abandoned checkout", ABANDONED, in_turn(posts(session_state="COMPLETED"), streams), 5),
    Flow(
        "purchase elsewhere",
        ABANDONED,
        in_turn(posts(session_state="COMPLETED", **OTHER), streams, delivers),
        8,
    ),
    Flow("refund", SOLD, in_turn(REFUND, streams, delivers), 8),
    Flow("refund, repeated", in_turn(SOLD, REFUND, streams), in_turn(REFUND, streams), 1, variant=True),
    Flow("refund before its order", CART_LEFT, in_turn(REFUND, till(**PAID), streams, delivers), 12, variant=True),
    Flow(
        "cancellation after the horizon",
        in_turn(SOLD, days_pass),
        in_turn(till(status="cancelled", order=ORDER), streams),
        6,
        variant=True,
    ),
    Flow(
        "order named by a second webhook",
        in_turn(CART_LEFT, till(**PAID | {"order": {}, "completed_at": "2026-11-21T12:32:00Z"}), streams),
        in_turn(till(**PAID), REFUND, streams),
        6,
        variant=True,
    ),
    Flow("delivery", TOLD, delivers, 4),
    Flow(
        "delivery, endpoint fails once",
        TOLD,
        in_turn(endpoint_fails_once, delivers),
        4,
    ),
    Flow("update", somebody_hears_every_update, in_turn(posts(), streams, delivers), 9),
    Flow(
        "update, endpoint fails once",
        somebody_hears_every_update,
        in_turn(endpoint_fails_once, posts(), streams, delivers),
        9,
        variant=True,
    ),
    Flow("campaign step", in_turn(ABANDONED, step_is_due), in_turn(sweeps, delivers, streams), 12),
    Flow(
        "campaign step, vendor busy",
        in_turn(ABANDONED, step_is_due),
        in_turn(endpoint_fails_once, sweeps, delivers),
        12,
        variant=True,
    ),
    Flow("poison record", in_turn(another_leaves, is_spoilt, posts(), walks_away, sweeps), streams, 20, variant=True),
    Flow(
        "sweep of a late retry",
        in_turn(TOLD, endpoint_fails_thrice, walks_away),
        in_turn(sweeps, delivers),
        8,
        variant=True,
    ),
    Flow("sweep of a resend", in_turn(TOLD, endpoints_were_off), in_turn(sweeps, delivers), 8, variant=True),
    Flow(
        "sweep of every kind of due row",
        in_turn(TOLD, endpoint_fails_thrice, another_leaves, walks_away, walks_away),
        sweeps,
        10,
        variant=True,
    ),
]


def _accepted(statuses: list[int]) -> None:
    assert set(statuses) <= {200, 500, 503}, f"a webhook was refused for our own fault: {statuses}"


@pytest.mark.parametrize(("flow", "kind"), played(FLOWS))
def test_whichever_call_fails_and_however_the_end_is_the_same(
    flow: Flow, kind: Kind, shop: Shop, calls: AwsCalls, record_property: Callable[[str, object], None]
) -> None:
    ends_the_same(flow, kind, shop, calls, record_property)


def test_a_poison_record_is_set_aside_and_what_comes_after_it_is_told(shop: Shop) -> None:
    """Or their ending alike would prove nothing."""
    aws = opened(shop)
    in_turn(another_leaves, is_spoilt, posts(), walks_away, sweeps, streams)(aws)
    assert {json.loads(own)["cause"] for own in aws.set_aside()} == {"MalformedRecord"}
    assert [own.event_type for own in shop.deliveries()] == ["checkout.abandoned"]
