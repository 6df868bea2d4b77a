"""What opening credentials costs a process of ingest: one call to KMS, whoever's webhooks it takes in."""

from dataclasses import replace

import pytest

from shared.aws import clients
from shared.domain.ids import MerchantId, SourceId, TokenId
from shared.domain.merchant import Source, SourceCredentials
from shared.store import keys
from shared.store.configuration import MerchantStore, SourceStore, TokenRecord
from shared.store.writes import Delete
from tests.integration.faults.aws_calls import AwsCalls
from tests.integration.shop import SECRET, Shop, forget_compositions
from tests.unit.domain.sessions import NOON

MERCHANTS = 12


def other_shops(shop: Shop) -> list[SourceId]:
    """One source each of so many merchants."""
    found = []
    for number in range(MERCHANTS):
        merchant_id, source_id = MerchantId(f"mer_other{number:02d}"), SourceId(f"src_01KAHJ00000000000000{number:06d}")
        token = TokenRecord(TokenId(f"tok_{number}"), merchant_id, f"hash-{number}", NOON)
        MerchantStore(shop.table).create(replace(shop.merchant, id=merchant_id), token)
        sealed = shop.stores.cipher.seal_source(source_id, merchant_id, SourceCredentials(secrets=(SECRET,)))
        SourceStore(shop.table).create(Source(source_id, merchant_id, "flexype", NOON, sealed=sealed))
        found.append(source_id)
    return found


def test_a_process_that_takes_in_webhooks_of_many_merchants_asks_kms_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, calls, keys_read = other_shops(shop), AwsCalls(), list[str]()
    calls.install(monkeypatch)
    clients.dynamodb().meta.events.register(
        "provide-client-params.dynamodb.GetItem", lambda params, **_: keys_read.append(params["Key"]["pk"]["S"])
    )
    forget_compositions()

    with calls.watched():
        for turn in range(3):
            for source_id in sources:
                assert shop.webhook(source_id=source_id, session=f"{source_id}-{turn}")[0] == 200
            shop.wait(seconds=6)  # sources are read anew, the data key is not

    assert calls.names.count("kms.Decrypt") == 1
    assert not [own for own in calls.names if own.startswith("kms.") and own != "kms.Decrypt"]
    assert keys_read.count(keys.DATA_KEYS) == 1


def test_without_its_data_key_a_webhook_is_answered_503_and_sent_again(shop: Shop) -> None:
    row = shop.table.get(keys.data_key(1))
    shop.table.delete(Delete(keys.data_key(1)))
    forget_compositions()
    assert shop.webhook()[0] == 503

    clients.dynamodb().put_item(
        TableName=shop.table.name,
        Item={"pk": {"S": row["pk"]}, "sk": {"S": row["sk"]}, "wrapped": {"B": row["wrapped"]}}
        | {"version": {"N": "1"}, "made_at": {"N": str(row["made_at"])}},
    )
    forget_compositions()
    assert shop.webhook()[0] == 200


def test_a_source_that_kms_sealed_itself_is_taken_in_as_before(shop: Shop) -> None:
    source_id = SourceId("src_01KAHJ0000000000000000KMSA")
    sealed = clients.kms().encrypt(
        KeyId=shop.environment["CREDENTIALS_KEY_ARN"],
        Plaintext=f'{{"secrets":["{SECRET}"],"public_key":null,"api":{{}},"url_token":null}}'.encode(),
        EncryptionContext={"merchant": shop.merchant.id, "owner": source_id},
    )["CiphertextBlob"]
    SourceStore(shop.table).create(Source(source_id, shop.merchant.id, "flexype", NOON, sealed=sealed))

    assert shop.webhook(source_id=source_id)[0] == 200
