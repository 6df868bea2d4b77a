"""Wix' REST way of reading abandoned checkouts: every provider's, page by page, dismissed and noted; and refusals."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from functions.merchant_api import services
from functions.reading import composition
from shared.api import answer_size
from shared.domain.checkout import Status
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.reading import Reader, a_cart, reader, stored


@pytest.fixture
def client(merchant: Api) -> Iterator[Reader]:
    """A Wix client with the merchant's token."""
    yield reader(merchant)
    composition.services.cache_clear()


def page(client: Reader, **query: Any) -> dict[str, Any]:
    answer = client.wix("query", {"query": query})
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def ids(answer: Mapping[str, Any]) -> list[str]:
    return [own["id"] for own in answer["abandonedCheckouts"]]


def walked(client: Reader, size: int = 50, **query: Any) -> list[dict[str, Any]]:
    """All pages, by the cursors alone once there is one."""
    pages = [page(client, cursorPaging={"limit": size}, **query)]
    while "next" in pages[-1]["metadata"]["cursors"]:
        assert len(pages) < 60
        pages.append(page(client, cursorPaging={"limit": size, "cursor": pages[-1]["metadata"]["cursors"]["next"]}))
    return pages


def all_ids(pages: list[dict[str, Any]]) -> list[str]:
    return [own for one in pages for own in ids(one)]


def test_a_checkout_of_any_provider_has_the_fields_wix_gives_it(merchant: Api, client: Reader) -> None:
    (made,) = stored(merchant, [{"provider": "stripe"}])

    shown = client.wix("get", named=made.id).json["abandonedCheckout"]

    price = lambda amount: {  # noqa: E731
        "amount": amount, "convertedAmount": amount, "formattedAmount": f"INR {amount}",
        "formattedConvertedAmount": f"INR {amount}",
    }  # fmt: skip
    assert (shown["id"], shown["checkoutId"], shown["status"]) == (made.id, made.external_id, "ABANDONED")
    assert shown["contactDetails"] == {"firstName": "Asha", "phone": "+917777788888"}
    assert (shown["totalPrice"], shown["subtotalPrice"]) == (price("350.00"), price("400.00"))
    assert shown["checkoutUrl"].startswith("https://api.checkback.example/r/")
    assert shown["appliedDiscounts"] == [{"coupon": {"code": "BACK10"}}]
    assert shown["activities"] == []
    line = shown["lineItems"][0]
    assert line["catalogReference"] == {"catalogItemId": "p0", "options": {"variantId": "v0"}}
    assert (line["quantity"], line["productName"], line["price"]) == (2, {"original": "Tea 0"}, price("100.00"))
    assert "cartId" not in shown, "what was never sent is left out"


def test_120_checkouts_are_paged_both_ways_each_once(merchant: Api, client: Reader) -> None:
    now = services.services().now()
    made = stored(
        merchant, [{"last_activity_at": now - timedelta(hours=max(number - 50, 1) * 2)} for number in range(120)]
    )

    forwards = walked(client)

    assert [own["metadata"]["count"] for own in forwards] == [50, 50, 20]
    order = all_ids(forwards)
    assert Counter(order) == Counter(str(own.id) for own in made)
    assert order[-1] in {made[-1].id, made[-2].id}, "newest activity first"
    assert all_ids(walked(client, size=7)) == order
    assert "prev" not in forwards[0]["metadata"]["cursors"]
    back = page(client, cursorPaging={"limit": 50, "cursor": forwards[2]["metadata"]["cursors"]["prev"]})
    assert ids(back) == ids(forwards[1])
    again = page(client, cursorPaging={"limit": 50, "cursor": back["metadata"]["cursors"]["prev"]})
    assert ids(again) == ids(forwards[0])
    assert "prev" not in again["metadata"]["cursors"]
    there = page(client, cursorPaging={"limit": 50, "cursor": again["metadata"]["cursors"]["next"]})
    assert ids(there) == ids(forwards[1])


def test_pages_of_huge_carts_are_short_and_whole_in_both_directions(
    merchant: Api, client: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_size, "MOST_BYTES", 60_000)
    made = {own.id for own in stored(merchant, [{"cart": a_cart(40)} for _ in range(9)])}
    pages = walked(client, 100)
    assert 1 < len(pages) < 9
    assert all(len(json.dumps(own["abandonedCheckouts"])) < 61_000 for own in pages)
    seen = all_ids(pages)
    assert len(seen) == len(set(seen))
    assert set(seen) == made
    back = [pages[-1]]
    while "prev" in back[-1]["metadata"]["cursors"]:
        back.append(page(client, cursorPaging={"limit": 100, "cursor": back[-1]["metadata"]["cursors"]["prev"]}))
    assert [own for found in back[::-1] for own in ids(found)] == seen


def test_filters_and_orders_are_kept_by_the_cursor(merchant: Api, client: Reader) -> None:
    now = services.services().now()
    made = stored(
        merchant,
        [{"leaves": {"started_at": (now - timedelta(hours=9 - number % 4)).isoformat()}} for number in range(12)]
        + [{"status": Status.RECOVERED, "completed_at": now, "external_id": f"r{number}"} for number in range(5)]
        + [{"status": Status.EXPIRED, "external_id": "old"}, {"status": Status.DISCARDED, "external_id": "gone"}],
    )
    begun = {str(own.id): str(own.text("started_at")) for own in made[:12]}
    recovered, expired = {own.id for own in made[12:17]}, made[17].id

    def found(given: Any, size: int = 2) -> set[str]:
        pages = walked(client, size=size, filter=given)
        assert len(all_ids(pages)) == len(set(all_ids(pages)))
        return set(all_ids(pages))

    assert found({}) == begun.keys() | recovered | {expired}
    assert found({"status": "RECOVERED"}) == recovered
    assert found({"status": {"$ne": "RECOVERED"}}) == begun.keys() | {expired}
    assert found({"$and": [{"status": {"$in": ["ABANDONED"]}}, {"$not": {"id": expired}}]}) == begun.keys()
    assert found({"$or": [{"id": expired}, {"status": {"$nin": ["ABANDONED"]}}]}) == recovered | {expired}
    since = (now - timedelta(hours=7)).isoformat()
    assert found({"createdDate": {"$gte": {"$date": since}}, "status": "ABANDONED"}) == {
        own for own, at in begun.items() if at >= since
    } | {expired}
    order = all_ids(walked(client, size=5, sort=[{"fieldName": "createdDate"}], filter={"id": {"$in": list(begun)}}))
    assert [begun[own] for own in order] == sorted(begun.values())
    falling = walked(
        client, size=5, sort=[{"fieldName": "createdDate", "order": "DESC"}], filter={"id": {"$in": list(begun)}}
    )
    assert all_ids(falling) == order[::-1]
    searched = client.wix("search", {"search": {"filter": {"status": "RECOVERED"}}}).json
    assert set(ids(searched)) == recovered
    assert searched["pagingMetadata"]["count"] == 5


def test_delete_dismisses_and_what_was_bought_cannot_be(merchant: Api, client: Reader) -> None:
    left, bought = stored(merchant, [{}, {"status": Status.RECOVERED, "completed_at": services.services().now()}])

    assert (client.wix("delete", named=left.id).status, client.wix("delete", named=left.id).status) == (200, 404)

    assert client.wix("get", named=left.id).status == 404
    assert merchant("GET", f"/v1/checkouts/{left.id}").json["status"] == "discarded"
    refused = client.wix("delete", named=bought.id)
    assert refused.status == 428
    assert refused.json["details"]["applicationError"]["code"] == "CHECKOUT_ENDED"
    assert ids(page(client)) == [bought.id]


@pytest.mark.parametrize("path", ["activities", "add-activity"])
def test_an_activity_stands_in_both_timelines(merchant: Api, client: Reader, path: str) -> None:
    (made,) = stored(merchant, [{}])

    answer = client.wix(path, {"activityType": "EMAIL_SENT"}, named=made.id)

    assert [own["type"] for own in answer.json["abandonedCheckout"]["activities"]] == ["EMAIL_SENT"]
    timeline = merchant("GET", f"/v1/checkouts/{made.id}/activities").json["data"]
    assert [(own["type"], own["detail"]) for own in timeline] == [("EMAIL_SENT", {"by": "merchant"})]
    for wrong in ({}, {"activityType": "clicked"}, {"activityType": ["EMAIL_SENT"]}, {"activityType": None}):
        refused = client.wix(path, wrong, named=made.id)
        assert refused.status == 400
        assert refused.json["details"]["validationError"]["fieldViolations"][0]["field"] == "activityType"


def test_another_merchants_checkouts_are_not_there(operator: Api, merchant: Api, client: Reader) -> None:
    made = stored(merchant, [{} for _ in range(3)])
    stranger = reader(operator.as_(new_merchant(operator)["token"]))
    theirs = page(client, cursorPaging={"limit": 1})["metadata"]["cursors"]["next"]

    assert ids(page(stranger)) == []
    refused = stranger.wix("query", {"query": {"cursorPaging": {"cursor": theirs}}})
    assert (refused.status, refused.json["message"]) == (
        400,
        "query.cursorPaging.cursor: not a cursor that was given out",
    )
    for operation in ("get", "delete", "activities"):
        answer = stranger.wix(operation, {"activityType": "EMAIL_SENT"}, named=made[0].id)
        assert answer.status == 404
        assert answer.json["details"]["applicationError"]["code"] == "CHECKOUT_NOT_FOUND"
    assert merchant("GET", f"/v1/checkouts/{made[0].id}").json["status"] == "abandoned"


def test_nobody_is_let_in_without_a_merchants_token(operator: Api, merchant: Api) -> None:
    reader(merchant)
    for token in ("", "cbk_" + "x" * 43, str(operator.credential), "IST.eyJhbGciOi"):
        answer = Reader(token).wix("query", {})
        assert (answer.status, answer.json["details"]) == (401, {})
    assert Reader(f"Bearer {merchant.credential}").wix("query", {}).status == 200


NESTED: dict[str, Any] = {"status": "ABANDONED"}
for _ in range(12):
    NESTED = {"$not": NESTED}


@pytest.mark.parametrize(
    "query",
    [{"filter": {"buyerInfo.email": "dana@example.com"}}, {"filter": {"status": "LOST"}},
     {"filter": {"status": {"$gt": "A"}}}, {"filter": {"status": ["LOST"]}}, {"sort": [{"fieldName": ["status"]}]},
     {"filter": {"createdDate": {"$gt": "yesterday"}}}, {"filter": {"createdDate": {"$gt": {}}}}, {"filter": {"id": 1}},
     {"filter": {"$and": []}}, {"filter": {"$and": {}}}, {"filter": {"id": {}}}, {"filter": []}, {"filter": NESTED},
     {"filter": {"id": {"$in": ["x" * 30] * 101}}}, {"filter": {"id": "x" * 3_000}},
     {"sort": [{"fieldName": "status"}]}, {"sort": [{"fieldName": "createdDate", "order": ["UP"]}]},
     {"sort": [{"fieldName": "createdDate"}, {"fieldName": "updatedDate"}]}, {"sort": "createdDate"},
     {"sort": [{"fieldName": "createdDate", "order": "UP"}]}, {"cursorPaging": {"limit": 0}}, {"cursorPaging": []},
     {"cursorPaging": {"limit": 101}}, {"cursorPaging": {"limit": True}}, {"cursorPaging": {"cursor": "AAAA"}},
     {"paging": {"offset": 10}}, {"fields": ["id"]}, {"cursorPaging": {"cursor": ["x"]}}],
)  # fmt: skip
def test_what_is_not_supported_is_a_validation_error(client: Reader, query: dict[str, Any]) -> None:
    answer = client.wix("query", {"query": query})

    assert answer.status == 400, answer.text
    (violation,) = answer.json["details"]["validationError"]["fieldViolations"]
    assert violation["field"]
    assert "dana@example.com" not in answer.text


@pytest.mark.parametrize("body", ["{", "[]", "1", "[" * 10_000, '{"query": "\\ud800"}', '{"query": 1}'])
def test_what_is_no_json_object_is_refused(client: Reader, body: str) -> None:
    assert client.wix("query", raw=body).status == 400


@pytest.mark.parametrize("named", ["", "..", "chk_x", "query", "%00", "x" * 5_000])
def test_what_is_no_id_is_not_there(client: Reader, named: str) -> None:
    assert client.wix("get", named=named).status == 404


def test_free_text_is_not_searched(client: Reader) -> None:
    answer = client.wix("search", {"search": {"search": {"expression": "dana"}}})

    assert json.loads(answer.text)["details"]["validationError"]["fieldViolations"][0]["field"].endswith("expression")
