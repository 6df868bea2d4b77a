"""How soon the console's pages are there, and how light: the figures are those of 5,000 checkouts in 90 days."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, cast

import boto3
import pytest
from playwright.sync_api import Browser, Page, Response, expect

from infra.local.shop import Shop, engine_arguments
from shared.domain.ids import MerchantId
from shared.domain.metrics import Fact, FactKind, cohort_of
from shared.domain.money import Money
from shared.store.facts import FactStore
from shared.store.table import Table
from tests.e2e.browsing import Person

pytestmark = pytest.mark.e2e
PAGES = ("", "/start", "/checkouts", "/deliveries", "/endpoints", "/campaigns", "/sources", "/health", "/settings")
A_DAY = 56
DAYS = 31
"""What an overview looks at; days before them are rows that it does not read."""
STAGES = ("contact", "address_loaded", "payment", "review")


class Gathering:
    """In a DynamoDB client's place: keeps rows, to be written 25 at a time."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def put_item(self, **asked: Any) -> dict[str, Any]:
        self.rows.append(asked["Item"])
        return {}


def seed(shop: Shop, stack: dict[str, Any]) -> None:
    """What is counted of the checkouts: left, written to, one in eight recovered."""
    gathering = Gathering()
    store, now = FactStore(Table(cast("Any", gathering), stack["table"])), datetime.now(UTC)
    for number in range(DAYS * A_DAY):
        at = now - timedelta(days=number % DAYS)
        told: dict[str, Any] = {
            "cohort": cohort_of(at, "Asia/Kolkata"),
            "at": at,
            "provider": "flexype",
            "stage": STAGES[number % 4],
        }
        kinds = (FactKind.ABANDONED, FactKind.CONTACTABLE, FactKind.STARTED, FactKind.MESSAGED, FactKind.DELIVERED)
        facts = [Fact(kind=kind, subject=f"subject {number}", treated=True, **told) for kind in kinds]
        if number % 8 == 0:
            amount = Money(63_000, "INR")
            facts.append(Fact(kind=FactKind.RECOVERED, subject=f"subject {number}", amount=amount, **told))
        store.add(MerchantId(shop.id), facts)
    client = boto3.client("dynamodb", **engine_arguments(stack))

    def write(rows: tuple[Any, ...]) -> None:
        client.batch_write_item(RequestItems={stack["table"]: [{"PutRequest": {"Item": own}} for own in rows]})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, batched(gathering.rows, 25, strict=False)))


def loaded(page: Page, address: str) -> tuple[dict[str, int], list[str]]:
    """The bytes of each answer's body, with nothing in the cache; and what was asked for before a page can be read.

    What the page itself asks for once it stands there (htmx says so) keeps nobody from reading.
    """
    answers: list[Response] = []
    page.on("response", lambda own: answers.append(own))  # noqa: PLW0108 - the library marks what it is given
    page.goto(address, wait_until="networkidle")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    asked = [own for own in answers if own.url.startswith("http")]
    first = [own.url for own in asked if "hx-request" not in own.request.headers]
    return {own.url: own.request.sizes()["responseBodySize"] for own in asked}, first


def test_pages_with_data_come_within_a_second_and_are_light(
    browser: Browser, shop: Shop, stack: dict[str, Any]
) -> None:
    seed(shop, stack)
    person = Person(browser, stack["api_url"])
    person.sign_in(shop.token)  # which shows the overview: the first look sums the days that are over
    signed_in: Any = person.page.context.storage_state()
    for path in PAGES:
        fresh = browser.new_context(storage_state=signed_in)
        asked, first = loaded(fresh.new_page(), f"{person.console}{path}")
        fresh.close()
        assert len(first) <= 5, (path, first)
        assert sum(asked.values()) < 150_000, (path, asked)

    took = [seconds_until_readable(person) for _ in range(5)]

    expect(person.page.get_by_text("Recovered revenue")).to_be_visible()
    # The quickest of five: the bar is the page's, and not what else the machine does.
    assert min(took) < 1, took
    assert person.wrong == []
    person.close()


def seconds_until_readable(person: Person) -> float:
    """Of the overview, by the link that leads to it."""
    began = time.monotonic()
    person.open("")
    person.page.get_by_role("heading", level=1, name="Overview").wait_for()
    return time.monotonic() - began
