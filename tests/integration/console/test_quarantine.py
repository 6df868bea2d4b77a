"""What was not understood: looked at, tried by another mapping, read again."""

import html
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.console import forms
from functions.console.pages import quarantine as page_of_quarantine
from functions.ingest.composition import receiver, stores
from functions.merchant_api import services
from shared.aws import clients
from shared.aws.quarantine_bucket import body_key
from shared.domain.ids import MerchantId, QuarantineId
from shared.store.quarantine import QuarantineRecord, QuarantineStore
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_quarantine import BODY, MAPPING, post, source
from tests.integration.conftest import Stage
from tests.integration.console.conftest import Browser
from tests.integration.shop import EVENTS

__all__ = ["source"]
TYPED = "\r\n".join(f"{field} = {expression}" for field, expression in MAPPING.items())


@pytest.fixture
def merchant(operator: Api) -> Api:
    """A new merchant."""
    return operator.as_(new_merchant(operator)["token"])


@pytest.fixture
def signed_in(browser: Browser, merchant: Api, source: dict[str, Any]) -> Browser:
    """The merchant of the source."""
    browser.sign_in(merchant.credential or "")
    return browser


def test_the_body_names_the_shopper_only_when_asked_for(signed_in: Browser, source: dict[str, Any]) -> None:
    kept = post(source)["quarantine_id"]

    listed = signed_in.get("/console/quarantine").text
    assert f'href="/console/quarantine/{kept}"' in listed
    for text in (listed, signed_in.get(f"/console/quarantine/{kept}").text):
        assert "asha@example.com" not in text
    shown = signed_in.get(f"/console/quarantine/{kept}?body=shown").text
    assert "asha@example.com" in shown
    assert "external_id = order.number</textarea>" in shown
    assert "x-acme-topic" in shown


def test_a_mapping_is_tried_until_it_fits_then_kept_and_all_are_read_again(
    signed_in: Browser, source: dict[str, Any], merchant: Api
) -> None:
    kept, more = post(source)["quarantine_id"], post(source, BODY.replace(b"B-77", b"B-78"))["quarantine_id"]
    other = post(source, b'{"of another": "kind"}')["quarantine_id"]
    path = f"/console/quarantine/{kept}"

    wrong = signed_in.post(f"{path}/try", {"mapping": "external_id = basket.["})
    assert (wrong.status, "external_id = basket.[</textarea>" in wrong.text) == (422, True)
    assert 'id="mapping-wrong"' in wrong.text
    assert "Still not understood" in signed_in.post(f"{path}/try", {"mapping": "external_id = nowhere"}).text
    fits = signed_in.post(f"{path}/try", {"mapping": TYPED})
    assert "It would become a checkout" in fits.text
    assert "49.90 INR" in fits.text
    assert "asha@example.com" not in fits.text
    assert "asha@example.com" in signed_in.post(f"{path}/try", {"mapping": TYPED, "body": "shown"}).text
    assert merchant("GET", "/v1/checkouts").json["data"] == []

    version = re.search(r'name="version" value="([^"]+)"', fits.text)
    assert version
    saved = signed_in.post(f"{path}/keep", {"mapping": TYPED, "version": html.unescape(version[1])})
    assert "It is understood now" in saved.text
    assert merchant("GET", f"/v1/sources/{source['id']}").json["settings"]["mapping"] == MAPPING

    read = signed_in.post("/console/quarantine")
    assert "2 read again: 1 understood, 1 not." in read.text
    states = {own: merchant("GET", f"/v1/quarantine/{own}").json["replay_status"] for own in (kept, more, other)}
    assert states == {kept: "accepted", more: "accepted", other: "quarantined"}
    assert len(merchant("GET", "/v1/checkouts").json["data"]) == 2


def test_one_click_reads_as_many_as_its_time_allows_those_first_that_waited_longest(
    signed_in: Browser, source: dict[str, Any], merchant: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        post(source, b'{"of another": %d}' % number)
    monkeypatch.setattr(page_of_quarantine, "_SECONDS", 0.0)

    assert "1 read again: 0 understood, 1 not. 2 more wait" in signed_in.post("/console/quarantine").text
    assert "1 read again: 0 understood, 1 not. 2 more wait" in signed_in.post("/console/quarantine").text

    rows = merchant("GET", "/v1/quarantine").json["data"]
    assert [own["replay_status"] for own in rows].count("quarantined") == 2


def test_a_mapping_that_changed_meanwhile_is_not_overwritten(
    signed_in: Browser, source: dict[str, Any], merchant: Api
) -> None:
    kept = post(source)["quarantine_id"]

    path = f"/console/quarantine/{kept}"

    def version(text: str) -> str:
        found = re.search(r'name="version" value="([^"]+)"', text)
        assert found
        return html.unescape(found[1])

    seen = version(signed_in.get(path).text)
    theirs = {"external_id": "their.number"}
    merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"mapping": theirs}})
    tried = signed_in.post(f"{path}/try", {"mapping": TYPED, "version": seen})
    assert version(tried.text) == seen, "who tries has not seen the newer one"

    for over in (seen, ""):
        page = signed_in.post(f"{path}/keep", {"mapping": TYPED, "version": over})
        assert page.status == 422
        assert "Somebody else changed this source meanwhile" in page.text
        assert 'id="mapping-newer">It is now: <bdi>external_id = their.number</bdi>' in page.text
        assert "basket.nr" in page.text
        assert merchant("GET", f"/v1/sources/{source['id']}").json["settings"]["mapping"] == theirs

    signed_in.post(f"{path}/keep", {"mapping": TYPED, "version": version(page.text)})
    assert merchant("GET", f"/v1/sources/{source['id']}").json["settings"]["mapping"] == MAPPING


def test_dropping_is_asked_once_more(signed_in: Browser, source: dict[str, Any], merchant: Api) -> None:
    kept = post(source)["quarantine_id"]

    assert "Nothing was done" in signed_in.post(f"/console/quarantine/{kept}/drop").text
    assert "The body is deleted" in signed_in.post(f"/console/quarantine/{kept}/drop", {"sure": "yes"}).text
    assert merchant("GET", "/v1/quarantine").json["data"] == []


def test_a_hostile_body_is_text_and_its_source_may_be_gone(
    signed_in: Browser, source: dict[str, Any], merchant: Api
) -> None:
    kept = post(source, b'{"<script>alert(1)</script>": "<img src=x onerror=alert(1)>"}')["quarantine_id"]
    merchant("DELETE", f"/v1/sources/{source['id']}")

    page = signed_in.get(f"/console/quarantine/{kept}?body=shown").text

    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "was disconnected" in page
    assert "0 understood" in signed_in.post("/console/quarantine").text


def test_others_and_those_who_may_only_look_change_nothing(
    signed_in: Browser, source: dict[str, Any], merchant: Api, operator: Api
) -> None:
    kept = post(source)["quarantine_id"]
    stranger, looking = Browser(signed_in.handler), Browser(signed_in.handler)
    stranger.sign_in(new_merchant(operator)["token"])
    looking.post(merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"])

    assert stranger.get(f"/console/quarantine/{kept}").status == 404
    page = looking.get(f"/console/quarantine/{kept}").text
    assert page.count("<form") == 1
    for action in ("try", "keep", "replay", "drop"):
        form = {"mapping": TYPED, "sure": "yes"}
        done = stranger.post(f"/console/quarantine/{kept}/{action}", form)
        assert done.status == 404 or "was not there any more" in done.text
        assert looking.post(f"/console/quarantine/{kept}/{action}", form).status == 403
    assert looking.post("/console/quarantine").status == 403
    assert merchant("GET", f"/v1/quarantine/{kept}").json["replayed_at"] is None


def test_an_order_that_names_its_cart_alone_completes_the_checkout_when_it_is_read_again(
    signed_in: Browser, source: dict[str, Any], merchant: Api
) -> None:
    begun = {"external_id": "basket.nr", "totals.total": "basket.sum", "cart_id": "cart"}
    merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"mapping": begun}})
    stores.cache_clear()
    receiver.cache_clear()
    checkout_id = post(source, b'{"basket": {"nr": "B-77", "sum": "49.90"}, "cart": "c-1"}')["checkout_id"]
    kept = post(source, b'{"kind": "paid", "cart": "c-1", "paid_as": "1001"}')["quarantine_id"]
    bought = forms.paired(begun | {"order.id": "paid_as", "status": "kind == 'paid' && 'completed' || 'open'"})
    version = re.search(r'name="version" value="([^"]+)"', signed_in.get(f"/console/quarantine/{kept}").text)
    assert version

    form = {"mapping": bought, "version": html.unescape(version[1])}
    assert "It is understood now" in signed_in.post(f"/console/quarantine/{kept}/keep", form).text

    assert merchant("GET", f"/v1/checkouts/{checkout_id}").json["status"] == "completed"


def test_what_lies_at_the_provider_is_asked_for_when_it_is_read_again(
    signed_in: Browser, merchant: Api, stage: Stage
) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "bigcommerce"}).json
    body = (EVENTS / "bigcommerce" / "cart-created.json").read_bytes()
    whose = MerchantId(merchant("GET", "/v1/merchant").json["id"])
    own = QuarantineId(f"qrn_{'0' * 26}")
    api = services.services()
    api.bucket.keep_body(body_key(whose, own), body, "application/json")
    record = QuarantineRecord(
        own, whose, made["id"], "bigcommerce", "credentials.api", body_key(whose, own), len(body), datetime.now(UTC)
    )
    QuarantineStore(api.table).add(record)
    form = {"version": "*", "api": "store_hash = abc1234567\r\naccess_token = a-token-of-the-shop"}
    assert "The source is changed" in signed_in.post(f"/console/sources/{made['id']}/change", form).text
    assert "It is understood now" in signed_in.post(f"/console/quarantine/{own}/replay").text

    assert len(clients.sqs().receive_message(QueueUrl=stage.pulls_url)["Messages"]) == 1
