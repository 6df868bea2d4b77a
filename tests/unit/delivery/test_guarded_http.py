"""The way out over real sockets and TLS: what gets through, what is cut off, and what never starts."""

import asyncio
import gzip
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from shared.delivery import guarded_http
from shared.delivery.exchange import (
    BrokenExchange,
    DestinationTimeout,
    DestinationUnreachable,
    ForbiddenAddress,
    InvalidRequest,
    OutboundRequest,
    RefusedDestination,
    SendResult,
    UnexpectedFailure,
)
from shared.delivery.guarded_http import GuardedTransport
from shared.delivery.send_pool import SendPool
from shared.delivery.vetted_dialling import VettingBackend
from tests.unit.delivery.receiver import PUBLIC_ADDRESS, Behaviour, Detour, Names, Receiver

HOOK = "https://hooks.bsp.example/in"


def saying(raw: bytes) -> Behaviour:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return behave


def after(seconds: float, raw: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") -> Behaviour:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(raw)
        await writer.drain()

    return behave


def dripping(head: bytes) -> Behaviour:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.transport.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    return behave


def flooding(head: bytes, chunk: bytes) -> Behaviour:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.transport.is_closing():
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)

    return behave


async def resetting(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.fixture
def pool(client_tls: ssl.SSLContext, names: Names, detour: Detour) -> Iterator[SendPool]:
    with SendPool(ssl_context=client_tls, resolver=names, dialler=detour) as made:
        yield made


@pytest.fixture
def local_pool() -> Iterator[SendPool]:
    with SendPool(allow_loopback=True) as made:
        yield made


def send(pool: SendPool, url: str = HOOK, *, seconds: float = 5, headers: dict[str, str] | None = None) -> SendResult:
    (result,) = pool.send_all(
        [OutboundRequest(url, b'{"id":"evt_1"}', headers or {}, timeout=timedelta(seconds=seconds))]
    )
    return result


def status(result: SendResult) -> int:
    assert result.answer is not None, result.error
    return result.answer.status_code


def elapsed(action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


# --- where it goes -----------------------------------------------------------------------------------------


def test_the_vetted_address_is_dialled_and_the_name_kept(
    pool: SendPool, receiver: Receiver, names: Names, detour: Detour
) -> None:
    result = send(pool, "https://Hooks.BSP.example/in?a=b%20c", headers={"x-shop": "1"})
    assert status(result) == 200
    assert result.sent
    assert names.asked == ["hooks.bsp.example"]
    assert detour.dialled == [(PUBLIC_ADDRESS, 443)]
    (request,) = receiver.requests
    assert request.server_name == "hooks.bsp.example"
    assert (request.method, request.path) == ("POST", "/in?a=b%20c")
    assert request.headers["host"] == "hooks.bsp.example"
    assert request.headers["x-shop"] == "1"
    assert request.headers["accept-encoding"] == "identity"
    assert request.body == b'{"id":"evt_1"}'
    assert result.started_at.tzinfo is UTC
    assert result.started_at <= result.finished_at


def test_a_second_look_up_cannot_lead_elsewhere(
    pool: SendPool, receiver: Receiver, names: Names, detour: Detour
) -> None:
    names.answers["hooks.bsp.example"] = [[PUBLIC_ADDRESS], ["127.0.0.1"]]
    assert status(send(pool)) == 200
    assert names.asked == ["hooks.bsp.example"]
    assert detour.dialled == [(PUBLIC_ADDRESS, 443)]
    pool.close()
    assert isinstance(send(pool).error, ForbiddenAddress)
    assert detour.dialled == [(PUBLIC_ADDRESS, 443)]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        [PUBLIC_ADDRESS, "10.0.0.1"],
        ["169.254.169.254", PUBLIC_ADDRESS],
        ["::ffff:169.254.169.254"],
        [PUBLIC_ADDRESS, "64:ff9b::a9fe:a9fe"],
        ["2002:7f00:1::1"],
        ["fe80::1%eth0"],
        ["not an address"],
        [PUBLIC_ADDRESS] * 9 + ["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "::1"],
    ],
)
def test_one_bad_address_refuses_the_host(
    pool: SendPool, names: Names, detour: Detour, addresses: Sequence[str]
) -> None:
    names.answers["hooks.bsp.example"] = [addresses]
    result = send(pool)
    assert isinstance(result.error, ForbiddenAddress)
    assert not result.sent
    assert detour.dialled == []
    assert not any(address in result.error.reason for address in addresses)


def test_a_dead_address_leaves_time_for_the_next(pool: SendPool, names: Names, detour: Detour) -> None:
    names.answers["hooks.bsp.example"] = [["2606:4700::1111", "8.8.8.8", "8.8.4.4"]]
    detour.unreachable = {"8.8.8.8"}
    assert status(send(pool, seconds=1)) == 200
    assert [address for address, _ in detour.dialled] == ["8.8.8.8", "8.8.4.4"]


@pytest.mark.parametrize(
    "url",
    ["http://hooks.bsp.example/", "https://127.0.0.1/", "https://u:p@hooks.bsp.example/", "https://[", "\x00"],
)
def test_forbidden_urls_are_not_even_looked_up(pool: SendPool, names: Names, detour: Detour, url: str) -> None:
    result = send(pool, url)
    assert isinstance(result.error, RefusedDestination)
    assert not result.sent
    assert names.asked == []
    assert detour.dialled == []


def test_a_redirect_to_the_metadata_service_is_only_reported(
    pool: SendPool, receiver: Receiver, names: Names, detour: Detour
) -> None:
    receiver.on(
        "/in",
        saying(
            b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://169.254.169.254/latest/\r\ncontent-length: 0\r\n\r\n"
        ),
    )
    assert status(send(pool)) == 307
    assert len(receiver.requests) == 1
    assert names.asked == ["hooks.bsp.example"]


def test_a_senseless_redirect_is_still_an_answer(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", saying(b"HTTP/1.1 302 Found\r\nlocation: https://[oops\r\ncontent-length: 0\r\n\r\n"))
    assert status(send(pool)) == 302


def test_proxies_and_credentials_of_the_environment_are_ignored(
    pool: SendPool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine hooks.bsp.example login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert status(send(pool)) == 200
    assert "authorization" not in receiver.requests[0].headers


def test_cookies_of_one_merchant_do_not_reach_another(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", saying(b"HTTP/1.1 200 OK\r\nset-cookie: a=b; Path=/\r\ncontent-length: 0\r\n\r\n"))
    send(pool)
    send(pool)
    assert [request.headers.get("cookie") for request in receiver.requests] == [None, None]


def test_a_certificate_for_another_name_is_refused(pool: SendPool, receiver: Receiver) -> None:
    result = send(pool, "https://other.bsp.example/in")
    assert isinstance(result.error, DestinationUnreachable)
    assert result.error.reason == "TLS failed"
    assert not result.sent
    assert receiver.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(receiver: Receiver, names: Names, detour: Detour) -> None:
    with SendPool(resolver=names, dialler=detour) as pool:
        result = send(pool)
    assert isinstance(result.error, DestinationUnreachable)
    assert receiver.requests == []


def test_a_unix_socket_is_no_destination() -> None:
    with pytest.raises(RefusedDestination):
        asyncio.run(VettingBackend().connect_unix_socket("/run/x.sock"))


# --- the local stage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_local_stage_reaches_its_own_receiver(local_pool: SendPool, plain_receiver: Receiver, host: str) -> None:
    assert status(send(local_pool, f"http://{host}:{plain_receiver.port}/in")) == 200
    assert plain_receiver.requests[0].headers["host"] == f"{host}:{plain_receiver.port}"


def test_every_other_stage_does_not(plain_receiver: Receiver) -> None:
    with SendPool() as pool:
        result = send(pool, f"http://127.0.0.1:{plain_receiver.port}/in")
    assert isinstance(result.error, RefusedDestination)
    assert plain_receiver.connections == 0


def test_a_public_name_may_not_lead_to_loopback_even_there(detour: Detour, names: Names) -> None:
    names.answers = {"hooks.bsp.example": [["127.0.0.1"]], "localhost": [["127.0.0.1", "10.0.0.1"]]}
    with SendPool(allow_loopback=True, resolver=names, dialler=detour) as pool:
        assert isinstance(send(pool).error, ForbiddenAddress)
        assert isinstance(send(pool, "http://localhost:9000/").error, ForbiddenAddress)
    assert detour.dialled == []


# --- time --------------------------------------------------------------------------------------------------


def test_ten_slow_endpoints_take_as_long_as_one(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", after(1))
    results: list[SendResult] = []
    spent = elapsed(lambda: results.extend(pool.send_all([OutboundRequest(HOOK)] * 10)))
    assert [status(result) for result in results] == [200] * 10
    assert spent < 1.5
    assert all(1000 <= result.latency_ms < 1500 for result in results)


def test_a_hung_endpoint_costs_its_own_slot_only(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/hung", after(60))
    requests = [OutboundRequest(HOOK, timeout=timedelta(seconds=5))] * 4
    requests.insert(1, OutboundRequest("https://hooks.bsp.example/hung", timeout=timedelta(seconds=0.5)))
    results: list[SendResult] = []
    spent = elapsed(lambda: results.extend(pool.send_all(requests)))
    hung = results.pop(1)
    assert isinstance(hung.error, DestinationTimeout)
    assert hung.sent
    assert 500 <= hung.latency_ms < 3000
    assert spent < 3
    assert [status(result) for result in results] == [200] * 4
    assert all(result.latency_ms < 2000 for result in results)


def test_an_answer_head_that_drips_does_not_stretch_the_deadline(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", dripping(b"HTTP/1.1 200 OK\r\nx-slow: "))
    result = send(pool, seconds=0.5)
    assert isinstance(result.error, DestinationTimeout)
    assert result.sent
    assert 500 <= result.latency_ms < 3000


def test_a_body_that_drips_is_cut_at_the_deadline_and_the_status_counts(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", dripping(b"HTTP/1.1 202 Accepted\r\ncontent-length: 100000\r\n\r\n"))
    result = send(pool, seconds=0.5)
    assert status(result) == 202
    assert result.answer is not None
    assert not result.answer.complete
    assert result.answer.body.startswith(b"xx")
    assert 500 <= result.latency_ms < 3000


def test_endless_interim_answers_do_not_stretch_it_either(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", flooding(b"", b"HTTP/1.1 102 Processing\r\n\r\n"))
    result = send(pool, seconds=0.5)
    assert isinstance(result.error, DestinationTimeout)
    assert result.latency_ms < 3000


def test_a_resolver_that_hangs_is_not_waited_for(detour: Detour) -> None:
    async def hang(_host: str, _port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    with SendPool(resolver=hang, dialler=detour) as pool:
        result = send(pool, seconds=0.3)
    assert isinstance(result.error, DestinationTimeout)
    assert not result.sent
    assert result.latency_ms < 3000


def test_a_server_that_never_finishes_the_handshake_is_not_waited_for(
    pool: SendPool, plain_receiver: Receiver, names: Names, client_tls: ssl.SSLContext
) -> None:
    detour = Detour(plain_receiver.port)  # waits for an HTTP head that a TLS greeting never completes
    with SendPool(resolver=names, dialler=detour, ssl_context=client_tls) as deaf:
        result = send(deaf, seconds=0.3)
    assert isinstance(result.error, DestinationTimeout)
    assert not result.sent
    assert result.latency_ms < 3000


def test_no_more_than_the_permitted_number_run_at_once(
    client_tls: ssl.SSLContext, names: Names, receiver: Receiver, detour: Detour
) -> None:
    running, most = 0, 0

    async def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    receiver.on("/in", count)
    with SendPool(ssl_context=client_tls, resolver=names, dialler=detour, concurrency=3) as pool:
        results = pool.send_all([OutboundRequest(HOOK)] * 9)
    assert [status(result) for result in results] == [204] * 9
    assert most == 3


# --- size --------------------------------------------------------------------------------------------------


def test_an_endless_body_is_cut_at_the_cap(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", flooding(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n", b"y" * 65536))
    result = send(pool)
    assert result.answer is not None
    assert result.answer.body == b"y" * 65536
    assert not result.answer.complete
    assert result.latency_ms < 3000


def test_a_body_of_exactly_the_cap_is_complete(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", saying(b"HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\n" + b"y" * 65536))
    result = send(pool)
    assert result.answer is not None
    assert (len(result.answer.body), result.answer.complete) == (65536, True)


def test_a_compression_bomb_stays_folded(pool: SendPool, receiver: Receiver) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    assert len(bomb) < 65536
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(bomb)}\r\n\r\n".encode()
    receiver.on("/in", saying(head + bomb))
    result = send(pool)
    assert result.answer is not None
    assert result.answer.body == bomb
    assert result.answer.headers["content-encoding"] == "gzip"


def test_endless_headers_are_refused(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", flooding(b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"z" * 8192 + b"\r\n"))
    result = send(pool)
    assert isinstance(result.error, BrokenExchange)
    assert result.sent


# --- connections -------------------------------------------------------------------------------------------


def test_a_connection_serves_batch_after_batch(pool: SendPool, receiver: Receiver) -> None:
    for _ in range(3):
        assert status(send(pool)) == 200
    assert [request.connection for request in receiver.requests] == [1, 1, 1]


def test_a_connection_idle_by_the_wall_clock_is_not_trusted(
    pool: SendPool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(pool)
    frozen_for = guarded_http.IDLE_SECONDS + 1
    real = time.time
    monkeypatch.setattr("shared.delivery.send_pool.time.time", lambda: real() + frozen_for)
    send(pool)
    assert [request.connection for request in receiver.requests] == [1, 2]


def test_a_connection_the_other_side_closed_is_replaced(pool: SendPool, receiver: Receiver) -> None:
    async def once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.transport.close()

    receiver.on("/in", once)
    assert status(send(pool)) == 200
    assert status(send(pool)) == 200
    assert [request.connection for request in receiver.requests] == [1, 2]


def test_slots_are_free_again_after_any_failure(
    client_tls: ssl.SSLContext, names: Names, receiver: Receiver, detour: Detour
) -> None:
    receiver.on("/hung", after(60))
    receiver.on("/reset", resetting)
    receiver.on("/flood", flooding(b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 65536))
    with SendPool(ssl_context=client_tls, resolver=names, dialler=detour, concurrency=2) as pool:
        bad = [
            OutboundRequest(f"https://hooks.bsp.example/{path}", timeout=timedelta(seconds=0.2))
            for path in ("hung", "reset", "flood", "hung", "reset", "flood")
        ]
        pool.send_all(bad)
        assert [status(result) for result in pool.send_all([OutboundRequest(HOOK)] * 6)] == [200] * 6


# --- what went wrong ---------------------------------------------------------------------------------------


def test_a_reset_after_sending_leaves_the_outcome_open(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", resetting)
    result = send(pool)
    assert isinstance(result.error, BrokenExchange)
    assert result.sent


def test_an_answer_that_is_not_http(pool: SendPool, receiver: Receiver) -> None:
    receiver.on("/in", saying(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"))
    result = send(pool)
    assert isinstance(result.error, BrokenExchange)
    assert result.sent


def test_a_connection_that_breaks_within_the_body_still_gave_its_status(pool: SendPool, receiver: Receiver) -> None:
    async def half(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    receiver.on("/in", half)
    result = send(pool)
    assert status(result) == 200
    assert result.answer is not None
    assert (result.answer.body, result.answer.complete) == (b"half", False)


def test_a_refused_connection_was_certainly_not_processed(local_pool: SendPool) -> None:
    result = send(local_pool, "http://127.0.0.1:1/in")
    assert isinstance(result.error, DestinationUnreachable)
    assert not result.sent


def test_a_name_that_does_not_exist_was_certainly_not_processed(detour: Detour) -> None:
    async def nothing(_host: str, _port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    with SendPool(resolver=nothing, dialler=detour) as pool:
        result = send(pool)
    assert isinstance(result.error, DestinationUnreachable)
    assert not result.sent


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "internal"},
        {"content-length": "1"},
        {"Transfer-Encoding": "chunked"},
        {"connection": "upgrade"},
        {"x-shop": "a\r\nx-evil: 1"},
        {"x shop": "1"},
        {"x-shop": "é"},
        {"": "1"},
    ],
)
def test_headers_cannot_change_the_shape_of_the_request(
    pool: SendPool, receiver: Receiver, headers: dict[str, str]
) -> None:
    result = send(pool, headers=headers)
    assert isinstance(result.error, InvalidRequest)
    assert receiver.requests == []


@pytest.mark.long
def test_a_defect_in_one_exchange_does_not_lose_the_others(
    client_tls: ssl.SSLContext, names: Names, detour: Detour, caplog: pytest.LogCaptureFixture
) -> None:
    async def faulty(host: str, port: int) -> Sequence[str]:
        if host.startswith("faulty"):
            raise RuntimeError(f"the token is {token}")
        return await names(host, port)

    token = "t" * 20
    urls = [HOOK, "https://faulty.bsp.example/", HOOK]
    with SendPool(ssl_context=client_tls, resolver=faulty, dialler=detour) as pool, caplog.at_level(logging.ERROR):
        first, second, third = pool.send_all([OutboundRequest(url) for url in urls])
    assert (status(first), status(third)) == (200, 200)
    assert isinstance(second.error, UnexpectedFailure)
    assert "RuntimeError" in caplog.text
    assert token not in caplog.text


def test_an_empty_batch_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = SendPool()
    assert pool.send_all([]) == []
    assert pool._worker is None


def test_requests_keep_their_secrets_out_of_their_repr() -> None:
    shown = repr(OutboundRequest(HOOK, b"asha", {"authorization": "Bearer tok"}))
    assert "asha" not in shown
    assert "tok" not in shown


def test_the_transport_guards_a_plain_httpx_client_too(
    receiver: Receiver, names: Names, detour: Detour, client_tls: ssl.SSLContext
) -> None:
    async def story() -> tuple[int, bytes]:
        transport = GuardedTransport(ssl_context=client_tls, resolver=names, dialler=detour)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            with pytest.raises(RefusedDestination):
                await client.get("https://169.254.169.254/latest/")
            with pytest.raises(RefusedDestination):
                await client.get("http://hooks.bsp.example/")
            answer = await client.get(HOOK, headers={"host": "elsewhere.example"})
            return answer.status_code, answer.content

    assert asyncio.run(story()) == (200, b"ok")
    assert receiver.requests[0].headers["host"] == "hooks.bsp.example"
    assert receiver.requests[0].server_name == "hooks.bsp.example"


def test_the_default_trust_is_the_bundled_roots(authority: trustme.CA) -> None:
    context = guarded_http.default_ssl_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) > 50
