"""Who may call what."""

from datetime import timedelta
from itertools import product

import pytest

from functions.merchant_api import services
from shared.api.authentication import TOKEN_SECONDS, Authenticator, token_hash
from tests.integration.api.conftest import Api, new_merchant

UNKNOWN = [None, "", "wrong", "cbk_" + "A" * 43, "a" * 47]


def test_without_a_known_credential_nothing_is_told(operator: Api) -> None:
    for credential, path in product(
        [None, "", "wrong", "cbk_" + "A" * 43, "a" * 47], ("/v1/merchant", "/v1/merchants", "/v1/nothing-here")
    ):
        refused = operator.as_(credential)("GET", path)

        assert refused.status == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.json["status"] == 401


def test_another_scheme_than_bearer_is_no_credential(operator: Api) -> None:
    assert (
        operator.as_(None)("GET", "/v1/merchants", headers={"authorization": f"Basic {operator.credential}"}).status
        == 401
    )


def test_a_valid_credential_of_the_wrong_kind_is_forbidden(operator: Api, merchant: Api) -> None:
    assert merchant("GET", "/v1/merchants").status == 403
    assert merchant("DELETE", "/v1/merchants/mer_x").status == 403
    assert operator("GET", "/v1/merchant").status == 403
    assert operator("GET", "/v1/checkouts").status == 403


def test_another_merchants_things_do_not_exist(operator: Api, merchant: Api) -> None:
    source = merchant("POST", "/v1/sources", {"provider": "flexype"}).json["id"]
    endpoint = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"}).json["id"]
    token = merchant("GET", "/v1/tokens").json["data"][0]["id"]
    other = operator.as_(new_merchant(operator)["token"])

    for method, path in [
        ("GET", f"/v1/sources/{source}"),
        ("PATCH", f"/v1/sources/{source}"),
        ("DELETE", f"/v1/sources/{source}"),
        ("POST", f"/v1/sources/{source}/preview"),
        ("GET", f"/v1/endpoints/{endpoint}"),
        ("PATCH", f"/v1/endpoints/{endpoint}"),
        ("POST", f"/v1/endpoints/{endpoint}/rotate-secret"),
        ("POST", f"/v1/endpoints/{endpoint}/disable"),
        ("DELETE", f"/v1/endpoints/{endpoint}"),
        ("DELETE", f"/v1/tokens/{token}"),
    ]:
        refused = other(method, path, {} if method != "GET" else None)
        assert refused.status == 404, (method, path, refused.text)
    assert other("GET", "/v1/sources").json["data"] == []
    assert other("GET", "/v1/endpoints").json["data"] == []
    assert merchant("GET", f"/v1/sources/{source}").status == 200
    assert merchant("GET", "/v1/tokens").json["data"][0]["id"] == token


def test_several_tokens_live_side_by_side_until_one_is_revoked(operator: Api, merchant: Api) -> None:
    made = merchant("POST", "/v1/tokens", {"name": "second"})
    second = operator.as_(made.json["token"])
    assert made.status == 201
    assert second("GET", "/v1/merchant").status == 200

    listed = merchant("GET", "/v1/tokens").json["data"]
    assert [row["name"] for row in listed] == [None, "second"]
    assert all("token" not in row for row in listed)

    assert merchant("DELETE", f"/v1/tokens/{made.json['id']}").status == 204
    assert second("GET", "/v1/merchant").status == 401
    assert merchant("GET", "/v1/merchant").status == 200
    assert merchant("DELETE", f"/v1/tokens/{made.json['id']}").status == 404


def test_a_token_revoked_elsewhere_is_refused_within_five_seconds(operator: Api, merchant: Api) -> None:
    seconds = 100.0
    here = Authenticator(services.services().tokens, lambda: "", lambda: seconds)
    here.principal(f"Bearer {merchant.credential}")
    own = merchant("GET", "/v1/tokens").json["data"][0]["id"]

    assert merchant("DELETE", f"/v1/tokens/{own}").status == 204

    seconds += TOKEN_SECONDS
    with pytest.raises(Exception, match="401") as refused:
        here.principal(f"Bearer {merchant.credential}")
    assert refused.value.status == 401  # type: ignore[attr-defined]
    assert timedelta(seconds=TOKEN_SECONDS) < timedelta(seconds=5)


def test_only_the_tokens_hash_is_stored(operator: Api, merchant: Api, rows: object) -> None:
    assert merchant.credential is not None
    client = services.services().table._client
    stored = str(client.scan(TableName="checkback")["Items"])

    assert merchant.credential not in stored
    assert token_hash(merchant.credential) in stored
