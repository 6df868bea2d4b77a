"""Where many templates wait for the one process that renders, a merchant's slow ones cost another about one of them."""

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.destinations.liquid_sandbox import Sandbox, TemplateLimit, TemplatesUnavailable, Work
from shared.destinations.liquid_turns import RESTS_SECONDS, Turns
from tests.patience import PATIENCE
from tests.unit.destinations.test_hostile_templates import HOSTILE

SLOW = HOSTILE["parentheses"]
"""Within one regular expression of the library: only the kernel ends it, and the process with it."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(cpu_seconds=0.2)
    made.run(work("{{ 1 }}"))
    yield made
    made.close()


def work(source: str, owner: str | None = None) -> Work:
    return Work("render", "text", source, {}, "en", owner)


@pytest.mark.long
@pytest.mark.timed
def test_nine_slow_templates_of_one_merchant_cost_anothers_good_one_at_most_one_of_them(sandbox: Sandbox) -> None:
    """A batch of ten steps, the good one last."""
    ended: list[str] = []

    def rendered(owner: str, source: str) -> None:
        try:
            ended.append(f"{owner}: {sandbox.run(work(source, owner))}")
        except TemplateLimit:
            ended.append(f"{owner}: limit")
        except TemplatesUnavailable:
            ended.append(f"{owner}: later")

    with ThreadPoolExecutor(10) as steps, sandbox._turns.taken(None):
        for number in range(9):
            steps.submit(rendered, "hostile", f"{SLOW}{number}")
            wait_for_one_more(sandbox._turns, number + 1)
        steps.submit(rendered, "good", "{{ 2 }}")
        wait_for_one_more(sandbox._turns, 10)

    assert "good: 2" in ended[:2]
    assert ended.count("hostile: limit") == 2
    assert ended.count("hostile: later") == 7


@pytest.mark.long
@pytest.mark.timed
def test_another_process_is_made_ready_while_a_template_takes_long(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes next does not wait for one to start."""
    started: list[str] = []
    start = subprocess.Popen

    def noted(*arguments: Any, **options: Any) -> Any:
        started.append("while it takes long" if sandbox._worker is first else "after its end")
        return start(*arguments, **options)

    first = sandbox._worker
    monkeypatch.setattr("shared.destinations.liquid_sandbox.subprocess.Popen", noted)
    with pytest.raises(TemplateLimit):
        sandbox.run(work(SLOW))
    assert sandbox.run(work("{{ 2 }}")) == "2"
    assert started == ["while it takes long"]
    assert sandbox._worker is not first


def wait_for_one_more(turns: Turns, count: int) -> None:
    """Who came first is then known."""
    until = time.monotonic() + PATIENCE
    while len(turns._waiting) < count:
        assert time.monotonic() < until
        threading.Event().wait(0.001)


def in_order(turns: Turns, owners: str) -> str:
    """In which order they have their turns, who all wait already."""
    had: list[str] = []

    def take(owner: str) -> None:
        with turns.taken(owner):
            had.append(owner)

    with ThreadPoolExecutor(len(owners)) as threads, turns.taken(None):
        for number, owner in enumerate(owners):
            threads.submit(take, owner)
            wait_for_one_more(turns, number + 1)
    return "".join(had)


def test_each_ones_first_goes_before_anybodys_second() -> None:
    assert in_order(Turns(), "aaabbc") == "abcaba"


def test_whoever_was_slow_goes_last_and_rests_for_a_while_after_the_second_time() -> None:
    clock = [0.0]
    turns = Turns(lambda: clock[0])
    turns.took_too_long("a")
    assert in_order(turns, "aabb") == "bbaa"
    assert not turns.rests("a")
    turns.took_too_long("a")
    assert turns.rests("a")
    assert not turns.rests("b")
    clock[0] = RESTS_SECONDS
    assert not turns.rests("a")
    assert in_order(turns, "aabb") == "abab"


def test_nobody_in_particular_is_served_in_the_order_of_coming_and_never_rests() -> None:
    turns = Turns()
    for _ in range(3):
        turns.took_too_long(None)
    assert not turns.rests(None)
