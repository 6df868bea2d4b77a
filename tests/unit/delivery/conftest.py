"""A receiver on loopback for every test that needs one, and a way to it."""

import ssl
from collections.abc import Iterator

import pytest
import trustme

from tests.unit.delivery.receiver import Detour, Names, Receiver


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """One for all: to read this machine's authorities takes longer than most of the tests."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def receiver(authority: trustme.CA) -> Iterator[Receiver]:
    """Speaks TLS as hooks.bsp.example."""
    server = Receiver(authority.issue_cert("hooks.bsp.example"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def plain_receiver() -> Iterator[Receiver]:
    """Speaks plain HTTP, for the local stage."""
    server = Receiver(None)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def detour(receiver: Receiver) -> Detour:
    return Detour(receiver.port)
