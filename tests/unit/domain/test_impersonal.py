"""Events without a shopper: what is kept is named, whatever else an event may hold."""

import json
from typing import Any

import pytest

from shared.domain.impersonal import without_person

SECRET = "asha-rao-919876543210"


def abandonment() -> dict[str, Any]:
    """An abandonment in which every text of a provider's or a shopper's is the same."""
    money = {"amount": "630.00", "currency": "INR"}
    return {
        "id": "evt_1",
        "type": "checkout.abandoned",
        "timestamp": "2026-11-21T10:00:00Z",
        "sequence": 3,
        "merchant_id": "mer_1",
        "do_not_send_after": None,
        "messaging": {"may_send": True, "reason": None},
        "data": {
            "checkout": {
                "id": "chk_1", "provider": "custom", "source_id": "src_1", "external_id": SECRET, "cart_id": SECRET,
                "name": SECRET, "status": "abandoned", "reason": "incomplete", "stage": SECRET, "test": False,
                "customer": {"id": SECRET, "phone": SECRET}, "consent": {"marketing": "granted", "source": SECRET},
                "shipping_address": {"city": SECRET}, "billing_address": None,
                "items": [{"title": SECRET, "attributes": {"engraving": SECRET}}], "item_count": 1,
                "totals": {"total": money}, "shop_totals": None, "tax_lines": [{"title": SECRET}],
                "discount_codes": [SECRET], "checkout_url": SECRET, "recovery_url": SECRET,
                "attribution": {"referrer": SECRET}, "note": SECRET, "attributes": {SECRET: SECRET},
                "created_at": "2026-11-21T09:00:00Z", "expires_at": SECRET, "started_at": SECRET,
                "order": {
                    "id": SECRET, "at": "2026-11-21T11:00:00Z", "total": money, "reversed": [], "cancelled": False,
                },
                "of_next_year": SECRET,
            },
            "episode": {"id": "epi_1", "status": "active", "of_next_year": SECRET},
            "of_next_year": SECRET,
        },
        "of_next_year": SECRET,
    }  # fmt: skip


def test_nothing_of_a_shopper_is_left_and_what_is_counted_is() -> None:
    told = without_person(abandonment())
    assert SECRET not in json.dumps(told)
    assert told["id"] == "evt_1"
    checkout = told["data"]["checkout"]
    assert (checkout["id"], checkout["status"]) == ("chk_1", "abandoned")
    assert checkout["totals"]["total"]["amount"] == "630.00"
    assert checkout["order"] == {
        "at": "2026-11-21T11:00:00Z",
        "total": {"amount": "630.00", "currency": "INR"},
        "reversed": [],
        "cancelled": False,
    }
    assert told["data"]["episode"] == {"id": "epi_1", "status": "active"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"checkout_ids": ["chk_1"], "episode_ids": []}, {"checkout_ids": ["chk_1"], "episode_ids": []}),
        (
            {"endpoint": {"id": "ep_1", "kind": "webhook", "name": SECRET, "url": SECRET, "test": True}},
            {"endpoint": {"id": "ep_1", "kind": "webhook", "test": True}},
        ),
        ({"checkout": None, "episode": None}, {"checkout": None, "episode": None}),
        ({"checkout": {"id": "chk_1", "order": None}, "episode": None},
         {"checkout": {"id": "chk_1", "order": None}, "episode": None}),
        ({}, {}),
        (None, {}),
    ],
)  # fmt: skip
def test_of_every_kind_of_event(data: Any, expected: Any) -> None:
    assert without_person({"id": "evt_1", "data": data}) == {"id": "evt_1", "data": expected}
