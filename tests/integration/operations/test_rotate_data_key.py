"""A rotation of the data key: a new version, and all that merchants entrusted is sealed with it, while they go on."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from functions.merchant_api import services
from functions.merchant_api.handler import handler
from infra.operations.rotate_data_key import Rotated, rotate
from shared.aws import clients
from shared.aws.sealing import version_of
from shared.domain.ids import EndpointId, MerchantId, SourceId
from shared.store import keys
from shared.store.configuration import SourceStore, VersionConflict
from shared.store.writes import Update
from tests.integration.api.conftest import Api, merchant, new_merchant, operator, stage_name
from tests.integration.conftest import Stage
from tests.integration.faults.aws_calls import AwsCalls, Fault, Kind, WorkerKilled
from tests.integration.shop import Invocation

__all__ = ["merchant", "operator", "stage_name"]


class Hurried:
    """A Lambda context with hardly any time."""

    def get_remaining_time_in_millis(self) -> int:
        return 1_000


def ask(event: Mapping[str, Any]) -> Any:
    return handler(dict(event), Invocation())


@pytest.fixture
def town(operator: Api) -> list[Api]:
    """Three merchants with two sources and an endpoint each."""
    shops = [operator.as_(new_merchant(operator)["token"]) for _ in range(3)]
    for shop in shops:
        for secret in ("first-secret", "another-secret"):
            made = shop("POST", "/v1/sources", {"provider": "flexype", "credentials": {"secret": secret}})
            assert made.status == 201, made.text
        assert shop("POST", "/v1/endpoints", an_endpoint()).status == 201
    return shops


def an_endpoint() -> dict[str, Any]:
    url = "https://crm.example/hooks"
    return {"kind": "webhook", "url": url, "event_types": ["checkout.abandoned"], "headers": {"x-key": "a-key"}}


def entrusted(shops: list[Api]) -> Iterator[tuple[str, bytes, Any, int]]:
    """Of each source and endpoint its id, ciphertext, credentials in the clear and version."""
    services.services.cache_clear()
    own = services.services()
    for shop in shops:
        owner = MerchantId(shop("GET", "/v1/merchant").json["id"])
        for source in own.sources.listed(owner):
            assert source.value.sealed is not None
            yield source.value.id, source.value.sealed, own.cipher.source(source.value), source.version
        for endpoint in own.endpoints.listed(owner):
            assert endpoint.value.sealed is not None
            yield endpoint.value.id, endpoint.value.sealed, own.cipher.endpoint(endpoint.value), endpoint.version


def clear(shops: list[Api]) -> list[tuple[str, Any, int]]:
    return [(own_id, plain, version) for own_id, _, plain, version in entrusted(shops)]


def sealed_with(shops: list[Api]) -> set[int | None]:
    return {version_of(sealed) for _, sealed, _, _ in entrusted(shops)}


def made(stage: Stage) -> int:
    """How many versions of the data key there are."""
    return len(services.services().table.keys_of(keys.DATA_KEYS))


def test_all_is_sealed_with_a_new_version_and_nothing_else_changes(stage: Stage, town: list[Api]) -> None:
    before = clear(town)

    assert rotate(ask) == Rotated(2, 9, (), ())

    assert clear(town) == before  # versions too: no merchant's ETag is stale
    assert sealed_with(town) == {2}
    assert made(stage) == 2


def test_what_an_older_version_sealed_is_still_read(town: list[Api]) -> None:
    answered = town[0]("POST", "/v1/tokens", headers={"idempotency-key": "kept"})
    rotate(ask)
    services.services.cache_clear()

    again = town[0]("POST", "/v1/tokens", headers={"idempotency-key": "kept"})

    assert again.json == answered.json
    assert again.headers["idempotency-replayed"] == "true"


def test_what_is_made_after_a_rotation_is_sealed_with_its_version_in_every_process(town: list[Api]) -> None:
    older_process = services.services()
    rotate(ask)

    sealed = older_process.cipher.seal_answer("text", "mer_1", "key")

    assert version_of(sealed) == 2


def test_what_kms_sealed_itself_is_sealed_by_the_data_key(stage: Stage, town: list[Api]) -> None:
    own, (source_id, *_) = services.services(), next(entrusted(town))
    found = own.sources.get(SourceId(source_id))
    assert found is not None
    by_kms = clients.kms().encrypt(
        KeyId=stage.key_arn,
        Plaintext=b'{"secrets":["first-secret"],"public_key":null,"api":{},"url_token":null}',
        EncryptionContext={"merchant": found.value.merchant_id, "owner": source_id},
    )["CiphertextBlob"]
    own.table.update(Update(keys.source(SourceId(source_id)), set={"sealed": by_kms}))
    before = clear(town)

    assert rotate(ask) == Rotated(2, 9, (), ())

    assert sealed_with(town) == {2}
    assert clear(town) == before


def test_run_again_after_its_end_it_makes_one_more_and_run_again_before_it_goes_on(
    stage: Stage, town: list[Api]
) -> None:
    broken_off = ask({"rotate": "begin"})["version"]
    assert ask({"rotate": "begin"})["version"] == broken_off == 2

    assert rotate(ask).version == 2
    assert rotate(ask) == Rotated(3, 9, (), ())
    assert made(stage) == 3


def test_with_hardly_any_time_each_call_gets_through_one_merchant(town: list[Api]) -> None:
    asked = list[Mapping[str, Any]]()

    def ask_hurried(event: Mapping[str, Any]) -> Any:
        asked.append(event)
        return handler(dict(event), Hurried())

    assert rotate(ask_hurried) == Rotated(2, 9, (), ())
    assert len({event.get("after") for event in asked}) == 4


def test_a_patch_in_between_is_not_lost_and_sealed_anew_all_the_same(
    town: list[Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    source_id = next(entrusted(town))[0]
    write, patched = SourceStore.reseal, list[int]()

    def after_a_patch(store: SourceStore, source: Any, version: int) -> None:
        if source.id == source_id and not patched:
            patched.append(1)
            changed = {"credentials": {"secret": "newest-secret"}, "name": "Renamed"}
            assert town[0]("PATCH", f"/v1/sources/{source_id}", changed).status == 200
        write(store, source, version)

    monkeypatch.setattr(SourceStore, "reseal", after_a_patch)

    done = rotate(ask)

    assert (done.left, done.unreadable) == ((), ())
    own = services.services().sources.get(SourceId(source_id))
    assert own is not None
    assert own.value.name == "Renamed"
    assert services.services().cipher.source(own.value).secrets[0] == "newest-secret"
    assert sealed_with(town) == {2}


def test_a_patch_that_read_before_and_writes_after_is_not_lost_either(
    town: list[Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It puts the older ciphertext back, which is read, and which the next pass seals anew."""
    source_id = next(entrusted(town))[0]
    own = services.services()
    read = own.sources.get(SourceId(source_id))
    assert read is not None
    version = ask({"rotate": "begin"})["version"]
    ask({"rotate": "reseal", "version": version})

    own.sources.replace(read.value, read.version)

    assert sealed_with(town) == {1, 2}
    assert rotate(ask) == Rotated(2, 1, (), ())
    assert sealed_with(town) == {2}


def test_resealing_over_what_changed_meanwhile_is_refused(town: list[Api]) -> None:
    own, source_id = services.services(), next(entrusted(town))[0]
    read = own.sources.get(SourceId(source_id))
    assert read is not None
    own.sources.replace(read.value, read.version)

    with pytest.raises(VersionConflict):
        own.sources.reseal(read.value, read.version)
    own.sources.delete(read.value)
    with pytest.raises(VersionConflict):
        own.sources.reseal(read.value, read.version)
    assert own.sources.get(SourceId(source_id)) is None


def test_what_nobody_can_open_is_named_and_holds_up_no_other(town: list[Api]) -> None:
    own = services.services()
    merchant_id = MerchantId(town[0]("GET", "/v1/merchant").json["id"])
    (broken,) = own.endpoints.listed(merchant_id)
    assert broken.value.sealed is not None
    spoilt = broken.value.sealed[:-1] + bytes([broken.value.sealed[-1] ^ 1])
    own.table.update(Update(keys.endpoint(merchant_id, EndpointId(broken.value.id)), set={"sealed": spoilt}))

    assert rotate(ask) == Rotated(2, 8, (), (broken.value.id,))
    assert rotate(ask).version == 3, "it came to its end"


@pytest.mark.long
@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.UNSEEN, Kind.KILLED_BEFORE, Kind.KILLED_AFTER])
def test_whichever_call_fails_the_command_run_again_brings_it_to_the_same_end(
    stage: Stage, town: list[Api], monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    before, calls = clear(town), AwsCalls()
    calls.install(monkeypatch)
    services.services.cache_clear()
    with calls.watched():
        rotate(ask)
    cases = range(0, len(calls.names), 2)

    for number in cases:
        services.services.cache_clear()
        with calls.watched(Fault(number, kind)):
            through = ended_well()
        assert calls.fired is not None
        if not through:
            services.services.cache_clear()
            assert rotate(ask).left == ()
        assert clear(town) == before, number
        assert sealed_with(town) == {made(stage)}, number
    assert made(stage) <= 2 + len(cases), "a command run again makes no version more"


def ended_well() -> bool:
    """Whether the command came to its end; if not, whoever gave it gives it again."""
    try:
        return not rotate(ask).left
    except (ClientError, BotoCoreError, WorkerKilled):
        return False


def test_over_http_nobody_rotates_anything(merchant: Api, operator: Api, stage: Stage) -> None:
    merchant("POST", "/v1/sources", {"provider": "flexype"})
    event = {"rotate": "begin"}

    for who in (merchant, operator):
        for method, path in (("POST", "/v1/sources"), ("GET", "/healthz"), ("POST", "/v1/rotate")):
            who(method, path, event if method == "POST" else None, query=event, headers=event)

    assert made(stage) == 1
