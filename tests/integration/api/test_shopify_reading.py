"""Shopify's GraphQL way of reading abandoned checkouts: every provider's, page by page, and what is refused."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from graphql import get_introspection_query

from functions.merchant_api import services
from functions.reading import composition
from functions.reading.shopify import served_version
from shared.aws import clients
from shared.domain.checkout import Status
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.reading import Reader, reader, stored

PAGE = """
query Page($first: Int, $after: String, $last: Int, $before: String, $reverse: Boolean, $query: String,
           $sortKey: AbandonedCheckoutSortKeys) {
  abandonedCheckouts(first: $first, after: $after, last: $last, before: $before, reverse: $reverse, query: $query,
                     sortKey: $sortKey) {
    edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
WHOLE = """
fragment Bag on MoneyBag { shopMoney { amount currencyCode } presentmentMoney { amount currencyCode } }
{ abandonedCheckouts(first: 1) { nodes {
  id name abandonedCheckoutUrl note createdAt updatedAt completedAt discountCodes taxesIncluded lineItemsQuantity
  defaultCursor customAttributes { key value }
  customer { id firstName phone displayName }
  shippingAddress { city country countryCodeV2 zip } billingAddress { city }
  subtotalPriceSet { ...Bag } totalPriceSet { ...Bag } totalDiscountSet { ...Bag } totalTaxSet { ...Bag }
  totalDutiesSet { ...Bag } totalLineItemsPriceSet { ...Bag }
  taxLines { title rate priceSet { ...Bag } }
  lineItems(first: 5) { edges { cursor node {
    id title quantity product { id } variant { id } originalUnitPriceSet { ...Bag } discountedTotalPriceSet { ...Bag }
  } } pageInfo { hasNextPage } }
} } }
"""


@pytest.fixture
def client(merchant: Api) -> Iterator[Reader]:
    """A Shopify client with the merchant's token."""
    yield reader(merchant)
    composition.services.cache_clear()


def page(client: Reader, **asked: Any) -> dict[str, Any]:
    """The connection of one page."""
    answer = client.shopify(PAGE, asked)
    assert answer.status == 200
    assert "errors" not in answer.json, answer.text
    found: dict[str, Any] = answer.json["data"]["abandonedCheckouts"]
    return found


def ids(connection: Mapping[str, Any]) -> list[str]:
    return [edge["node"]["id"].rpartition("/")[2] for edge in connection["edges"]]


def walked(client: Reader, *, forwards: bool = True, size: int = 50, **asked: Any) -> list[list[str]]:
    """All pages, one after the other."""
    way = ("first", "after", "hasNextPage", "endCursor") if forwards else ("last", "before", "hasPreviousPage",
                                                                           "startCursor")  # fmt: skip
    count, place, more, cursor = way
    pages, at = [], None
    for _ in range(60):
        found = page(client, **{count: size, place: at}, **asked)
        pages.append(ids(found))
        at = found["pageInfo"][cursor]
        if not found["pageInfo"][more]:
            return pages
    raise AssertionError("the list does not end")


def joined(pages: Iterable[list[str]]) -> list[str]:
    return [own for one in pages for own in one]


def refusal(client: Reader, query: str, **variables: Any) -> dict[str, Any]:
    """The first error of a query that is not answered."""
    answer = client.shopify(query, variables)
    assert answer.status == 200
    first: dict[str, Any] = answer.json["errors"][0]
    return first


def test_a_checkout_of_any_provider_has_the_fields_shopify_gives_it(merchant: Api, client: Reader) -> None:
    (made,) = stored(merchant, [{"provider": "razorpay"}])

    answer = client.shopify(WHOLE)

    assert "errors" not in answer.json, answer.text
    (shown,) = answer.json["data"]["abandonedCheckouts"]["nodes"]
    rupees = lambda amount: {"amount": amount, "currencyCode": "INR"}  # noqa: E731
    bag = lambda amount: {"shopMoney": rupees(amount), "presentmentMoney": rupees(amount)}  # noqa: E731
    assert shown["id"] == f"gid://shopify/AbandonedCheckout/{made.id}"
    assert shown["abandonedCheckoutUrl"].startswith("https://api.checkback.example/r/")
    assert (shown["name"], shown["note"], shown["completedAt"]) == (made.external_id, "", None)
    assert shown["customAttributes"] == [{"key": "gift", "value": "yes"}]
    assert shown["customer"]["phone"] == "+917777788888"
    assert shown["shippingAddress"] == {"city": "Vadodara", "country": "India", "countryCodeV2": "IN", "zip": None}
    assert shown["billingAddress"] is None
    assert (shown["discountCodes"], shown["taxesIncluded"], shown["lineItemsQuantity"]) == (["BACK10"], True, 4)
    assert shown["totalPriceSet"] == bag("350.00")
    assert shown["subtotalPriceSet"] == shown["totalLineItemsPriceSet"] == bag("400.00")
    assert shown["totalDiscountSet"] == bag("50.00")
    assert (shown["totalTaxSet"], shown["totalDutiesSet"]) == (bag("18.00"), None)
    assert shown["taxLines"] == [{"title": "GST", "rate": 0.18, "priceSet": bag("18.00")}]
    line = shown["lineItems"]["edges"][0]["node"]
    assert (line["title"], line["quantity"]) == ("Tea 0", 2)
    assert line["product"] == {"id": "gid://shopify/Product/p0"}
    assert line["discountedTotalPriceSet"] == bag("200.00")
    # A connection of one checkout, its customer, a connection of five lines; of which two were there.
    cost = answer.json["extensions"]["cost"]
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (2 + 1 + 1 + 2 + 5, 2 + 1 + 1 + 2 + 2)
    assert cost["throttleStatus"]["maximumAvailable"] == 2000.0


def test_a_bare_checkout_is_whole_too(merchant: Api, client: Reader) -> None:
    """What Shopify calls non-null is never null, whatever a provider left out."""
    stored(merchant, [{"leaves": {}, "cart": None}])

    answer = client.shopify(WHOLE)

    assert "errors" not in answer.json, answer.text
    (shown,) = answer.json["data"]["abandonedCheckouts"]["nodes"]
    assert shown["abandonedCheckoutUrl"] == "https://tea.example/"
    assert shown["totalPriceSet"]["shopMoney"] == {"amount": "0.00", "currencyCode": "INR"}
    assert (shown["customer"], shown["shippingAddress"], shown["lineItems"]["edges"]) == (None, None, [])


def test_120_checkouts_are_paged_both_ways_each_once(merchant: Api, client: Reader) -> None:
    """Fifty of them were left at the same instant, the others over a week."""
    now = services.services().now()
    made = stored(
        merchant, [{"last_activity_at": now - timedelta(hours=max(number - 50, 1) * 2)} for number in range(120)]
    )
    everything = {own.id for own in made}

    forwards = walked(client)
    assert [len(own) for own in forwards] == [50, 50, 20]
    order = joined(forwards)
    assert Counter(order) == Counter(everything)
    assert joined(walked(client, size=7)) == order
    backwards = walked(client, forwards=False)
    assert [len(own) for own in backwards] == [50, 50, 20]
    assert joined(reversed(backwards)) == order
    assert joined(walked(client, reverse=True, size=40)) == order[::-1]
    assert joined(reversed(walked(client, forwards=False, reverse=True, size=33))) == order[::-1]
    oldest, newest = {made[-1].id, made[-2].id}, {own.id for own in made[:52]}
    assert set(order[:2]) == oldest
    assert set(order[-52:]) <= newest


def test_what_is_added_between_pages_neither_repeats_nor_hides_another(merchant: Api, client: Reader) -> None:
    made = stored(merchant, [{} for _ in range(30)])
    first = page(client, first=10)
    added = stored(merchant, [{"external_id": f"late-{number}"} for number in range(10)])
    rest = []
    at = first["pageInfo"]["endCursor"]
    while at:
        following = page(client, first=10, after=at)
        rest += ids(following)
        at = following["pageInfo"]["endCursor"] if following["pageInfo"]["hasNextPage"] else None

    seen = ids(first) + rest
    assert len(seen) == len(set(seen))
    assert {own.id for own in made} <= set(seen) <= {own.id for own in made + added}


def test_a_page_reads_no_more_than_it_shows(merchant: Api, client: Reader) -> None:
    stored(merchant, [{} for _ in range(60)])
    page(client, first=5)
    calls: list[tuple[str, dict[str, Any]]] = []
    events = clients.dynamodb().meta.events

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        calls.append((model.name, params))

    events.register("before-parameter-build.dynamodb", note)
    try:
        page(client, first=5)
    finally:
        events.unregister("before-parameter-build.dynamodb", note)

    names = Counter(name for name, _ in calls)
    assert names["Query"] == 5, "one of each status"
    assert names["BatchGetItem"] == 1
    assert "Scan" not in names
    assert all(params["Limit"] <= 8 for name, params in calls if name == "Query")


def test_the_search_finds_what_shopifys_finds(merchant: Api, client: Reader) -> None:
    now = services.services().now()
    old = now - timedelta(days=3)
    open_one, recovered, expired, dismissed = stored(
        merchant,
        [
            {},
            {"status": Status.RECOVERED, "completed_at": now},
            {"status": Status.EXPIRED, "last_activity_at": old},
            {"status": Status.DISCARDED, "last_activity_at": old},
        ],
    )
    stored(
        merchant,
        [
            {"external_id": "open", "status": Status.OPEN, "first_abandoned_at": None},
            {"external_id": "silent", "status": Status.SUPERSEDED, "first_abandoned_at": None},
            {"external_id": "bought", "status": Status.COMPLETED},
        ],
    )
    day = (now - timedelta(days=1)).date().isoformat()

    def found(query: str) -> set[str]:
        return set(joined(walked(client, query=query, size=3)))

    assert found("") == {open_one.id, recovered.id, expired.id, dismissed.id}
    assert found("status:open") == {open_one.id}
    assert found("status:closed") == {recovered.id, expired.id, dismissed.id}
    assert found("recovery_state:recovered") == {recovered.id}
    assert found("status:closed AND recovery_state:not_recovered") == {expired.id, dismissed.id}
    assert found("status:closed -recovery_state:recovered") == {expired.id, dismissed.id}
    assert found(f"created_at:>={day}") == {open_one.id, recovered.id}
    assert found(f"updated_at:<{day}T00:00:00Z") == {expired.id, dismissed.id}
    assert found(f"NOT (status:open OR updated_at:<'{day}')") == {recovered.id}
    assert found(f"id:{open_one.id}") == {open_one.id}
    assert found(f'id:"gid://shopify/AbandonedCheckout/{open_one.id}" OR id:{expired.id}') == {open_one.id, expired.id}
    order = joined(walked(client))
    assert found(f"id:>{order[1]}") == set(order[2:])
    assert found(f"id:<={order[1]}") == set(order[:2])
    assert found("status:open AND status:closed") == set()


@pytest.mark.parametrize(
    "query",
    ["Bob Norman", "email_state:sent", "status:maybe", "status:>open", "created_at:yesterday", "created_at:",
     "(status:open", "status:open)", "status:open OR", "AND status:open", "NOT", "id:../x", "id:>chk_unknown",
     "((((((((((((((((((((((status:open", "-" * 50, "created_at:>9999999-01-01", "x" * 1_001],
)  # fmt: skip
def test_what_is_not_searched_by_is_refused_and_never_left_out(client: Reader, query: str) -> None:
    answer = client.shopify(PAGE, {"first": 1, "query": query})

    assert answer.json["data"] is None
    (error,) = answer.json["errors"]
    assert error["path"] == ["abandonedCheckouts"]
    assert error["extensions"]["code"] == "BAD_REQUEST"


def test_other_orders_are_kept_over_pages(merchant: Api, client: Reader) -> None:
    now = services.services().now()
    made = stored(
        merchant,
        [
            {"leaves": {"started_at": (now - timedelta(hours=9 - number % 4)).isoformat()}}
            for number in range(12)
        ],
    )  # fmt: skip
    begun = {str(own.id): str(own.text("started_at")) for own in made}

    order = joined(walked(client, size=5, sortKey="CREATED_AT"))

    assert Counter(order) == Counter(begun.keys())
    assert [begun[own] for own in order] == sorted(begun.values())
    assert joined(walked(client, size=5, sortKey="CREATED_AT", reverse=True)) == order[::-1]
    assert joined(reversed(walked(client, forwards=False, size=5, sortKey="CREATED_AT"))) == order
    assert len(set(joined(walked(client, size=5, sortKey="TOTAL_PRICE")))) == 12
    # A name would stand in the cursor.
    assert "not supported" in refusal(client, PAGE, first=1, sortKey="CUSTOMER_NAME")["message"]


def test_they_are_counted(merchant: Api, client: Reader) -> None:
    stored(merchant, [{"status": Status.RECOVERED if number == 0 else Status.ABANDONED} for number in range(7)])
    shown = "{ count precision }"
    counted = f"""{{
      all: abandonedCheckoutsCount {shown}
      some: abandonedCheckoutsCount(limit: 3) {shown}
      open: abandonedCheckoutsCount(query: "status:open") {shown}
    }}"""

    assert client.shopify(counted).json["data"] == {
        "all": {"count": 7, "precision": "EXACT"},
        "some": {"count": 3, "precision": "AT_LEAST"},
        "open": {"count": 6, "precision": "EXACT"},
    }


def test_a_node_is_found_by_its_global_id_and_never_anothers(operator: Api, merchant: Api, client: Reader) -> None:
    (made,) = stored(merchant, [{}])
    stranger = reader(operator.as_(new_merchant(operator)["token"]))
    asked = "query($id: ID!) { node(id: $id) { __typename id ... on AbandonedCheckout { name } } }"
    named = {"id": f"gid://shopify/AbandonedCheckout/{made.id}"}

    assert client.shopify(asked, named).json["data"]["node"] == named | {
        "__typename": "AbandonedCheckout",
        "name": made.external_id,
    }
    assert stranger.shopify(asked, named).json["data"] == {"node": None}
    assert joined(walked(stranger)) == []
    gone = {"id": "gid://shopify/AbandonedCheckout/chk_gone"}
    assert client.shopify(asked, gone).json["data"] == {"node": None}
    assert client.shopify(asked, {"id": "chk_1"}).json["errors"][0]["message"] == "Invalid global id 'chk_1'"
    assert "errors" in client.shopify(asked, {"id": "gid://shopify/Order/1"}).json


def test_anothers_cursor_is_refused_as_a_made_up_one_is(operator: Api, merchant: Api, client: Reader) -> None:
    """In strange hands it would leave out, unnoticed, whatever of their own stands before it."""
    other = operator.as_(new_merchant(operator)["token"])
    stranger = reader(other)
    for own in (merchant, other):
        stored(own, [{} for _ in range(3)])
    theirs = page(client, first=1)["pageInfo"]["endCursor"]

    assert len(page(client, first=10, after=theirs)["edges"]) == 2
    assert "cursor" in refusal(stranger, PAGE, first=10, after=theirs)["message"]
    assert "cursor" in refusal(stranger, PAGE, last=10, before=theirs)["message"]
    lines = "query($after: String) { abandonedCheckouts(first: 1) { nodes { lineItems(first: 1, after: $after) "
    lines += "{ pageInfo { endCursor } } } } }"
    first = client.shopify(lines, {"after": None}).json["data"]["abandonedCheckouts"]["nodes"][0]["lineItems"]
    assert "errors" not in client.shopify(lines, {"after": first["pageInfo"]["endCursor"]}).json
    assert "cursor" in refusal(stranger, lines, after=first["pageInfo"]["endCursor"])["message"]
    for made_up in ("x", "AAAA", theirs[:-2] + "AA", "é" * 4, ""):
        assert "cursor" in refusal(client, PAGE, first=1, after=made_up)["message"]
    assert "cursor" in refusal(client, PAGE, first=1, after=theirs, sortKey="TOTAL_PRICE")["message"]


@pytest.mark.parametrize(
    "asked",
    [{}, {"first": 0}, {"first": 251}, {"first": -1}, {"last": 10_000}, {"first": 1, "last": 1},
     {"first": 1, "before": "x"}, {"last": 1, "after": "x"}],
)  # fmt: skip
def test_a_page_has_a_size_that_can_be_read(client: Reader, asked: dict[str, Any]) -> None:
    assert refusal(client, PAGE, **asked)["path"] == ["abandonedCheckouts"]


def test_saved_searches_mutations_and_unknown_fields_are_refused_in_graphqls_own_form(client: Reader) -> None:
    saved = '{ abandonedCheckouts(first: 1, savedSearchId: "gid://shopify/SavedSearch/1") { nodes { id } } }'

    assert "Saved searches" in refusal(client, saved)["message"]
    assert "mutation" in refusal(client, "mutation { orderCreate { id } }")["message"]
    assert "Cannot query field 'orders'" in refusal(client, "{ orders(first: 1) { nodes { id } } }")["message"]
    assert "Syntax Error" in refusal(client, "{")["message"]
    assert "locations" in refusal(client, "{")


@pytest.mark.parametrize(
    ("version", "served"),
    [("2026-10", "2026-10"), ("unstable", "unstable"), ("2020-01", "2024-01"), ("2099-01", None), ("2026-02", None),
     ("latest", None), ("2026-10%0a", None), ("", None)],
)  # fmt: skip
def test_a_version_is_served_as_itself_or_as_the_oldest_and_an_unknown_one_not(
    client: Reader, version: str, served: str | None
) -> None:
    answer = client.shopify("{ shop { name } }", version=version)

    assert answer.status == (200 if served else 404)
    assert answer.headers.get("x-shopify-api-version") == served


def test_a_version_of_next_quarter_is_there_three_months_ahead_and_needs_no_release_of_ours() -> None:
    september, november = datetime(2026, 9, 30, tzinfo=UTC), datetime(2026, 11, 28, tzinfo=UTC)
    years_later = datetime(2031, 1, 1, tzinfo=UTC)

    assert served_version("2027-01", september) is None
    assert served_version("2027-01", november) == "2027-01"
    assert served_version("2027-04", november) is None
    assert served_version("2031-01", years_later) == "2031-01"


def test_nobody_is_let_in_without_a_merchants_token(operator: Api, merchant: Api) -> None:
    reader(merchant)
    for token in ("", "cbk_" + "x" * 43, str(operator.credential), "Bearer x", "é"):
        answer = Reader(token).shopify("{ shop { name } }")
        assert answer.status == 401
        assert answer.json == {"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"}
    made = merchant("POST", "/v1/tokens", {}).json
    fresh = Reader(made["token"])
    assert merchant("DELETE", f"/v1/tokens/{made['id']}").status == 204
    assert fresh.shopify("{ shop { name } }").status == 401


def test_clients_may_ask_for_the_schema(client: Reader) -> None:
    answer = client.shopify(get_introspection_query())

    assert "errors" not in answer.json, answer.text
    names = {own["name"] for own in answer.json["data"]["__schema"]["types"]}
    assert {"QueryRoot", "AbandonedCheckout", "MoneyBag", "MailingAddress"} <= names


NESTED = "{ __schema { types " + "{ fields { type " * 6 + "{ name }" + "} }" * 6 + " } }"
CIRCLE = "{ ...A } fragment A on QueryRoot { ...B } fragment B on QueryRoot { ...A }"
DOUBLED = (
    "{ ...F0 } "
    + " ".join(f"fragment F{n} on QueryRoot {{ ...F{n + 1} ...F{n + 1} }}" for n in range(19))
    + " fragment F19 on QueryRoot { __typename }"
)
HOSTILE = {
    "aliases": "{ " + " ".join(f"a{n}: abandonedCheckouts(first: 250) {{ nodes {{ id }} }}" for n in range(4)) + " }",
    "aliases of the root": "{ " + " ".join(f"a{n}: node(id: \"x\") {{ id }}" for n in range(11)) + " }",
    "aliases of a field": "{ abandonedCheckouts(first: 250) { nodes { " + " ".join(f"a{n}: id" for n in range(300))
    + " } } }",
    "many fields": "{ " + "__typename " * 1_500 + "}",
    "many tokens": "{ " + "__typename " * 5_000 + "}",
    "depth": "{ abandonedCheckouts(first: 1) " + "{ nodes { lineItems(first: 1) " * 6 + "{ pageInfo { hasNextPage } }"
    + " } }" * 6 + " }",
    "brackets": "{ abandonedCheckouts(first: " + "[" * 900 + " }",
    "braces": "{ a " * 900,
    "inline": "{ " + "... { " * 600 + "__typename" + " }" * 600 + " }",
    "circle": CIRCLE,
    "doubled": DOUBLED,
    "introspection": NESTED,
    "lines of many": "{ abandonedCheckouts(first: 250) { nodes { lineItems(first: 250) { nodes { id } } } } }",
    "variable": "query($n: Int = 250) { a: abandonedCheckouts(first: $n) { nodes { lineItems(first: $n) "
    "{ nodes { id } } } } }",
    "subscription": "subscription { abandonedCheckouts(first: 1) { nodes { id } } }",
    "two operations": "query A { shop { name } } query B { shop { name } }",
    "nothing": "",
    "control": "\x00",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_query_is_refused_before_anything_is_read(
    client: Reader, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(composition.Services, "pages", None)  # reading would fail otherwise than by a refusal

    answer = client.shopify(HOSTILE[name])

    assert answer.status == 200
    assert "data" not in answer.json
    assert 1 <= len(answer.json["errors"]) <= 11
    assert len(answer.text) < 10_000


@pytest.mark.parametrize(
    "body",
    ["", "[]", '[{"query": "{ shop { name } }"}]', "{", '{"query": 1}',
     '{"query": null}', '{"query": "\\ud800"}', '{"query": "{ shop { name } }", "operationName": 1}', "null",
     '{"query": "{ shop { name } }", "variables": [1]}',
     '{"query": "' + "x" * 70_000 + '"}', "[" * 5_000],
)  # fmt: skip
def test_what_is_no_query_in_json_is_a_bad_request(client: Reader, body: str) -> None:
    """Batches too: they would go round every bound of one query."""
    assert client.posted(body).status == 400


def test_who_asks_for_too_much_is_throttled_as_shopify_throttles(merchant: Api, client: Reader) -> None:
    stored(merchant, [{}])
    # A thousand points that the page turns out not to need are given back at once.
    costly = "{ abandonedCheckouts(first: 248) { nodes { customer { id } lineItems(first: 1) { nodes { id } } } } }"
    assert client.shopify(costly).json["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"
    counting = "{ " + " ".join(f"a{n}: abandonedCheckoutsCount {{ count }}" for n in range(10)) + " }"
    answers = [client.shopify(counting).json for _ in range(3)]

    assert [own["errors"][0]["extensions"]["code"] if "errors" in own else None for own in answers] == [
        *(None, None),
        "THROTTLED",
    ]
    assert answers[2]["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"] < 1_000
