"""Every operation with every kind of credential, and every odd spelling of its address."""

from typing import Any

import pytest

from functions.merchant_api.operations import MERCHANT, NotDeclared, Security
from functions.merchant_api.resolver import Resolver
from tests.integration.account import onlookers_client
from tests.integration.api.conftest import Api
from tests.integration.api.town import Town, a_town
from tests.integration.shop import Shop


@pytest.fixture
def town(operator: Api, shop: Shop) -> Town:
    return a_town(operator, shop)


def stored(shop: Shop) -> list[Any]:
    """Every row of the table, configuration included."""
    rows = onlookers_client("dynamodb").scan(TableName=shop.stores.environment.table_name)["Items"]
    return sorted(rows, key=lambda row: (row["pk"]["S"], row["sk"]["S"]))


def test_every_operation_says_who_may_call_it(town: Town) -> None:
    assert len(town.operations) > 60
    assert {own.template for own in town.operations if own.operators} == {
        "/v1/merchants",
        "/v1/merchants/{merchant_id}",
        "/v1/merchants/{merchant_id}/tokens",
        "/v1/stage/health",
    }


HALVES: list[Security] = [[{"somebody": []}], [*MERCHANT, {}], [{"adminKey": []}, {"nobody": []}]]
UNDECLARED: list[Security | None] = [None, [], *HALVES]


def test_an_operation_without_a_declaration_cannot_be_registered() -> None:
    resolver = Resolver()
    for declared in UNDECLARED:
        with pytest.raises(NotDeclared):
            resolver.get("/v1/secrets", security=declared)
    with pytest.raises(NotDeclared, match="secret_id"):
        resolver.get("/v1/secrets/<secret_id>", security=MERCHANT)
    assert resolver.find("GET", "/v1/secrets") == (None, [])


def strangers(key: str, token: str) -> list[str | None]:
    """Authorization headers that prove nothing."""
    return [
        *(None, "", "Bearer", "Bearer ", "Bearer \t", key, token, f"Basic {token}", f"Token {key}", f"Bearer\t{key}"),
        *(f"Bearer={key}", f"Bearer\xa0{key}", f"Bearer {key[:-1]}", f"Bearer {key}x", f"Bearer {key} {key}"),
        *(f"Bearer {key}, Bearer {key}", f"Bearer {token}, Bearer {token}", f"Bearer Bearer {token}"),
        *(f'Bearer "{key}"', f"Bearer {key.upper()}", f"Bearer {token.swapcase()}", f"Bearer {token}\x00"),
        *(f"Bearer {token}\n", f"Bearer {token}=", "Bearer cbk_" + "A" * 43, "Bearer cbk_" + "A" * 100_000),
        *("Bearer " + "\u0430" * 48, "Bearer \ud800", f"\u212aearer {key}", f"Bearer {token[:-1]}\u0410"),
    ]


@pytest.mark.long
def test_without_a_proved_credential_every_operation_is_401(town: Town, shop: Shop) -> None:
    made = town.neighbour("POST", "/v1/tokens").json
    town.neighbour("DELETE", f"/v1/tokens/{made['id']}")
    headers = [*strangers(str(town.operator.credential), str(town.victim.credential)), f"Bearer {made['token']}"]
    before = stored(shop)
    nobody = town.operator.as_(None)

    for own in town.operations:
        for header in headers:
            given = {"idempotency-key": "stranger"} | ({} if header is None else {"authorization": header})
            answer = nobody(own.method, own.path, own.body, headers=given)
            assert answer.status == 401, (own, header, answer.text)
    assert stored(shop) == before


def test_the_scheme_may_be_written_in_any_case_and_padded(town: Town) -> None:
    nobody = town.operator.as_(None)
    for scheme in ("bearer ", "BEARER ", "Bearer   ", "  Bearer "):
        header = {"authorization": f"{scheme}{town.victim.credential} "}
        assert nobody("GET", "/v1/merchant", headers=header).status == 200, scheme


def test_a_credential_of_the_wrong_kind_is_403_everywhere(town: Town, shop: Shop) -> None:
    before = stored(shop)

    for own in town.operations:
        if own.template == "/v1/portal-links":  # either may ask
            continue
        wrong = town.victim if own.operators else town.operator
        answer = wrong(own.method, own.path, own.body, headers={"idempotency-key": "wrong-kind"})
        assert answer.status == 403, (own, answer.text)
    assert stored(shop) == before, "no key was claimed, nothing was changed"


def test_another_merchants_id_is_404_everywhere(town: Town, shop: Shop) -> None:
    before = stored(shop)
    foreign = [own for own in town.operations if "_id}" in own.template and "customer_id" not in own.template]

    for own in foreign:
        if own.operators:
            continue
        answer = town.neighbour(own.method, own.path, own.body)
        assert answer.status == 404, (own, answer.text)
    assert len(foreign) > 35
    assert stored(shop) == before


UNSEEN = ("\n", "\r\n", "\0", "\t", " ", "\x7f", "\x85", "\u2028", "\u200b", "\u00ad", "\ufeff", "\ud800")
ENCODED = ("%0a", "%0A", "%00", "%0d%0a", "%20", "%e2%80%a8", "%E2%80%8B", "%ff", "%C0%AF", "%", "%250a", "%252f")
SLASHES = ("/", "//", "/.", "/..", "/%2e", "%2F", "%2f", "\\", "%5c", "/*")
MARKS = (";a=b", "?", "?limit=1", "#", "%3flimit=1", "%23", ".json", "*", "|x", "~")
BEFORE = ("/", "\n", " ", "\0", "/.", "/..", "/x/..", "/%2e%2e", "https://x", "\\")


def spelled(path: str) -> list[str]:
    """Other spellings of a path: none of them is an address."""
    _, first, second, *rest = path.split("/")
    tail = "".join(f"/{own}" for own in rest)
    seconds = (
        *(f"/{second}", f"./{second}", f"{second}/../{second}", f"%2e/{second}", f"\n{second}", f"{second}\u0301"),
        *(f"%{ord(second[0]):x}{second[1:]}", f"{second[:-1]}\u0455", second.replace("e", "\u0435") + "\u200d"),
        *(second.replace("s", "\u017f") + "\u00ad", f"{second}\n", f"{second}%00"),
    )
    return [
        *(f"{path}{own}" for own in (*UNSEEN, *ENCODED, *SLASHES, *MARKS)),
        *(f"{own}{path}" for own in BEFORE),
        *(path[1:], path.upper(), path.title(), *(path.replace("/", own) for own in ("//", "\\", "%2F"))),
        *(f"/{own}/{second}{tail}" for own in (f"{first}\n", f"%76{first[1:]}", f"\uff56{first[1:]}", f"{first}%2F")),
        *(f"/{first}/{own}{tail}" for own in seconds),
    ]


@pytest.mark.long
def test_no_odd_spelling_of_an_address_is_answered(town: Town, shop: Shop) -> None:
    """404 for whoever might call the operation; others may be told so first, as at any address."""
    callers = (town.operator, town.victim, town.operator.as_(None))
    before = stored(shop)

    for own in town.operations:
        right = town.operator if own.operators else town.victim
        for path in spelled(own.path):
            for caller in callers:
                answer = caller(own.method, path, own.body, headers={"idempotency-key": "odd"})
                expected = {404} if caller is right else {404, 403} if caller.credential else {404, 401}
                assert answer.status in expected, (own, path, caller.credential, answer.text)
    assert stored(shop) == before


@pytest.mark.parametrize(
    "tail", ["\n", "\r", "\0", "%0a", "%00", "/", "%2F", "\u2028", "\u200b", "%E2%80%AE", "/..", "%ff"]
)
def test_what_no_address_can_hold_is_404_before_anything_else(
    operator: Api, tail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.merchant_api.services.Services.__init__", pytest.fail)

    for credential in (None, "wrong", operator.credential):
        for path in (
            f"/v1/merchants{tail}",
            f"/v1/merchants{tail}/x",
            f"/healthz{tail}",
            f"/docs{tail}",
            f"/v1{tail}/x",
        ):
            answer = operator.as_(credential)("GET", path)
            assert answer.status == 404, (path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_merchant_never_reads_the_list_of_merchants(merchant: Api) -> None:
    """The spelling with which it once could: a pattern's end matches before a final line break."""
    assert merchant("GET", "/v1/merchants\n").status == 404
    assert merchant("POST", "/v1/merchants\n", {"name": "Mine"}).status == 404


ODD_METHODS = ("get", "Post", "GET ", "GET\n", "\0GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PUT", "")


def test_no_odd_method_is_answered(town: Town, shop: Shop) -> None:
    before = stored(shop)
    known = {own.path: {other.method for other in town.operations if other.path == own.path} for own in town.operations}

    for path, methods in known.items():
        for method in (
            "get",
            "Post",
            "GET ",
            "GET\n",
            "\0GET",
            "HEAD",
            "OPTIONS",
            "TRACE",
            "CONNECT",
            "PROPFIND",
            "PUT",
            "",
        ):
            for caller in (town.operator, town.victim):
                override = {"x-http-method-override": min(methods), "x-http-method": min(methods)}
                answer = caller(method, path, {}, headers=override, query={"_method": min(methods)})
                assert answer.status == 405, (method, path, answer.text)
                assert set(answer.headers["allow"].split(", ")) == methods
    assert stored(shop) == before
