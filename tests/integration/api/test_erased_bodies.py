"""What nobody understood and an erasure: bodies, their rows and headers, orphans, poison records."""

import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.aws import clients
from shared.aws.bucket_objects import BucketUnavailable
from shared.aws.quarantine_bucket import BodyGone, QuarantineBucket, body_key
from shared.domain.ids import MerchantId, QuarantineId
from shared.store import keys
from shared.store.quarantine import QuarantineStore
from shared.store.writes import Put
from tests.integration.account import onlookers_client
from tests.integration.api.conftest import Api
from tests.integration.api.test_customers import EMAIL, PHONE, erase, merchant, quarantined, shop
from tests.integration.shop import Shop

__all__ = ["merchant", "shop"]
OTHER = MerchantId("mer_01KAHJ00000000000000000THR")


def objects() -> set[str]:
    """The bucket's keys."""
    found = onlookers_client("s3").list_objects_v2(Bucket="quarantine").get("Contents", [])
    return {own["Key"] for own in found}


def drop_from_bucket(key: str) -> None:
    """The bucket's lifecycle comes by."""
    onlookers_client("s3").delete_object(Bucket="quarantine", Key=key)


@pytest.fixture
def hidden(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 as it answers whoever may not list: 403 for what is not there."""
    client = clients.s3()
    get_object = client.get_object

    def get(**named: Any) -> Any:
        try:
            return get_object(**named)
        except client.exceptions.NoSuchKey:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject") from None

    monkeypatch.setattr(client, "get_object", get)


@pytest.mark.usefixtures("hidden")
def test_a_body_whose_days_are_over_is_not_found_and_stops_no_erasure(shop: Shop, merchant: Api) -> None:
    shop.webhook()
    own = quarantined(shop, b'{"tel": "7777788888"}')
    drop_from_bucket(f"quarantine/{body_key(shop.merchant.id, own)}")

    assert merchant("GET", f"/v1/quarantine/{own}").status == 404
    assert merchant("POST", f"/v1/quarantine/{own}/replay").status == 404
    assert erase(merchant, phone=PHONE)["checkouts"] == 1
    assert merchant("DELETE", f"/v1/quarantine/{own}").status == 204


def test_a_body_that_may_not_be_read_is_not_taken_for_gone(
    shop: Shop, merchant: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = quarantined(shop, b'{"tel": "7777788888"}')

    def refused(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")

    with monkeypatch.context() as patched:
        patched.setattr(clients.s3(), "get_object", refused)
        assert merchant("POST", "/v1/customers/erase", {"phone": PHONE}).status >= 500
        assert merchant("GET", f"/v1/quarantine/{own}").status >= 500

    assert erase(merchant, phone=PHONE)["quarantined"] == 1


def test_headers_are_searched_too(shop: Shop, merchant: Api) -> None:
    own = quarantined(shop, b'{"unlike": "anything"}')
    key = keys.quarantine(own)
    row = shop.table.get(key)
    shop.table.put(Put({**row, "hd": {"x-shop-customer": EMAIL}}))

    assert erase(merchant, email=EMAIL)["quarantined"] == 1

    assert shop.table.get(key) is None
    assert objects() == set()


def test_bytes_that_a_crash_kept_without_a_row_are_found(shop: Shop, merchant: Api) -> None:
    bucket: QuarantineBucket = shop.stores.bucket
    theirs = body_key(shop.merchant.id, QuarantineId("qrn_" + "A" * 26))
    others = body_key(shop.merchant.id, QuarantineId("qrn_" + "B" * 26))
    foreign = body_key(OTHER, QuarantineId("qrn_" + "C" * 26))
    for key, body in ((theirs, b"7777788888"), (others, b"9999999999"), (foreign, b"7777788888")):
        bucket.keep_body(key, body, None)

    assert erase(merchant, phone=PHONE)["quarantined"] == 1

    assert objects() == {f"quarantine/{others}", f"quarantine/{foreign}"}


def test_rows_past_their_time_and_unreadable_ones_go_too(shop: Shop, merchant: Api) -> None:
    late, broken = quarantined(shop, b"7777788888", "A" * 26), quarantined(shop, b"+91 77777 88888", "B" * 26)
    whole = quarantined(shop, b"somebody else", "C" * 26)
    shop.table.put(Put({**shop.table.get(keys.quarantine(late)), "ttl": int(shop.now.timestamp()) - 5}))
    shop.table.put(Put({**shop.table.get(keys.quarantine(broken)), "size": "many", "ca": "long ago"}))

    assert erase(merchant, phone=PHONE)["quarantined"] == 2

    rows = [row["pk"] for row in shop.rows() if row["pk"].startswith("Q#qrn_")]
    assert rows == [keys.quarantine(whole)[0]]


def test_many_bodies_take_several_calls_and_none_is_skipped(
    shop: Shop, merchant: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.workflows.privacy.erased_bodies._PAGE", 2)
    for number in range(5):
        quarantined(shop, b"7777788888" if number % 2 else b"other", f"{number}" * 26)
        shop.wait(seconds=1)
        shop.stores.bucket.keep_body(f"{shop.merchant.id}/qrn_{number + 5}", b"7777788888", None)
    monkeypatch.setattr("shared.workflows.privacy.customer_erasure.BUDGET", timedelta(0))
    cursor: str | None = None
    dropped, calls = 0, 0
    while calls < 20:
        calls += 1
        done = merchant("POST", "/v1/customers/erase", {"phone": PHONE} | ({"cursor": cursor} if cursor else {})).json
        dropped += done["quarantined"]
        cursor = done["cursor"]
        if done["status"] == "erased":
            break

    assert dropped == 7
    assert 4 <= calls < 20
    assert sum(key.startswith(f"quarantine/{shop.merchant.id}/") for key in objects()) == 3


def test_the_same_body_is_not_kept_again(shop: Shop, merchant: Api) -> None:
    unreadable = json.dumps({"phone": "7777788888", "unlike": "anything"}).encode()
    assert shop.webhook(body=unreadable)[1]["status"] == "quarantined"
    (key,) = objects()
    assert key.startswith(f"quarantine/{shop.merchant.id}/qrn_")
    assert erase(merchant, phone=PHONE)["quarantined"] == 1
    assert objects() == set()
    shop.wait(days=1)

    assert shop.webhook(body=unreadable)[1]["status"] == "duplicate"
    assert objects() == set()
    assert shop.webhook(body=unreadable + b" ")[1]["status"] == "quarantined"
    assert QuarantineStore(shop.table).listed(shop.merchant.id, limit=5, start=None)[0][0].size == len(unreadable) + 1


@pytest.mark.parametrize("effect", [False, True], ids=["before", "after"])
def test_a_body_whose_deletion_broke_off_is_not_kept_again(
    shop: Shop, merchant: Api, monkeypatch: pytest.MonkeyPatch, effect: bool
) -> None:
    unreadable = json.dumps({"phone": "7777788888", "unlike": "anything"}).encode()
    shop.webhook(body=unreadable)
    delete = QuarantineBucket.delete_body

    def breaks_off(self: QuarantineBucket, key: str) -> None:
        if effect:
            delete(self, key)
        raise BucketUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(QuarantineBucket, "delete_body", breaks_off)
        assert merchant("POST", "/v1/customers/erase", {"phone": PHONE}).status == 503
    erase(merchant, phone=PHONE)

    assert objects() == set()
    assert QuarantineStore(shop.table).listed(shop.merchant.id, limit=5, start=None)[0] == []
    shop.wait(days=1)
    assert shop.webhook(body=unreadable)[1]["status"] == "duplicate"


def test_poison_records_of_the_customer_go_and_others_stay(shop: Shop, merchant: Api) -> None:
    shop.webhook()
    bucket: QuarantineBucket = shop.stores.bucket
    mine = shop.merchant.id
    whole = b'{"dynamodb": {"NewImage": {"c_p": {"S": "+917777788888"}}}}'
    for key in (f"{mine}/{shop.digest()}/e1.json", f"{mine}/{shop.digest()}/e2.json", f"{mine}/e3.json", "e4.json"):
        bucket.keep_poison(key, whole)
    left = {f"{mine}/{'a' * 26}/e5.json", f"{OTHER}/{shop.digest()}/e6.json", f"{OTHER}/e7.json", "e8.json"}
    for key in left:
        bucket.keep_poison(key, whole if key.startswith(OTHER) else b"{}")

    erase(merchant, phone=PHONE)

    assert objects() == {f"poison/{key}" for key in left}


def test_what_cannot_be_deleted_is_no_success(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket: QuarantineBucket = shop.stores.bucket
    bucket.keep_poison(f"{shop.merchant.id}/e1.json", b"{}")
    monkeypatch.setattr(clients.s3(), "delete_objects", lambda **_: {"Errors": [{"Code": "InternalError"}]})

    with pytest.raises(BucketUnavailable):
        bucket.delete_poison_of(shop.merchant.id)


def test_what_is_not_there_is_gone(shop: Shop) -> None:
    with pytest.raises(BodyGone):
        shop.stores.bucket.body("never")
