"""Reading payloads: nothing a payload holds costs more than its size."""

import time

import pytest

from shared.providers.payload import MOST_LINES, Leaves, objects, places_in, recovery_link
from shared.providers.provider import NotUnderstood
from tests.unit.providers.conftest import Bench


def test_the_places_of_a_link_are_filled_in_and_percent_encoded() -> None:
    template = "https://shop.example/c/{cart_id}?x={{ external_id }}&id={id}&{unknown}"
    assert recovery_link(template, "a/b c", "é") == "https://shop.example/c/a%2Fb%20c?x=%C3%A9&id=%C3%A9&{unknown}"
    assert recovery_link("{{id}}", "cart") == "cart"
    assert recovery_link(None, "cart") == ""


def test_a_long_id_makes_no_endless_link() -> None:
    template = "{id}" * 500
    assert places_in(template) == 500
    assert len(recovery_link(template, "\N{GRINNING FACE}" * 4_096)) < 500_000


def test_no_text_is_tried_for_long_as_an_address() -> None:
    leaves = Leaves(Bench("custom").context)
    began = time.process_time()
    leaves.email("a@" + "." * 4_000 + "@", "a" * 300 + "@shop.example", "Asha@Shop.Example")
    assert time.process_time() - began < 0.05
    assert leaves.found == {"customer.email": "a" * 300 + "@shop.example"}


def test_a_link_too_long_to_be_kept_whole_is_none() -> None:
    """Cut off, it would lead a shopper to something else than the cart they left."""
    leaves = Leaves(Bench("custom").context)
    link = "https://shop.example.com/cart?" + "x" * 4_066
    leaves.checkout_url(link + "y", link)
    assert leaves.found["checkout_url"] == (link, link)


@pytest.mark.parametrize(
    ("provider", "sample"), [("shopify", "checkouts-create"), ("woocommerce", "order-updated-draft")]
)
def test_a_body_of_nothing_but_lines_is_kept_aside(provider: str, sample: str) -> None:
    """Written out, 80,000 empty lines are more than an answer of the API holds, and take longer than a webhook may."""
    bench = Bench(provider)
    headers = {"x-shopify-topic": "checkouts/create", "x-wc-webhook-topic": "order.updated"}
    with pytest.raises(NotUnderstood):
        bench.normalise(bench.sample(sample) | {"line_items": [{}] * (MOST_LINES + 1)}, headers)
    assert len(objects([{}] * MOST_LINES)) == MOST_LINES
