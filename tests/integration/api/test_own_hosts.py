"""Two sources and two endpoints that point at each other would turn one webhook into an endless stream."""

import pytest

from functions.deliver import composition
from shared.delivery.exchange import OutboundRequest, RefusedDestination
from shared.delivery.own_address import HOP_HEADER
from tests.integration.api.conftest import API_ID, PUBLIC_URL, Api
from tests.integration.api.full_bodies import endpoints_of_every_kind
from tests.integration.shop import Shop, aws_event

OWN_NAME = f"https://{API_ID}.execute-api.ap-south-1.amazonaws.com"


@pytest.mark.parametrize(
    "home", [PUBLIC_URL, PUBLIC_URL.upper().replace("HTTPS", "https"), f"{PUBLIC_URL}:8443", OWN_NAME]
)
def test_an_endpoint_that_leads_to_a_hook_of_ours_is_refused_at_its_url(merchant: Api, home: str) -> None:
    source = merchant("POST", "/v1/sources", {"provider": "custom"}).json
    hook = f"{home}/hooks/{source['id']}?token=x"

    refused = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": hook})
    endpoint = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"}).json
    changed = merchant("PATCH", f"/v1/endpoints/{endpoint['id']}", {"url": hook})

    for own in (refused, changed):
        assert own.status == 422, own.text
        assert own.json["errors"] == [{"pointer": "/url", "detail": "the URL leads back to Checkback itself"}]
    assert merchant("GET", f"/v1/endpoints/{endpoint['id']}").json["url"] == "https://bsp.example.com/"


def test_no_kind_takes_our_own_address_for_its_vendors(merchant: Api) -> None:
    refused = 0
    for body in endpoints_of_every_kind():
        settings = body["settings"] | {"base_url": PUBLIC_URL}
        where = {"url": PUBLIC_URL} if body["kind"] == "webhook" else {"settings": settings}
        answer = merchant("POST", "/v1/endpoints", body | where)
        assert answer.status == 422, (body["kind"], answer.text)
        refused += any("leads back" in own["detail"] for own in answer.json["errors"])
    assert refused > 8, "the others have no base_url"


def test_no_source_asks_us_for_its_providers_contents(merchant: Api) -> None:
    api = {"store_hash": "ab12cd34ef", "access_token": "bc-access-token", "base_url": PUBLIC_URL}
    body = {"provider": "bigcommerce", "credentials": {"api": api}}
    refused = merchant("POST", "/v1/sources", body)
    made = merchant("POST", "/v1/sources", {"provider": "bigcommerce"}).json
    changed = merchant("PATCH", f"/v1/sources/{made['id']}", {"credentials": {"api": api}})

    for own in (refused, changed):
        assert own.status == 422, own.text
        assert [error["pointer"] for error in own.json["errors"]] == ["/credentials/api/base_url"]


def test_nobody_writes_the_mark_into_the_headers_of_an_endpoint(merchant: Api) -> None:
    body = {"kind": "webhook", "url": "https://bsp.example.com/", "headers": {HOP_HEADER.title(): "0"}}
    refused = merchant("POST", "/v1/endpoints", body)
    assert refused.status == 422
    assert refused.json["errors"][0]["pointer"] == f"/headers/{HOP_HEADER.title()}"


def test_what_was_registered_before_a_domain_was_ours_is_refused_at_send(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.delivery.send_pool import SendPool

    monkeypatch.setattr(composition, "SendPool", SendPool)
    composition.pool.cache_clear()
    monkeypatch.setenv("API_ID", API_ID)
    composition._stores.cache_clear()
    with composition.pool() as pool:
        results = pool.send_all([OutboundRequest("https://hooks.example.com/hooks/src_1"), OutboundRequest(OWN_NAME)])

    assert [type(own.error) for own in results] == [RefusedDestination] * 2
    composition.pool.cache_clear()


def test_a_loop_by_way_of_a_forwarder_ends_at_our_door(shop: Shop) -> None:
    """Somebody's relay hands on what we sent, headers and all, signed as the source wants it."""
    event = aws_event("webhook")
    event["headers"] |= {"Checkback-Hop": "1"}
    before = shop.rows()

    status, problem = shop.posted(event)

    assert status == 409
    assert problem["title"] == "Loop Detected"
    assert shop.rows() == before
