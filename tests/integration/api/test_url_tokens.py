"""Turning over the token in a source's URL: the provider is told the new one before the old one ends."""

import re
from typing import Any

import pytest

from shared.store.idempotency import IdempotencyStore
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.shop import Shop, aws_event
from tests.unit.domain.sessions import SOURCE

TOKEN = re.compile(r"\?token=([\w-]{43})$")


@pytest.fixture
def shop(operator: Api, shop: Shop) -> Shop:
    """The API and the functions over one stage and one merchant."""
    return shop


@pytest.fixture
def merchant(shop: Shop, operator: Api) -> Api:
    """The shop's merchant."""
    return operator.as_(operator("POST", f"/v1/merchants/{shop.merchant.id}/tokens").json["token"])


def token_of(source: dict[str, Any]) -> str:
    found = TOKEN.search(source["url"])
    assert found, source["url"]
    return found[1]


def posted(shop: Shop, source_id: str, token: str) -> int:
    """The status of a webhook to the address."""
    shop.wait(seconds=6)  # what ingest remembers of a source is over
    event = aws_event("webhook")
    event |= {"pathParameters": {"source_id": source_id}, "isBase64Encoded": False}
    event |= {"rawQueryString": f"token={token}", "queryStringParameters": {"token": token}}
    event["body"] = '{"external_id": "1", "currency": "INR"}'
    status, _ = shop.posted(event)
    return status


def turned(merchant: Api, source_id: str, body: Any = None, **headers: str) -> Any:
    return merchant("POST", f"/v1/sources/{source_id}/rotate-token", body, headers=headers)


def test_both_addresses_are_taken_until_the_overlap_is_over(merchant: Api, shop: Shop) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "custom"}).json
    first = token_of(made)

    answer = turned(merchant, made["id"], {"overlap": "PT1H"})

    assert answer.status == 200, answer.text
    second = token_of(answer.json)
    assert second != first
    assert [posted(shop, made["id"], own) for own in (first, second, "another")] == [200, 200, 401]
    shop.wait(hours=1)
    assert [posted(shop, made["id"], own) for own in (first, second)] == [401, 200]
    shown = merchant("GET", f"/v1/sources/{made['id']}")
    assert shown.json["url"].endswith("?token=***")
    assert shown.headers["etag"] == answer.headers["etag"] == '"2"'


def test_what_leaked_ends_at_once(merchant: Api, shop: Shop) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "shopflo"}).json
    answer = turned(merchant, made["id"], {"overlap": "PT0S"})
    assert posted(shop, made["id"], token_of(made)) == 401
    assert posted(shop, made["id"], token_of(answer.json)) != 401


def test_turned_over_again_nothing_is_prolonged_and_two_older_ones_hold(merchant: Api, shop: Shop) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "custom"}).json
    tokens = [token_of(made)]
    tokens += [token_of(turned(merchant, made["id"], {"overlap": own}).json) for own in ("PT1H", "P7D", "P7D")]

    assert [posted(shop, made["id"], own) for own in tokens] == [401, 200, 200, 200]

    turned(merchant, made["id"], {"overlap": "PT0S"})
    assert [posted(shop, made["id"], own) for own in tokens] == [401] * 4


def test_the_first_overlap_holds_when_a_longer_one_follows(merchant: Api, shop: Shop) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "custom"}).json
    turned(merchant, made["id"], {"overlap": "PT1H"})
    turned(merchant, made["id"], {"overlap": "P7D"})
    shop.wait(hours=1)
    assert posted(shop, made["id"], token_of(made)) == 401


def test_other_changes_of_the_source_keep_both(merchant: Api, shop: Shop) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "custom"}).json
    second = token_of(turned(merchant, made["id"]).json)
    assert merchant("PATCH", f"/v1/sources/{made['id']}", {"credentials": {"secret": "a-new-secret"}}).status == 200
    assert [posted(shop, made["id"], own) for own in (token_of(made), second)] == [200, 200]
    assert merchant("POST", f"/v1/sources/{made['id']}/sample").json["status"] == "accepted"


def test_where_the_provider_signs_there_is_no_token(merchant: Api) -> None:
    refused = turned(merchant, SOURCE)
    assert refused.status == 409
    assert "carries no token" in refused.json["detail"]


def test_a_double_click_and_a_lost_answer_turn_it_once(
    merchant: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "razorpay", "settings": {"money_unit": "minor"}}).json
    once = {"idempotency-key": "turn"}
    first, second = (turned(merchant, made["id"], **once).json for _ in range(2))
    assert token_of(first) == token_of(second)

    lost = {"idempotency-key": "lost"}
    with monkeypatch.context() as dying:
        dying.setattr(IdempotencyStore, "answered", lambda *_: None)
        third = turned(merchant, made["id"], **lost).json
    shop.wait(seconds=61)
    again = turned(merchant, made["id"], **lost)
    assert token_of(again.json) == token_of(third)
    assert again.headers["etag"] == '"3"'


def test_a_version_that_was_changed_meanwhile_is_not_turned_over(merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "custom"}).json
    merchant("PATCH", f"/v1/sources/{made['id']}", {"name": "Tea"})
    assert turned(merchant, made["id"], **{"if-match": '"1"'}).status == 412


def test_an_overlap_is_a_week_at_most(merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "custom"}).json
    assert turned(merchant, made["id"], {"overlap": "P8D"}).status == 422


def test_anothers_address_is_not_turned_over(merchant: Api, operator: Api) -> None:
    other = operator.as_(new_merchant(operator)["token"])
    made = other("POST", "/v1/sources", {"provider": "custom"}).json
    assert turned(merchant, made["id"]).status == 404
