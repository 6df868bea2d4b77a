"""The command line with a home of its own, and an API that answers what a test has told it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from checkback.main import cli
from checkback.profiles import Profiles
from checkback.secrets_kept import secrets
from tests.integration.stand_in import Reply, StandIn

TOKEN = "a-merchants-token"
MERCHANT = {
    "id": "mer_1",
    "name": "Walnut & Sons",
    "country": "IN",
    "currency": "INR",
    "timezone": "Asia/Kolkata",
    "store_domains": ["shop.example.com"],
}
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No profile, no keyring, no word of this machine's environment."""
    for name in ("CHECKBACK_API_URL", "CHECKBACK_TOKEN", "CHECKBACK_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CHECKBACK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHECKBACK_KEYRING", "off")
    return tmp_path / "home"


@pytest.fixture
def api() -> Iterator[StandIn]:
    """Checkback's API, as far as a test tells it."""
    with StandIn() as listening:
        listening.on("/v1/merchant", Reply(MERCHANT))
        yield listening


@pytest.fixture
def run() -> Run:
    """Runs the command line; ``input`` is what is typed."""

    def running(*arguments: str, input: str | None = None) -> Result:  # noqa: A002 - as click names it
        return CliRunner().invoke(cli, arguments, input=input)

    return running


@pytest.fixture
def logged_in(api: StandIn, run: Run) -> StandIn:
    """With a profile whose token is kept."""
    Profiles({"default": api.url}, "default").keep()
    secrets().keep("default/token", TOKEN)
    return api


def documents(result: Result) -> list[Any]:
    """The JSON lines of an output."""
    return [json.loads(line) for line in result.stdout.splitlines()]
