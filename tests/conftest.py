"""Property tests: how many examples, and no deadline, because the machine that runs them may be busy.

And the AWS account of the tests that play on moto, one per process for all folders.
"""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import forks, lanes
from tests.fresh_imports import FreshImports, fresh_imports
from tests.permissions.recording import record_handlers
from tests.selection import ran

# What is imported and collected stays until the end: looking through it for rubbish, over and over, took a fifth of the
# collection and some of the tests' time.
gc.disable()

E2E_ALONE = {Path(__file__).parent / own for own in ("e2e", "rehearsal")}
"""Folders in which every test is one of e2e."""

LISTENERS = frozenset(("api", "plain_receiver", "receiver", "vendor"))
"""Fixtures that answer over a socket, to a client that does not wait for ever."""

# Before any test imports a handler.
record_handlers()

settings.register_profile("default", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many processes play."""
    forks.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Several processes, and a record of whose code runs in which test file, where that is wanted."""
    for wanted in (forks.plugin(config), ran.plugin()):
        if wanted:
            config.pluginmanager.register(wanted)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who speaks over a socket is timed; then the order."""
    for item in items:
        if not LISTENERS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("timed")
    lanes.order(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What looks at real seconds waits for the deployed stack to go."""
    lanes.before(item)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where no e2e test is asked for, none is imported: browser, tools and SDKs take a fifth of the collection."""
    return True if "not e2e" in config.option.markexpr and collection_path in E2E_ALONE else None


def pytest_collection_finish() -> None:
    """From here on there is rubbish to collect, but not among what was there before."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # looking after every 2,000 cost a fortieth of the tests' own work
    gc.enable()


@pytest.fixture(scope="session")
def folder_of_the_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all processes of this run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if forks.is_fork(request.config) else own


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshImports]:
    """A process without a module of ours in it, for who looks at what an import does."""
    with fresh_imports(tmp_path_factory.mktemp("fresh")) as opened:
        yield opened


@pytest.fixture(scope="session")
def staged_account() -> Iterator[tuple[Any, Any]]:
    """An account and its stage: making them takes longer than most tests."""
    from tests.integration.conftest import open_account  # moto is only loaded where it is played on

    with open_account() as opened:
        yield opened
