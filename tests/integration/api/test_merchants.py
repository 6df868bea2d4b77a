"""The operator's merchants, and a merchant's own profile."""

from dataclasses import replace
from datetime import time

import pytest

from shared.domain.ids import MerchantId
from shared.domain.settings import QuietHours
from shared.store.configuration import MerchantStore
from shared.store.table import Table
from tests.integration.api.conftest import Api, new_merchant


def test_a_new_merchant_gets_an_id_a_token_and_the_defaults(operator: Api) -> None:
    made = operator(
        "POST",
        "/v1/merchants",
        {
            "name": " Tea House ",
            "store_domains": ["Tea.Example.", "bücher.example"],
            "settings": {"idle_after": "PT20M"},
        },
    )

    assert made.status == 201, made.text
    assert made.headers["location"] == f"/v1/merchants/{made.json['id']}"
    assert made.json["id"].startswith("mer_")
    assert made.json["token"].startswith("cbk_")
    assert made.json["name"] == "Tea House"
    assert made.json["store_domains"] == ["tea.example", "xn--bcher-kva.example"]
    assert made.json["settings"] == {
        "idle_after": "PT20M",
        "recovery_horizon": "P7D",
        "retention": "P30D",
        "cooldown": "P1D",
        "min_step_gap": "PT4H",
        "payment_pending_after": "PT30M",
        "do_not_send_after": "P3D",
        "quiet_hours": {"start": "21:00", "end": "09:00"},
        "consent": "required",
        "holdout_percent": 5,
        "list_shards": 1,
        "minimum_total": [],
    }
    shown = operator("GET", f"/v1/merchants/{made.json['id']}").json
    assert shown == {name: value for name, value in made.json.items() if name != "token"}


INVALID: list[tuple[dict[str, object], str]] = [
    ({"name": ""}, "/name"),
    ({"name": "Tea\u0000House"}, "/name"),
    ({"store_domains": ["https://tea.example"]}, "/store_domains/0"),
    ({"store_domains": ["tea.example", "tea.example:8443"]}, "/store_domains/1"),
    ({"store_domains": ["com"]}, "/store_domains/0"),
    ({"store_domains": ["192.0.2.1"]}, "/store_domains/0"),
    ({"country": "XX"}, "/country"),
    ({"country": "IND"}, "/country"),
    ({"currency": "RUPEES"}, "/currency"),
    ({"currency": "ABC"}, "/currency"),
    ({"timezone": "Mars/Olympus"}, "/timezone"),
    ({"timezone": "../etc/passwd"}, "/timezone"),
    ({"colour": "red"}, "/colour"),
    ({"a/b~c": 1}, "/a~1b~0c"),
    ({"settings": {"idle_after": "PT9M59S"}}, "/settings/idle_after"),
    ({"settings": {"idle_after": "P8D"}}, "/settings/idle_after"),
    ({"settings": {"idle_after": "30m"}}, "/settings/idle_after"),
    ({"settings": {"idle_after": 1800}}, "/settings/idle_after"),
    ({"settings": {"idle_after": None}}, "/settings/idle_after"),
    ({"settings": {"idle_after": "P1M"}}, "/settings/idle_after"),
    ({"settings": {"retention": "P6D"}}, "/settings/retention"),
    ({"settings": {"retention": "P91D"}}, "/settings/retention"),
    ({"settings": {"recovery_horizon": "PT1H"}}, "/settings/recovery_horizon"),
    ({"settings": {"min_step_gap": "PT0S"}}, "/settings/min_step_gap"),
    ({"settings": {"quiet_hours": {"start": "21:00"}}}, "/settings/quiet_hours/end"),
    ({"settings": {"quiet_hours": {"start": "24:00", "end": "09:00"}}}, "/settings/quiet_hours/start"),
    # The whole day, or no hour at all?
    ({"settings": {"quiet_hours": {"start": "00:00", "end": "00:00"}}}, "/settings/quiet_hours/end"),
    ({"settings": {"consent": "maybe"}}, "/settings/consent"),
    ({"settings": {"holdout_percent": 101}}, "/settings/holdout_percent"),
    ({"settings": {"holdout_percent": "5"}}, "/settings/holdout_percent"),
    ({"settings": {"pace": "fast"}}, "/settings/pace"),
    ({"settings": []}, "/settings"),
]


def test_what_is_not_valid_is_refused_with_a_pointer_to_it(operator: Api) -> None:
    for body, pointer in INVALID:
        refused = operator("POST", "/v1/merchants", {"name": "Tea House"} | body)

        assert refused.status == 422, (body, refused.text)
        assert refused.headers["content-type"] == "application/problem+json"
        assert [error["pointer"] for error in refused.json["errors"]] == [pointer], body
    assert operator("GET", "/v1/merchants").json["data"] == []


def test_hours_that_were_stored_alike_before_that_was_asked_may_be_sent_again(rows: Table, merchant: Api) -> None:
    merchants = MerchantStore(rows)
    stored = merchants.get(MerchantId(merchant("GET", "/v1/merchant").json["id"]))
    assert stored is not None
    alike = replace(stored.value.settings, quiet_hours=QuietHours(time(9), time(9)))
    merchants.replace(replace(stored.value, settings=alike), stored.version)
    settings = {"quiet_hours": {"start": "09:00", "end": "09:00"}, "cooldown": "P2D"}
    assert merchant("PATCH", "/v1/merchant", {"settings": settings}).json["settings"]["cooldown"] == "P2D"


def test_malformed_json_is_400(operator: Api) -> None:
    for text in [b"{", b'{"name": NaN}', b'{"name": "\\ud800"}', b'{"name": "\xff"}', b"[" * 100_000]:
        refused = operator("POST", "/v1/merchants", raw=text, headers={"content-type": "application/json"})

        assert refused.status == 400, text[:40]
        assert refused.json["title"] == "Malformed JSON"


def test_a_body_that_is_json_but_no_object_is_422(operator: Api) -> None:
    for text in (b"[]", b'[{"name": "Tea House"}]', b"null", b"3"):
        assert operator("POST", "/v1/merchants", raw=text).status == 422, text
    assert operator("POST", "/v1/merchants").status == 422


def test_a_body_that_is_not_declared_as_json_is_415(operator: Api) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert operator("POST", "/v1/merchants", raw=b"name=Tea", headers=form).status == 415


def test_merchants_are_listed_in_pages(operator: Api) -> None:
    made = [new_merchant(operator, name=f"Shop {number}")["id"] for number in range(5)]

    first = operator("GET", "/v1/merchants", query={"limit": "2"}).json
    second = operator("GET", "/v1/merchants", query={"limit": "2", "cursor": first["next_cursor"]}).json
    third = operator("GET", "/v1/merchants", query={"limit": "2", "cursor": second["next_cursor"]}).json

    assert sorted(row["id"] for page in (first, second, third) for row in page["data"]) == sorted(made)
    assert third["next_cursor"] is None


def test_settings_merge_and_quiet_hours_can_be_dropped(merchant: Api) -> None:
    changed = merchant("PATCH", "/v1/merchant", {"settings": {"idle_after": "PT45M", "quiet_hours": None}})

    assert changed.status == 200
    assert changed.json["settings"]["idle_after"] == "PT45M"
    assert changed.json["settings"]["quiet_hours"] is None
    assert changed.json["settings"]["retention"] == "P30D"
    assert merchant("GET", "/v1/merchant").json == changed.json


def test_a_change_under_a_stale_etag_is_refused(merchant: Api) -> None:
    etag = merchant("GET", "/v1/merchant").headers["etag"]
    first = merchant("PATCH", "/v1/merchant", {"name": "First"}, headers={"if-match": etag})
    assert first.status == 200
    assert first.headers["etag"] != etag

    stale = merchant("PATCH", "/v1/merchant", {"name": "Second"}, headers={"if-match": etag})

    assert stale.status == 412
    assert merchant("GET", "/v1/merchant").json["name"] == "First"
    assert merchant("PATCH", "/v1/merchant", {"name": "Third"}, headers={"if-match": "*"}).status == 200


def test_list_shards_are_the_operators_and_only_rise(operator: Api) -> None:
    made = new_merchant(operator)
    path = f"/v1/merchants/{made['id']}"

    assert operator("PATCH", path, {"settings": {"list_shards": 4}}).json["settings"]["list_shards"] == 4
    assert operator("PATCH", path, {"settings": {"list_shards": 2}}).status == 422
    assert operator.as_(made["token"])("PATCH", "/v1/merchant", {"settings": {"list_shards": 8}}).status == 422


def test_an_unknown_merchant_is_404(operator: Api) -> None:
    for method in ("GET", "DELETE", "PATCH"):
        assert operator(method, "/v1/merchants/mer_unknown", {} if method == "PATCH" else None).status == 404


class TestOnTheLocalStage:
    """What only the local stage allows."""

    @pytest.fixture
    def stage_name(self) -> str:
        """The local stage."""
        return "local"

    def test_timers_may_be_as_short_as_a_second(self, merchant: Api) -> None:
        given = {"idle_after": "PT1S", "min_step_gap": "PT0S", "do_not_send_after": "PT1S"}

        changed = merchant("PATCH", "/v1/merchant", {"settings": given})

        assert changed.status == 200, changed.text
        assert given.items() <= changed.json["settings"].items()
        assert merchant("PATCH", "/v1/merchant", {"settings": {"idle_after": "PT0.5S"}}).status == 422

    def test_endpoints_may_be_on_this_machine(self, merchant: Api) -> None:
        body = {"kind": "webhook", "url": "http://127.0.0.1:9000/in", "settings": {"retry_schedule": ["PT0S", "PT1S"]}}

        assert merchant("POST", "/v1/endpoints", body).status == 201


def test_only_the_operator_adds_a_domain_that_links_may_lead_to(operator: Api, merchant: Api) -> None:
    """A merchant who named any host would make our links lead anywhere, under our name."""
    for foreign in ("evil.example", "tea.example.evil.example", "notatea.example", "example.com"):
        refused = merchant("PATCH", "/v1/merchant", {"store_domains": ["tea.example", foreign]})
        assert refused.status == 422, foreign
        assert [own["pointer"] for own in refused.json["errors"]] == ["/store_domains/1"]
    assert merchant("GET", "/v1/merchant").json["store_domains"] == ["tea.example"]

    narrowed = merchant("PATCH", "/v1/merchant", {"store_domains": ["www.tea.example", "in.tea.example"]})
    assert narrowed.status == 200
    assert merchant("PATCH", "/v1/merchant", {"store_domains": ["tea.example"]}).status == 422, "it was given away"
    path = f"/v1/merchants/{merchant('GET', '/v1/merchant').json['id']}"
    assert operator("PATCH", path, {"store_domains": ["tea.example", "coffee.example"]}).status == 200


def test_the_limit_of_a_merchant_is_the_operators_to_set(operator: Api) -> None:
    made = new_merchant(operator)
    path, merchant = f"/v1/merchants/{made['id']}", operator.as_(made["token"])
    assert "webhooks_per_minute" not in made["settings"], "the stage's"
    raised = operator("PATCH", path, {"settings": {"webhooks_per_minute": 500}})
    assert raised.json["settings"]["webhooks_per_minute"] == 500
    assert merchant("PATCH", "/v1/merchant", {"settings": {"webhooks_per_minute": 900}}).status == 422
    assert operator("PATCH", path, {"settings": {"webhooks_per_minute": 0}}).status == 422
    source = merchant("POST", "/v1/sources", {"provider": "flexype", "settings": {"webhooks_per_minute": 60}})
    assert source.json["settings"]["webhooks_per_minute"] == 60
    cleared = merchant("PATCH", f"/v1/sources/{source.json['id']}", {"settings": {"webhooks_per_minute": None}})
    assert cleared.json["settings"]["webhooks_per_minute"] is None
    assert operator("PATCH", path, {"settings": {"webhooks_per_minute": None}}).status == 200
