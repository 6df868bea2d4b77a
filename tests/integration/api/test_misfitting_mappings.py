"""A mapping that fits a shop's checkouts and not its orders: they are kept, but a purchase stops messages at once."""

from typing import Any

import pytest

from functions.ingest.composition import receiver, stores
from tests.integration.api.conftest import Api
from tests.integration.api.test_new_versions import SECRET, checkouts, post

VERSION = "2026-04"
MAPPING = {"note": "join(' ', ['left at', abandoned_checkout_url])"}
"""Orders hold no such link, and ``join`` takes no null."""
REASON = "the mapping of note does not fit the payload"


@pytest.fixture
def source(merchant: Api) -> dict[str, Any]:
    stores.cache_clear()
    receiver.cache_clear()
    wanted = {"provider": "shopify", "credentials": {"secret": SECRET}, "settings": {"mapping": MAPPING}}
    made = merchant("POST", "/v1/sources", wanted)
    assert made.status == 201, made.text
    found: dict[str, Any] = made.json
    return found


def test_a_purchase_that_the_mapping_does_not_fit_ends_its_checkout_and_is_kept_for_all_else(
    merchant: Api, source: dict[str, Any]
) -> None:
    assert post(source, "checkouts-create", "checkouts/create", VERSION)["status"] == "accepted"
    ((token, status),) = checkouts(merchant)
    assert status == "open"

    kept = post(source, "orders-create", "orders/create", VERSION, checkout_token=token)
    assert (kept["status"], kept["reason"]) == ("quarantined", REASON)
    assert checkouts(merchant) == [(token, "completed")]
    path = f"/v1/quarantine/{kept['quarantine_id']}/replay"
    assert merchant("POST", path).json["status"] == "quarantined"

    assert merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"mapping": {}}}).status == 200
    receiver.cache_clear()
    assert merchant("POST", path).json["status"] in {"accepted", "duplicate"}
    assert checkouts(merchant) == [(token, "completed")]


def test_what_ends_nothing_is_only_kept(merchant: Api, source: dict[str, Any]) -> None:
    kept = post(source, "checkouts-create", "checkouts/create", VERSION, abandoned_checkout_url=None)
    assert (kept["status"], kept["reason"]) == ("quarantined", REASON)
    assert checkouts(merchant) == []
    refused = merchant("POST", f"/v1/sources/{source['id']}/preview", {"token": "t-1", "abandoned_checkout_url": None})
    assert (refused.status, refused.json["detail"]) == (422, REASON)
