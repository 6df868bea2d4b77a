"""Coupons: who gets which code, and where the link puts it. Consent and suppression: who may be written to at all."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.checkout import Consent
from shared.domain.consent import Channel, channel_consent, country_of, marketing_consent, permits
from shared.domain.coupon import (
    SHOPIFY_DISCOUNT,
    Allocate,
    Allocation,
    Carry,
    CouponLink,
    CouponRule,
    NoCoupon,
    Unavailable,
    planned_coupon,
    revocable,
    rule_of,
    rule_problems,
    with_coupon,
)
from shared.domain.recovery_link import allowed_destination
from shared.domain.settings import Settings
from shared.domain.shopper import Shopper, together
from shared.domain.suppression import channels_meant, lifted, suppressed
from tests.unit.domain.recovery.episodes import DAY, checkout_left, without
from tests.unit.domain.sessions import NOON

STATIC, POOL, MINTED = CouponRule("static", code="BACK10"), CouponRule("pool", pool_id="p"), CouponRule("minted")
GIVEN = Allocation(2, "A-1", NOON, NOON + 2 * DAY)


@pytest.mark.parametrize(
    ("step", "own", "campaign", "rule"),
    [
        (1, None, POOL, None),
        (2, None, POOL, POOL),
        (1, STATIC, POOL, STATIC),
        (2, CouponRule("none"), POOL, None),
        (3, None, None, None),
    ],
)
def test_a_campaigns_coupon_starts_with_the_second_step(
    step: int, own: CouponRule | None, campaign: CouponRule | None, rule: CouponRule | None
) -> None:
    assert rule_of(step, own, campaign) == rule


@pytest.mark.parametrize(
    ("step", "rule", "allocations", "last_discount_days_ago", "expected"),
    [
        (2, None, [], None, NoCoupon()),
        (2, STATIC, [], None, Carry("BACK10")),
        (2, POOL, [], None, Allocate(POOL)),
        (2, POOL, [GIVEN], None, Carry("A-1")),
        (3, POOL, [GIVEN], 1, Carry("A-1")),
        (3, MINTED, [GIVEN, replace(GIVEN, step=3, code="B-2")], None, Carry("B-2")),
        (1, POOL, [GIVEN], None, Allocate(POOL)),
        (3, POOL, [replace(GIVEN, expires_at=NOON)], None, Unavailable("expired")),
        (2, POOL, [], 29, Unavailable("second_discount")),
        (2, STATIC, [], 29, Unavailable("second_discount")),
        (2, POOL, [], 30, Allocate(POOL)),
    ],
)
def test_one_allocation_reused_and_no_second_discount_within_thirty_days(
    step: int, rule: CouponRule | None, allocations: list[Allocation], last_discount_days_ago: int | None, expected: Any
) -> None:
    last = None if last_discount_days_ago is None else NOON - last_discount_days_ago * DAY
    assert planned_coupon(step, rule, allocations, last, NOON) == expected


def test_only_single_use_codes_are_revoked() -> None:
    assert revocable([GIVEN, replace(GIVEN, step=3)], {2: POOL, 3: STATIC}) == (GIVEN,)


def test_a_rule_wants_its_own_field_and_no_other() -> None:
    assert rule_problems(STATIC, "/coupon") == []
    assert [pointer for pointer, _ in rule_problems(MINTED, "/coupon")] == ["/coupon/endpoint_id"]
    assert [pointer for pointer, _ in rule_problems(replace(STATIC, code="A\n"), "/c")] == ["/c/code"]
    assert [pointer for pointer, _ in rule_problems(replace(STATIC, pool_id="p"), "/c")] == ["/c/pool_id"]


BY_QUERY = CouponLink(parameter="coupon")


@pytest.mark.parametrize(
    ("destination", "code", "link", "expected"),
    [
        (
            "https://shop.example/checkouts/cn/1?key=a&b=c",
            "BACK 10",
            SHOPIFY_DISCOUNT,
            "https://shop.example/discount/BACK%2010?redirect=%2Fcheckouts%2Fcn%2F1%3Fkey%3Da%26b%3Dc",
        ),
        ("https://shop.example", "X", SHOPIFY_DISCOUNT, "https://shop.example/discount/X?redirect=%2F"),
        ("https://shop.example//evil.example/", "X", SHOPIFY_DISCOUNT, "https://shop.example/discount/X?redirect=%2Fevil.example%2F"),
        ("https://shop.example/c?a=1#f", "X&y", BY_QUERY, "https://shop.example/c?a=1&coupon=X%26y#f"),
        ("https://shop.example/c", "X", BY_QUERY, "https://shop.example/c?coupon=X"),
        ("https://shop.example/c", "X", CouponLink(), "https://shop.example/c"),
        ("https://shop.example/c", None, BY_QUERY, "https://shop.example/c"),
    ],
)  # fmt: skip
def test_the_link_applies_the_code(destination: str, code: str | None, link: CouponLink, expected: str) -> None:
    assert with_coupon(destination, code, link) == expected


@given(st.text(min_size=1), st.sampled_from([SHOPIFY_DISCOUNT, BY_QUERY]), st.text("/?#&=@:ab%. "))
def test_no_code_and_no_path_leads_to_another_host(code: str, link: CouponLink, path: str) -> None:
    try:
        applied = with_coupon(f"https://shop.example/{path}", code.encode("utf-8", "ignore").decode(), link)
    except ValueError:
        return
    assert applied.startswith("https://shop.example/")
    assert allowed_destination(applied, frozenset({"shop.example"})) is not None or " " in applied


REQUIRED, ALLOWED = Settings(consent="required"), Settings(consent="unknown_allowed")


@pytest.mark.parametrize(
    ("said", "channel", "settings", "country", "soft", "may"),
    [
        (Consent.GRANTED, Channel.WHATSAPP, REQUIRED, "DE", False, True),
        (Consent.DENIED, Channel.EMAIL, ALLOWED, "IN", True, False),
        (Consent.UNKNOWN, Channel.EMAIL, REQUIRED, "IN", False, False),
        (Consent.UNKNOWN, Channel.EMAIL, ALLOWED, "IN", False, True),
        (Consent.UNKNOWN, Channel.WHATSAPP, ALLOWED, "IN", False, True),
        (Consent.UNKNOWN, Channel.EMAIL, ALLOWED, "DE", False, False),
        (Consent.UNKNOWN, Channel.EMAIL, ALLOWED, "GB", False, False),
        (Consent.UNKNOWN, Channel.EMAIL, ALLOWED, "GB", True, True),
        (Consent.UNKNOWN, Channel.EMAIL, REQUIRED, "GB", True, True),
        (Consent.UNKNOWN, Channel.WHATSAPP, ALLOWED, "GB", True, False),
        (Consent.UNKNOWN, Channel.SMS, ALLOWED, "FR", True, False),
    ],
)
def test_unknown_is_not_consent_and_a_merchants_word_ends_at_the_eu(
    said: Consent, channel: Channel, settings: Settings, country: str, soft: bool, may: bool
) -> None:
    assert permits(said, channel, settings, {country}, soft_opt_in=soft) is may


def test_the_strictest_of_several_countries_holds() -> None:
    assert permits(Consent.UNKNOWN, Channel.EMAIL, ALLOWED, {"IN"})
    assert not permits(Consent.UNKNOWN, Channel.EMAIL, ALLOWED, {"IN", "FR"})


def test_what_a_checkout_says_of_consent_and_country() -> None:
    checkout = checkout_left(leaves={"consent.channels.email": "denied", "consent.channels.sms": "perhaps"})
    assert channel_consent(checkout, Channel.EMAIL) is Consent.DENIED
    assert channel_consent(checkout, Channel.SMS) is Consent.UNKNOWN
    assert marketing_consent(checkout) is Consent.GRANTED
    refused = without(checkout, "consent.channels.whatsapp")
    assert marketing_consent(refused) is Consent.DENIED
    assert marketing_consent(without(refused, "consent.channels.email")) is Consent.UNKNOWN
    billed = checkout_left(leaves={"shipping_address.country": (None, None), "billing_address.country": (None, "fr")})
    assert country_of(billed) == "FR"


def test_suppressions_keep_their_first_reason_and_can_be_lifted() -> None:
    assert channels_meant(None) == set(Channel)
    held = suppressed({Channel.EMAIL: "hard_bounce"}, channels_meant(["email", "sms"]), "merchant")
    assert held == {Channel.EMAIL: "hard_bounce", Channel.SMS: "merchant"}
    assert lifted(held, [Channel.EMAIL]) == {Channel.SMS: "merchant"}


def test_a_shopper_is_all_that_is_remembered_under_any_identifier() -> None:
    by_phone = Shopper(purchased_at=NOON, last_message_at=NOON - DAY, suppressed={Channel.SMS: "opt_out"})
    by_email = Shopper(
        last_message_at=NOON, capped={Channel.WHATSAPP: NOON + DAY}, suppressed={Channel.EMAIL: "complaint"}
    )
    assert together([by_phone, by_email]) == Shopper(
        purchased_at=NOON,
        last_message_at=NOON,
        capped={Channel.WHATSAPP: NOON + DAY},
        suppressed={Channel.SMS: "opt_out", Channel.EMAIL: "complaint"},
    )
    assert together([]) == Shopper()
