"""Finding checkouts, reading them, and ending them by hand."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from functions.merchant_api import services
from shared.api import answer_size
from shared.api.answer_size import fitting
from shared.domain.cart import Cart, Item, Totals
from shared.domain.change import CheckoutChange, OrderKey, Signal
from shared.domain.checkout import Activity, Checkout
from shared.domain.deadline import given_up
from shared.domain.ids import MerchantId, SourceId
from shared.domain.money import Money
from shared.domain.settings import Settings
from shared.domain.transitions import Arrival, Mark, apply
from shared.store import keys
from shared.store.writes import Update
from tests.integration.api.conftest import PUBLIC_URL, Api, new_merchant
from tests.integration.api.reading import a_cart, stored

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ABANDONED, BOUGHT, STARTED = Signal.ABANDONED, Signal.PURCHASED, Signal.ACTIVITY


@pytest.fixture(autouse=True)
def _afternoon() -> Any:
    with time_machine.travel(NOON + timedelta(hours=6), tick=False):
        yield


def checkout(
    merchant: Api,
    name: str,
    *,
    at: datetime = NOON,
    signal: Signal = STARTED,
    total: int = 63000,
    provider: str = "flexype",
    **leaves: str,
) -> Checkout:
    """A checkout as ingest would have stored it."""
    own = services.services()
    found = own.merchants.get(MerchantId(merchant("GET", "/v1/merchant").json["id"]))
    assert found is not None
    money = Money(total, "INR")
    cart = Cart(currency="INR", items=(Item(Decimal(1), title="Tea", unit_price=money),), totals=Totals(total=money))
    shop = {leaf.replace("__", "."): value for leaf, value in leaves.items()}
    change = CheckoutChange(
        external_id=name,
        signal=signal,
        order_key=OrderKey(f"{at.timestamp():020.3f}"),
        body_digest=hashlib.sha256(name.encode()).digest()[:16],
        occurred_at=at,
        leaves={**shop, "checkout_url": ("https://tea.example/c", "https://tea.example/c")},
        cart=cart,
    )
    arrival = Arrival(found.value.id, SourceId("src_1"), provider, at, found.value.settings)
    applied = apply(None, change, arrival)
    own.checkouts.replace(None, applied.checkout, applied.mark, found.value.settings, change=change, at=at)
    return applied.checkout


def ids(answer: Any) -> list[str]:
    """The external ids on a page."""
    assert answer.status == 200, answer.text
    return [row["external_id"] for row in answer.json["data"]]


def test_a_checkout_is_shown_with_its_recovery_link(merchant: Api) -> None:
    stored = checkout(merchant, "one")

    shown = merchant("GET", f"/v1/checkouts/{stored.id}")

    assert shown.status == 200
    assert shown.json["external_id"] == "one"
    assert shown.json["recovery_url"].startswith(f"{PUBLIC_URL}/r/")
    assert shown.json["activities_count"] == 0
    assert shown.headers["etag"] == '"1"'


def test_lists_come_newest_first_and_whole_whatever_the_page(merchant: Api) -> None:
    signals = (STARTED, ABANDONED, BOUGHT)
    for number in range(11):
        checkout(merchant, f"c{number:02}", at=NOON - timedelta(hours=2 * number), signal=signals[number % 3])
    expected = [f"c{number:02}" for number in range(11)]
    assert ids(merchant("GET", "/v1/checkouts")) == expected

    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = merchant("GET", "/v1/checkouts", query={"limit": "3"} | ({"cursor": cursor} if cursor else {}))
        assert len(page.json["data"]) <= 3
        seen += ids(page)
        cursor = page.json["next_cursor"]
        if cursor is None:
            break
    assert seen == expected


@pytest.mark.parametrize("query", [{}, {"phone": "+917777788888"}])
def test_a_page_of_huge_carts_is_short_and_the_next_goes_on(
    merchant: Api, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    """No answer of a function may hold more than 6 MB: whoever asked for so much would never get past it."""
    monkeypatch.setattr(answer_size, "MOST_BYTES", 60_000)
    made = {own.external_id for own in stored(merchant, [{"cart": a_cart(40)} for _ in range(9)])}
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = merchant("GET", "/v1/checkouts", query={"limit": "200", **query, **cursor})
        assert 1 <= len(page.json["data"]) < 9
        assert len(page.text) < 61_000
        seen += ids(page)
        if page.json["next_cursor"] is None:
            break
        cursor = {"cursor": page.json["next_cursor"]}
    assert len(seen) == len(set(seen))
    assert set(seen) == made


def test_what_fits_leaves_room_for_its_quotes_and_one_alone_always_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"title": "Tea " * 3, "note": None} for _ in range(200_000)]
    most = fitting(rows)
    assert 50_000 < most < 200_000
    assert len(json.dumps({"statusCode": 200, "body": json.dumps(rows[:most])})) < 6 * 1024 * 1024
    monkeypatch.setattr(answer_size, "MOST_BYTES", 10)
    assert (fitting(rows[:3]), fitting([])) == (1, 0)


def test_filters_are_exact(merchant: Api) -> None:
    checkout(merchant, "cheap", total=10000, customer__phone="+917777788888")
    checkout(merchant, "dear", total=90000, at=NOON - timedelta(hours=3), customer__email="asha@example.com")
    checkout(merchant, "lost", signal=ABANDONED, at=NOON - timedelta(hours=5), customer__id="41")
    checkout(merchant, "wix", provider="wix", at=NOON - timedelta(hours=7), customer__phone="+917777788888")

    def found(**query: str) -> list[str]:
        return ids(merchant("GET", "/v1/checkouts", query=query))

    assert found(status="abandoned") == ["lost"]
    assert found(provider="wix") == ["wix"]
    assert found(min_total="900.00") == ["dear"]
    assert found(customer_id="41") == ["lost"]
    assert found(customer_id="42") == []
    assert found(email="ASHA@example.com") == ["dear"]
    assert sorted(found(phone="7777788888")) == ["cheap", "wix"]
    assert sorted(found(phone="+917777788888")) == ["cheap", "wix"]
    assert sorted(found(phone=" 917777788888")) == ["cheap", "wix"]
    assert found(phone="+917777788888", provider="wix") == ["wix"]
    since, before = NOON - timedelta(hours=5), NOON - timedelta(hours=3)
    assert found(updated_since=since.isoformat()) == ["cheap", "dear", "lost"]
    assert found(updated_since=since.isoformat(), updated_before=before.isoformat()) == ["lost"]
    assert ids(merchant("GET", "/v1/customers/41/checkouts", query={"status": "abandoned"})) == ["lost"]
    assert ids(merchant("GET", "/v1/customers/41/checkouts", query={"status": "open"})) == []


def test_the_open_are_found_among_the_abandoned_whatever_the_page(merchant: Api) -> None:
    for number in range(60):
        signal = STARTED if number % 6 == 0 else ABANDONED
        checkout(merchant, f"c{number:02}", at=NOON - timedelta(minutes=90 * number), signal=signal)
    expected = [f"c{number:02}" for number in range(0, 60, 6)]

    seen: list[str] = []
    query = {"status": "open", "limit": "4"}
    while True:
        page = merchant("GET", "/v1/checkouts", query=query)
        assert len(ids(page)) <= 4
        seen += ids(page)
        if page.json["next_cursor"] is None:
            break
        query["cursor"] = page.json["next_cursor"]
    assert seen == expected
    assert ids(merchant("GET", "/v1/checkouts", query={"status": "abandoned", "limit": "3"})) == ["c01", "c02", "c03"]


def test_a_checkout_that_an_older_release_listed_apart_is_found_and_does_not_stay_there(merchant: Api) -> None:
    own = services.services()
    stored = checkout(merchant, "one", customer__phone="+917777788888")
    apart = Update(keys.checkout(stored.digest), set={"lp": f"{stored.merchant_id}#open#0"})
    own.table.update(apart)
    assert ids(merchant("GET", "/v1/checkouts", query={"status": "open"})) == ["one"]

    left = given_up(stored, NOON + timedelta(hours=1), Settings())
    own.checkouts.replace(stored, left, Mark.ABANDONED, Settings())

    assert ids(merchant("GET", "/v1/checkouts", query={"status": "abandoned"})) == ["one"]
    assert ids(merchant("GET", "/v1/checkouts", query={"status": "open"})) == []


WRONG: list[tuple[dict[str, str], str]] = [
    ({"status": "lost"}, "status"),
    ({"limit": "0"}, "limit"),
    ({"limit": "201"}, "limit"),
    ({"limit": "ten"}, "limit"),
    ({"min_total": "-1"}, "min_total"),
    ({"min_total": "1e3"}, "min_total"),
    ({"updated_since": "yesterday"}, "updated_since"),
    ({"phone": "12"}, "phone"),
    ({"email": "nobody"}, "email"),
    ({"cursor": "AAAA"}, "cursor"),
    ({"cursor": "\u00e9"}, "cursor"),
    ({"stauts": "open"}, "stauts"),
]


def test_a_wrong_parameter_is_named(merchant: Api) -> None:
    for query, parameter in WRONG:
        refused = merchant("GET", "/v1/checkouts", query=query)

        assert refused.status == 422, (query, refused.text)
        assert [error["parameter"] for error in refused.json["errors"]] == [parameter], query


def test_a_foreign_cursor_is_none(operator: Api, merchant: Api) -> None:
    other = operator.as_(new_merchant(operator)["token"])
    for number in range(3):
        checkout(other, f"theirs{number}", at=NOON - timedelta(hours=number), customer__id="41")
        checkout(merchant, f"ours{number}", at=NOON - timedelta(hours=number), customer__id="41")
    for path in ("/v1/checkouts", "/v1/customers/41/checkouts"):
        cursor = other("GET", path, query={"limit": "1"}).json["next_cursor"]

        refused = merchant("GET", path, query={"cursor": cursor})

        assert (refused.status, refused.json["errors"][0]["parameter"]) == (422, "cursor")
    theirs = other("GET", "/v1/checkouts").json["data"][0]["id"]
    for method, path in (("GET", ""), ("GET", "/activities"), ("POST", "/discard"), ("POST", "/complete")):
        assert merchant(method, f"/v1/checkouts/{theirs}{path}").status == 404


def test_a_checkout_past_its_retention_is_gone_before_the_table_deletes_it(merchant: Api) -> None:
    stored = checkout(merchant, "old", at=NOON - timedelta(days=38), customer__id="41")

    assert merchant("GET", f"/v1/checkouts/{stored.id}").status == 404
    assert ids(merchant("GET", "/v1/checkouts")) == []
    assert ids(merchant("GET", "/v1/customers/41/checkouts")) == []


def test_a_discarded_checkout_stays_discarded(merchant: Api) -> None:
    stored = checkout(merchant, "lost", signal=ABANDONED)

    gone = merchant("POST", f"/v1/checkouts/{stored.id}/discard")

    assert gone.status == 200, gone.text
    assert gone.json["status"] == "discarded"
    assert ids(merchant("GET", "/v1/checkouts", query={"status": "discarded"})) == ["lost"]
    assert ids(merchant("GET", "/v1/checkouts", query={"status": "abandoned"})) == []
    again = merchant("POST", f"/v1/checkouts/{stored.id}/discard")
    assert again.json == gone.json
    timeline = merchant("GET", f"/v1/checkouts/{stored.id}/activities").json["data"]
    assert [entry["type"] for entry in timeline] == ["discarded"]
    marked = services.services().table.get((f"C#{stored.digest}", "C"))
    assert marked is not None
    assert (marked["te"], marked["tr"]) == ("discarded", marked["v"])


def test_a_bought_checkout_cannot_be_discarded(merchant: Api) -> None:
    stored = checkout(merchant, "bought", signal=BOUGHT)

    refused = merchant("POST", f"/v1/checkouts/{stored.id}/discard")

    assert refused.status == 409
    assert merchant("GET", f"/v1/checkouts/{stored.id}").json["status"] == "completed"


def test_completing_by_hand_is_a_purchase(merchant: Api) -> None:
    stored = checkout(merchant, "lost", signal=ABANDONED)

    done = merchant("POST", f"/v1/checkouts/{stored.id}/complete", {"order_id": "1001"})

    assert done.status == 200, done.text
    assert done.json["status"] == "recovered"
    assert done.json["order"]["id"] == "1001"
    assert done.json["order"]["total"] == {"amount": "630.00", "currency": "INR"}
    assert merchant("POST", f"/v1/checkouts/{stored.id}/complete").json == done.json
    assert merchant("POST", f"/v1/checkouts/{stored.id}/discard").status == 409


def test_a_timeline_is_read_oldest_first_in_pages(merchant: Api) -> None:
    stored = checkout(merchant, "one")
    timeline = services.services().activities
    entries = [Activity(NOON + timedelta(minutes=number), "clicked", {"step": number}) for number in range(5)]
    for entry in [*reversed(entries), entries[2]]:
        timeline.add(stored.digest, entry, NOON + timedelta(days=30))

    path = f"/v1/checkouts/{stored.id}/activities"
    cursor: str | None = None
    seen = []
    while True:
        place: dict[str, str] = {"cursor": cursor} if cursor else {}
        page = merchant("GET", path, query={"limit": "2", **place}).json
        seen += [entry["detail"]["step"] for entry in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == [0, 1, 2, 3, 4]
    assert merchant("GET", f"/v1/checkouts/{stored.id}").json["activities_count"] == 5
    assert merchant("GET", "/v1/checkouts").json["data"][0]["activities_count"] == 5


def test_an_unknown_checkout_is_404(merchant: Api) -> None:
    for checkout_id in ["chk_unknown", "nonsense", "chk_" + "a" * 26, "chk_" + "!" * 26]:
        assert merchant("GET", f"/v1/checkouts/{checkout_id}").status == 404
