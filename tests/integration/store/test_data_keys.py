"""The stage's data key on table and KMS: made once whoever comes first, unwrapped once, missed clearly."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import clients
from shared.aws.credential_cipher import LARGEST, CredentialCipher, CredentialsTooLarge
from shared.aws.data_keys import MISS_KEPT_FOR, DataKeyMissing, DataKeys
from shared.aws.faults import AWS_ERRORS, is_temporary
from shared.aws.sealing import SealBroken, version_of
from shared.domain.merchant import Source, SourceCredentials
from shared.store import keys
from shared.store.data_keys import DataKeyStore
from shared.store.table import Table
from shared.store.writes import Delete, Update
from tests.integration.conftest import Stage
from tests.integration.faults.aws_calls import AwsCalls, Fault, Kind
from tests.patience import PATIENCE
from tests.unit.domain.sessions import MERCHANT, NOON

SECRETS = SourceCredentials(secrets=("a-secret",))


class Process:
    """One process of a function: what it has opened is its own."""

    def __init__(self, stage: Stage, table: Table, name: str = "dev") -> None:
        self.minute = 0.0
        store = DataKeyStore(table)
        self.data_keys = DataKeys(
            clients.kms(), stage.key_arn, name, store, lambda: NOON, clock=lambda: self.minute * 60
        )
        self.cipher = CredentialCipher(self.data_keys, clients.kms(), stage.key_arn)

    def sealed(self, source_id: str = "src_1", credentials: SourceCredentials = SECRETS) -> Source:
        """A source with its credentials."""
        return source(self.cipher.seal_source(source_id, MERCHANT, credentials), source_id)

    def opened(self, of: Source) -> SourceCredentials:
        """What it holds."""
        return self.cipher.source(of)


def source(sealed: bytes, source_id: str = "src_1") -> Source:
    return Source(source_id, MERCHANT, "flexype", NOON, sealed=sealed)  # type: ignore[arg-type]


def sealed_by_kms(stage: Stage, plain: bytes, owner: str = "src_1") -> bytes:
    """As all credentials were sealed before there was a data key."""
    context = {"merchant": str(MERCHANT), "owner": owner}
    return clients.kms().encrypt(KeyId=stage.key_arn, Plaintext=plain, EncryptionContext=context)["CiphertextBlob"]


def versions(table: Table) -> list[str]:
    return [sort for _, sort in table.keys_of(keys.DATA_KEYS)]


@pytest.fixture
def calls(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> AwsCalls:
    standing = AwsCalls()
    standing.install(monkeypatch)
    return standing


def test_a_process_asks_table_and_kms_once_for_all_merchants(stage: Stage, table: Table, calls: AwsCalls) -> None:
    sources = [Process(stage, table).sealed(f"src_{number}") for number in range(20)]
    fresh = Process(stage, table)

    with calls.watched():
        for own in sources * 2:
            assert fresh.opened(own) == SECRETS

    assert calls.names == ["dynamodb.GetItem", "kms.Decrypt"]


def test_threads_that_need_it_at_once_wait_for_one_call(
    stage: Stage, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, fresh = Process(stage, table).sealed(), Process(stage, table)
    client, all_here, asked = clients.kms(), Barrier(8), list[Any]()
    decrypt = client.decrypt

    def counted(**given: Any) -> Any:
        asked.append(given)
        return decrypt(**given)

    def opened(_: int) -> SourceCredentials:
        all_here.wait(PATIENCE)
        return fresh.opened(own)

    with monkeypatch.context() as patched, ThreadPoolExecutor(8) as threads:
        patched.setattr(client, "decrypt", counted)
        assert list(threads.map(opened, range(8))) == [SECRETS] * 8

    assert len(asked) == 1


def test_who_waits_for_a_call_that_fails_fails_with_it_and_the_next_one_asks_again(
    stage: Stage, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, fresh, client = Process(stage, table).sealed(), Process(stage, table), clients.kms()
    begun, may_fail, asked = Event(), Event(), list[Any]()

    def throttled(**given: Any) -> Any:
        asked.append(given)
        begun.set()
        assert may_fail.wait(PATIENCE)
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "Decrypt")

    with monkeypatch.context() as patched, ThreadPoolExecutor(2) as threads:
        patched.setattr(client, "decrypt", throttled)
        first = threads.submit(fresh.opened, own)
        assert begun.wait(PATIENCE)
        second = threads.submit(fresh.opened, own)
        while not second.running():
            pass
        may_fail.set()
        failures = [first.exception(PATIENCE), second.exception(PATIENCE)]

    assert [type(failure) for failure in failures] == [ClientError, ClientError]
    assert 1 <= len(asked) <= 2
    assert fresh.opened(own) == SECRETS


def test_two_processes_that_need_the_first_key_at_once_end_with_one(
    stage: Stage, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, both = clients.kms(), Barrier(2)
    generate = client.generate_data_key

    def together(**given: Any) -> Any:
        made = generate(**given)
        both.wait(PATIENCE)
        return made

    processes = [Process(stage, table) for _ in range(2)]
    with monkeypatch.context() as patched, ThreadPoolExecutor(2) as threads:
        patched.setattr(client, "generate_data_key", together)
        sources = list(threads.map(Process.sealed, processes))

    assert len(versions(table)) == 1
    for reader in (*processes, Process(stage, table)):
        assert [reader.opened(own) for own in sources] == [SECRETS, SECRETS]


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.UNREACHABLE, Kind.UNSEEN])
def test_whichever_call_of_the_first_sealing_fails_its_repeat_ends_with_one_key(
    stage: Stage, table: Table, calls: AwsCalls, kind: Kind
) -> None:
    with calls.watched():
        Process(stage, table).sealed()
    assert calls.names == ["dynamodb.Query", "kms.GenerateDataKey", "dynamodb.PutItem"]

    for number in range(3):
        table.delete_all(table.keys_of(keys.DATA_KEYS))
        process = Process(stage, table)
        with calls.watched(Fault(number, kind)), pytest.raises((ClientError, BotoCoreError)):
            process.sealed()
        again = process.sealed()

        assert len(versions(table)) == 1
        assert Process(stage, table).opened(again) == SECRETS


def test_the_librarys_own_repeat_of_a_put_whose_answer_was_lost_meets_its_own_row(
    stage: Stage, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = clients.dynamodb()
    put, done = client.put_item, list[int]()

    def twice(**given: Any) -> Any:
        if not done:
            done.append(1)
            put(**given)
        return put(**given)

    with monkeypatch.context() as patched:
        patched.setattr(client, "put_item", twice)
        own = Process(stage, table).sealed()

    assert Process(stage, table).opened(own) == SECRETS


def test_a_version_that_is_not_there_is_told_and_looked_for_once_a_minute(
    stage: Stage, table: Table, calls: AwsCalls, caplog: pytest.LogCaptureFixture
) -> None:
    own, fresh = Process(stage, table).sealed(), Process(stage, table)
    row = table.get(keys.data_key(1))
    assert row is not None
    table.delete(Delete(keys.data_key(1)))

    with calls.watched():
        for _ in range(50):
            with pytest.raises(DataKeyMissing):
                fresh.opened(own)
    assert calls.names == ["dynamodb.GetItem"]
    assert "version 1 of the data key is not in the table" in caplog.text

    fresh.minute += MISS_KEPT_FOR / 60
    clients.dynamodb().put_item(
        TableName=stage.table_name,
        Item={"pk": {"S": row["pk"]}, "sk": {"S": row["sk"]}, "wrapped": {"B": row["wrapped"]}}
        | {"version": {"N": "1"}, "made_at": {"N": str(row["made_at"])}, "resealing": {"BOOL": False}},
    )
    assert fresh.opened(own) == SECRETS


def test_a_missing_version_may_come_back_and_a_broken_seal_may_not() -> None:
    assert {DataKeyMissing, SealBroken} < set(AWS_ERRORS)
    assert is_temporary(DataKeyMissing(3))
    assert not is_temporary(SealBroken())


def test_a_data_key_of_another_stage_does_not_open_here(stage: Stage, table: Table) -> None:
    own = Process(stage, table, "production").sealed()

    with pytest.raises(ClientError):
        Process(stage, table, "dev").opened(own)


def test_a_data_key_put_under_another_version_does_not_open(stage: Stage, table: Table) -> None:
    process = Process(stage, table)
    own = process.sealed()
    process.data_keys.rotate()
    second = table.get(keys.data_key(2))
    assert second is not None
    table.update(Update(keys.data_key(1), set={"wrapped": second["wrapped"]}))

    with pytest.raises(ClientError):
        Process(stage, table).opened(own)


def test_what_kms_sealed_itself_is_read_once_per_process_and_sealed_anew_when_it_is_renewed(
    stage: Stage, table: Table, calls: AwsCalls
) -> None:
    old = source(sealed_by_kms(stage, b'{"secrets":["a-secret"],"public_key":null,"api":{},"url_token":null}'))
    process = Process(stage, table)

    with calls.watched():
        assert [process.opened(old) for _ in range(5)] == [SECRETS] * 5
    assert calls.names == ["kms.Decrypt"]
    renewed = process.cipher.renewed(old)

    assert old.sealed is not None
    assert renewed.sealed is not None
    assert (version_of(old.sealed), version_of(renewed.sealed)) == (None, 1)
    assert process.opened(renewed) == SECRETS
    assert process.cipher.renewed(renewed) is renewed


def test_what_cannot_be_sealed_anew_for_now_stays_as_it_is(stage: Stage, table: Table, calls: AwsCalls) -> None:
    old = source(sealed_by_kms(stage, b'{"secrets":["a-secret"],"public_key":null,"api":{},"url_token":null}'))
    process = Process(stage, table)
    with calls.watched():
        process.cipher.renewed(old)

    for number in range(len(calls.names)):
        with calls.watched(Fault(number, Kind.THROTTLED)):
            assert Process(stage, table).cipher.renewed(old) is old or number >= 3


def test_another_sources_ciphertext_opens_nothing(stage: Stage, table: Table) -> None:
    process = Process(stage, table)
    own = process.sealed("src_1")
    assert own.sealed is not None

    with pytest.raises(SealBroken):
        process.opened(source(own.sealed, "src_2"))


def large(size: int) -> SourceCredentials:
    """Credentials that take exactly so many bytes."""
    around = len('{"secrets":[""],"public_key":null,"api":{},"url_token":null,"older_tokens":[]}')
    return SourceCredentials(secrets=("s" * (size - around),))


def test_the_limit_is_where_it_was(stage: Stage, table: Table) -> None:
    process = Process(stage, table)

    assert process.opened(process.sealed(credentials=large(LARGEST))) == large(LARGEST)
    with pytest.raises(CredentialsTooLarge, match="4097 bytes"):
        process.sealed(credentials=large(LARGEST + 1))
