"""What the API's field types take, and the form they give back."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.api.cursors import Cursors
from shared.api.fields import Country, Currency, Duration, Host, Timezone, duration_text
from shared.api.problems import Problem
from shared.api.strict_json import read_object
from shared.domain.pointer import pointer

durations: TypeAdapter[timedelta] = TypeAdapter(Duration)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=90)))
def test_every_duration_is_written_so_that_it_reads_back(duration: timedelta) -> None:
    whole = timedelta(milliseconds=duration // timedelta(milliseconds=1))

    assert durations.validate_python(duration_text(whole)) == whole


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1", "1D", "P1Y", "P1M", "PT1", "P1DT", "-PT5M", "PT-5M", "PT5M ago", 5, None]
)
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValidationError):
        durations.validate_python(text)


@pytest.mark.parametrize(
    ("kind", "given_text", "normal"),
    [
        (Currency, "inr", "INR"),
        (Country, "in", "IN"),
        (Timezone, "Asia/Kolkata", "Asia/Kolkata"),
        (Host, "SHOP.Example.COM.", "shop.example.com"),
        (Host, "münchen.example", "xn--mnchen-3ya.example"),
    ],
)
def test_codes_and_hosts_take_their_normal_form(kind: Any, given_text: str, normal: str) -> None:
    make: Callable[[Any], TypeAdapter[str]] = TypeAdapter
    assert make(kind).validate_python(given_text) == normal


@given(st.text(max_size=40))
def test_any_text_as_host_is_a_host_or_refused(text: str) -> None:
    try:
        host = TypeAdapter(Host).validate_python(text)
    except ValidationError:
        return
    assert host == host.lower().strip()
    assert not set(host) & set("/:@ ?#")


cursors = Cursors(lambda text: hashlib.sha256(b"key" + text).hexdigest(), "/v1/sources")


@given(
    st.text(min_size=1, max_size=60).filter(lambda text: "\ud800" not in text), st.dictionaries(st.text(), st.text())
)
def test_a_cursor_gives_its_place_back_for_the_same_filters_only(place: str, filters: dict[str, str]) -> None:
    cursor = cursors.encode(place, filters)

    assert cursors.decode(cursor, filters) == place
    with pytest.raises(Problem):
        cursors.decode(cursor, filters | {"another": "filter"})


def refusal(read: Callable[[], object]) -> int | None:
    """The status of the problem that reading makes, None without one."""
    try:
        read()
    except Problem as problem:
        status: int = problem.status
        return status
    return None


def test_a_cursor_is_taken_only_where_it_was_given_out() -> None:
    def mac(text: bytes) -> str:
        return hashlib.sha256(b"key" + text).hexdigest()

    cursor = cursors.encode("place")
    others = (
        Cursors(mac, "/v1/endpoints"),
        Cursors(lambda text: mac(b"another" + text), "/v1/sources"),
    )
    assert [refusal(partial(other.decode, cursor)) for other in others] == [422, 422]


@given(st.text(max_size=80))
def test_any_text_as_cursor_is_a_place_or_a_problem(text: str) -> None:
    assert refusal(lambda: cursors.decode(text, {})) in {None, 422}


@given(st.text(max_size=200))
def test_any_body_is_an_object_nothing_or_a_problem(text: str) -> None:
    assert refusal(lambda: read_object(text)) in {None, 400, 422}


def test_pointers_escape_by_rfc_6901() -> None:
    assert pointer("a/b", "m~n", 0) == "/a~1b/m~0n/0"
    assert not pointer()
