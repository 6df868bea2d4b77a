"""The benchmarks' page keeps what was not measured anew, another's handler is measured, and what is late is told."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.bench import cold, deliveries, pages
from tests.bench.delivery import Receiver
from tests.bench.sweep import Moved

PAGE = "# Benchmarks\n\nOn a machine.\n\n## Starting\n\nslow\n\n## In dollars\n\ndear\n"


def test_a_chapter_that_is_measured_anew_stands_in_its_old_place() -> None:
    assert pages.with_chapters(PAGE, "\n## Starting\n\nquick\n") == PAGE.replace("slow", "quick")


def test_a_new_chapter_comes_last() -> None:
    assert pages.with_chapters(PAGE, "\n## Sweeps\n\nall\n") == PAGE + "\n## Sweeps\n\nall\n"


def test_a_chapter_that_there_is_not_is_refused() -> None:
    assert pages.chosen("", ("starts", "flows")) == []
    assert pages.chosen("flows starts", ("starts", "flows")) == ["flows", "starts"]
    with pytest.raises(SystemExit, match="starts, flows, and not sleep"):
        pages.chosen("flows sleep", ("starts", "flows"))


def a_peer(folder: Path, handler: str) -> cold.Start:
    (folder / "peer.py").write_text(handler)
    return cold.started({"TABLE_NAME": "orders"}, folder, "peer", cold.peers_event(folder), times=2)


def test_a_peers_handler_is_asked_for_an_order_and_measured(tmp_path: Path) -> None:
    start = a_peer(
        tmp_path,
        "import json, os\n"
        "def handler(event, context):\n"
        "    assert json.loads(event['body'])['order_item_count'] > 0\n"
        "    assert os.environ['TABLE_NAME'] == 'orders'\n"
        "    return {'statusCode': 200}\n",
    )

    assert start.imported > 0
    assert start.first > 0
    assert start.packages["peer"] == 1


def test_a_peer_brings_its_own_event(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(json.dumps({"own": 7}))

    assert a_peer(tmp_path, "def handler(event, context):\n    return {'statusCode': 193 + event['own']}\n").first > 0


def test_a_peer_that_refuses_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="peer"):
        a_peer(tmp_path, "def handler(event, context):\n    return {'statusCode': 400}\n")


def test_the_hanging_endpoint_is_sent_to_in_one_plan_only() -> None:
    alone, beside = deliveries.steady(hung=False), deliveries.steady(hung=True)

    assert {endpoint for _, endpoint in alone} == set(range(deliveries.ENDPOINTS))
    assert [own for own in beside if own[1] != deliveries.ENDPOINTS] == alone
    assert sum(endpoint == deliveries.ENDPOINTS for _, endpoint in beside) == deliveries.SECONDS * deliveries.HUNG


def test_waits_are_those_of_good_endpoints_and_what_is_late_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "PATIENCE", 0.1)
    arrived: dict[str, float] = {}
    fired = 0

    def fire(plan: deliveries.Plan) -> deliveries.Fired:
        """Each arrives half a second after it was accepted; of the last plan, every second never does."""
        nonlocal fired
        fired += 1
        told = [(f"{fired}-{own}", float(own), endpoint) for own, (_, endpoint) in enumerate(plan)]
        arrived.update((name, at + 0.5) for name, at, _ in told if fired < 3 or int(at) % 2)
        return told

    found = deliveries.measured(fire, cast("Receiver", SimpleNamespace(arrived=arrived)))

    assert found.quiet == deliveries.Waits(0.5, 0.5, 0)
    assert (found.beside.p50, found.beside.p95) == (0.5, 0.5)
    assert found.beside.later == sum(
        own % 2 == 0 and endpoint < deliveries.ENDPOINTS
        for own, (_, endpoint) in enumerate(deliveries.steady(hung=True))
    )


def test_who_cannot_be_installed_is_told_and_what_never_arrived_has_no_time() -> None:
    nothing = deliveries.Waits(math.inf, math.inf, 50)
    *_, ours, theirs = deliveries.table([("ours", deliveries.Deliveries(20, nothing, nothing)), ("theirs", None)])

    assert ours == "| ours | 20.0 | - | - | - | - | 50 + 50 |"
    assert "could not be installed" in theirs


def test_sweeps_are_right_where_each_due_row_moved_once_and_no_open_one_was_touched() -> None:
    found = Counter({"moved once": 3, "open as before": 2})
    moved = Moved(3, 2, 0.1, 1.0, [], Counter(abandoned=3), found)

    assert moved.right
    assert moved.told == 3
    assert not replace(moved, found=found + Counter({"moved more than once": 1})).right
    assert not replace(moved, found=Counter({"moved once": 3, "open, but touched": 2})).right
