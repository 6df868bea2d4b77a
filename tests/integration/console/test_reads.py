"""How often a page asks AWS: each row once, however many of the API's operations it is made of."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared.aws import clients
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
    # Each day that is still open, by its shards.
    assert counted["Query"] + 4 == len(calls) <= 4 + 8 * 9


def test_what_is_done_is_seen_by_the_next_page(browser: Browser, operator: Api) -> None:
    made = new_merchant(operator)
    browser.sign_in(made["token"])
    merchant = operator.as_(made["token"])
    assert browser.get("/console/endpoints").status == 200

    merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/", "name": "Just made"})

    assert "Just made" in browser.get("/console/endpoints").text
