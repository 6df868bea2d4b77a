"""A source's own field map: JMESPath over the payload, money in the source's unit, nothing guessed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings

from shared.domain.change import Signal
from shared.providers.mapping import (
    NOTHING,
    SIGNALS,
    InvalidMapping,
    cart_of,
    compiled,
    found_in,
    granted,
    instant,
    overridden,
    units,
)
from shared.providers.payload import read_json
from shared.providers.provider import Normalised, NotUnderstood, SourceContext
from tests.unit.providers.conftest import ARRIVED_AT, Bench, mutations

SHOP = {
    "ref": 9007199254740993,
    "sum": "25.00",
    "lines": [{"n": "A", "q": 2, "p": "10.00"}, {"q": 1, "p": "5.00"}],
    "to": {"town": "Pune", "pin": 411001},
}


def context(**source: Any) -> SourceContext:
    return Bench("shopflo").configure(**source).context


class TestItems:
    @pytest.mark.parametrize(
        "mapping",
        [
            {"items": "lines[].{title: n, quantity: q, unit_price: p}"},
            {"items": "lines", "items[].title": "n", "items[].quantity": "q", "items[].unit_price": "p"},
            {"items": "lines", "items.title": "n", "items[*].quantity": "q", "items[].unit_price": "p"},
            {"items[].title": "lines[].n", "items[].quantity": "lines[*].q", "items[].unit_price": "lines[].p"},
        ],
        ids=["objects", "relative", "spellings", "projections"],
    )
    def test_three_ways_give_the_same(self, mapping: dict[str, str]) -> None:
        source = context(mapping=mapping)
        cart = cart_of(found_in(SHOP, source), source)
        assert cart is not None
        assert [(item.title, int(item.quantity)) for item in cart.items] == [("A", 2), (None, 1)]
        total = cart.total()
        assert total is not None
        assert total.amount() == "25.00"

    def test_a_line_without_a_value_keeps_its_place(self) -> None:
        payload = {"a": {"rows": [{"n": None}, {"n": "B"}]}}
        found = compiled({"items[].title": "a.rows[].n"}).read(payload)
        assert found.items == ({"title": None}, {"title": "B"})

    def test_a_filter_leaves_lines_out_everywhere(self) -> None:
        mapping = {"items[].title": "lines[?q > `1`].n", "items[].quantity": "lines[?q > `1`].q"}
        assert compiled(mapping).read(SHOP).items == ({"title": "A", "quantity": 2},)

    def test_lists_of_different_lengths_are_not_zipped(self) -> None:
        with pytest.raises(NotUnderstood):
            compiled({"items[].title": "lines[].n", "items[].sku": "lines[0:1].n"}).read(SHOP)

    def test_absent_items_erase_nothing_and_no_items_are_an_empty_cart(self) -> None:
        mapping = {"items": "rows"}
        assert compiled(mapping).read({}).items is None
        assert compiled(mapping).read({"rows": []}).items == ()


class TestFields:
    def test_ids_are_digit_for_digit_and_exact_numbers_stay_exact(self) -> None:
        found = compiled({"external_id": "id", "totals.total": "sum"}).read(
            read_json(b'{"id":12345678901234567890,"sum":0.10}')
        )
        assert found.text("external_id") == "12345678901234567890"
        assert found.text("totals.total") == "0.10"

    def test_functions_work_on_fractions(self) -> None:
        payload = read_json(b'{"l":[{"p":19.99},{"p":0.01}],"t":"3.25"}')
        source = context(mapping={"totals.total": "sum(l[].p)", "totals.tax": "to_number(t)"})
        cart = cart_of(found_in(payload, source), source)
        assert cart is not None
        assert cart.totals.total is not None
        assert cart.totals.tax is not None
        assert (cart.totals.total.amount(), cart.totals.tax.amount()) == ("20.00", "3.25")

    def test_a_group_is_given_whole_and_a_member_overrides_it(self) -> None:
        mapping = {"shipping_address": "to.{city: town, postal_code: pin}", "shipping_address.city": "'Poona'"}
        assert compiled(mapping).read(SHOP).values == {
            "shipping_address.city": "Poona",
            "shipping_address.postal_code": 411001,
        }

    def test_money_takes_the_sources_unit_but_an_amount_object_is_in_major_units(self) -> None:
        source = context(
            mapping={"totals.total": "sum", "totals.tax": "{amount: '1.50', currency: 'INR'}"}, money_unit="minor"
        )
        cart = cart_of(found_in({"sum": 2500}, source), source)
        assert cart is not None
        assert cart.totals.total is not None
        assert cart.totals.tax is not None
        assert (cart.totals.total.amount(), cart.totals.tax.amount()) == ("25.00", "1.50")
        assert cart.currency_assumed

    @pytest.mark.parametrize(("word", "signal"), SIGNALS.items())
    def test_status_words(self, word: str, signal: Signal) -> None:
        assert compiled({"status": "s"}).read({"s": word.upper()}).signal() is signal

    def test_status_made_of_a_condition(self) -> None:
        mapping = compiled({"status": "type == 'paid' && 'completed' || 'open'"})
        assert mapping.read({"type": "paid"}).signal() is Signal.PURCHASED
        assert mapping.read({"type": "x"}).signal() is Signal.ACTIVITY

    def test_a_cart_field_alone_does_not_invent_items(self) -> None:
        source = context(mapping={"cart_type": "'wishlist'", "id": "ref", "recovery_url": "go"})
        found = found_in(SHOP | {"go": "https://shop.example.com/c"}, source)
        cart = cart_of(found, source)
        assert cart is not None
        assert (cart.cart_type, cart.items_known, cart.items) == ("wishlist", False, ())
        assert found.text("external_id") == "9007199254740993"
        assert found.text("checkout_url") == "https://shop.example.com/c"

    def test_an_unknown_status_is_not_guessed(self) -> None:
        assert compiled({"status": "s"}).read({}).signal() is None
        with pytest.raises(NotUnderstood):
            compiled({"status": "s"}).read({"s": "zapped"}).signal()

    @pytest.mark.parametrize(
        ("value", "at"),
        [
            ("2026-11-21T10:00:00Z", ARRIVED_AT),
            (1795255200, ARRIVED_AT),
            ("1795255200000", ARRIVED_AT),
            (1795255200.5, ARRIVED_AT + timedelta(milliseconds=500)),
            (-5, None),
            (10**20, None),
            ("soon", None),
            (None, None),
            (True, None),
        ],
    )
    def test_instants(self, value: Any, at: datetime | None) -> None:
        assert instant(value) == at
        assert at is None or at.tzinfo is UTC

    @pytest.mark.parametrize(
        ("value", "meaning"),
        [(True, True), ("Granted", True), ("opt-out", False), ("0", False), ("maybe", None), (None, None), ({}, None)],
    )
    def test_consent_words(self, value: Any, meaning: bool | None) -> None:
        assert granted(value) is meaning

    @pytest.mark.parametrize(
        ("value", "expected"), [("2.5", "2.5"), (-3, "0"), (None, "1"), ("1e999999", "1"), (10**12, "1")]
    )
    def test_units(self, value: Any, expected: str) -> None:
        assert str(units(value)) == expected


class TestWhatIsNotThere:
    @pytest.mark.parametrize("expression", ["to_string(order.number)", "to_string(nothing)", "to_string(null_one)"])
    def test_a_number_that_was_not_sent_is_no_text(self, expression: str) -> None:
        """It would read ``null``: one id for the checkouts of every shopper whose payload holds none."""
        found = compiled({"external_id": expression}).read({"order": {}, "null_one": None})
        assert found.text("external_id") is None
        assert compiled({"external_id": expression}).read({"order": {"number": 7}, "nothing": 7, "null_one": 7})

    def test_a_line_that_was_not_sent_is_no_item(self) -> None:
        for expression in ("[first, second]", "to_array(second)"):
            found = compiled({"items": expression}).read({"second": {"title": "Mug"}})
            assert found.items == ({"title": "Mug"},)
        assert compiled({"items": "to_array(second)"}).read({}).items is None


class TestErrors:
    @pytest.mark.parametrize(
        ("mapping", "field", "hint"),
        [
            ({"customer.phon": "a"}, "customer.phon", "customer.phone"),
            ({"items[].prce": "a"}, "items[].prce", "no such field"),
            ({"name": "a["}, "name", "not a JMESPath"),
            ({"name": "nofunction(a)"}, "name", "there is no function nofunction"),
            ({"name": "to_sting(a)"}, "name", "did you mean to_string?"),
            ({"name": "a[].{t: length(b, c)}"}, "name", "the function length takes 1 arguments, not 2"),
            ({"name": "not_null()"}, "name", "takes 1 or more arguments, not 0"),
            ({"name": "sort_by(a, b)"}, "name", "argument 2 of the function sort_by is an expression, such as &name"),
            ({"name": " "}, "name", "must be"),
            ({"name": "a" * 3000}, "name", "longer"),
            ({"items[].title": "name"}, "items[].title", "project"),
            ({"attributes.": "a"}, "attributes.", "no such field"),
        ],
    )
    def test_say_which_key_is_wrong_and_why(self, mapping: dict[str, str], field: str, hint: str) -> None:
        with pytest.raises(InvalidMapping) as wrong:
            compiled(mapping)
        assert wrong.value.field == field
        assert hint in wrong.value.detail

    def test_a_payload_that_does_not_fit_is_quarantined_without_quoting_it(self) -> None:
        with pytest.raises(NotUnderstood) as unfit:
            compiled({"name": "length(email)"}).read({"email": 5, "x": "a@b.in"})
        assert str(unfit.value) == "the mapping of name does not fit the payload"

    @pytest.mark.parametrize("stored", ["a[", "nofunction(a)"])
    def test_a_stored_mapping_that_no_longer_compiles_is_quarantined(self, stored: str) -> None:
        with pytest.raises(NotUnderstood):
            found_in({}, context(mapping={"name": stored}))

    def test_every_function_of_the_language_may_be_called(self) -> None:
        called = [
            "sort_by(a, &b)",
            "map(&b, a)",
            "merge(a, b, c)",
            "not_null(a, b, c)",
            "join(', ', a)",
            "max_by(a, &b)",
        ]
        assert compiled({f"attributes.{at}": own for at, own in enumerate(called)})

    def test_compiled_once(self) -> None:
        assert compiled({"name": "a.b"}) is compiled({"name": "a.b"})


class TestOverride:
    MAPPING: ClassVar = {
        "customer.phone": "alt_phone",
        "customer.first_name": "alt_name",
        "consent.channels.whatsapp": "wa",
        "totals.total": "alt_total",
        "currency": "alt_currency",
        "attributes.tier": "tier",
        "status": "alt_status",
        "order.id": "alt_order",
        "updated_at": "at",
    }
    BODY: ClassVar = {
        "event_name": "checkout_abandoned",
        "checkout_id": "c-1",
        "phone": "+919731097310",
        "note_attributes": [{"name": "gift", "value": "y"}],
        "line_items": [{"price": "10.00", "title": "A"}],
        "alt_phone": "9845012345",
        "wa": True,
        "alt_total": "12.00",
        "alt_currency": "EUR",
        "tier": "gold",
    }

    def test_the_mapping_wins_and_what_it_does_not_find_stays(self) -> None:
        shown = Bench("shopflo").configure(mapping=self.MAPPING).checkout(self.BODY)
        assert shown["customer"]["phone"] == "+919845012345"
        assert shown["consent"]["channels"]["whatsapp"] == "granted"
        assert shown["attributes"] == {"gift": "y", "tier": "gold"}
        assert shown["items"][0]["unit_price"] == {"amount": "10.00", "currency": "EUR"}
        assert shown["totals"]["total"] == {"amount": "12.00", "currency": "EUR"}
        assert not shown["currency_assumed"]
        assert shown["status"] == "abandoned"

    def test_twice_is_once(self) -> None:
        bench = Bench("shopflo").configure(mapping=self.MAPPING)
        body = {**self.BODY, "alt_status": "completed", "alt_order": 7}
        said = bench.normalise(body)
        assert said.changes[0].signal is Signal.PURCHASED
        assert said.changes[0].order is not None
        assert said.changes[0].order.id == "7"
        assert overridden(said, bench.provider.read(bench.request(body), bench.context), bench.context) == said

    def test_without_a_mapping_or_for_a_page_nothing_changes(self) -> None:
        bench = Bench("shopflo")
        said = bench.normalise(self.BODY)
        assert overridden(said, self.BODY, bench.context) is said
        page = Normalised(changes=(said.changes[0], replace(said.changes[0], external_id="c-2")))
        assert overridden(page, self.BODY, context(mapping=self.MAPPING)) is page
        assert not NOTHING


FULL = {
    **dict.fromkeys(("external_id", "status", "event_id", "updated_at", "test", "currency", "note"), "a"),
    **dict.fromkeys(("customer", "shipping_address", "totals", "consent", "attribution", "attributes"), "b"),
    "items": "l",
    "items[].unit_price": "p",
    "items[].attributes": "b",
    "tax_lines": "l",
    "discount_codes": "l",
    "order.total": "sum(l[].q)",
    "name": "join(',', l[].n)",
    "customer.phone": "to_string(a)",
}
SOUP = {
    "a": "1",
    "b": {"phone": "1", "total": 2, "channels": {"email": True}},
    "l": [{"n": "x", "q": 1, "p": 2.5, "b": {}}],
}


@pytest.mark.long
@pytest.mark.timed
@settings(max_examples=100, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.too_slow])
@given(mutations(SOUP))
def test_any_payload_has_an_answer(payload: Any) -> None:
    for name, expression in FULL.items():
        chosen = {name: expression, "items": FULL["items"]}
        bench = Bench("shopflo").configure(mapping=chosen)
        body = {
            **(payload if isinstance(payload, dict) else {}),
            "event_name": "checkout_abandoned",
            "checkout_id": "c",
        }
        try:
            bench.preview(body)
        except NotUnderstood:
            continue
