"""What the description says of requests, where a quick look is enough; the whole of it is Schemathesis' work."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from shared.domain.ids import IdKind, is_id
from tests.integration.api.conftest import Api
from tests.integration.api.town import a_town
from tests.integration.shop import Shop


@pytest.fixture
def document(operator: Api) -> Any:
    return operator.as_(None)("GET", "/openapi.json").json


def test_if_match_is_described_where_it_is_heeded_and_nowhere_else(operator: Api, shop: Shop, document: Any) -> None:
    town = a_town(operator, shop)
    heeding, told = set(), set()
    for own in town.operations:
        operation = document["paths"][own.template][own.method.lower()]
        if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", [])):
            assert "412" in operation["responses"]
            told.add((own.method, own.template))
    for own in sorted(town.operations, key=lambda own: (own.method == "DELETE", "token" in own.template)):
        caller = town.operator if own.operators else town.victim
        if caller(own.method, own.path, own.body, headers={"If-Match": '"999"'}).status == 412:
            heeding.add((own.method, own.template))

    assert told == heeding
    assert len(told) > 10


def test_ids_in_paths_are_described_by_the_shape_that_is_asked_for(operator: Api, shop: Shop, document: Any) -> None:
    town = a_town(operator, shop)
    patterns = {
        parameter["name"]: parameter["schema"]["pattern"]
        for _, operation in _operations(document)
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "path"
    }

    assert patterns.keys() == town.ids.keys()
    assert [name for name, own in town.ids.items() if re.fullmatch(patterns[name], own) is None] == []
    assert re.fullmatch(patterns["endpoint_id"], "ep_x") is None
    assert not is_id(IdKind.ENDPOINT, "ep_x")


def test_an_optional_body_is_left_out_and_never_null(merchant: Api, document: Any) -> None:
    described = document["paths"]["/v1/tokens"]["post"]["requestBody"]

    assert not described.get("required", False)
    assert described["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/TokenBody"}
    assert merchant("POST", "/v1/tokens").status == 201
    assert merchant("POST", "/v1/tokens", raw=b"null").status == 422


def test_a_whole_number_may_be_written_with_a_point(merchant: Api) -> None:
    assert merchant("PATCH", "/v1/merchant", raw=b'{"settings": {"holdout_percent": 7.0}}').status == 200
    assert merchant("GET", "/v1/merchant").json["settings"]["holdout_percent"] == 7
    assert merchant("PATCH", "/v1/merchant", raw=b'{"settings": {"holdout_percent": 7.5}}').status == 422


def test_an_address_tells_which_methods_it_has_where_another_names_things_beside_it(merchant: Api) -> None:
    refused = merchant("PATCH", "/v1/campaigns/preview", {})

    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    assert merchant("GET", "/v1/campaigns/elsewhere").status == 404


def test_a_public_address_asks_nobody_for_a_credential_to_refuse_a_method(operator: Api) -> None:
    address = f"/v1/endpoints/ep_{'0' * 26}/public-keys"

    assert operator.as_(None)("TRACE", address).status == 405
    assert operator.as_(None)("TRACE", "/v1/endpoints").status == 401


def test_only_refusals_that_can_occur_are_described(document: Any) -> None:
    refusals = {name: {own for own in said["responses"] if own >= "4"} for name, said in _operations(document)}

    assert refusals["GET /healthz"] == {"422", "429"}
    assert refusals["GET /v1/tokens"] == {"401", "403", "422", "429", "500", "503"}
    assert "404" in refusals["GET /v1/endpoints/{endpoint_id}/public-keys"]
    assert "401" not in refusals["GET /v1/endpoints/{endpoint_id}/public-keys"]
    assert "403" not in refusals["POST /v1/portal-links"]
    assert {"400", "409", "413", "415"} <= refusals["POST /v1/merchants"]


def _operations(document: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation
