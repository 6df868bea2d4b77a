"""Merchants' templates: what they may say, and what a hostile or careless one cannot do."""

import contextlib
import json
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.destinations.liquid import (
    MAX_SOURCE,
    TemplateError,
    money_text,
    present,
    render,
    render_html,
    render_json,
    syntax_problem,
)
from tests.patience import PATIENCE

NAMES = present(
    {
        "customer": {"first_name": "Asha", "last_name": None, "note": 'say "hi" </b>\n'},
        "items": [
            {"title": "Brownie", "unit_price": {"amount": "123456.00", "currency": "INR"}},
            {"title": "Cookie", "unit_price": {"amount": "1", "currency": "JPY"}},
        ],
        "total": "₹1,499.00",
        "empty": "",
    }
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hi {{ customer.first_name }}", "Hi Asha"),
        ("no Liquid here, 100 % } { plain", "no Liquid here, 100 % } { plain"),
        ("{{ customer.last_name | default: 'there' }}", "there"),
        ("{% if customer.last_name %}known{% else %}unknown{% endif %}", "unknown"),
        ("{% if customer.last_name == nil %}nil{% endif %}", "nil"),
        ("{% unless nothing.at.all %}absent{% endunless %}", "absent"),
        ("{% for item in items %}{{ item.title }};{% endfor %}", "Brownie;Cookie;"),
        ("{{ items | map: 'title' | join: ' + ' | upcase }}", "BROWNIE + COOKIE"),
        ("{{ items[0].unit_price | money }}", "₹1,23,456.00"),
        ("{{ '12.5' | money: 'EUR' }}", "€12.50"),
        ("{{ items.size }}", "2"),
        ("{{ items[0].unit_price | json }}", '{"amount": "123456.00", "currency": "INR"}'),
    ],
)
def test_what_a_template_may_say(template: str, text: str) -> None:
    assert syntax_problem(template) is None
    assert render(template, NAMES, locale="en_IN") == text


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("Hi {{ customer.last_name }}", "customer.last_name"),
        ("{{ custommer.first_name }}", "custommer"),
        ("{{ customer.last_name | upcase }}", "customer.last_name"),
        ("{{ customer.last_name | money }}", "customer.last_name"),
        ("{% for x in nothing %}{% endfor %}", "nothing"),
        ("{{ items[7].title }}", "index out of range"),
    ],
)
def test_a_value_the_checkout_lacks_is_named_never_left_blank(template: str, named: str) -> None:
    with pytest.raises(TemplateError, match=named):
        render(template, NAMES)


@pytest.mark.parametrize(
    "template",
    [
        "{{ customer.first_name",
        "{% if customer %}",
        "{{ customer | shout }}",
        "{% include 'secrets' %}",
        "{% render 'secrets' %}",
        "{% for i in (1..3) reversed %}{% endfor %}",
        "{% if true %}{% for i in (1..3) reversed %}{% endfor %}{% endif %}",
        "x" * (MAX_SOURCE + 1) + "{{ total }}",
        "{% if true %}" * 100 + "{% endif %}" * 100,
    ],
)
def test_a_template_that_is_none_is_told_at_registration_and_never_rendered(template: str) -> None:
    problem = syntax_problem(template)
    assert problem is not None
    with pytest.raises(TemplateError) as caught:
        render(template, NAMES)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    "template",
    [
        "{{ customer.__class__ }}",
        "{{ customer.first_name.__class__.__mro__ }}",
        "{{ items.append }}",
        "{{ customer }}",
        "{{ 1 | divided_by: 0 }}",
        "{{ 99999999999999 | date: '%Y' }}",
        "{{ 'x' | money }}",
        "{{ 'abc' | slice: 'x' }}",
    ],
)
def test_what_cannot_be_rendered_is_an_error_without_data(template: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(template, NAMES)
    assert "Asha" not in str(caught.value)


_SAWTOOTH = "{{ 'a' " + "| replace: 'a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' " * 8 + "}}"


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in (1..1000000000) %}x{% endfor %}",
        "{% for i in (1..100) %}{% for j in (1..100) %}x{% endfor %}{% endfor %}",
        "{{ (1..1000000000) | join: '' }}",
        "{% assign r = (1..1000000000) %}{% for i in r reversed %}x{% endfor %}",
        _SAWTOOTH,
        "{% assign s = 'aaaaaaaaaaaaaaaa' %}{% for i in (1..40) %}{% assign s = s | append: s %}{% endfor %}",
        "{% assign n = 99999999 %}{% for i in (1..50) %}{% assign n = n | times: n %}{% endfor %}{{ n }}",
        "{% assign l = 'a,b' | split: ',' %}{% for i in (1..40) %}{% assign l = l | concat: l %}{% endfor %}",
        "{% assign l = 'a,b,c,d,e,f' | split: ',' %}{% assign s = 'x' "
        + "| append: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' " * 400
        + "%}{{ l | join: s }}",
        "{% assign s = 'aaaaaaaaaaaaaaaa' %}"
        + "{% assign s = s | append: s %}" * 11
        + "".join(f"{{% assign s{n} = s | append: '{n}' %}}" for n in range(12)),
        "{% for i in (1..2000) %}" + "{% if true %}{% endif %}" * 1000 + "{% endfor %}",
    ],
)
def test_a_greedy_template_ends_soon(template: str) -> None:
    started = time.thread_time()
    with pytest.raises(TemplateError, match="too much"):
        render(template, NAMES)
    assert time.thread_time() - started < 3


def test_values_cannot_end_the_html_they_stand_in() -> None:
    assert render_html("<b>{{ customer.note }}</b>", NAMES) == "<b>say &#34;hi&#34; &lt;/b&gt;\n</b>"
    assert render_html("plain & simple", NAMES) == "plain & simple"


def test_a_json_template_makes_a_document() -> None:
    made = render_json('{"name": "{{ customer.note }}", "n": {{ items.size }}, "all": {{ items | json }}}', NAMES)
    assert json.loads(made) == {"name": 'say "hi" </b>\n', "n": 2, "all": NAMES["items"]}


@given(text=st.text(), other=st.text())
def test_no_text_ends_the_json_string_it_stands_in(text: str, other: str) -> None:
    names = {"a": {"b": text}, "c": other}
    template = '{"x": "{{ a.b }}/{{ c | append: "!" }}", "y": [{{ a | json }}]}'
    try:
        made = json.loads(render_json(template, names))
    except TemplateError:
        pytest.fail("a text made the document invalid")
    except UnicodeEncodeError:
        return
    assert made == {"x": f"{text}/{other}!", "y": [{"b": text}]}


@pytest.mark.parametrize(
    "template", ['{"a": {{ customer.first_name }}}', "{}{}", '{"a": NaN}', '{"a": {{ items }}}', ""]
)
def test_what_is_not_json_is_refused(template: str) -> None:
    with pytest.raises(TemplateError):
        render_json(template, NAMES)


@given(st.text(alphabet=st.sampled_from("{}%| .ab'\"\n1(),:=<>-")))
def test_any_template_is_rendered_or_refused(template: str) -> None:
    for renderer in (render, render_html, render_json):
        with contextlib.suppress(TemplateError):
            assert renderer(template, {"a": {"b": 1}}) is not None


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "text"),
    [
        ("1499.00", "INR", "en_IN", "₹1,499.00"),
        ("1499", "JPY", "en", "¥1,499"),
        ("1499.00", "EUR", "de-DE", "1.499,00 €"),
        ("1499.00", "INR", "tlh_XX", "₹1,499.00"),
        ("1499.00", "INR", "", "₹1,499.00"),
    ],
)
def test_amounts_in_the_shoppers_notation(amount: str, currency: str, locale: str, text: str) -> None:
    assert money_text(amount, currency, locale) == text


@pytest.mark.parametrize(("amount", "currency"), [("x", "INR"), ("1", "None"), ("1", ""), ("", "INR")])
def test_what_is_no_amount_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        money_text(amount, currency)


def test_plain_text_costs_no_template_engine() -> None:
    code = (
        "import sys; from shared.destinations import liquid; liquid.render('plain', {});"
        "print({'liquid', 'babel'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.strip() == "set()"
