"""The world on its stage."""

from collections.abc import Iterator
from typing import Any

import pytest

from functions.ingest import composition as ingest_composition
from functions.pull import composition as pull_composition
from tests.integration.api.conftest import Api, operator, stage_name
from tests.integration.conftest import Stage
from tests.integration.privacy.world import World
from tests.integration.shop import Shop

__all__ = ["operator", "stage_name"]


class _Pool:
    """What stands in for the guarded client of the pull function."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send_all(self, requests: Any, *_: Any) -> Any:
        return self._world.answer(requests)


@pytest.fixture
def world(operator: Api, shop: Shop, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Nothing has happened yet."""
    monkeypatch.setenv("QUARANTINE_BUCKET", stage.bucket)
    monkeypatch.setenv("PULLS_DEAD_LETTERS_QUEUE_URL", stage.pull_dead_letters_url)
    made = World(shop, operator)
    monkeypatch.setattr("functions.pull.composition.SendPool", lambda **_: _Pool(made))
    for cached in (ingest_composition.stores, ingest_composition.receiver, pull_composition.puller):
        cached.cache_clear()
    yield made
    for cached in (ingest_composition.stores, ingest_composition.receiver, pull_composition.puller):
        cached.cache_clear()
