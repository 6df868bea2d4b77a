"""What status webhooks have in common: times, numbers, ids, opt-out words."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.destinations.status import CallbackRequest, Status, StatusReport, e164, epoch, own_delivery, reply

AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize("value", [1795255200, "1795255200", 1795255200000, "1795255200000"])
def test_times_in_seconds_and_milliseconds(value: object) -> None:
    assert epoch(value) == AT


@given(st.none() | st.booleans() | st.floats() | st.text() | st.integers() | st.lists(st.integers()))
def test_any_value_is_a_time_or_none(value: object) -> None:
    found = epoch(value)
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("919876543210", "+919876543210"),
        ("+919876543210", "+919876543210"),
        (919876543210, None),
        ("++91987654", None),
        ("9198", None),
        ("٩١٩٨٧٦٥٤٣٢١٠", None),
        (None, None),
    ],
)
def test_numbers(value: object, number: str | None) -> None:
    assert e164(value) == number


@pytest.mark.parametrize(("value", "own"), [("dlv_01J", "dlv_01J"), ("order-7", None), ("dlv_", None), (7, None)])
def test_only_our_own_deliveries_are_recognised(value: object, own: str | None) -> None:
    assert own_delivery(value) == own


@pytest.mark.parametrize("text", ["stop", " STOP ", "Stop.", "unsubscribe", "opt out", "Opt-out!", "STOP promotions"])
def test_a_shopper_who_says_stop_is_left_alone(text: str) -> None:
    assert [report.status for report in reply("+91987654321", text, None, AT)] == [Status.REPLIED, Status.OPTED_OUT]


@pytest.mark.parametrize(
    "text",
    [
        "STOP \U0001f6d1",
        "*Stop*",
        "s\u200bt\u200bop",
        "please stop!!",
        "Stop it, please",
        "stopall",
        "unsub",
        "Don\u2019t message me",
        "End",
        "बंद करो",
        "band karo",
        "\u200fإلغاء الاشتراك",
        "ABMELDEN",
        "Désabonner",
        "de\u0301sabonner",
        "Darme de baja.",
        "நிறுத்து",
        "退订",
    ],
)
def test_stop_is_understood_however_and_in_whatever_language_it_is_said(text: str) -> None:
    assert [report.status for report in reply("+91987654321", text, None, AT)] == [Status.REPLIED, Status.OPTED_OUT]


@pytest.mark.parametrize(
    "text",
    ["Will you stop by?", "don't stop", "stop, I have paid already", "please", "!!!", "stop " * 40, "", None, 5],
)
def test_a_shopper_who_says_anything_else_has_replied(text: object) -> None:
    assert [report.status for report in reply("+91987654321", text, None, AT)] == [Status.REPLIED]


def test_nothing_personal_is_in_a_repr() -> None:
    report = StatusReport(Status.READ, recipient_phone="+919876543210")
    request = CallbackRequest(
        "POST", "https://a.example/?token=s3cret", {"x": "s3cret"}, {"token": "s3cret"}, b"s3cret"
    )
    assert "9876543210" not in repr(report)
    assert "s3cret" not in repr(request)
