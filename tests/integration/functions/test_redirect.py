"""Recovery links followed: back to the checkout while that helps, to the shop afterwards."""

import time
from dataclasses import replace
from typing import Any

import pytest

import functions.redirect.handler as redirect_function
from shared.domain.checkout import Activity
from shared.domain.coupon import SHOPIFY_DISCOUNT
from shared.store.activities import ActivityStore
from shared.store.configuration import MerchantStore
from shared.workflows.insight.follow_link import Visitor, destination, visitor_class
from tests.integration.shop import SESSION, Shop, aws_event

SHOP = "https://flexype.myshopify.com/"
BACK = f"{SHOP}?flx_s={SESSION}&utm_source=checkback&utm_medium=recovery&utm_campaign=abandoned_checkout"


def code(shop: Shop) -> str:
    made: str = shop.stores.keys.recovery_codes().code(shop.digest())
    return made


def clicks(shop: Shop) -> list[Activity]:
    found, _ = ActivityStore(shop.table).page(shop.digest(), limit=10, after=None)
    return found


def test_a_link_leads_back_to_the_checkout_and_the_click_is_noted(shop: Shop) -> None:
    shop.webhook()
    before = shop.checkout()
    assert shop.follow(code(shop)) == (302, BACK)
    (click,) = clicks(shop)
    assert (click.type, click.detail, click.at) == ("LINK_CLICKED", {"visitor": "human", "step": 0}, shop.now)
    assert shop.checkout() == before, "a GET changes nothing"


@pytest.mark.parametrize("days", [0, 8])
def test_a_finished_or_forgotten_checkout_leads_to_the_shop(shop: Shop, days: int) -> None:
    shop.webhook()
    if days:
        shop.wait(days=days)
    else:
        shop.webhook(session_state="COMPLETED")
    assert shop.follow(code(shop)) == (302, SHOP)


def test_a_link_the_provider_let_expire_leads_to_the_shop(shop: Shop) -> None:
    shop.webhook()
    own = shop.checkout()
    expiring = replace(own, leaves={**own.leaves, "expires_at": "2026-11-21T12:10:00Z"})
    assert destination(expiring, shop.merchant, shop.now) == BACK
    shop.wait(minutes=10)
    assert destination(expiring, shop.merchant, shop.now) == SHOP


def test_a_link_to_a_foreign_host_is_never_followed(shop: Shop) -> None:
    shop.webhook(checkout_url=f"https://evil.example/?flx_s={SESSION}")
    assert shop.follow(code(shop)) == (302, SHOP)


def test_forged_and_unknown_codes_are_not_found_and_nothing_is_noted(shop: Shop) -> None:
    shop.webhook()
    genuine = code(shop)
    forged = ("B" if genuine[20] != "B" else "C").join((genuine[:20], genuine[21:]))
    unknown = shop.stores.keys.recovery_codes().code(shop.digest("never-seen"))
    for own in (forged, unknown, "A" * 46, "", "x"):
        assert shop.follow(own) == (404, None)
    assert clicks(shop) == []


@pytest.mark.parametrize(
    ("visitor", "expected"),
    [
        (Visitor("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"), "human"),
        (Visitor("WhatsApp/2.23.20.0"), "probable_bot"),
        (Visitor("Googlebot/2.1 (+http://www.google.com/bot.html)"), "probable_bot"),
        (Visitor("Mozilla/5.0", "prefetch;prerender"), "probable_bot"),
        (Visitor("Mozilla/5.0", "Preview"), "probable_bot"),
        (Visitor(None), "unknown"),
        (Visitor(""), "unknown"),
    ],
)
def test_a_click_has_a_class(visitor: Visitor, expected: str) -> None:
    assert visitor_class(visitor) == expected


@pytest.mark.parametrize("header", ["Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"])
def test_a_browser_that_fetches_beforehand_is_no_person(shop: Shop, header: str) -> None:
    shop.webhook()
    event = aws_event("recovery-link")
    event["pathParameters"] = {"code": code(shop)}
    event["headers"] |= {"user-agent": "Mozilla/5.0", header.lower(): "prefetch"}
    assert redirect_function.handler(event, None)["statusCode"] == 302
    assert [own.detail["visitor"] for own in clicks(shop)] == ["probable_bot"]


def test_whoever_asks_for_the_head_alone_finds_a_good_link_and_has_not_followed_it(shop: Shop) -> None:
    """Mail scanners and link checkers: to them a 404 is a broken link, and no click is theirs."""
    shop.webhook()
    event = aws_event("recovery-link")
    event |= {"routeKey": "HEAD /r/{code}", "pathParameters": {"code": code(shop)}}
    event["requestContext"]["http"]["method"] = "HEAD"
    answer: dict[str, Any] = redirect_function.handler(event, None)
    assert (answer["statusCode"], answer["headers"]["location"]) == (302, BACK)
    assert clicks(shop) == []


def test_the_answer_is_not_cached_or_indexed_and_tells_no_referrer(shop: Shop) -> None:
    answer: dict[str, Any] = redirect_function.handler(aws_event("recovery-link"), None)
    assert answer["statusCode"] == 404
    assert answer["headers"]["cache-control"] == "no-store"
    assert answer["headers"]["referrer-policy"] == "no-referrer"
    assert "noindex" in answer["headers"]["x-robots-tag"]


def test_a_domain_that_was_taken_away_leads_nobody_anywhere_any_more(shop: Shop) -> None:
    shop.webhook()
    merchants = MerchantStore(shop.table)
    found = merchants.get(shop.merchant.id)
    assert found is not None
    merchants.replace(replace(found.value, store_domains=("new.example",)), found.version)

    assert shop.follow(code(shop)) == (302, "https://new.example/")


def test_a_link_too_long_for_an_answer_with_its_coupon_goes_without(shop: Shop) -> None:
    shop.webhook(checkout_url=f"{SHOP}?flx_s={SESSION}&note={'%C3%A9' * 600}")
    link = destination(shop.checkout(), shop.merchant, shop.now, "BACK10", SHOPIFY_DISCOUNT)
    assert link is not None
    assert len(link) < 8_000
    assert link.startswith(SHOP)


@pytest.mark.parametrize("character", ["a", "-", "a-"])
def test_a_browser_that_says_much_about_itself_costs_little(character: str) -> None:
    """The patterns of crawlers take time with the square of what they are given: 8 KB took half a minute."""
    begun = time.process_time()
    assert visitor_class(Visitor(character * 8_000)) == "human"
    assert time.process_time() - begun < 3
