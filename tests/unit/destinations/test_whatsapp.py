"""Filling a WhatsApp template: every parameter keeps the channel's rules, or the message is not sent and says why."""

import contextlib
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.outcome import Outcome
from shared.destinations.destination import Endpoint, Unsendable
from shared.destinations.message import items_line
from shared.destinations.one_line import clean
from shared.destinations.whatsapp import (
    MAX_COPY_CODE,
    MAX_HEADER_TEXT,
    MAX_SUFFIX,
    MAX_VALUE,
    Button,
    Header,
    Message,
    copy_code,
    message_of,
    url_suffix,
)
from shared.destinations.whatsapp_template import Shape
from tests.unit.destinations.vendor import RECOVERY_URL, checkout, delivery

ANY = Shape(body="either")


def endpoint(template: object = None) -> Endpoint:
    return Endpoint("ep_1", "meta_cloud", "https://vendor.example", settings={"template": template} if template else {})


def message(template: object, *, of: dict[str, Any] | None = None, shape: Shape = ANY, **step: Any) -> Message:
    return message_of(delivery(of=of, template=template, **step), endpoint(), shape)


def refusal(template: object, *, of: dict[str, Any] | None = None, **step: Any) -> tuple[Outcome, str]:
    with pytest.raises(Unsendable) as caught:
        message(template, of=of, **step)
    return caught.value.outcome, caught.value.reason


# --- values -------------------------------------------------------------------------------------------------


@given(text=st.text(max_size=400), limit=st.integers(1, 120))
def test_a_clean_value_keeps_the_channels_rules(text: str, limit: int) -> None:
    value = clean(text, limit)
    assert len(value) <= limit
    assert "\n" not in value
    assert "\t" not in value
    assert "  " not in value
    assert value == value.strip()
    assert not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in value)
    assert not set(value) & set("\u202e\u2066\u200f\ufeff\u200b")
    value.encode()
    assert clean(value, limit) == value


@given(text=st.text(alphabet="abc é", max_size=60))
def test_a_harmless_value_is_only_trimmed(text: str) -> None:
    assert clean(text, 60) == unicodedata.normalize("NFC", " ".join(text.split()))


@pytest.mark.parametrize(
    ("text", "limit", "value"),
    [
        ("Brownie\n\tand     cookie\r\n", 50, "Brownie and cookie"),
        ("A\u202egnp.exe", 50, "Agnp.exe"),
        ("abcdefgh", 5, "abcd…"),
        ("👨‍👩‍👧‍👦👨‍👩‍👧‍👦", 10, "👨‍👩‍👧‍👦…"),
        ("क्षत्रिय योद्धा", 8, "क्षत्रि…"),
        ("🇮🇳🇮🇳🇮🇳", 4, "🇮🇳…"),
        ("e\u0301e\u0301", 2, "éé"),
    ],
)
def test_cleaning(text: str, limit: int, value: str) -> None:
    assert clean(text, limit) == value


# --- the whole message --------------------------------------------------------------------------------------


def test_a_template_is_filled_from_the_checkout() -> None:
    filled = message(
        {
            "name": "cart_reminder_1",
            "language": "en_US",
            "header": {"type": "image"},
            "body": ["{{ first_name }}", "{{ items_line }}", "{{ total }}", "{{ merchant.name }}"],
            "buttons": [{"type": "url"}, {"type": "copy_code"}],
        }
    )
    assert filled == Message(
        name="cart_reminder_1",
        language="en_US",
        header=Header("image", "https://cdn.shop.example/brownie.jpg"),
        body=((None, "Asha"), (None, "Brownie + 1 more"), (None, "₹1,499.00"), (None, "Sweet Shop")),
        buttons=(Button("url", 0, "AQH9f31c0de"), Button("copy_code", 1, "BACK10")),
    )


def test_named_variables_and_a_bare_name() -> None:
    assert message({"name": "t", "body": {"who": "{{ customer.first_name }}"}}).body == (("who", "Asha"),)
    assert message("cart_reminder_1") == Message("cart_reminder_1", "en", None, (), ())


def test_the_steps_template_beats_the_endpoints() -> None:
    own = delivery(template={"name": "second_reminder"})
    assert message_of(own, endpoint({"name": "first_reminder", "body": ["x"]}), ANY).name == "second_reminder"
    assert message_of(delivery(), endpoint({"name": "first_reminder"}), ANY).name == "first_reminder"


def test_without_any_template_the_set_up_is_at_fault() -> None:
    outcome, reason = refusal(None)
    assert outcome is Outcome.FAIL_CONFIG
    assert "template" in reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{{ customer.company }}", "body parameter 2: the checkout has no value for the template: customer.company"),
        ("{{ customer.company | default: '' }}", "body parameter 2 is empty"),
        ("\u200b \u202e\n", "body parameter 2 is empty"),
        ("{{ nobody }}", "nobody"),
    ],
)
def test_an_empty_parameter_is_never_sent(body: str, reason: str) -> None:
    outcome, said = refusal({"name": "t", "body": ["fine", body]})
    assert outcome is Outcome.FAIL_MESSAGE
    assert reason in said


@pytest.mark.parametrize(
    "name",
    [
        "Asha",
        "J.R.",
        "O\u2019Neil",
        "Jean-Luc",
        "Ay\u015fe",
        "\u0906\u0936\u093e",
        "Mr.",
        "S.Kumar",
        "Md.Ali",
        "Smt.Lata",
    ],
)
def test_a_shopper_is_called_by_the_first_word_of_the_name(name: str) -> None:
    named = checkout(customer={"phone": "+919876543210", "first_name": f" {name} Rao"}, shipping_address=None)
    sent = message({"name": "t", "body": ["{{ first_name | default: 'there' }}"]}, of=named)
    assert sent.body == ((None, name),)


@pytest.mark.parametrize(
    "name",
    [
        "https://evil.example/x",
        "evil.example",
        "www.win.example!",
        "a@b.example",
        "<b>",
        "{{total}}",
        "98765432",
        "\u202e",
    ],
)
def test_nobody_is_called_by_a_link_or_by_markup(name: str) -> None:
    """Somebody else may have typed it, beside the contact of whom they want the shop to write to."""
    named = checkout(customer={"phone": "+919876543210", "first_name": name}, shipping_address=None)
    sent = message({"name": "t", "body": ["{{ first_name | default: 'there' }}"]}, of=named)
    assert sent.body == ((None, "there"),)


def test_a_long_value_is_cut_but_a_link_is_not() -> None:
    link = "https://shop.example/c?" + "x" * 500
    filled = message({"name": "t", "body": ["y" * 5000, link]}, of=checkout())
    assert len(filled.body[0][1]) == MAX_VALUE
    assert filled.body[1][1] == link
    assert refusal({"name": "t", "body": ["https://x.example/" + "x" * 1100]})[0] is Outcome.FAIL_MESSAGE


def test_values_must_fit_the_body_together() -> None:
    outcome, reason = refusal({"name": "t", "body": ["x" * 300] * 4})
    assert (outcome, "1024" in reason) == (Outcome.FAIL_MESSAGE, True)


def test_a_text_header_is_short() -> None:
    filled = message({"name": "t", "header": {"type": "text", "value": "{{ first_name }}" * 20}})
    assert filled.header is not None
    assert len(filled.header.value) == MAX_HEADER_TEXT


@pytest.mark.parametrize(
    "picture", [None, "http://cdn.shop.example/a.jpg", "https://cdn.shop.example/a.webp?v=1", "not a link", ""]
)
def test_a_missing_or_unusable_picture_gives_way_to_the_fallback(picture: str | None) -> None:
    of = checkout(items=[{"title": "Brownie", "image_url": picture}])
    fallback = "https://cdn.shop.example/logo.png"
    filled = message({"name": "t", "header": {"type": "image", "fallback": fallback}}, of=of)
    assert filled.header == Header("image", fallback)
    assert refusal({"name": "t", "header": {"type": "image"}}, of=of)[0] is Outcome.FAIL_MESSAGE


def test_the_first_usable_picture_is_shown() -> None:
    pictures = ["https://cdn.shop.example/a.gif", "https://cdn.shop.example/b.png?w=600"]
    of = checkout(items=[{"title": "x", "image_url": picture} for picture in pictures])
    filled = message({"name": "t", "header": {"type": "image"}}, of=of)
    assert filled.header == Header("image", pictures[1])


# --- buttons ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "prefix", "suffix"),
    [
        (RECOVERY_URL, None, "AQH9f31c0de"),
        (RECOVERY_URL, "https://go.example/r/", "AQH9f31c0de"),
        (RECOVERY_URL, "https://go.example/r/{{1}}", "AQH9f31c0de"),
        ("c/9f31?x=1&y=2", "https://shop.example/", "c/9f31?x=1&y=2"),
        ("https://shop.example/c/9f31", "https://shop.example/", "c/9f31"),
        ("checkout?to=https://x.example", "https://shop.example/", "checkout?to=https://x.example"),
        ("ü b", None, "%C3%BC%20b"),
    ],
)
def test_a_url_button_gets_only_what_follows_the_approved_prefix(value: str, prefix: str | None, suffix: str) -> None:
    assert url_suffix(value, prefix, RECOVERY_URL) == suffix


@pytest.mark.parametrize(
    ("value", "prefix", "outcome"),
    [
        ("https://elsewhere.example/c", "https://shop.example/", Outcome.FAIL_CONFIG),
        ("https://elsewhere.example/c", None, Outcome.FAIL_CONFIG),
        ("", None, Outcome.FAIL_MESSAGE),
        ("https://shop.example/", "https://shop.example/", Outcome.FAIL_MESSAGE),
        ("x" * (MAX_SUFFIX + 1), None, Outcome.FAIL_MESSAGE),
    ],
)
def test_a_link_that_does_not_fit_its_button_is_not_sent(value: str, prefix: str | None, outcome: Outcome) -> None:
    with pytest.raises(Unsendable) as caught:
        url_suffix(value, prefix, RECOVERY_URL)
    assert caught.value.outcome is outcome


def test_without_a_recovery_link_a_url_button_cannot_be_filled() -> None:
    outcome, _ = refusal({"name": "t", "buttons": [{"type": "url"}]}, recovery_url=None)
    assert outcome is Outcome.FAIL_MESSAGE


@given(st.text(max_size=30))
def test_a_coupon_code_is_sent_as_it_is_or_not_at_all(code: str) -> None:
    if 1 <= len(code.strip()) <= MAX_COPY_CODE and all("!" <= character <= "~" for character in code.strip()):
        assert copy_code(code) == code.strip()
    else:
        with pytest.raises(Unsendable) as caught:
            copy_code(code)
        assert caught.value.outcome is Outcome.FAIL_MESSAGE


def test_a_copy_code_button_without_a_coupon_says_so() -> None:
    outcome, reason = refusal({"name": "t", "buttons": [{"type": "copy_code"}]}, coupon_code=None)
    assert (outcome, "coupon" in reason) == (Outcome.FAIL_MESSAGE, True)


def test_items_in_one_line() -> None:
    assert items_line([{"title": "Brownie\nbox"}]) == "Brownie box"
    assert items_line([{"title": "A"}, {"title": None}, {"title": "C"}]) == "A + 2 more"
    assert items_line([{"title": None}]) is None
    assert len(items_line([{"title": "x" * 999}, {}]) or "") == 160


# --- registration -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "pointer"),
    [
        ({"body": ["x"]}, "/settings/template/name"),
        ({"name": " "}, "/settings/template/name"),
        ({"name": "t", "boddy": []}, "/settings/template/boddy"),
        ({"name": "t", "body": "x"}, "/settings/template/body"),
        ({"name": "t", "body": ["ok", "{{ first_name"]}, "/settings/template/body/1"),
        ({"name": "t", "body": ["ok", ""]}, "/settings/template/body/1"),
        ({"name": "t", "body": {"a/b": "{{ x | nope }}"}}, "/settings/template/body/a~1b"),
        ({"name": "t", "language": "English"}, "/settings/template/language"),
        ({"name": "t", "header": {"type": "gif"}}, "/settings/template/header/type"),
        ({"name": "t", "header": {"type": "text"}}, "/settings/template/header/value"),
        ({"name": "t", "header": {"type": "image", "fallback": "http://x"}}, "/settings/template/header/fallback"),
        ({"name": "t", "buttons": [{"type": "call"}]}, "/settings/template/buttons/0/type"),
        ({"name": "t", "buttons": [{"type": "url", "index": 11}]}, "/settings/template/buttons/0/index"),
        (
            {"name": "t", "buttons": [{"type": "url"}, {"type": "url", "index": 0}]},
            "/settings/template/buttons/1/index",
        ),
        ({"name": "t", "buttons": [{"type": "url", "prefix": "shop"}]}, "/settings/template/buttons/0/prefix"),
        ({"name": "t", "buttons": [{"type": "quick_reply"}]}, "/settings/template/buttons/0/value"),
        (["t"], "/settings/template"),
    ],
)
def test_a_template_that_could_never_be_filled_is_refused_at_registration(template: object, pointer: str) -> None:
    assert [where for where, _ in ANY.problems(endpoint(template))] == [pointer]


def test_a_template_that_can_be_filled_is_not_refused() -> None:
    whole = {
        "name": "t",
        "language": "pt_BR",
        "header": {"type": "document", "value": "{{ recovery_url }}", "filename": "cart.pdf"},
        "body": ["{{ first_name | default: 'there' }}"],
        "buttons": [{"type": "url", "prefix": "https://shop.example/"}, {"type": "quick_reply", "value": "stop"}],
    }
    assert ANY.problems(endpoint(whole)) == []
    assert ANY.problems(endpoint("t")) == []
    assert ANY.problems(endpoint()) == []


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _one_of(*types: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields: dict[str, st.SearchStrategy[Any]] = {"type": st.sampled_from(types), **more}
    return st.fixed_dictionaries(fields)


_PARTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("t") | _JSON,
        "language": _JSON,
        "body": _JSON,
        "header": _one_of("text", "image", value=_JSON) | _JSON,
        "buttons": st.lists(_one_of("url", "copy_code") | _JSON) | _JSON,
    },
)


@given(template=_PARTS | _JSON)
def test_any_template_is_filled_completely_or_refused(template: Any) -> None:
    ANY.problems(endpoint(template))
    with contextlib.suppress(Unsendable):
        filled = message_of(delivery(), endpoint(template), ANY)
        assert filled.name
        assert all(value for _, value in filled.body)
        assert all(button.value for button in filled.buttons)


@given(of=_JSON | st.dictionaries(st.sampled_from(sorted(checkout())), _JSON))
def test_any_checkout_fills_the_template_or_is_refused(of: Any) -> None:
    template = {
        "name": "t",
        "header": {"type": "image", "fallback": "https://cdn.shop.example/logo.png"},
        "body": ["{{ first_name | default: 'there' }}", "{{ items_line }}", "{{ total }}"],
        "buttons": [{"type": "url"}],
    }
    with contextlib.suppress(Unsendable):
        assert all(value for _, value in message(template, of=of if isinstance(of, dict) else {"items": of}).body)
