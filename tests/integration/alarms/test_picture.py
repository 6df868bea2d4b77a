"""The dashboard's picture: a morning played through the functions, drawn from the synthesised widgets.

``make dashboard`` writes it to ``docs/dashboard.svg``. What the functions count is read from what they write, what AWS
counts is counted where it happens in the play: requests and invocations, how long each took on this machine, how
old the oldest record and message were by the play's clock.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.local.engine import PROJECT
from tests.integration.alarms.cloudwatch import Series
from tests.integration.alarms.picture import Span, body_of, draw
from tests.integration.alarms.stage_watch import StageWatch
from tests.integration.shop import Shop, stranger
from tests.unit.infra.conftest import Synthesise, synthesise

pytestmark = pytest.mark.timed

__all__ = ["synthesise"]

MORNING = 90
DISPATCH_STANDS = range(36, 50)
TABLE_IS_OUT = range(64, 72)
FORMAT_CHANGES = range(20, 24)
USED = Series.of(
    "AWS/Usage",
    "ResourceCount",
    {"Service": "Lambda", "Resource": "ConcurrentExecutions", "Type": "Resource", "Class": "None"},
)


@pytest.fixture
def watch(shop: Shop, synthesise: Synthesise, capsys: pytest.CaptureFixture[str]) -> StageWatch:
    return StageWatch(shop, synthesise("dev").service, capsys)


def webhook(watch: StageWatch, **given: object) -> None:
    began = time.perf_counter()
    watch.posted(**given)
    watch.answered(round((time.perf_counter() - began) * 1000))


def a_minute(watch: StageWatch, minute: int, told_until: int) -> int:
    """The shop's minute and what follows from it; the minute up to which transitions are told now."""
    shop = watch.shop
    for number in range(1 + minute % 2):
        webhook(watch, session=f"s-{minute}-{number}", user=stranger(10 * minute + number))
    if minute in FORMAT_CHANGES:
        webhook(watch, body=b'{"session_state": "TELEPORTED", "note": "%d"}' % minute)
    watch.swept()
    watch.of_function("sweep", "Invocations", 1)
    if minute not in DISPATCH_STANDS and minute not in TABLE_IS_OUT:
        shop.settle()
        watch.of_function("dispatch", "Invocations", 1)
        shop.deliver()
        watch.of_function("deliver", "Invocations", 1)
        told_until = minute
    watch.put("dispatchlag", max(minute - told_until, 0) * 60_000 + 400)
    for queue in ("deliveriesold", "stepsold", "campaignrunsold", "retriesold", "slowold", "pullsold"):
        watch.put(queue, 0)
    for queue in ("deadletters", "pulldeadletters", "campaigndeadletters"):
        watch.put(queue, 0)
    watch.metrics.put(USED, shop.now, 3 + minute % 3)
    return told_until


def played(watch: StageWatch, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, bool]:
    """By alarm whether it fired in the morning."""
    watch.metrics.quotas[USED] = 1000
    watch.shop.endpoint()
    fired: set[str] = set()
    told_until = 0
    for minute in range(MORNING):
        if minute in TABLE_IS_OUT:
            with watch.throttled(monkeypatch):
                told_until = a_minute(watch, minute, told_until)
        else:
            told_until = a_minute(watch, minute, told_until)
        watch.shop.wait(minutes=1)
        if minute >= 10:  # an alarm that has never heard the sweep takes it for late
            fired |= watch.firing()
    written = watch.names_as_written()
    return {written[name]: name in fired for name in watch.names}


@pytest.mark.skipif("DASHBOARD" not in os.environ, reason="half a minute of a processor: make dashboard")
def test_a_morning_is_drawn_from_the_dashboards_own_widgets(watch: StageWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    start = watch.shop.now
    fired = played(watch, monkeypatch)
    picture = draw(watch.dashboard, watch.metrics, Span(start, watch.shop.now), fired)

    assert {name for name, rang in fired.items() if rang} >= {"DispatchLag", "WebhooksNotStored", "ToldLate"}
    assert not fired["AboveRate"]
    assert picture.count("<polyline") >= 15
    Path(os.environ["DASHBOARD"]).write_text(picture)


def test_the_picture_in_the_docs_shows_every_widget_and_alarm_there_is(watch: StageWatch) -> None:
    picture = (PROJECT / "docs" / "dashboard.svg").read_text()
    body, _ = body_of(watch.dashboard)
    written = watch.names_as_written()

    assert [own["properties"]["title"] for own in body["widgets"] if own["properties"]["title"] not in picture] == []
    assert [written[name] for name in watch.names if f">{written[name]}<" not in picture] == []
