"""Looking names up: one that hangs costs a thread, and nobody but who asked for it waits."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from shared.delivery.exchange import DestinationTimeout, OutboundRequest
from shared.delivery.name_lookup import NameLookups, TooManyLookups, domain_of
from shared.delivery.send_pool import SendPool
from tests.unit.delivery.receiver import PUBLIC_ADDRESS, Detour

pytestmark = pytest.mark.timed


class NameServers:
    """Hosts that begin with ``hangs`` get no answer until ``release``; the others have one address."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()

    def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        if host.startswith("hangs"):
            self.release.wait(30)
        if host.startswith("nobody"):
            raise socket.gaierror(-2, "Name or service not known")
        return [PUBLIC_ADDRESS]

    @property
    def hanging(self) -> int:
        return sum(thread.name.startswith("lookup") for thread in threading.enumerate())


@pytest.fixture
def servers() -> Iterator[NameServers]:
    own = NameServers()
    yield own
    own.release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("lookup"):
            thread.join(10)


def ask(lookups: NameLookups, *hosts: str, seconds: float = 10) -> list[Any]:
    """Ask for all at the same time; the addresses, or what was raised."""

    async def asked() -> list[Any]:
        async def one(host: str) -> Sequence[str]:
            async with asyncio.timeout(seconds):
                return await lookups(host, 443)

        return await asyncio.gather(*(one(own) for own in hosts), return_exceptions=True)

    return asyncio.run(asked())


def test_a_name_has_its_addresses_and_one_without_any_says_so(servers: NameServers) -> None:
    known, unknown = ask(NameLookups(servers), "shop.example", "nobody.example")
    assert known == [PUBLIC_ADDRESS]
    assert isinstance(unknown, socket.gaierror)


def test_an_address_needs_no_look_up(servers: NameServers) -> None:
    assert ask(NameLookups(servers), "192.0.2.1", "2001:db8::1") == [["192.0.2.1"], ["2001:db8::1"]]
    assert servers.asked == []


def test_a_name_that_hangs_costs_one_thread_however_often_it_is_asked_for(servers: NameServers) -> None:
    lookups = NameLookups(servers)
    for _ in range(3):
        assert {type(own) for own in ask(lookups, *["hangs.example"] * 20, seconds=0.05)} == {TimeoutError}
    assert servers.asked == ["hangs.example"]
    assert servers.hanging == 1


def test_who_gives_up_leaves_the_look_up_to_the_others(servers: NameServers) -> None:
    async def asked() -> Sequence[str]:
        lookups = NameLookups(servers)
        patient = asyncio.create_task(lookups("hangs.example", 443))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await lookups("hangs.example", 443)
        servers.release.set()
        return await patient

    assert asyncio.run(asked()) == [PUBLIC_ADDRESS]


def test_a_domain_whose_names_hang_has_a_few_threads_and_others_have_theirs(servers: NameServers) -> None:
    lookups = NameLookups(servers, at_once=100, per_domain=4)
    hosts = [f"hangs{number}.evil.co.in" for number in range(50)]
    told = ask(lookups, *hosts, seconds=0.1)
    assert sum(isinstance(own, TooManyLookups) for own in told) == 46
    assert servers.hanging == 4
    assert ask(lookups, "shop.co.in", "evil.in", "www.shop.example") == [[PUBLIC_ADDRESS]] * 3


def test_once_they_have_ended_the_domain_is_looked_up_again(servers: NameServers) -> None:
    lookups = NameLookups(servers, per_domain=1)
    assert isinstance(ask(lookups, "hangs.evil.example", seconds=0.05)[0], TimeoutError)
    assert isinstance(ask(lookups, "www.evil.example")[0], TooManyLookups)
    servers.release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("lookup"):
            thread.join(10)
    assert ask(lookups, "www.evil.example") == [[PUBLIC_ADDRESS]]


def test_there_is_an_end_to_threads(servers: NameServers, monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = NameLookups(servers, at_once=2)
    ask(lookups, "hangs.one.example", "hangs.two.example", seconds=0.05)
    assert isinstance(ask(lookups, "www.three.example")[0], TooManyLookups)

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(TooManyLookups):
            NameLookups(servers)._begun("shop.example", 443)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.com", "example.com"),
        ("a.b.example.com", "example.com"),
        ("shop.co.in", "shop.co.in"),
        ("www.shop.co.in.", "shop.co.in"),
        ("shop.in", "shop.in"),
        ("www.myshop.in", "myshop.in"),
        ("localhost", "localhost"),
    ],
)
def test_a_domain_is_what_somebody_registered(host: str, domain: str) -> None:
    assert domain_of(host) == domain


def test_names_that_hang_by_the_hundred_keep_no_other_merchant_waiting(
    detour: Detour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is composed, over the system's look-up: a merchant's hundred names at ten domains, batch after batch."""
    release = threading.Event()

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host.startswith("hangs"):
            release.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC_ADDRESS, port))]

    for place in ("socket.getaddrinfo", "shared.delivery.name_lookup.getaddrinfo"):
        monkeypatch.setattr(place, getaddrinfo, raising=False)
    with SendPool(dialler=detour) as pool:
        for batch in range(5):
            hanging = [
                OutboundRequest(
                    f"https://hangs{batch}-{number}.evil{number % 10}.example/", timeout=timedelta(seconds=0.2)
                )
                for number in range(20)
            ]
            assert all(own.error is not None for own in pool.send_all(hanging))
        [good] = pool.send_all([OutboundRequest("https://hooks.bsp.example/", timeout=timedelta(seconds=2))])
    release.set()
    assert not isinstance(good.error, DestinationTimeout), "its name was not looked up in time"
    assert detour.dialled, "it was dialled"
