"""Unsubscribe links: a GET asks, a POST acts, both over and over; a link of one kind never does the other's work."""

import base64
from typing import Any

import pytest

import functions.redirect.handler as redirect_function
from shared.domain.consent import Channel
from shared.domain.episode import EpisodeStatus
from shared.domain.identity import SHOPPER_KINDS
from shared.domain.ids import EpisodeId
from shared.store.activities import ActivityStore
from shared.store.episodes import EpisodeStore
from shared.store.link_limits import MOST_PER_MINUTE
from shared.store.shoppers import ShopperStore
from shared.store.suppressions import SuppressionStore
from tests.integration.shop import MERCHANT, Shop, aws_event

ONE_CLICK = "List-Unsubscribe=One-Click"
MULTIPART = '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'


def ask(code: str, method: str = "GET", body: str | None = None, *, encoded: bool = True) -> dict[str, Any]:
    """One request to ``/u/{code}``; API Gateway sends forms base64-encoded."""
    event = aws_event("recovery-link")
    event |= {"routeKey": f"{method} /u/{{code}}", "rawPath": f"/u/{code}", "pathParameters": {"code": code}}
    event["requestContext"]["http"]["method"] = method
    if body is not None:
        event["isBase64Encoded"] = encoded
        event["body"] = base64.b64encode(body.encode()).decode() if encoded else body
    answer: dict[str, Any] = redirect_function.handler(event, None)
    return answer


def code(shop: Shop) -> str:
    made: str = shop.stores.keys.unsubscribe_codes().code(shop.digest(), 1)
    return made


def closed(shop: Shop) -> list[set[Channel]]:
    """The suppressed channels of each of the shopper's identifiers."""
    known = shop.stores.hasher.of_checkout(shop.checkout())
    records = ShopperStore(shop.table).get_many(known[kind] for kind in SHOPPER_KINDS if kind in known)
    assert records
    return [set(own.memory.suppressed) for own in records.values()]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_shows_a_page_with_one_button_and_changes_nothing(shop: Shop, method: str) -> None:
    shop.webhook()
    before = shop.rows()

    shown = ask(code(shop), method)

    assert shown["statusCode"] == 200
    assert shown["headers"]["content-type"] == "text/html; charset=utf-8"
    assert shown["body"].count("<button") == 1
    assert '<form method="post">' in shown["body"]
    assert "A shop" in shown["body"]
    assert "default-src 'none'" in shown["headers"]["content-security-policy"]
    assert shop.rows() == before


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ONE_CLICK, {Channel.EMAIL}),
        (MULTIPART, {Channel.EMAIL}),
        ("channels=email", {Channel.EMAIL}),
        ("channels=all", set(Channel)),
        ("", set(Channel)),
        (None, set(Channel)),
    ],
)
def test_a_post_closes_what_was_chosen_for_every_identifier(
    shop: Shop, body: str | None, expected: set[Channel]
) -> None:
    shop.webhook()

    done = ask(code(shop), "POST", body)

    assert done["statusCode"] == 200
    assert "unsubscribed" in done["body"]
    assert all(own == expected for own in closed(shop))
    listed, _ = SuppressionStore(shop.table).listed(MERCHANT, limit=10, after=None)
    assert {own.identity.kind.value for own in listed} >= {"phone"}
    assert {each.reason for own in listed for each in own.channels.values()} == {"opt_out"}


def test_a_body_that_is_not_encoded_is_read_too(shop: Shop) -> None:
    shop.webhook()
    ask(code(shop), "POST", ONE_CLICK, encoded=False)
    assert all(own == {Channel.EMAIL} for own in closed(shop))


def test_a_repeat_is_answered_alike_and_noted_once(shop: Shop) -> None:
    shop.webhook()
    first = ask(code(shop), "POST", ONE_CLICK)
    rows = [row for row in shop.rows() if not row["sk"].startswith("L#")]

    again = ask(code(shop), "POST", ONE_CLICK)

    assert again == first
    assert [row for row in shop.rows() if not row["sk"].startswith("L#")] == rows
    noted, _ = ActivityStore(shop.table).page(shop.digest(), limit=10, after=None)
    assert [(own.type, own.detail) for own in noted] == [("UNSUBSCRIBED", {"channels": "email"})]


def test_unsubscribing_from_everything_ends_the_open_episode_at_once(shop: Shop) -> None:
    shop.endpoint()
    shop.abandon()
    shop.dispatch()
    opened = EpisodeId(shop.checkout().episode_id or "")

    ask(code(shop), "POST", ONE_CLICK)
    limited = EpisodeStore(shop.table).get(opened)
    ask(code(shop), "POST", "channels=all")
    ended = EpisodeStore(shop.table).get(opened)

    assert limited is not None
    assert (limited.status, limited.closed_channels) == (EpisodeStatus.ACTIVE, frozenset({"email"}))
    assert ended is not None
    assert (ended.status, ended.end_reason) == (EpisodeStatus.ENDED, "opted_out")


def test_a_code_of_one_purpose_does_not_work_at_the_others_address(shop: Shop) -> None:
    shop.webhook()
    back = shop.stores.keys.recovery_codes().code(shop.digest(), 1)

    assert ask(back)["statusCode"] == 404
    assert ask(back, "POST", ONE_CLICK)["statusCode"] == 404
    assert shop.follow(code(shop)) == (404, None)
    assert all(own == set() for own in closed(shop))


@pytest.mark.parametrize("wrong", ["", "x", "A" * 46])
def test_a_forged_code_is_not_found(shop: Shop, wrong: str) -> None:
    shop.webhook()
    assert ask(wrong)["statusCode"] == 404
    assert ask(wrong, "POST", ONE_CLICK)["statusCode"] == 404


def test_a_genuine_code_of_a_checkout_that_is_gone_is_no_error(shop: Shop) -> None:
    gone = shop.stores.keys.unsubscribe_codes().code(shop.digest("long-deleted"))
    assert ask(gone)["statusCode"] == 200
    assert ask(gone, "POST", ONE_CLICK)["statusCode"] == 200


def test_a_link_used_by_a_machine_gun_is_limited_for_a_minute(shop: Shop) -> None:
    shop.webhook()
    back = shop.stores.keys.recovery_codes().code(shop.digest(), 2)
    answers = [shop.follow(back)[0] for _ in range(MOST_PER_MINUTE + 2)]
    assert answers == [302] * MOST_PER_MINUTE + [429] * 2
    assert shop.follow(shop.stores.keys.recovery_codes().code(shop.digest(), 1))[0] == 302, "another link is not"
    shop.wait(minutes=1)
    assert shop.follow(back)[0] == 302
