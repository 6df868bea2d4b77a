"""The console in a real browser, on the deployed stack: real webhooks in, a real receiver out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from infra.local.receiver import Receiver
from infra.local.shop import FlexyPeSession, Shop, sample
from tests.e2e.browsing import Person
from tests.integration.stand_in import Reply, StandIn

pytestmark = pytest.mark.e2e
expect.set_options(timeout=60_000)
_OF_A_JOB_MS = 60_000
"""Each of its messages goes through the queue, to a worker that may just be starting."""


def test_the_way_of_a_new_merchant_to_the_first_delivery(
    person: Callable[..., Person], shop: Shop, receiver: Receiver
) -> None:
    merchant = person()
    merchant.sign_in(shop.token)
    page = merchant.page
    page.get_by_role("link", name="Start", exact=True).click()
    expect(page.get_by_text("Next: Connect a provider")).to_be_visible()

    page.get_by_role("link", name="Connect one").click()
    page.get_by_role("link", name="FlexyPe", exact=True).click()
    page.get_by_label("Name").fill("Tea House")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("heading", name="FlexyPe is connected")).to_be_visible()
    source = shop.call("GET", "/v1/sources", token=shop.token)["data"][0]
    assert page.get_by_label("Webhook address").input_value() == source["url"]
    source["credentials"] = {"secret": page.get_by_label("Secret").input_value()}
    page.get_by_role("link", name="wait for the first webhook").click()
    expect(page.get_by_text("Waiting for your first webhook")).to_be_visible()
    _try_a_sample(page)
    # Before the webhook: for some seconds dispatch remembers to whom a merchant's events go.
    endpoint = shop.endpoint(f"{receiver.url}/bsp", ["checkout.abandoned"])
    receiver.secret = endpoint["signing_secret"]
    session = FlexyPeSession(shop, source, "9820012301")
    checkout = session.post("ADDRESS_LOADED").json()["checkout_id"]
    expect(page.get_by_text("Next: See the first purchase arrive")).to_be_visible()
    page.wait_for_timeout(1_100)  # the shop's checkouts are abandoned after a second of silence
    shop.sweep()
    assert receiver.wait_for("checkout.abandoned", checkout) is not None
    for _ in range(300):  # the receiver has it before it is written that it has
        if shop.call("GET", "/v1/deliveries", params={"checkout_id": checkout})["data"][0]["status"] == "delivered":
            break
        page.wait_for_timeout(100)

    page.get_by_role("link", name="Checkouts", exact=True).click()
    page.locator(f"tbody a[href*='{checkout}']").first.click()  # the sample's stands beside it
    expect(page.get_by_role("heading", name="No message goes out now")).to_be_visible()
    expect(page.get_by_text("Because")).to_be_visible()
    expect(page.get_by_text("Counted as abandoned")).to_be_visible()
    expect(page.get_by_text("Checkout abandoned to an endpoint: delivered")).to_be_visible()
    page.get_by_role("link", name="Endpoints", exact=True).click()
    page.locator("tbody a").first.click()
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("The endpoint is off")).to_be_visible()

    page.get_by_role("link", name="Campaigns", exact=True).click()
    page.get_by_role("link", name="Make the first from a template.").click()
    page.get_by_role("link", name="A reminder", exact=True).click()
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_text("Of 1 checkout it writes to")).to_be_visible()
    page.get_by_role("button", name="Save, switched off").click()
    expect(page.get_by_role("heading", name="What it would do")).to_be_visible()
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_text("The campaign is active.")).to_be_visible()
    page.get_by_role("button", name="Pause at once").click()
    expect(page.get_by_text("The campaign is paused")).to_be_visible()


def _try_a_sample(page: Page) -> None:
    """With a click on Start: it is understood, leads to its checkout, and is no webhook of the shop's."""
    page.get_by_role("button", name="Send a sample of FlexyPe").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The sample was understood")).to_be_visible()
    expect(page.get_by_text("Waiting for your first webhook")).to_be_visible()
    page.get_by_role("status").get_by_role("link").click()
    expect(page.get_by_text("A sample webhook made this, and no shopper")).to_be_visible()
    expect(page.locator(".badge.test")).to_be_visible()
    expect(page.get_by_text("Checkout begun").first).to_be_visible()
    page.get_by_role("link", name="Start", exact=True).click()
    expect(page.get_by_text("Waiting for your first webhook")).to_be_visible()


def test_the_operator_makes_a_link_that_a_merchant_signs_in_by(
    person: Callable[..., Person], shop: Shop, stack: dict[str, Any]
) -> None:
    operator, merchant = person(), person()
    operator.sign_in_as_operator(stack["admin_key"])
    operator.page.get_by_role("button", name="Make a link").first.click()
    merchant.page.goto(operator.page.get_by_label("Link", exact=True).input_value())
    merchant.page.get_by_role("button", name="Open the console").click()
    merchant.page.get_by_role("heading", name="Overview").wait_for()
    operator.open("/checkouts")
    expect(operator.page.get_by_role("heading", name="Merchants")).to_be_visible()


def test_past_checkouts_are_read_and_the_page_follows_to_the_end(person: Callable[..., Person], shop: Shop) -> None:
    somebody = person()
    page = somebody.page
    somebody.sign_in(shop.token)
    node = sample("shopify/graphql-abandoned-checkouts.json")["data"]["abandonedCheckouts"]["nodes"][0]
    begun = (datetime.now(UTC) - timedelta(hours=2)).isoformat(timespec="seconds").replace("+00:00", "Z")
    node |= {"createdAt": begun, "updatedAt": begun}
    last = {"nodes": [node], "pageInfo": {"hasNextPage": False, "endCursor": "the-last"}}
    first = {"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": "the-first"}}
    with StandIn() as api:
        access = {"shop": "example-goods.myshopify.com", "access_token": "shpat-access", "base_url": api.url}
        source = shop.source("shopify", credentials={"secret": "the-apps-client-secret", "api": access})
        pages = [Reply({"data": {"abandonedCheckouts": own}}) for own in (first, last)]
        api.on("/admin/api/2026-04/graphql.json", *pages, Reply({"errors": "no access"}, 403))
        somebody.open(f"/sources/{source['id']}")
        page.get_by_role("button", name="Read them").click()
        expect(page.get_by_role("heading", name="Past checkouts are read")).to_be_visible(timeout=_OF_A_JOB_MS)
        expect(page.get_by_text("1 checkout on 2 pages: 1 new")).to_be_visible()

        page.get_by_role("button", name="Read them").click()
        ended = page.get_by_role("heading", name="Reading past checkouts ended early")
        expect(ended).to_be_visible(timeout=_OF_A_JOB_MS)
        expect(page.get_by_text("403")).to_be_visible()
        expect(page.get_by_role("button", name="Read them")).to_be_visible()


def test_a_refresh_that_fails_takes_nothing_away(person: Callable[..., Person], shop: Shop) -> None:
    somebody = person()
    page = somebody.page
    somebody.sign_in(shop.token)
    expect(page.get_by_text("Nothing is connected yet.")).to_be_visible()  # health's part, asked for by itself
    somebody.open("/endpoints")
    page.route("**/console/endpoints", lambda route: route.fulfill(status=503, body="<h1>Not now</h1>"))
    expect(page.get_by_text("could not be brought up to date")).to_be_visible()
    expect(page.get_by_text("No endpoint yet")).to_be_visible()
    page.unroute("**/console/endpoints")
    expect(page.get_by_text("could not be brought up to date")).to_have_count(0)
    expect(page.get_by_text("No endpoint yet")).to_be_visible()
    somebody.wrong = [own for own in somebody.wrong if "status of 503" not in own]

    for row in shop.call("GET", "/v1/tokens", token=shop.token)["data"]:
        shop.call("DELETE", f"/v1/tokens/{row['id']}", token=shop.token)
    expect(page.get_by_text("Your session is over.")).to_be_visible()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_by_keyboard_alone(person: Callable[..., Person], shop: Shop) -> None:
    somebody = person()
    page = somebody.page
    somebody.open("/checkouts?status=abandoned")
    page.keyboard.type(shop.token)  # the field has the focus
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Checkouts").wait_for()
    assert page.url.endswith("/console/checkouts?status=abandoned")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for name in ("Checkback", "Sign out", "Overview", "Start", "Checkouts", "Deliveries"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent.trim()") == name
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Deliveries").wait_for()


def test_two_merchants_at_once_a_revoked_token_and_the_back_button(
    person: Callable[..., Person], shop: Shop, stack: dict[str, Any]
) -> None:
    other = Shop(stack)
    session = FlexyPeSession(shop, shop.source(), "9820012303")
    checkout = session.post("ADDRESS_LOADED").json()["checkout_id"]
    one, two = person(), person()
    link = shop.call("POST", "/v1/portal-links", token=shop.token, json={"capabilities": ["read"]})["url"]
    one.page.goto(link)
    one.page.get_by_role("button", name="Open the console").click()
    one.page.get_by_role("heading", name="Overview").wait_for()
    two.sign_in(other.token)

    one.open(f"/checkouts/{checkout}")
    two.open(f"/checkouts/{checkout}")
    expect(one.page.get_by_role("heading", name="What happened")).to_be_visible()
    expect(two.page.get_by_role("heading", name="Not found")).to_be_visible()
    expect(one.page.get_by_text("This session may only look.")).to_be_visible()
    expect(one.page.get_by_role("button", name="Never recover it")).to_have_count(0)

    for row in shop.call("GET", "/v1/tokens", token=shop.token)["data"]:
        shop.call("DELETE", f"/v1/tokens/{row['id']}", token=shop.token)
    one.open("/deliveries")
    expect(one.page.get_by_text("Your session is over")).to_be_visible()
    one.page.go_back()
    expect(one.page.get_by_role("heading", name="What happened")).to_have_count(0)
    two.page.get_by_role("button", name="Sign out", exact=True).click()
    two.page.get_by_role("heading", name="Sign in").wait_for()
    two.page.go_back()
    expect(two.page.get_by_role("heading", name="Overview")).to_have_count(0)
    other.close()
