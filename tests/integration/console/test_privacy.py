"""What is held of somebody is taken along or erased, from the browser."""

import json
import re

import pytest

from functions.console import composition
from shared.domain.checkout import Status
from shared.workflows.privacy.customer_erasure import CustomerErasure
from shared.workflows.privacy.merchant_erasure import BUDGET, Clock
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_customers import PHONE, everything, quarantined, told_and_left
from tests.integration.conftest import Stage
from tests.integration.console.conftest import Browser
from tests.integration.shop import Shop

PATH = "/console/settings/privacy"
WHOM = {"kind": "phone", "contact": PHONE}
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


@pytest.fixture(autouse=True)
def _bucket(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    monkeypatch.setenv("QUARANTINE_BUCKET", stage.bucket)


def test_what_is_held_is_counted_and_given_as_a_file(signed_in: Browser, shop: Shop) -> None:
    told_and_left(shop)

    page = signed_in.post(PATH, WHOM)
    assert re.search(r"<dt>Checkouts</dt><dd>1</dd>", page.text)
    assert "Next part" not in page.text
    file = signed_in.post(f"{PATH}/download", WHOM)

    assert file.headers["content-disposition"] == 'attachment; filename="export.json"'
    assert json.loads(file.text)["checkouts"][0]["customer"]["phone"] == PHONE
    assert signed_in.address == f"{PATH}/download"
    assert "Nothing.</p>" in signed_in.post(PATH, WHOM | {"contact": "+919999999999"}).text


def test_parts_follow_one_another(signed_in: Browser, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.workflows.privacy.customer_export.PAGE", 1)
    shop.webhook(session="one")
    shop.webhook(session="two")

    first = signed_in.post(PATH, WHOM).text
    following = dict(HIDDEN.findall(first[first.index("part 1") : first.index("Next part")]))
    second = signed_in.post(PATH, following).text

    assert "What is held, part 2" in second
    named = dict(HIDDEN.findall(second[second.index("part 2") : second.index("Download")]))
    ids = {json.loads(signed_in.post(f"{PATH}/download", form).text)["checkouts"][0]["id"] for form in (WHOM, named)}
    assert len(ids) == 2


def test_erasing_is_asked_once_more_and_takes_everything(signed_in: Browser, shop: Shop) -> None:
    told_and_left(shop)
    quarantined(shop, b'{"tel": "077777-88888", "odd": true}', "A" * 26)
    bucket = shop.stores.bucket
    bucket.keep_poison(f"{shop.merchant.id}/{shop.digest()}/e1.json", b'{"of": "the checkout"}')
    bucket.keep_poison(f"{shop.merchant.id}/e2.json", b'{"phone": "+917777788888"}')

    unsure = signed_in.post(f"{PATH}/erase", WHOM)
    assert (unsure.status, "Tick the box" in unsure.text) == (422, True)
    assert shop.checkout().status is Status.ABANDONED
    done = signed_in.post(f"{PATH}/erase", WHOM | {"sure": "yes"})

    assert "Gone: 1 checkout, 1 body in quarantine. Told: 1 endpoint." in done.text
    assert "7777788888" not in done.text
    assert "7777788888" not in everything(shop)
    assert list(bucket.unplaced_poison(shop.merchant.id)) == []
    assert bucket.bodies_of(shop.merchant.id, 10) == []


def test_what_does_not_fit_into_a_round_goes_on_and_says_how_far_it_is(signed_in: Browser, shop: Shop) -> None:
    class Hours:
        seconds = 0.0

        def read(self) -> float:
            self.seconds += BUDGET.total_seconds() + 1
            return self.seconds

    for name in ("one", "two"):
        shop.webhook(session=name)
    own = composition.services()
    own.customer_erasure = CustomerErasure(
        own.table, own.checkouts, own.deliveries, lambda: own.queues, own.hasher, lambda: own.bucket, own.now,
        Clock(Hours().read),
    )  # fmt: skip

    page = signed_in.post(f"{PATH}/erase", WHOM | {"sure": "yes"}).text
    seen = []
    for _ in range(5):
        seen.append(re.findall(r"(\d+) checkouts?\b", page))
        if "<h2>Erased</h2>" in page:
            break
        assert f'hx-post="{PATH}/erase"' in page
        page = signed_in.post(f"{PATH}/erase", dict(HIDDEN.findall(page))).text

    assert seen == [["1"], ["2"], ["2"]]


def test_whom_nobody_could_be_is_said_beside_the_field(signed_in: Browser) -> None:
    for action in ("", "/erase"):
        page = signed_in.post(PATH + action, {"kind": "phone", "contact": "12", "sure": "yes"})
        assert page.status == 422
        assert 'id="contact-wrong"' in page.text


def test_nobody_else_gets_or_erases_anything(signed_in: Browser, shop: Shop, merchant: Api, operator: Api) -> None:
    told_and_left(shop)
    stranger, looking = Browser(signed_in.handler), Browser(signed_in.handler)
    stranger.sign_in(new_merchant(operator)["token"])
    looking.post(merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"])

    assert "Nothing.</p>" in stranger.post(PATH, WHOM).text
    assert "0 checkouts" in stranger.post(f"{PATH}/erase", WHOM | {"sure": "yes"}).text
    assert json.loads(stranger.post(f"{PATH}/download", WHOM).text)["checkouts"] == []
    assert looking.get(PATH).text.count("<form") == 1
    for action in ("", "/download", "/erase"):
        assert looking.post(PATH + action, WHOM | {"sure": "yes"}).status == 403
    assert shop.checkout().status is Status.ABANDONED
    assert PHONE in str(merchant("GET", "/v1/checkouts").json)
