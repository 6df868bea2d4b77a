"""Export and erasure of a customer: everything by one identifier, and nothing of it is left."""

import base64
import gzip
import zlib
from typing import Any

import pytest

from functions.merchant_api import services
from shared.aws.quarantine_bucket import body_key
from shared.domain.checkout import Status
from shared.domain.contact_search import ContactSearch
from shared.domain.identity import IdentityKind
from shared.domain.ids import QuarantineId, SourceId
from shared.store.deliveries import DeliveryStatus
from shared.store.episodes import EpisodeStore
from shared.store.quarantine import QuarantineRecord, QuarantineStore
from shared.store.table import StoreUnavailable
from shared.workflows.privacy.customer_erasure import CustomerErasure
from shared.workflows.privacy.merchant_erasure import BUDGET, Clock
from tests.integration.api.conftest import Api
from tests.integration.conftest import Stage
from tests.integration.shop import SESSION, Shop, stranger

PHONE = "+917777788888"
EMAIL = "asha@example.com"


@pytest.fixture
def shop(operator: Api, shop: Shop) -> Shop:
    """The API and the functions over one stage and one merchant."""
    return shop


@pytest.fixture
def merchant(shop: Shop, operator: Api) -> Api:
    """The shop's merchant, with a token of its own."""
    made = operator("POST", f"/v1/merchants/{shop.merchant.id}/tokens")
    assert made.status == 201, made.text
    return operator.as_(made.json["token"])


def everything(shop: Shop) -> str:
    """Every row but configuration, with compressed parts opened, as one text."""

    def opened(value: Any) -> Any:
        if isinstance(value, bytes):
            try:
                return zlib.decompress(value).decode("utf-8", "replace")
            except zlib.error:
                return value.hex()
        return value

    return "\n".join(str({name: opened(value) for name, value in row.items()}) for row in shop.rows())


def told_and_left(shop: Shop) -> None:
    """A shopper left, a merchant's endpoint was told, and the shopper looked at the link."""
    shop.endpoint("checkout.abandoned")
    shop.abandon()
    shop.settle()
    shop.deliver()
    shop.follow(shop.stores.keys.recovery_codes().code(shop.digest()), "Mozilla/5.0 (iPhone) Safari/604.1")


def erase(merchant: Api, **who: str) -> dict[str, Any]:
    done = merchant("POST", "/v1/customers/erase", who)
    assert done.status == 200, done.text
    shown: dict[str, Any] = done.json
    return shown


def quarantined(shop: Shop, body: bytes, name: str = "0" * 26) -> QuarantineId:
    """An authentic body that was not understood."""
    own = QuarantineId(f"qrn_{name}")
    key = body_key(shop.merchant.id, own)
    shop.stores.bucket.keep_body(key, body, "application/json")
    record = QuarantineRecord(
        own, shop.merchant.id, SourceId("src_1"), "custom", "no mapping", key, len(body), shop.now
    )
    QuarantineStore(shop.table).add(record)
    return own


@pytest.fixture(autouse=True)
def _bucket(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    monkeypatch.setenv("QUARANTINE_BUCKET", stage.bucket)


def test_nothing_personal_is_left_of_an_erased_customer(shop: Shop, merchant: Api) -> None:
    told_and_left(shop)
    episode_id = shop.checkout().episode_id
    before = everything(shop)
    assert "7777788888" in before
    assert "Gujarat" in before

    done = erase(merchant, phone=PHONE)

    assert (done["status"], done["checkouts"], done["cursor"]) == ("erased", 1, None)
    left = everything(shop)
    for personal in ("7777788888", "Gujarat", SESSION, "flx_s", "LINK_CLICKED"):
        assert personal not in left, personal
    bare = shop.checkout()
    assert (bare.erased, bare.status, bare.leaves, bare.cart) == (True, Status.DISCARDED, {}, None)
    ended = EpisodeStore(shop.table).get(episode_id)  # type: ignore[arg-type]  # it had one
    assert ended is not None
    assert (ended.end_reason, ended.identities) == ("erased", ())
    assert merchant("GET", f"/v1/checkouts/chk_{shop.digest()}").status == 404
    assert merchant("GET", "/v1/checkouts", query={"phone": PHONE}).json["data"] == []
    assert merchant("GET", "/v1/checkouts").json["data"] == []


def test_whoever_was_told_is_told_of_the_erasure_by_ids_alone(shop: Shop, merchant: Api) -> None:
    told_and_left(shop)
    never = shop.endpoint("checkout.recovered")
    episode_id = shop.checkout().episode_id
    shop.sent.clear()

    done = erase(merchant, phone=PHONE)
    shop.deliver()

    (event,) = shop.told()
    assert event["type"] == "customer.erased"
    assert event["data"] == {"checkout_ids": [f"chk_{shop.digest()}"], "episode_ids": [episode_id]}
    assert set(event) == {"id", "type", "timestamp", "sequence", "merchant_id", "data"}
    assert len(done["endpoints_told"]) == 1
    assert never.id not in done["endpoints_told"]


def test_what_was_not_delivered_yet_ends_skipped_and_answers_are_dropped(shop: Shop, merchant: Api) -> None:
    from shared.delivery.exchange import Answer

    shop.endpoint("checkout.abandoned")
    shop.answer = lambda _: Answer(500, body=b"no such person: Asha")
    shop.abandon()
    shop.settle()
    waiting = shop.queued()
    shop.deliver(waiting)
    assert "Asha" in everything(shop)

    erase(merchant, phone=PHONE)

    first, told = sorted(shop.deliveries(), key=lambda own: own.event_type)
    assert (first.status, first.reason, first.event_type) == (DeliveryStatus.SKIPPED, "erased", "checkout.abandoned")
    assert told.event_type == "customer.erased"
    assert "Asha" not in everything(shop)
    shop.sent.clear()
    shop.deliver([*waiting, *shop.retries()])
    assert shop.sent == []


def test_late_webhooks_bring_nothing_back(shop: Shop, merchant: Api) -> None:
    told_and_left(shop)
    erase(merchant, phone=PHONE)
    version = shop.checkout().version
    shop.wait(minutes=5)

    assert shop.webhook()[1]["status"] == "duplicate"
    assert shop.webhook(session_state="PAYMENT_LOADED")[1]["status"] == "duplicate"
    assert shop.webhook(session_state="COMPLETED")[1]["status"] == "duplicate"

    assert shop.checkout().version == version
    assert shop.checkout().erased
    assert "7777788888" not in everything(shop)
    shop.wait(hours=1)
    shop.sweep()
    assert shop.checkout().status is Status.DISCARDED


def test_suppressions_and_the_last_purchase_stay_as_hashes(shop: Shop, merchant: Api) -> None:
    told_and_left(shop)
    shop.webhook(session="bought", session_state="COMPLETED")
    merchant("POST", "/v1/suppressions", {"phone": PHONE, "channels": ["whatsapp"]})

    erase(merchant, phone=PHONE)

    who = shop.stores.hasher.identity(shop.merchant.id, IdentityKind.PHONE, PHONE)
    row = shop.table.get((f"I#{shop.merchant.id}#phone#{who.mac}", "I"))
    assert set(row) - {"lp", "ls"} == {"pk", "sk", "v", "po", "sup"}
    assert row["sup"] == {"whatsapp": "merchant"}
    assert len(merchant("GET", "/v1/suppressions").json["data"]) == 1


def test_a_repeat_finds_nothing_and_is_no_error(shop: Shop, merchant: Api) -> None:
    told_and_left(shop)
    erase(merchant, phone=PHONE)
    rows = everything(shop)

    again = erase(merchant, phone=PHONE)

    assert (again["checkouts"], again["endpoints_told"]) == (0, [])
    assert everything(shop) == rows


@pytest.mark.parametrize(
    "crash_at",
    ["store.deliveries.DeliveryStore.erase", "workflows.privacy.customer_erasure.CustomerErasure._tell"],
)
def test_an_erasure_that_was_cut_short_is_gone_on_with(
    shop: Shop, merchant: Api, monkeypatch: pytest.MonkeyPatch, crash_at: str
) -> None:
    told_and_left(shop)
    shop.sent.clear()

    def crash(*_: Any) -> None:
        raise StoreUnavailable("for now")

    with monkeypatch.context() as patched:
        patched.setattr(f"shared.{crash_at}", crash)
        assert merchant("POST", "/v1/customers/erase", {"phone": PHONE}).status == 503
    assert "Gujarat" not in str(shop.table.get((f"C#{shop.digest()}", "C")))

    assert erase(merchant, phone=PHONE)["checkouts"] == 1
    shop.deliver()
    assert [own["type"] for own in shop.told()] == ["customer.erased"]
    assert "7777788888" not in everything(shop)


def test_work_that_does_not_fit_into_one_call_is_gone_on_with(shop: Shop, merchant: Api) -> None:
    class Hours:
        seconds = 0.0

        def read(self) -> float:
            self.seconds += BUDGET.total_seconds() + 1
            return self.seconds

    for name in ("one", "two", "three"):
        shop.webhook(session=name)
    own = services.services()
    own.customer_erasure = CustomerErasure(
        own.table, own.checkouts, own.deliveries, lambda: own.queues, own.hasher, lambda: own.bucket, own.now,
        Clock(Hours().read),
    )  # fmt: skip
    answers = [merchant("POST", "/v1/customers/erase", {"phone": PHONE}) for _ in range(4)]

    assert [own.status for own in answers] == [202, 202, 202, 200]
    assert [own.json["status"] for own in answers] == ["erasing"] * 3 + ["erased"]


def test_quarantined_bodies_that_name_the_customer_go_and_others_stay(shop: Shop, merchant: Api) -> None:
    shop.webhook()
    theirs = quarantined(shop, b'{"tel": "077777-88888", "odd": true}', "A" * 26)
    others = quarantined(shop, b'{"tel": "917777788889", "sum": 17777788888}', "B" * 26)

    done = erase(merchant, phone=PHONE)

    assert done["quarantined"] == 1
    assert QuarantineStore(shop.table).get(theirs) is None
    assert QuarantineStore(shop.table).get(others) is not None


def test_quarantined_bodies_that_name_only_the_customers_cart_go_too(shop: Shop, merchant: Api) -> None:
    shop.webhook()
    shop.webhook(session="1042", user=stranger(5))
    theirs = quarantined(shop, f'{{"cart": "{SESSION}"}}'.encode(), "A" * 26)
    others = quarantined(shop, f'{{"cart": "{SESSION}0", "n": 1042}}'.encode(), "B" * 26)

    assert erase(merchant, phone=PHONE)["quarantined"] == 1
    assert QuarantineStore(shop.table).get(theirs) is None
    # A short id may be anybody's number.
    assert erase(merchant, phone="+917777000005")["quarantined"] == 0
    assert QuarantineStore(shop.table).get(others) is not None


def test_the_carts_name_is_known_until_bodies_were_searched_for_it(
    shop: Shop, merchant: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erasure that breaks off before the search finds them at the next call."""
    shop.webhook()
    own = quarantined(shop, f'{{"cart": "{SESSION}"}}'.encode())

    def crash(*_: Any) -> None:
        raise StoreUnavailable("for now")

    with monkeypatch.context() as patched:
        patched.setattr("shared.workflows.privacy.erased_bodies.QuarantinedBodies.drop", crash)
        assert merchant("POST", "/v1/customers/erase", {"phone": PHONE}).status == 503

    assert erase(merchant, phone=PHONE)["quarantined"] == 1
    assert QuarantineStore(shop.table).get(own) is None
    assert SESSION not in everything(shop)


def test_an_export_holds_everything_that_an_erasure_takes(shop: Shop, merchant: Api) -> None:
    told_and_left(shop)

    shown = merchant("POST", "/v1/customers/export", {"phone": "7777788888"})

    assert shown.status == 200, shown.text
    (own,) = shown.json["checkouts"]
    assert own["customer"]["phone"] == PHONE
    assert [each["type"] for each in own["activities"]] == ["LINK_CLICKED"]
    (event,) = own["events"]
    assert event["event"]["type"] == "checkout.abandoned"
    assert [each["status"] for each in event["deliveries"]] == ["delivered"]
    assert [each["status"] for each in shown.json["episodes"]] == ["active"]
    assert [each["kind"] for each in shown.json["remembered"]] == ["phone"]
    assert shown.json["next_cursor"] is None
    erase(merchant, phone=PHONE)
    assert merchant("POST", "/v1/customers/export", {"phone": PHONE}).json["checkouts"] == []


@pytest.mark.parametrize("path", ["/v1/customers/export", "/v1/checkouts/{id}/discard", "/v1/checkouts/{id}/complete"])
def test_nobody_gets_an_erased_shopper_by_the_key_of_an_earlier_answer(shop: Shop, merchant: Api, path: str) -> None:
    shop.webhook()
    path = path.replace("{id}", f"chk_{shop.digest()}")
    key, body = {"idempotency-key": "dsr-7"}, {"phone": PHONE} if path.endswith("export") else None
    before = merchant("POST", path, body, headers=key)
    assert before.status == 200
    assert PHONE in before.text
    erase(merchant, phone=PHONE)

    after = merchant("POST", path, body, headers=key)

    assert PHONE not in after.text
    assert "Gujarat" not in after.text
    assert after.status == 404 or after.json["checkouts"] == []


def test_a_repeated_export_shows_what_is_held_by_then(shop: Shop, merchant: Api) -> None:
    shop.webhook(session="one")
    key = {"idempotency-key": "dsr-7"}
    assert len(merchant("POST", "/v1/customers/export", {"phone": PHONE}, headers=key).json["checkouts"]) == 1
    shop.webhook(session="two")

    again = merchant("POST", "/v1/customers/export", {"phone": PHONE}, headers=key)

    assert len(again.json["checkouts"]) == 2
    assert "idempotency-replayed" not in again.headers
    assert merchant("POST", "/v1/customers/export", {"phone": "+917777788889"}, headers=key).status == 409


def test_a_shopper_who_came_back_is_erased_under_the_same_key(shop: Shop, merchant: Api) -> None:
    key = {"idempotency-key": "dsr-7"}
    shop.webhook(session="one")
    assert merchant("POST", "/v1/customers/erase", {"phone": PHONE}, headers=key).json["checkouts"] == 1
    shop.webhook(session="two")

    assert merchant("POST", "/v1/customers/erase", {"phone": PHONE}, headers=key).json["checkouts"] == 1
    assert "7777788888" not in everything(shop)


def test_a_delivery_is_retried_once_under_its_key_and_its_answers_are_not_kept(shop: Shop, merchant: Api) -> None:
    from shared.delivery.exchange import Answer

    shop.endpoint("checkout.abandoned", retry_schedule=[])
    shop.answer = lambda _: Answer(400, body=b"no such person: Asha")
    shop.abandon()
    shop.settle()
    shop.deliver()
    (failed,) = shop.deliveries()
    key = {"idempotency-key": "again"}

    first = merchant("POST", f"/v1/deliveries/{failed.id}/retry", headers=key)
    shop.deliver([*shop.queued(), *shop.retries()])
    again = merchant("POST", f"/v1/deliveries/{failed.id}/retry", headers=key)

    assert (first.status, again.status) == (202, 202)
    assert "Asha" in first.text
    assert again.json == {"id": failed.id}
    assert shop.queued() == shop.retries() == []


@pytest.mark.parametrize(("limit", "value"), [("PAGE", 2), ("LARGEST", 6_000), ("LARGEST", 10)])
def test_an_export_is_paged_and_foreign_to_nobody(
    shop: Shop, merchant: Api, monkeypatch: pytest.MonkeyPatch, operator: Api, limit: str, value: int
) -> None:
    monkeypatch.setattr(f"shared.workflows.privacy.customer_export.{limit}", value)
    for name in ("one", "two", "three"):
        shop.webhook(session=name)
        shop.wait(minutes=1)
    seen: list[str] = []
    cursor = None
    while True:
        page = merchant("POST", "/v1/customers/export", {"phone": PHONE} | ({"cursor": cursor} if cursor else {})).json
        assert 1 <= len(page["checkouts"]) <= 2
        seen += [own["external_id"] for own in page["checkouts"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["three", "two", "one"]
    from tests.integration.api.conftest import new_merchant

    other = operator.as_(new_merchant(operator)["token"])
    assert other("POST", "/v1/customers/export", {"phone": PHONE}).json["checkouts"] == []
    assert other("POST", "/v1/customers/erase", {"phone": PHONE}).json["checkouts"] == 0
    assert shop.checkout("one").leaves


@pytest.mark.parametrize("path", ["/v1/customers/erase", "/v1/customers/export"])
def test_exactly_one_identifier_is_needed(merchant: Api, path: str) -> None:
    for body in ({}, {"phone": PHONE, "email": EMAIL}, {"phone": "12"}, {"phone": PHONE, "cursor": "x"}):
        assert merchant("POST", path, body).status == 422, body


FOUND = [
    (IdentityKind.PHONE, PHONE, b'{"p": "+91 77777 88888"}'),
    (IdentityKind.PHONE, PHONE, b"phone=7777788888&x=1"),
    (IdentityKind.PHONE, PHONE, b'"917777788888"'),
    (IdentityKind.EMAIL, EMAIL, b'{"e":"ASHA@Example.com"}'),
    (IdentityKind.EMAIL, EMAIL, b"email=asha%40example.com"),
    (IdentityKind.EMAIL, EMAIL, b'{"e":"asha\\u0040example.com"}'),
    (IdentityKind.EMAIL, EMAIL, b"a." + base64.urlsafe_b64encode(b'{"e":"asha@example.com"}').rstrip(b"=") + b".s"),
    (IdentityKind.CUSTOMER, "cust-4711", b'{"id":"cust-4711"}'),
    (IdentityKind.PHONE, PHONE, b"to=%2B91%2077777%2088888"),
    (IdentityKind.PHONE, PHONE, b"to=%2B91+77777+88888"),
    (IdentityKind.PHONE, PHONE, b'{"p": "\\u002b917777788888"}'),
    (IdentityKind.EMAIL, EMAIL, b"<b>asha&#64;example.com</b>"),
    (IdentityKind.EMAIL, EMAIL, b"mail=Asha%2540example.com".replace(b"%25", b"%")),
    (IdentityKind.EMAIL, EMAIL, base64.b64encode(b'{"e":"asha@example.com"}')),
    (IdentityKind.PHONE, PHONE, b'{"body":"' + base64.b64encode(b'{"p":"+917777788888","x":"??>>"}') + b'"}'),
    (IdentityKind.PHONE, PHONE, gzip.compress(b'{"p":"7777788888"}', mtime=0)),
    (IdentityKind.PHONE, PHONE, base64.b64encode(zlib.compress(b'{"p":"7777788888"}'))),
]
NOT_FOUND = [
    (IdentityKind.PHONE, PHONE, b'{"p": "9177777888880"}'),
    (IdentityKind.PHONE, PHONE, b'{"a": 77777, "b": 88888}'),
    (IdentityKind.EMAIL, EMAIL, b"natasha@example.com"),
    (IdentityKind.EMAIL, EMAIL, b"asha@example.com.au"),
    (IdentityKind.CUSTOMER, "41", b'{"id": 41}'),
    (IdentityKind.CUSTOMER, "4711", b'{"id": 14711}'),
]


@pytest.mark.parametrize(("kind", "value", "body"), FOUND)
def test_a_contact_is_found_however_it_is_written(kind: IdentityKind, value: str, body: bytes) -> None:
    assert ContactSearch([(kind, value)]).found_in(body)


@pytest.mark.parametrize(("kind", "value", "body"), NOT_FOUND)
def test_a_similar_contact_is_somebody_else(kind: IdentityKind, value: str, body: bytes) -> None:
    assert not ContactSearch([(kind, value)]).found_in(body)
