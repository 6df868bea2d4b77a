"""A stand-in for a vendor's API, reached through the guarded client as the local stage does."""

from collections.abc import Iterator

import pytest

from shared.delivery.send_pool import SendPool
from tests.unit.delivery.receiver import Receiver
from tests.unit.destinations.rendering import wait_for_templates
from tests.unit.destinations.vendor import Vendor


@pytest.fixture(scope="session")
def loopback_pool() -> Iterator[SendPool]:
    with SendPool(allow_loopback=True) as pool:
        yield pool


@pytest.fixture(scope="session", autouse=True)
def _patient() -> None:
    wait_for_templates()


@pytest.fixture
def vendor(loopback_pool: SendPool) -> Iterator[Vendor]:
    receiver = Receiver(None)
    receiver.start()
    yield Vendor(receiver, loopback_pool)
    receiver.stop()
