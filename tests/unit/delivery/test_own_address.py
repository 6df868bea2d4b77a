"""Nothing is sent to Checkback itself, however its address is written."""

import asyncio

import pytest

from shared.delivery.exchange import InvalidRequest, OutboundRequest, RefusedDestination
from shared.delivery.own_address import HOP_HEADER, OwnAddress
from shared.delivery.send_pool import SendPool
from shared.delivery.target import check_url
from tests.unit.delivery.receiver import Names, Receiver

DOMAIN = OwnAddress.of("https://Hooks.Shop-Back.example", "abc123", local=False)
NO_DOMAIN = OwnAddress.of("https://abc123.execute-api.ap-south-1.amazonaws.com", "abc123", local=False)
LOCAL = OwnAddress.of("http://127.0.0.1:4566/_aws/execute-api/abc123/$default", "abc123", local=True)
HOME = "the URL leads back to Checkback itself"


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.shop-back.example/hooks/src_1",
        "https://HOOKS.Shop-Back.EXAMPLE/",
        "https://hooks.shop-back.example:443/v1/tokens",
        "https://hooks.shop-back.example:8443/",
        "https://hooks.shop-back.example?x=https://elsewhere.example",
        "https://abc123.execute-api.ap-south-1.amazonaws.com/hooks/src_1",
        "https://ABC123.Execute-Api.ap-south-1.amazonaws.com/",
        "https://abc123.execute-api.eu-west-1.amazonaws.com.cn/",
    ],
)
def test_the_public_host_and_the_apis_own_name_are_refused(url: str) -> None:
    assert check_url(url, own=DOMAIN) == [HOME]
    assert check_url(url) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.shop-back.example./",
        "https://hooks.shop-back.example\\@elsewhere.example/",
        "https://elsewhere.example@hooks.shop-back.example/",
        "https://hooks.shop\u2010back.example/",
        "https://\uff48ooks.shop-back.example/",
        "https://hooks.shop-back.example\t/",
        "//hooks.shop-back.example/",
        "https://hooks%2eshop-back.example/",
        "http://127.1:4566/_aws/execute-api/abc123/$default/hooks/x",
        "http://2130706433:4566/",
        "http://0x7f.0.0.1:4566/",
        "http://[::ffff:127.0.0.1]:4566/_aws/execute-api/abc123/$default/hooks/x",
        "http://abc123.execute-api.localhost:4566/hooks/x",
    ],
)
def test_other_spellings_are_no_address_at_all(url: str) -> None:
    for own, loopback in ((DOMAIN, False), (LOCAL, True)):
        assert check_url(url, own=own, allow_loopback=loopback)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop-back.example/",
        "https://hooks.shop-back.example.evil.example/",
        "https://my-hooks.shop-back.example/",
        "https://abc1234.execute-api.ap-south-1.amazonaws.com/",
        "https://abc123.elsewhere.example/execute-api/",
    ],
)
def test_what_only_looks_like_it_is_somebody_elses(url: str) -> None:
    assert check_url(url, own=DOMAIN) == []
    assert check_url(url, own=NO_DOMAIN) == []


def test_without_a_domain_the_apis_own_name_is_the_public_host() -> None:
    assert check_url("https://abc123.execute-api.ap-south-1.amazonaws.com/hooks/x", own=NO_DOMAIN) == [HOME]


def test_an_api_whose_id_is_not_known_refuses_its_public_host_alone() -> None:
    unknown = OwnAddress.of("https://hooks.example.com", "", local=False)
    assert check_url("https://hooks.example.com/", own=unknown) == [HOME]
    assert check_url("https://.execute-api.ap-south-1.amazonaws.com/", own=unknown) != []
    assert check_url("https://x.execute-api.ap-south-1.amazonaws.com/", own=unknown) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4566/_aws/execute-api/abc123/$default/hooks/src_1",
        "http://localhost:4566/_aws/execute-api/abc123/$default/hooks/src_1",
        "http://LOCALHOST:4566/_AWS/Execute-API/abc123/$default/hooks/src_1",
        "http://127.0.0.2:4566/_aws/execute-api/abc123/$default/",
        "http://[::1]:4566/_aws/execute-api/abc123/$default/",
        "http://127.0.0.1:4566//_aws/%65xecute-api/abc123/$default/",
    ],
)
def test_on_the_local_engine_the_apis_path_is_refused_and_receivers_stay(url: str) -> None:
    assert check_url(url, own=LOCAL, allow_loopback=True) == [HOME]
    assert check_url("http://127.0.0.1:9000/hooks", own=LOCAL, allow_loopback=True) == []
    assert check_url("http://127.0.0.1:4566/_ministack/ses", own=LOCAL, allow_loopback=True) == []


def test_at_send_it_is_refused_before_a_name_is_asked_for(names: Names) -> None:
    requests = [
        OutboundRequest("https://hooks.shop-back.example/hooks/src_1", b"{}"),
        OutboundRequest("https://abc123.execute-api.ap-south-1.amazonaws.com/", b"{}"),
    ]
    with SendPool(own=DOMAIN, resolver=names) as pool:
        results = pool.send_all(requests)

    assert [(type(own.error), own.sent) for own in results] == [(RefusedDestination, False)] * 2
    assert results[0].error is not None
    assert results[0].error.reason == HOME
    assert names.asked == []


def test_a_redirect_home_is_not_followed_and_everything_sent_is_marked(plain_receiver: Receiver) -> None:
    home = b"http://127.0.0.1:4566/_aws/execute-api/abc123/$default/hooks/src_1"

    async def redirect(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: " + home + b"\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()

    plain_receiver.on("/in", redirect)
    with SendPool(own=LOCAL, allow_loopback=True) as pool:
        (result,) = pool.send_all([OutboundRequest(f"http://127.0.0.1:{plain_receiver.port}/in", b"{}")])

    assert result.answer is not None
    assert result.answer.status_code == 307
    (request,) = plain_receiver.requests
    assert request.headers[HOP_HEADER] == "1"


def test_nobody_takes_the_mark_off() -> None:
    with SendPool(own=LOCAL, allow_loopback=True) as pool:
        (result,) = pool.send_all([OutboundRequest("http://127.0.0.1:1/", b"", {"Checkback-Hop": ""})])
    assert isinstance(result.error, InvalidRequest)
