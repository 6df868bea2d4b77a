"""How often a page asks AWS: each row once, however many of the API's operations it is made of."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from functions.merchant_api import services
from shared.aws import clients
from shared.domain.ids import MerchantId
from shared.domain.metrics import Fact, FactKind
from shared.store import keys
from shared.store.facts import FactStore, _item
from shared.store.writes import Put
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.console.conftest import Browser


@contextmanager
def asked_of_the_table() -> Iterator[list[tuple[str, str]]]:
    """Operation and request of each call to DynamoDB meanwhile."""
    calls: list[tuple[str, str]] = []

    def note(model: Any, params: dict[str, Any], **_: Any) -> None:
        calls.append((model.name, repr(params["body"])))

    events = clients.dynamodb().meta.events
    events.register("before-call.dynamodb", note)
    try:
        yield calls
    finally:
        events.unregister("before-call.dynamodb", note)


def test_the_overview_reads_nothing_twice(browser: Browser, operator: Api) -> None:
    browser.sign_in(new_merchant(operator)["token"])
    browser.get("/console")  # what is written down at the first look

    with asked_of_the_table() as calls:
        assert browser.get("/console").status == 200

    assert [call for call, times in Counter(calls).items() if times > 1] == []
    counted = Counter(name for name, _ in calls)
    # The session with the mark that ends all, the sums of the days that are over; its token, the merchant.
    assert (counted["BatchGetItem"], counted["GetItem"]) == (2, 2)
    # Which days have facts: none has.
    assert counted["Query"] + 4 == len(calls) == 5


def days_with_facts(merchant_id: str, days: int, now: datetime) -> FactStore:
    """Some checkouts left on each of the last days."""
    store = FactStore(services.services().table)
    for back in range(days):
        for number in range(3):
            at = now - timedelta(days=back)
            store.add(
                MerchantId(merchant_id),
                [Fact(kind=FactKind.ABANDONED, cohort=at.date(), subject=f"{back}-{number}", at=at, stage="payment")],
            )
    return store


def test_with_a_month_of_checkouts_the_overview_asks_once_for_each_day_that_is_still_open(
    browser: Browser, operator: Api
) -> None:
    made = new_merchant(operator)
    # The days are the merchant's own, of which the last may have begun before ours.
    days_with_facts(made["id"], 30, services.services().now().astimezone(ZoneInfo(made["timezone"])))
    browser.sign_in(made["token"])
    first = browser.get("/console")  # the days that are over are summed, for good
    assert first.status == 200

    with asked_of_the_table() as calls:
        page = browser.get("/console")

    assert f">{3 * 30}</a>" in page.text
    assert Counter(name for name, _ in calls)["PutItem"] == 0
    # Session, token, merchant, sums; which days have facts; seven days of horizon, and the day that begins it.
    assert len(calls) <= 5 + 9


def test_a_day_whose_facts_lie_in_eight_shards_is_summed_as_before(browser: Browser, operator: Api) -> None:
    made = new_merchant(operator)
    now, table = services.services().now(), services.services().table
    merchant_id = MerchantId(made["id"])
    pk, sk = keys.cohort(merchant_id, now.date())
    table.put(Put({"pk": pk, "sk": sk}))
    store = FactStore(table)
    facts = [Fact(kind=FactKind.ABANDONED, cohort=now.date(), subject=f"chk_{number}", at=now) for number in range(24)]
    assert store.add(merchant_id, facts) == facts
    assert store.add(merchant_id, facts) == []

    assert len({key[0] for own in facts for key in [keys.fact(merchant_id, own.cohort, own.id, 8)]}) > 1
    assert len(store.get_many(merchant_id, facts)) == 24
    assert len(store.of_cohorts(merchant_id, [now.date()])[now.date()]) == 24
    assert len(store.of_cohort(merchant_id, now.date())) == 24
    browser.sign_in(made["token"])
    assert ">24</a>" in browser.get("/console").text


def test_what_an_older_release_wrote_beside_is_in_the_sums_that_stay(operator: Api) -> None:
    merchant_id, now = MerchantId(new_merchant(operator)["id"]), services.services().now()
    table = services.services().table
    day = now.date()
    mine, theirs = (Fact(kind=FactKind.ABANDONED, cohort=day, subject=own, at=now) for own in ("one", "other"))
    store = FactStore(table)
    store.add(merchant_id, [mine])
    table.put(Put({**_item(merchant_id, theirs, 8), "pk": keys.facts(merchant_id, day)[5]}))

    assert {own.subject for own in store.of_cohorts(merchant_id, [day])[day]} == {"one"}
    assert {own.subject for own in store.of_cohorts(merchant_id, [day], settling={day})[day]} == {"one", "other"}


def test_what_is_done_is_seen_by_the_next_page(browser: Browser, operator: Api) -> None:
    made = new_merchant(operator)
    browser.sign_in(made["token"])
    merchant = operator.as_(made["token"])
    assert browser.get("/console/endpoints").status == 200

    merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/", "name": "Just made"})

    assert "Just made" in browser.get("/console/endpoints").text
