"""The running stack, a shop on it, and a merchant's endpoint that receives over real HTTP.

Every test has a merchant of its own, so that several run at once, in processes of their own. A sweep does all that is
due, whoever's it is.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from infra.local.receiver import Receiver
from infra.local.shop import Shop
from tests.e2e.browsing import Person, opened_browser
from tests.logs.collecting import collecting

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever waits longest begins first."""
    if all(HERE in item.path.parents for item in items):
        items.sort(key=lambda item: item.get_closest_marker("patient") is None)


@pytest.fixture(scope="session")
def stack() -> dict[str, Any]:
    """What ``make local`` wrote."""
    described: dict[str, Any] = json.loads((Path(os.environ.get("LOCAL_DIR", ".local")) / "stack.json").read_text())
    return described


@pytest.fixture(scope="session", autouse=True)
def _collected() -> Iterator[None]:
    """What must stand in no log, for the scan behind these tests."""
    with collecting():
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all people of a process."""
    with opened_browser() as opened:
        yield opened


@pytest.fixture
def person(browser: Browser, stack: dict[str, Any]) -> Iterator[Callable[..., Person]]:
    """Makes people; in the end nothing went wrong before any of them."""
    people: list[Person] = []

    def made(**options: Any) -> Person:
        people.append(Person(browser, stack["api_url"], **options))
        return people[-1]

    yield made
    for own in people:
        assert own.wrong == []
        own.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A merchant's endpoint."""
    with Receiver() as listening:
        yield listening


@pytest.fixture
def shop(stack: dict[str, Any]) -> Iterator[Shop]:
    """A merchant of its own, whose checkouts are abandoned after a second."""
    registered = Shop(stack, {"idle_after": "PT1S"})
    yield registered
    registered.close()
