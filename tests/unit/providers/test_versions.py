"""Versions of payloads: which are read alike, and that the pages for merchants say what the code has."""

from pathlib import Path

import pytest

from infra.operations.provider_table import table, written_from
from shared.providers import registry
from shared.providers.versions import ANY
from tests.unit.providers.conftest import Bench

DOCS = Path(__file__).parents[3] / "docs" / "providers"


def new(provider: str, body: object, headers: dict[str, str], *accepted: str) -> str | None:
    bench, versions = Bench(provider), registry.versions(provider)
    assert versions is not None
    request = bench.request(body, headers)
    return versions.new(bench.provider.read(request, bench.context), request, accepted)


def shopify(version: str, *accepted: str) -> str | None:
    return new("shopify", {}, {"X-Shopify-API-Version": version}, *accepted)


def stripe(version: object, *accepted: str) -> str | None:
    return new("stripe", {"api_version": version}, {}, *accepted)


def cashfree(version: str) -> str | None:
    return new("cashfree", {}, {"x-webhook-version": version})


def flexype(version: str) -> str | None:
    return new("flexype", {}, {"X-Webhook-Version": version})


@pytest.mark.parametrize("version", ["2026-04", "2026-01", "2023-10"])
def test_shopifys_older_versions_read_like_the_newest_known(version: str) -> None:
    assert shopify(version) is None


@pytest.mark.parametrize("version", ["2027-01", "2027-04", "unstable", "April2027"])
def test_what_nobody_read_is_new(version: str) -> None:
    assert shopify(version) == version


def test_a_webhook_that_tells_no_version_is_of_none_that_is_new() -> None:
    assert new("shopify", {}, {}) is None
    assert shopify("  ") is None
    assert stripe(None) is None


def test_a_merchant_accepts_one_version_and_with_it_those_before_it() -> None:
    assert shopify("2027-01", "2027-01") is None
    assert shopify("2027-01", "2027-04") is None
    assert shopify("2027-04", "2027-01") == "2027-04"
    assert shopify("unstable", "unstable") is None
    assert shopify("2031-01", ANY) is None


def test_stripes_releases_read_alike_by_their_name() -> None:
    known = ["2026-02-25.clover", "2025-05-28.basil", "2024-06-20", "2019-12-03"]
    assert [stripe(own) for own in known] == [None] * 4
    assert stripe("2026-10-28.edelweiss") == "2026-10-28.edelweiss"
    assert stripe("2026-11-25.edelweiss", "2026-10-28.edelweiss") is None


def test_cashfree_and_flexype_tell_theirs_in_a_header() -> None:
    assert [cashfree(own) for own in ("2025-01-01", "2023-08-01", "v1", "V1")] == [None] * 4
    assert (cashfree("2027-01-01"), cashfree("v2")) == ("2027-01-01", "v2")
    assert [flexype(own) for own in ("2025-09", "2026-05")] == [None, None]
    assert flexype("2027-02") == "2027-02"


def test_wix_tells_it_in_the_name_of_the_entity() -> None:
    versions = registry.versions("wix")
    assert versions is not None
    request = Bench("wix").request({})

    def told(**payload: object) -> str | None:
        return versions.new(payload, request, ())

    assert told(eventType="wix.ecom.v1.order_approved", event={}) is None
    assert told(eventType="wix.ecom.v2.order_approved", event={}) == "v2"
    assert told(eventType=None, event={"entityFqdn": "wix.ecom.v3.abandoned_checkout", "slug": "created"}) == "v3"
    assert told(eventType="wix.stores.v3.product_created", event={}) is None, "about no checkout"


def test_a_preview_says_that_the_version_was_not_read() -> None:
    bench = Bench("shopify")
    headers = {"X-Shopify-Topic": "checkouts/create", "X-Shopify-API-Version": "2027-01"}
    body = bench.sample("checkouts-create")
    assert "version" in bench.preview(body, headers).assumed
    assert "version" not in bench.configure(accept_versions=("2027-01",)).preview(body, headers).assumed


def test_a_version_is_shown_short_and_without_anything_that_could_be_more() -> None:
    assert shopify("<script>" + "9" * 90) == "?script?" + "9" * 32


@pytest.mark.parametrize("name", registry.names())
def test_each_page_says_what_its_module_was_written_from(name: str) -> None:
    assert written_from(name) in (DOCS / f"{name}.md").read_text()


@pytest.mark.parametrize("name", registry.names())
def test_each_module_says_it(name: str) -> None:
    reading = registry.provider(name).description.reading
    assert reading.pages
    assert reading.read
    assert reading.order_fields
    assert reading.contact_fields
    assert f"\n{name} (" in f"\n{table()}"
