"""Templates of a merchant who means harm, or never thought of the end: each is stopped, and nobody else notices."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.delivery.outcome import Outcome
from shared.destinations import liquid_sandbox
from shared.destinations.destination import Endpoint, Unsendable
from shared.destinations.liquid import (
    SAMPLE,
    TemplateError,
    TemplateLimit,
    TemplatesUnavailable,
    gave_up,
    render,
    render_html,
    render_json,
    syntax_problem,
)
from shared.destinations.liquid_sandbox import Mode, Sandbox, Work
from shared.destinations.message import VARIABLES, filled
from shared.destinations.whatsapp_template import Shape

pytestmark = [pytest.mark.long, pytest.mark.timed]

FAR = "(1..100000000000000)"
TEXT = "{% assign s = 'aaaaaaaaaaaaaaa' %}" + "{% assign s = s | append: s %}" * 11
"""30 KB of text in ``s``."""
LIST = (
    "{% assign t = s | append: ',' | append: s %}{% assign l = t | split: ',' %}"
    + "{% assign l = l | concat: l %}" * 11
)
"""The text 4,096 times over, in ``l``."""


def text_of(part: str) -> str:
    return TEXT.replace("a" * 15, part)


HOSTILE = {
    # A range, and every way of asking for one.
    "limit and offset": f"{{% for i in {FAR} limit:1 offset:100000000000 %}}x{{% endfor %}}",
    "contains": f"{{% assign r = {FAR} %}}{{% if r contains 'x' %}}a{{% endif %}}",
    "contains, written out": f"{{% if {FAR} contains 7.5 %}}a{{% endif %}}",
    "unless": f"{{% unless {FAR} contains 'x' %}}a{{% endunless %}}",
    "last": f"{{% assign r = {FAR} %}}{{{{ r.last }}}}",
    "first": f"{{% assign r = {FAR} %}}{{{{ r.first }}}}",
    "size": f"{{% assign r = {FAR} %}}{{{{ r.size }}}}",
    "join": f"{{{{ {FAR} | join: ',' }}}}",
    "reverse": f"{{{{ {FAR} | reverse | first }}}}",
    "slice": f"{{{{ {FAR} | slice: 100000000, 100000000 }}}}",
    "sum": f"{{{{ {FAR} | sum }}}}",
    "concat": f"{{% assign l = 'a' | split: ',' | concat: {FAR} %}}",
    "map": f"{{{{ {FAR} | map: 'x' }}}}",
    "sort": f"{{{{ {FAR} | sort | first }}}}",
    "uniq": f"{{{{ {FAR} | uniq | size }}}}",
    "where": f"{{{{ {FAR} | where: 'x' | size }}}}",
    "json": f"{{{{ {FAR} | json }}}}",
    "comparison": f"{{% if {FAR} == {FAR} %}}a{{% endif %}}",
    "case": f"{{% case {FAR} %}}{{% when {FAR} %}}a{{% endcase %}}",
    "assign": f"{{% assign r = {FAR} %}}{{{{ r }}}}",
    "written": f"{{{{ {FAR} }}}}",
    "echo": f"{{% echo {FAR} | size %}}",
    "cycle": f"{{% cycle {FAR}, 1 %}}",
    "argument": f"{{{{ 'a' | append: {FAR} }}}}",
    "reversed": f"{{% assign r = {FAR} %}}{{% for i in r reversed limit: 1 %}}x{{% endfor %}}",
    "bound in a variable": "{% assign n = 100000000000000 %}{% for i in (1..n) limit:1 offset:9999999 %}x{% endfor %}",
    "bound in a text": "{% for i in ('1'..'100000000000000') limit:1 %}x{% endfor %}",
    "below zero": "{% for i in (-100000000000000..1) limit:1 %}x{% endfor %}",
    "bound computed": "{% assign n = 10000000 | times: 10000000 %}{% for i in (1..n) limit: 1 %}x{% endfor %}",
    # Growth.
    "nested loops": "{% for i in (1..2000) %}{% for j in (1..2000) %}x{% endfor %}{% endfor %}",
    "append": "{% assign s = 'aaaaaaaa' %}{% for i in (1..40) %}{% assign s = s | append: s %}{% endfor %}",
    "replace": "{{ 'a' " + f"| replace: 'a', '{'a' * 32}' " * 8 + "}}",
    "replace nothing": TEXT + "{{ s | replace: '', s }}",
    "split": TEXT + "{{ s | split: '' | size }}",
    "times": "{% assign n = 99999999 %}{% for i in (1..50) %}{% assign n = n | times: n %}{% endfor %}{{ n }}",
    "doubled list": "{% assign l = 'a,b' | split: ',' %}"
    "{% for i in (1..40) %}{% assign l = l | concat: l %}{% endfor %}",
    "one text many times, joined": TEXT + LIST + "{{ l | join: s }}",
    "one text many times, as JSON": TEXT + LIST + "{{ l | json }}",
    "one text many times, written": TEXT + LIST + "{{ l }}",
    "one text many times, appended": TEXT + LIST + "{{ 'a' | append: l }}",
    "one text many times, by case": TEXT + LIST + "{{ l | sort_natural | size }}",
    "one text many times, as a key": TEXT + LIST + "{% for i in (1..2000) %}{% cycle l, l %}{% endfor %}",
    "escape": text_of("&&&&&&&&&&&&&&&") + "{{ s | escape | escape | escape }}",
    "url": text_of("///////////////") + "{{ s | url_encode }}",
    "date format": text_of("%c%c%c%c%c%c%c.") + "{{ 'now' | date: s }}",
    "output": TEXT + "{{ s }}" * 20,
    "capture": TEXT + "{% capture x %}" + "{{ s }}" * 20 + "{% endcapture %}",
    "variables": TEXT + "".join(f"{{% assign s{n} = s | append: '{n}' %}}" for n in range(12)),
    # Time, in our nodes, inside one filter, and before anything is rendered.
    "loop after loop": "{% for i in (1..2000) %}{% if true %}{% endif %}{% endfor %}" * 400,
    "many tags": "{% for i in (1..2000) %}" + "{% if true %}{% endif %}" * 1000 + "{% endfor %}",
    "many filters": "{% for i in (1..2000) %}{{ 'a' " + "| upcase" * 3500 + "}}{% endfor %}",
    "each with each": f"{{% assign l = '{','.join(map(str, range(3000)))}' | split: ',' %}}"
    f"{{{{ l {'| uniq ' * 2000}}}}}",
    "words": text_of("a a a a a a a a")
    + "{% for i in (1..2000) %}{% assign t = s | truncatewords: 9999 %}{% endfor %}",
    "tags of HTML": text_of("<!--<script><s>") + "{{ s | strip_html }}" * 200,
    "money": "{% for i in (1..2000) %}" + "{% assign m = '1' | money: 'INR' %}" * 500 + "{% endfor %}",
    "braces": "{{" * 15000,
    "raw": "{% raw %}" * 3000,
    "doc": "{% doc %}" * 3500,
    "parentheses": "{% if " + "(" * 15000 + " %}",
    "spaces": "{{" + " " * 32000 + "}}",
}


@pytest.fixture(scope="module", autouse=True)
def _impatient() -> Iterator[None]:
    """The limits as they are, but for the time: the corpus would wait for most of a minute."""
    with pytest.MonkeyPatch.context() as patch:
        made = Sandbox(cpu_seconds=0.2)
        patch.setattr("shared.destinations.liquid._sandbox", made)
        yield
    made.close()


@pytest.mark.parametrize("template", HOSTILE.values(), ids=HOSTILE)
def test_a_template_that_may_not_end_is_refused_when_it_is_registered(template: str) -> None:
    problem = syntax_problem(template)
    assert problem is not None
    assert "too much" in problem


@pytest.mark.parametrize("template", HOSTILE.values(), ids=HOSTILE)
def test_one_that_came_through_all_the_same_ends_at_its_limit(template: str) -> None:
    with pytest.raises(Unsendable) as ended:
        filled(template, SAMPLE, "body parameter 1", "en")
    assert (ended.value.outcome, ended.value.reason) == (Outcome.FAIL_MESSAGE, "template_limit")


@pytest.mark.parametrize("name", ["limit and offset", "contains", "one text many times, joined", "many filters"])
def test_mails_and_webhooks_are_held_to_the_same_limits(name: str) -> None:
    for renderer, mode in ((render_html, "html"), (render_json, "json")):
        with pytest.raises(TemplateLimit):
            renderer(HOSTILE[name], SAMPLE)
        assert syntax_problem(HOSTILE[name], "html" if mode == "html" else "json")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% for i in (1..3) %}{{ i }}{% endfor %}", "123"),
        ("{% for i in (1..items.size) %}{{ i }}{% endfor %}", "123"),
        ("{% for i in (3..1) %}{{ i }}{% else %}none{% endfor %}", "none"),
        ("{% assign r = (1..2000) %}{{ r.size }} {{ r.first }} {{ r.last }}", "2000 1 2000"),
        ("{{ (1..4) | reverse | join: '-' }}", "4-3-2-1"),
        ("{% for i in (1..9) limit: 2 offset: 3 %}{{ i }}{% endfor %}", "45"),
        ("{% if (1..5) contains 3 %}yes{% endif %}", "yes"),
        ("{{ items | map: 'title' | uniq | join: ', ' }}", "Brownie"),
        ("{{ '2026-01-02' | date: '%d.%m.%Y' }}", "02.01.2026"),
        ("{{ checkout.totals.total | json }}", '{"amount": "1499.00", "currency": "INR"}'),
        ("{{ first_name | append: ' ' | append: customer.last_name | upcase }}", "ASHA RAO"),
        ("{% case currency %}{% when 'INR' %}₹{% else %}?{% endcase %}", "₹"),
    ],
)
def test_harmless_templates_are_what_they_were(template: str, text: str) -> None:
    assert syntax_problem(template) is None
    assert render(template, SAMPLE) == text


def test_a_template_is_tried_on_every_name_it_may_use() -> None:
    assert set(VARIABLES) <= set(SAMPLE)


def test_one_that_needs_what_the_sample_lacks_is_registered() -> None:
    assert syntax_problem("{{ checkout.metafields.gift | upcase | append: other.name }}") is None


def test_one_that_goes_too_far_behind_something_missing_is_refused() -> None:
    missing_first = (
        "{{ checkout.metafields.gift }}{% for i in (1..2000) %}{% for j in (1..9) %}x{% endfor %}{% endfor %}"
    )
    assert "too much" in str(syntax_problem(missing_first))


CONSTRUCTS = (
    "{{% for i in {r} limit: 1 %}}{{% endfor %}}",
    "{{% for i in {r} limit: 1 offset: 1 %}}{{% endfor %}}",
    "{{% for j in (1..2) %}}{{% for i in {r} %}}{{% break %}}{{% endfor %}}{{% endfor %}}",
    "{{% assign r = {r} %}}{{{{ r.size }}}}",
    "{{% assign r = {r} %}}{{% for i in r reversed %}}{{% break %}}{{% endfor %}}",
    "{{% if {r} contains 3 %}}{{% endif %}}",
    "{{% if {r} == 3 %}}{{% elsif {r} != 4 %}}{{% endif %}}",
    "{{% case {r} %}}{{% when 1 %}}{{% endcase %}}",
    "{{% case 1 %}}{{% when {r} %}}{{% endcase %}}",
    "{{{{ {r} | first }}}}",
    "{{{{ {r} | slice: 0, 1 }}}}",
    "{{{{ 'a' | split: ',' | concat: {r} | size }}}}",
    "{{{{ nothing | default: {r} }}}}",
    "{{% capture x %}}{{{{ {r} }}}}{{% endcapture %}}",
    "{{% cycle {r}, 2 %}}",
    "{{% liquid\nassign a = {r}\n%}}",
)
BOUNDS = st.integers(-(10**15), 10**15) | st.integers(-3000, 3000)


@settings(max_examples=150)
@given(construct=st.sampled_from(CONSTRUCTS), start=BOUNDS, stop=BOUNDS, spelling=st.sampled_from(["{}", "'{}'", "v"]))
def test_no_range_longer_than_the_limit_is_made_in_any_construct(
    construct: str, start: int, stop: int, spelling: str
) -> None:
    if spelling == "v":
        template = f"{{% assign v = {start} %}}{{% assign w = {stop} %}}" + construct.format(r="(v..w)")
    else:
        template = construct.format(r=f"({spelling.format(start)}..{spelling.format(stop)})")
    try:
        render(template, {})
        refused = ""
    except TemplateError as error:
        refused = str(error)
    assert ("a range has at most" in refused) == (stop - start + 1 > 2000)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(wall_seconds=20.0)  # what ends a template here is its processor time, however busy the machine is
    yield made
    made.close()


def work(source: str, mode: Mode = "text", variables: dict[str, Any] | None = None) -> Work:
    return Work("render", mode, source, variables or {}, "en")


def worker_of(sandbox: Sandbox) -> int:
    worker = sandbox._worker
    assert worker is not None
    return worker._process.pid


def test_of_many_templates_none_is_tried_after_one_that_took_too_long() -> None:
    slow = HOSTILE["loop after loop"]
    body = ["{{ first_name }}", "{{", *(slow + str(number) for number in range(50))]
    target = Endpoint(
        "ep_1", "meta_cloud", "https://vendor.example", settings={"template": {"name": "n", "body": body}}
    )
    found = Shape(body="either").problems(target)
    assert [where for where, _ in found] == ["/settings/template/body/1", "/settings/template/body/2"]
    assert gave_up(found)


def test_what_never_returns_is_ended_from_outside_and_the_next_template_is_served(sandbox: Sandbox) -> None:
    assert sandbox.run(work("a{{ 1 }}")) == "a1"
    before = worker_of(sandbox)
    # Within one regular expression of the library: no clock of Python's is read.
    with pytest.raises(TemplateLimit, match="too long"):
        sandbox.run(work(HOSTILE["braces"]))
    assert worker_of(sandbox) != before
    assert sandbox.run(work("b{{ 2 }}")) == "b2"


def test_a_process_that_stands_still_is_replaced_and_the_template_rendered() -> None:
    still = Sandbox(wall_seconds=1.0)
    assert still.run(work("{{ 1 }}")) == "1"
    before = worker_of(still)
    os.kill(before, signal.SIGSTOP)
    assert still.run(work("{{ 2 }}")) == "2"
    assert worker_of(still) != before
    still.close()


def test_a_process_that_was_killed_in_its_sleep_is_replaced(sandbox: Sandbox) -> None:
    sandbox.run(work("{{ 1 }}"))
    os.kill(worker_of(sandbox), signal.SIGKILL)
    os.waitid(os.P_PID, worker_of(sandbox), os.WEXITED | os.WNOWAIT)
    assert sandbox.run(work("{{ 2 }}")) == "2"


def test_where_none_can_be_started_the_message_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liquid_sandbox, "_WORKER", "shared.destinations.liquid_nowhere")
    broken = Sandbox()
    with pytest.raises(TemplatesUnavailable):
        broken.run(work("{{ 1 }}"))
    monkeypatch.setattr("shared.destinations.liquid._sandbox", broken)
    with pytest.raises(Unsendable) as later:
        filled("{{ 1 }}", {}, "body parameter 1", "en")
    assert later.value.outcome is Outcome.RETRY


def test_a_template_that_was_too_slow_twice_running_is_left_alone_for_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox = Sandbox(cpu_seconds=0.1)
    slow = work(HOSTILE["parentheses"])
    for _ in range(2):
        with pytest.raises(TemplateLimit):
            sandbox.run(slow)
    before = worker_of(sandbox)
    with pytest.raises(TemplateLimit):
        sandbox.run(slow)
    assert worker_of(sandbox) == before, "it was tried a third time"
    assert sandbox.run(work("{{ 2 }}")) == "2"
    later = time.monotonic() + liquid_sandbox.STRUCK_SECONDS + 1
    monkeypatch.setattr("shared.destinations.liquid_sandbox.time.monotonic", lambda: later)
    with pytest.raises(TemplateLimit):
        sandbox.run(slow)
    assert worker_of(sandbox) != before
    sandbox.close()


def test_a_limit_that_costs_no_time_is_told_every_time(sandbox: Sandbox) -> None:
    greedy = "{% for i in (1..n) %}x{% endfor %}"
    for _ in range(5):
        with pytest.raises(TemplateLimit):
            sandbox.run(work(greedy, variables={"n": 10**9}))
    assert sandbox.run(work(greedy, variables={"n": 3})) == "xxx"


def test_the_process_holds_none_of_our_credentials(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    sandbox.run(work("{{ 1 }}"))
    environment = Path(f"/proc/{worker_of(sandbox)}/environ").read_bytes()
    assert b"PYTHONPATH" in environment
    assert b"planted-secret" not in environment
    assert b"AWS" not in environment


def test_templates_of_several_threads_get_their_own_answers(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda n: sandbox.run(work("{{ n }}", variables={"n": n})), range(200)))
    assert made == [str(n) for n in range(200)]
