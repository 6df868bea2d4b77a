"""A source, or a merchant, above its rate of accepted webhooks: 429, and nothing stored."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from functions.ingest.handler import handler
from shared.domain.ids import SourceId
from shared.domain.settings import Settings
from shared.store.configuration import MerchantStore, SourceStore
from shared.store.webhook_counts import WebhookCounts
from tests.integration.faults.aws_calls import AwsCalls
from tests.integration.shop import SOURCE, Shop, aws_event, forget_compositions
from tests.unit.domain.sessions import MERCHANT

SECOND = SourceId("src_01KAHJ00000000000000SEC0ND")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> AwsCalls:
    watching = AwsCalls()
    watching.install(monkeypatch)
    return watching


def limited(shop: Shop, *, source: int | None = None, merchant: int | None = None) -> None:
    """Set limits, as the API would; every process hears of it."""
    if source is not None:
        found = SourceStore(shop.table).get(SOURCE)
        assert found is not None
        settings = replace(found.value.settings, webhooks_per_minute=source)
        SourceStore(shop.table).replace(replace(found.value, settings=settings), found.version)
    if merchant is not None:
        own = MerchantStore(shop.table).get(MERCHANT)
        assert own is not None
        MerchantStore(shop.table).replace(
            replace(own.value, settings=Settings(webhooks_per_minute=merchant)), own.version
        )
    forget_compositions()


def test_above_the_limit_a_webhook_is_refused_and_nothing_of_it_is_stored(shop: Shop) -> None:
    limited(shop, source=3)
    assert [shop.webhook(session=f"s-{number}")[0] for number in range(3)] == [200] * 3
    before = shop.rows()
    event = aws_event("webhook")
    answer = handler(event, None)
    assert answer["statusCode"] == 429
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert 1 <= int(answer["headers"]["retry-after"]) <= 60
    assert shop.rows() == before
    shop.wait(seconds=int(answer["headers"]["retry-after"]))
    assert shop.webhook(session="s-4")[0] == 200


def test_a_refusal_is_counted_where_the_alarm_looks_once_a_minute(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    limited(shop, source=1)
    for _ in range(2):
        assert [shop.webhook(session=f"s-{number}")[0] for number in range(3)] == [200, 429, 429]
        assert capsys.readouterr().out.count('"AboveRate":[1.0]') == 1
        shop.wait(minutes=1)


@pytest.mark.long
def test_a_webhook_costs_no_call_more_until_a_share_of_the_limit_is_full_and_a_refusal_costs_none(
    shop: Shop, calls: AwsCalls
) -> None:
    limited(shop, source=100, merchant=100)
    costs: list[list[str]] = []
    for number in range(102):
        with calls.watched():
            status = shop.webhook(session="s-1", note=number)[0]
        assert status == (200 if number < 100 else 429)
        costs.append(calls.names)
    usual = costs[1]
    told = ["dynamodb.UpdateItem"] * 2
    assert [own for at, own in enumerate(costs[:100]) if at and at % 10 != 9 and own != usual] == []
    assert [own for at, own in enumerate(costs[:100]) if at % 10 == 9] == [[*usual, *told]] * 10, "source and merchant"
    assert costs[100:] == [[], []]


def test_what_another_process_took_in_counts(shop: Shop) -> None:
    limited(shop, source=3)
    for number in range(4):
        assert shop.webhook(session=f"s-{number}")[0] == 200
        forget_compositions()
    statuses = [shop.webhook(session="again", note=number)[0] for number in range(2)]
    assert statuses[-1] == 429, "the table told the new process"


def test_one_source_takes_no_room_from_another(shop: Shop) -> None:
    shop.source(SECOND)
    limited(shop, source=2)
    assert [shop.webhook(session=f"s-{number}")[0] for number in range(3)] == [200, 200, 429]
    assert shop.webhook(source_id=SECOND, session="elsewhere")[0] == 200


def test_the_sources_of_a_merchant_have_a_limit_together(shop: Shop) -> None:
    shop.source(SECOND)
    limited(shop, merchant=3)
    sources = (SOURCE, SECOND, SOURCE, SECOND)
    assert [shop.webhook(source_id=own, session=f"s-{at}")[0] for at, own in enumerate(sources)] == [200] * 3 + [429]


def test_what_a_stranger_sends_uses_up_nothing(shop: Shop) -> None:
    limited(shop, source=1)
    forged: dict[str, Any] = aws_event("webhook")
    forged["headers"]["x-flexype-authorization"] = "a guess"
    assert [handler(forged, None)["statusCode"] for _ in range(5)] == [401] * 5
    assert shop.webhook()[0] == 200


def test_a_webhook_is_stored_though_it_cannot_be_counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(*_: object) -> int:
        raise ConnectTimeoutError(endpoint_url="https://dynamodb.example")

    limited(shop, source=100)
    monkeypatch.setattr(WebhookCounts, "add", hangs)
    assert {shop.webhook(session=f"s-{number}")[0] for number in range(20)} == {200}
    assert shop.checkout("s-19").version == 1
