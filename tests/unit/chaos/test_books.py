"""The books of chaos: good ones balance, and each made-up bad one is found out, by the promise that it breaks."""

from dataclasses import replace

import pytest

from tests.chaos.books import (
    PROMISES,
    Case,
    CheckoutRow,
    DeliveryRow,
    EventRow,
    Ledger,
    Posted,
    Received,
    StepRow,
    findings,
)

TAKEN = frozenset({"accepted", "duplicate"})
PHONE, BUYER = "+919812300001", "+919812300002"
STAGE = Posted(1, "address", TAKEN, 100.0, 100.2, 200, "accepted", "chk_1", rank=2)
EARLIER = Posted(1, "phone", TAKEN, 101.0, 101.2, 200, "duplicate", "chk_1", rank=1)
PURCHASE = Posted(2, None, TAKEN, 110.0, 110.2, 200, "accepted", "chk_2", rank=99)
ODD = Posted(3, "", frozenset({"quarantined"}), 100.0, 100.1, 200, "quarantined", None, "qrn_1", b"{?}")
TOLD = EventRow("evt_1", "checkout.abandoned", "chk_1", ("ep_feed",), "2026-11-27T07:00:00Z")
FEED = Received(103.0, "feed", "feed", "evt_1", "checkout.abandoned", "chk_1", PHONE)
MESSAGE = Received(104.0, "send", "bsp", phone=PHONE, step=1)
REFUSED = replace(MESSAGE, at=103.5, taken=False, mood="429 with Retry-After")
DELIVERED = DeliveryRow("dlv_1", "ep_feed", "evt_1", "delivered")
STEP = StepRow("epi_1", "active", 1, "sent")
SENT = DeliveryRow("dlv_2", "ep_bsp", "evt_s", "delivered", None, "epi_1", 1)
GOOD = Ledger(
    cases=(
        Case(1, "walks away", PHONE, frozenset({"abandoned"})),
        Case(2, "buys at once", BUYER, frozenset({"completed", "recovered"})),
        Case(3, "is beyond understanding", "+919812300003", frozenset()),
    ),
    posted=(STAGE, EARLIER, PURCHASE, ODD),
    received=(FEED, REFUSED, MESSAGE),
    checkouts=(
        CheckoutRow("chk_1", "abandoned", "address", PHONE, abandoned=True),
        CheckoutRow("chk_2", "completed", None, BUYER, abandoned=False),
    ),
    events=(TOLD,),
    deliveries=(DELIVERED, SENT),
    steps=(STEP,),
    names={"ep_feed": "feed", "ep_bsp": "bsp"},
    queued={"deliveries": 0, "dead_letters": 1},
    dead=('{"delivery_id":"dlv_1","merchant_id":"mer_1","n":0}',),
    quarantined={"qrn_1": b"{?}"},
    campaigns={"mer_1-cmp_1": "rate(2 days)"},
    schedules={"mer_1-cmp_1": "rate(2 days)"},
)


def checkout(number: int, status: str, **changed: object) -> tuple[CheckoutRow, ...]:
    """The good checkouts, one of them otherwise."""
    return tuple(
        replace(own, status=status, **changed) if own.id == f"chk_{number}" else own  # type: ignore[arg-type]
        for own in GOOD.checkouts
    )


BAD: list[tuple[str, str, Ledger]] = [
    ("webhooks are taken", "never taken", replace(GOOD, posted=(replace(STAGE, status=503), ODD, PURCHASE, EARLIER))),
    ("webhooks are taken", "refused with", replace(GOOD, posted=(replace(STAGE, refusals=(401,)), ODD, PURCHASE))),
    ("webhooks are taken", "told ignored", replace(GOOD, posted=(STAGE, replace(ODD, told="ignored"), PURCHASE))),
    ("webhooks are reflected", "is gone", replace(GOOD, checkouts=GOOD.checkouts[:1])),
    ("webhooks are reflected", "was bought and is open", replace(GOOD, checkouts=checkout(2, "open"))),
    ("webhooks are reflected", "never bought", replace(GOOD, checkouts=checkout(1, "completed"))),
    ("webhooks are reflected", "shows stage phone", replace(GOOD, checkouts=checkout(1, "abandoned", stage="phone"))),
    ("webhooks are reflected", "byte for byte", replace(GOOD, quarantined={"qrn_1": b"{"})),
    ("webhooks are reflected", "byte for byte", replace(GOOD, quarantined={})),
    ("stories end as they must", "is expired", replace(GOOD, checkouts=checkout(1, "expired"))),
    ("stories end as they must", "no checkout", replace(GOOD, posted=(PURCHASE, ODD))),
    ("abandonments are told once", "nobody was told", replace(GOOD, events=(), received=())),
    ("abandonments are told once", "2 events", replace(GOOD, events=(TOLD, replace(TOLD, id="evt_2")))),
    ("events reach their endpoints", "has no delivery", replace(GOOD, deliveries=(SENT,))),
    ("events reach their endpoints", "never had", replace(GOOD, received=(MESSAGE,))),
    ("events reach their endpoints", "never had", replace(GOOD, received=(replace(FEED, taken=False), MESSAGE))),
    (
        "events reach their endpoints",
        "still is",
        replace(GOOD, deliveries=(replace(DELIVERED, status="retrying"), SENT)),
    ),
    (
        "events reach their endpoints",
        "without a",
        replace(GOOD, deliveries=(replace(DELIVERED, status="skipped"), SENT)),
    ),
    ("events reach their endpoints", "nobody knows", replace(GOOD, received=(FEED, replace(FEED, event_id="evt_9")))),
    (
        "nothing is sent after a purchase",
        "4.8 s after",
        replace(GOOD, received=(FEED, MESSAGE, replace(MESSAGE, at=115.0, phone=BUYER))),
    ),
    (
        "nothing is sent after a purchase",
        "checkout.abandoned at feed",
        replace(GOOD, received=(FEED, MESSAGE, replace(FEED, at=115.0, phone=BUYER))),
    ),
    (
        "nothing is sent after an opt out",
        "after the opt-out",
        replace(GOOD, cases=(replace(GOOD.cases[0], opted_out_at=102.0), *GOOD.cases[1:])),
    ),
    ("no message is sent twice", "took step 1 2 times", replace(GOOD, received=(FEED, MESSAGE, MESSAGE))),
    (
        "no message is sent twice",
        "under 2 ids",
        replace(GOOD, received=(replace(FEED, step=1), replace(FEED, step=1, event_id="evt_2"), MESSAGE)),
    ),
    ("no step hangs", "claimed by nobody", replace(GOOD, steps=(replace(STEP, state="claimed"),))),
    ("no step hangs", "has been due", replace(GOOD, steps=(replace(STEP, state="planned", due_in=-9.0),))),
    ("no step hangs", "without a reason", replace(GOOD, steps=(replace(STEP, state="unknown"),))),
    ("sent steps were received", "has no delivery", replace(GOOD, deliveries=(DELIVERED,))),
    ("sent steps were received", "nobody received", replace(GOOD, received=(FEED, REFUSED))),
    (
        "sent steps were received",
        "its delivery failed",
        replace(GOOD, deliveries=(DELIVERED, replace(SENT, status="failed", reason="no"))),
    ),
    ("nothing is left behind", "is due", replace(GOOD, due=("C#1 C (C0)",))),
    ("nothing is left behind", "holds 2 messages", replace(GOOD, queued={"steps": 2})),
    ("nothing is left behind", "nothing explains", replace(GOOD, dead=('{"poison":"poison/1"}',))),
    (
        "nothing is left behind",
        "nothing explains",
        replace(GOOD, dead=('{"episode_id":"epi_1"}',), steps=(replace(STEP, state="planned", due_in=9.0),)),
    ),
    ("schedules follow their campaigns", "is missing", replace(GOOD, schedules={})),
    ("schedules follow their campaigns", "gone by its campaign", replace(GOOD, campaigns={})),
    (
        "schedules follow their campaigns",
        "is rate(3 days) at Scheduler",
        replace(GOOD, schedules={"mer_1-cmp_1": "rate(3 days)"}),
    ),
]


def test_good_books_balance() -> None:
    assert findings(GOOD) == []


@pytest.mark.parametrize(("promise", "detail", "books"), BAD, ids=[f"{own[0]}: {own[1]}" for own in BAD])
def test_bad_books_are_found_out(promise: str, detail: str, books: Ledger) -> None:
    found = [own for own in findings(books) if own.promise == promise]
    assert any(detail in own.detail for own in found), findings(books)


def test_every_promise_has_books_that_break_it() -> None:
    assert {promise.__name__.replace("_", " ") for promise in PROMISES} == {promise for promise, _, _ in BAD}


def test_a_message_under_way_when_the_purchase_is_taken_is_no_broken_promise() -> None:
    books = replace(GOOD, received=(FEED, MESSAGE, replace(MESSAGE, at=110.9, phone=BUYER)))
    assert findings(books) == []


def test_the_same_event_twice_is_no_broken_promise() -> None:
    assert findings(replace(GOOD, received=(FEED, replace(FEED, at=105.0), MESSAGE))) == []
