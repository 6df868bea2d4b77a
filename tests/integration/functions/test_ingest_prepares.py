"""What ingest and redirect do at init, ahead of the first webhook and the first shopper."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions.ingest import composition
from functions.redirect import composition as redirect_composition
from infra.functions import FUNCTIONS
from shared.aws import clients
from shared.aws.dry_calls import NO_TABLE, kept_back
from shared.aws.preparing import prepare_ahead
from shared.domain.checkout import Status
from shared.providers import registry
from shared.store import keys
from shared.store.table import Table
from shared.store.writes import Update
from tests.fresh_imports import FreshImports
from tests.integration.shop import Shop, forget_compositions

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def calls(shop: Shop) -> Iterator[list[str]]:
    """Every call for a table there is, or for no table, from now on, of a process that has made none."""
    forget_compositions()
    made: list[str] = []
    services = (clients.dynamodb(), clients.secretsmanager(), clients.kms())

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        if json.loads(params["body"]).get("TableName") != NO_TABLE:
            made.append(model.name)

    for client in services:
        client.meta.events.register("before-call", note)
    yield made
    for client in services:
        client.meta.events.unregister("before-call", note)


def test_the_first_webhook_finds_the_keys_opened_and_asks_only_for_its_own(shop: Shop, calls: list[str]) -> None:
    prepare_ahead("ingest", composition.prepare)
    assert sorted(calls) == ["BatchGetItem", "Decrypt", "GetSecretValue"]
    calls.clear()

    status, answer = shop.webhook()

    assert (status, answer["status"]) == (200, "accepted")
    assert calls == ["GetItem", "GetItem", "UpdateItem"]


def test_after_a_rotation_the_newest_version_is_opened(shop: Shop, calls: list[str]) -> None:
    newest = shop.stores.data_keys.rotate()
    calls.clear()

    prepare_ahead("ingest", composition.prepare)

    composition.stores().data_keys.opened(newest)
    assert calls.count("Decrypt") == 1


def test_preparing_writes_nothing(shop: Shop, calls: list[str]) -> None:
    prepare_ahead("ingest", composition.prepare)

    assert shop.rows() == []


def test_what_is_kept_back_is_only_what_goes_to_no_table(shop: Shop, calls: list[str]) -> None:
    nowhere, key = Table(clients.dynamodb(), NO_TABLE), ("rehearsal", "rehearsal")
    with kept_back(clients.dynamodb()):
        nowhere.update(Update(key, set={"a": 1}))
        assert nowhere.get(key) is None
        assert calls == []
        shop.table.update(Update(key, set={"said": NO_TABLE, f'"TableName": "{NO_TABLE}"': 1}))
    assert calls == ["UpdateItem"]

    assert shop.table.get(key) is not None
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        nowhere.get(key)


@pytest.mark.parametrize("broken", ["secretsmanager.GetSecretValue", "dynamodb.BatchGetItem", "kms.Decrypt"])
def test_what_aws_does_not_give_at_init_the_first_webhook_asks_for_again(
    shop: Shop, calls: list[str], broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, broken)

    service = broken.partition(".")[0]
    events = getattr(clients, service)().meta.events
    events.register(f"before-call.{broken}", refuse)
    prepare_ahead("ingest", composition.prepare)
    events.unregister(f"before-call.{broken}", refuse)
    logged = [own for own in caplog.records if own.msg == "not_prepared"]
    assert [vars(own)["code"] for own in logged] == ["ThrottlingException"]

    status, answer = shop.webhook()

    assert (status, answer["status"]) == (200, "accepted")
    assert shop.checkout().status is Status.OPEN


def test_a_provider_that_cannot_be_loaded_keeps_no_other_from_being_heard(
    shop: Shop, calls: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_outside", {"acme": "a_module_that_is_not_there"})

    prepare_ahead("ingest", composition.prepare)

    logged = [own for own in caplog.records if own.msg == "not_prepared"]
    assert [(own.levelname, vars(own)["code"]) for own in logged] == [("ERROR", "ModuleNotFoundError")]
    status, answer = shop.webhook()
    assert (status, answer["status"]) == (200, "accepted")


def test_a_stage_where_nothing_was_sealed_yet_is_prepared_too(shop: Shop, calls: list[str]) -> None:
    shop.table.delete_all(shop.table.keys_of(keys.DATA_KEYS))
    calls.clear()

    prepare_ahead("ingest", composition.prepare)

    assert "Decrypt" not in calls
    assert "GenerateDataKey" not in calls


def test_the_first_shopper_who_comes_back_finds_the_keys_opened(shop: Shop, calls: list[str]) -> None:
    shop.abandon()
    code = shop.stores.shopper_links.back(shop.digest())
    calls.clear()
    prepare_ahead("redirect", redirect_composition.prepare)
    assert calls == ["GetSecretValue", "GetItem"]
    calls.clear()

    status, location = shop.follow(code.rsplit("/", 1)[1])

    assert (status, location is not None) == (302, True)
    assert "GetSecretValue" not in calls


@pytest.mark.parametrize("function", [name for name, spec in FUNCTIONS.items() if spec.prepares])
@pytest.mark.parametrize(("variable", "connects"), [({}, False), ({"PREPARE_AT_INIT": "1"}, True)])
def test_only_where_the_stage_says_so_does_the_import_connect(
    fresh: FreshImports, function: str, variable: dict[str, str], connects: bool
) -> None:
    """It would be copied into every start from a snapshot, and every test that imports the handler would call AWS."""
    environment = json.loads((PROJECT / "tests/unit/infra/function_environment.json").read_text())
    look = (
        f"import functions.{function}.handler, shared.aws.clients as c; print(c.secretsmanager.cache_info().currsize)"
    )
    printed = fresh.printed(
        look,
        {
            **environment,
            **variable,
            "PATH": os.environ["PATH"],
            "AWS_DEFAULT_REGION": "ap-south-1",
            "PATIENCE_WITH_AWS": "short",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        },
    )

    assert printed.splitlines()[-1] == str(int(connects))
    assert ("not_prepared" in printed) == connects
