"""The API as such: unknown addresses, its own description, defects, logs."""

import re
from typing import Any

import pytest
from openapi_spec_validator import validate

from functions.merchant_api import services
from shared.store.table import StoreUnavailable
from tests.integration.api.conftest import Api


def test_it_answers_without_asking_any_other_service(operator: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.merchant_api.services.Services.__init__", pytest.fail)

    answer = operator.as_(None)("GET", "/healthz")

    assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_unknown_addresses_and_methods_are_problems(merchant: Api) -> None:
    for path in ("/v1/nothing", "/v1/sources/a/b/c", "/v1/<id>", "/v1/{id}", "/v1/", "/elsewhere"):
        unknown = merchant("GET", path)
        assert unknown.status == 404, path
        assert unknown.headers["content-type"] == "application/problem+json"
    refused = merchant("PUT", "/v1/merchant")
    assert refused.status == 405
    assert refused.headers["allow"] == "GET, PATCH"


@pytest.mark.long
def test_it_describes_itself_in_valid_openapi(operator: Api) -> None:
    document = operator.as_(None)("GET", "/openapi.json").json

    validate(document)
    assert document["openapi"].startswith("3.1")
    assert {"/v1/merchants", "/v1/sources/{source_id}/preview", "/v1/checkouts", "/healthz"} <= document["paths"].keys()
    created = document["paths"]["/v1/endpoints"]["post"]
    assert "application/problem+json" in created["responses"]["422"]["content"]
    assert {"name": "Idempotency-Key", "in": "header"}.items() <= created["parameters"][-1].items()
    duration = document["components"]["schemas"]["SettingsBody"]["properties"]["idle_after"]
    assert (duration["format"], duration["default"]) == ("duration", "PT30M")


def test_generated_clients_call_each_operation_by_a_readable_name_of_its_own(operator: Api) -> None:
    paths = operator.as_(None)("GET", "/openapi.json").json["paths"]

    names = [described["operationId"] for methods in paths.values() for described in methods.values()]
    assert len(set(names)) == len(names)
    assert [name for name in names if re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name) is None] == []
    assert paths["/v1/checkouts"]["get"]["operationId"] == "listCheckouts"
    assert paths["/v1/endpoints"]["post"]["operationId"] == "createEndpoint"


def test_the_page_for_people_loads_nothing_from_elsewhere(operator: Api) -> None:
    page = operator.as_(None)("GET", "/docs")

    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "/v1/merchants" in page.text
    for loading in ("<script src", "<link rel='stylesheet'", 'src="http', "@import"):
        assert loading not in page.text


def test_a_defect_is_logged_whole_and_told_without_details(
    merchant: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("the secret detail")

    monkeypatch.setattr("shared.store.configuration.SourceStore.listed", broken)

    answer = merchant("GET", "/v1/sources")

    assert answer.status == 500
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert isinstance(record.exc_info, tuple)
    assert record.exc_info[0] is ZeroDivisionError


def test_a_store_that_is_briefly_unable_is_503(merchant: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*_: object) -> None:
        raise StoreUnavailable("busy")

    monkeypatch.setattr("shared.store.configuration.SourceStore.listed", unable)

    answer = merchant("GET", "/v1/sources")

    assert answer.status == 503
    assert answer.headers["retry-after"]


def test_each_request_is_one_line_without_personal_data(merchant: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()

    merchant("GET", "/v1/checkouts", query={"phone": "+917777788888", "email": "asha@example.com"})
    merchant("POST", "/v1/sources", {"provider": "flexype", "credentials": {"secret": "hush-hush-hush"}})

    lines: list[dict[str, Any]] = [vars(record) for record in caplog.records]
    assert [(line["route"], line["status"]) for line in lines] == [("/v1/checkouts", 200), ("/v1/sources", 201)]
    assert all(line["merchant_id"].startswith("mer_") for line in lines)
    for forbidden in ("7777788888", "asha", "hush-hush", str(merchant.credential)):
        assert forbidden not in str(lines)


def test_every_kind_of_request_makes_few_calls(merchant: Api) -> None:
    """Calls to AWS per request, once the process is warm."""
    client = services.services().table._client
    merchant("GET", "/v1/checkouts")
    calls: list[str] = []
    client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    def made(method: str, path: str, body: Any = None) -> list[str]:
        calls.clear()
        assert merchant(method, path, body).status < 300
        return list(calls)

    assert made("GET", "/v1/merchant") == ["GetItem"]
    assert made("GET", "/v1/sources") == ["Query"]
    merchant("POST", "/v1/sources", {"provider": "flexype"})  # the first to seal anything makes the stage's data key
    # What is sealed asks for the newest version of that key: a rotation holds in all processes at once.
    assert made("POST", "/v1/sources", {"provider": "flexype"}) == ["Query", "Query", "TransactWriteItems"]
    assert made("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"}) == [
        *("Query", "Query", "TransactWriteItems"),
        *("Query", "GetItem"),
    ]
    assert made("GET", "/v1/checkouts") == ["GetItem"] + ["Query"] * 8
