"""Where a merchant's events go."""

import base64
import json
from datetime import timedelta
from typing import Any, ClassVar

import time_machine

from functions.merchant_api import services
from shared.delivery.signing import is_private_key, public_key_of
from shared.domain.breaker import HEALTHY, TRIP_AFTER, Observation, observed
from shared.domain.ids import EndpointId, MerchantId
from shared.domain.instants import to_rfc3339
from shared.domain.merchant import EndpointCredentials, Merchant
from shared.workflows.delivering.attempts import target_of
from tests.integration.api.conftest import Api

URL = "https://bsp.example.com/hooks"


def credentials_of(merchant: Api, endpoint_id: str) -> EndpointCredentials:
    """An endpoint's secrets in the clear."""
    own = services.services()
    found = own.endpoints.get(MerchantId(merchant("GET", "/v1/merchant").json["id"]), EndpointId(endpoint_id))
    assert found is not None
    return own.cipher.endpoint(found.value)


def stored_merchant(merchant: Api) -> Merchant:
    """The merchant's row."""
    found = services.services().merchants.get(MerchantId(merchant("GET", "/v1/merchant").json["id"]))
    assert found is not None
    return found.value


def test_a_webhook_gets_a_signing_secret_once_and_all_facts_but_the_feed(merchant: Api) -> None:
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL})

    assert made.status == 201, made.text
    assert made.json["status"] == "active"
    assert made.json["signing_secret"].startswith("whsec_")
    assert "checkout.abandoned" in made.json["event_types"]
    assert "checkout.updated" not in made.json["event_types"]
    shown = merchant("GET", f"/v1/endpoints/{made.json['id']}")
    assert shown.json.items() >= {name: own for name, own in made.json.items() if name != "signing_secret"}.items()


def test_tokens_and_headers_are_never_shown_again(merchant: Api) -> None:
    body = {
        "kind": "webhook",
        "url": URL,
        "headers": {"X-Tenant": "tenant-secret"},
        "settings": {
            "bearer_token": "bsp-token",
            "timeout": "PT5S",
            "retry_schedule": ["PT30S", "PT90M"],
            "rate_limit": {"max": 10, "per": "PT1M"},
            "filter": {"all": [{"field": "total", "op": "gte", "value": "500.00"}]},
            "payload": {"liquid": "{{ checkout.id }}"},
        },
    }
    made = merchant("POST", "/v1/endpoints", body)

    assert made.status == 201, made.text
    shown = merchant("GET", f"/v1/endpoints/{made.json['id']}")
    assert shown.json["headers"] == {"X-Tenant": "***"}
    assert shown.json["settings"] == body["settings"] | {  # type: ignore[operator]  # a dict
        "bearer_token": "***",
        "retry_schedule": ["PT30S", "PT1H30M"],
    }
    for answer in (made, shown, merchant("GET", "/v1/endpoints")):
        assert "bsp-token" not in answer.text
        assert "tenant-secret" not in answer.text
    secrets = credentials_of(merchant, made.json["id"])
    assert secrets.bearer_token == "bsp-token"
    assert secrets.headers == {"X-Tenant": "tenant-secret"}


INVALID: list[tuple[dict[str, object], str]] = [
    ({"kind": "pigeon", "url": URL}, "/kind"),
    ({"kind": "webhook"}, "/url"),
    ({"kind": "webhook", "url": "http://bsp.example.com/"}, "/url"),
    ({"kind": "webhook", "url": "https://127.0.0.1/"}, "/url"),
    ({"kind": "webhook", "url": "https://169.254.169.254/latest"}, "/url"),
    ({"kind": "webhook", "url": "https://user:pw@bsp.example.com/"}, "/url"),
    ({"kind": "webhook", "url": URL, "event_types": ["checkout.sneezed"]}, "/event_types/0"),
    ({"kind": "webhook", "url": URL, "headers": {"Host": "x"}}, "/headers/Host"),
    ({"kind": "webhook", "url": URL, "headers": {"webhook-id": "x"}}, "/headers/webhook-id"),
    ({"kind": "webhook", "url": URL, "settings": {"timeout": "PT31S"}}, "/settings/timeout"),
    ({"kind": "webhook", "url": URL, "settings": {"retry_schedule": ["PT1S"]}}, "/settings/retry_schedule/0"),
    (
        {"kind": "webhook", "url": URL, "settings": {"retry_schedule": ["PT5S", "P2D"]}},
        "/settings/retry_schedule/1",
    ),
    ({"kind": "webhook", "url": URL, "settings": {"retry_schedule": ["PT5S"] * 21}}, "/settings/retry_schedule"),
    (
        {"kind": "webhook", "url": URL, "settings": {"rate_limit": {"max": 0, "per": "PT1S"}}},
        "/settings/rate_limit/max",
    ),
    ({"kind": "webhook", "url": URL, "settings": {"payload": "xml"}}, "/settings/payload"),
    ({"kind": "webhook", "url": URL, "settings": {"payload": {"liquid": ""}}}, "/settings/payload/liquid"),
    ({"kind": "webhook", "url": URL, "headers": {"X-Long": "x" * 5_000}}, "/headers/X-Long"),
    ({"kind": "webhook", "url": URL, "headers": {"N" * 200: "x"}}, "/headers/" + "N" * 200),
    ({"kind": "webhook", "url": URL, "settings": {"template": "x"}}, "/settings/template"),
    ({"kind": "webhook", "url": URL, "settings": {"filter": {"a": 10**40}}}, "/settings/filter"),
    ({"kind": "webhook", "url": URL, "settings": {"bearer_token": "two words"}}, "/settings/bearer_token"),
    ({"kind": "webhook", "url": URL, "status": "active"}, "/status"),
    (
        {
            "kind": "webhook",
            "url": URL,
            "settings": {"payload": {"liquid": "{{ (1..9999999999) | size }}"}},
        },
        "/settings/payload/liquid",
    ),
    (
        {"kind": "ses", "settings": {"from": "a@shop.example", "base_url": "https://email.s3.amazonaws.com"}},
        "/settings/base_url",
    ),
    (
        {"kind": "wati", "settings": {"bearer_token": "token", "base_url": "https://wati.example/?x="}},
        "/settings/base_url",
    ),
]


def test_a_look_alike_host_is_shown_as_what_it_is(merchant: Api) -> None:
    # Its first letter is Cyrillic.
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://аpple.example/hook"})
    assert made.json["url"] == "https://xn--pple-43d.example/hook"
    assert merchant("GET", f"/v1/endpoints/{made.json['id']}").json["url"] == "https://xn--pple-43d.example/hook"


def test_what_could_not_be_delivered_is_refused(merchant: Api) -> None:
    for body, pointer in INVALID:
        refused = merchant("POST", "/v1/endpoints", body)

        assert refused.status == 422, (body, refused.text)
        assert pointer in [error["pointer"] for error in refused.json["errors"]], body
    assert merchant("GET", "/v1/endpoints").json["data"] == []


def test_what_an_answer_shows_can_be_sent_back_and_every_secret_stays(merchant: Api) -> None:
    """Whoever reads an endpoint, changes a word and writes it back: the receiver is not sent three stars for a key."""
    secrets = {"headers": {"X-Api-Key": "tenant-secret"}, "settings": {"bearer_token": "bsp-token"}}
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL, **secrets}).json
    shown = merchant("GET", f"/v1/endpoints/{made['id']}").json
    assert shown["headers"] == {"X-Api-Key": "***"}

    again = {"name": "Our BSP", "headers": {"x-api-key": "***", "X-Shop": "7"}, "settings": shown["settings"]}
    assert merchant("PATCH", f"/v1/endpoints/{made['id']}", again).status == 200
    kept = credentials_of(merchant, made["id"])
    assert (kept.headers, kept.bearer_token) == ({"x-api-key": "tenant-secret", "X-Shop": "7"}, "bsp-token")


def test_three_stars_are_nobodys_secret(merchant: Api) -> None:
    hidden = {"headers": {"X-Api-Key": "***"}, "settings": {"bearer_token": "***"}}
    refused = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL, **hidden})
    assert refused.status == 422
    assert {own["pointer"] for own in refused.json["errors"]} == {"/headers/X-Api-Key", "/settings/bearer_token"}

    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json
    assert merchant("PATCH", f"/v1/endpoints/{made['id']}", {"headers": {"X-Api-Key": "***"}}).status == 422


def test_settings_merge_and_null_drops_one(merchant: Api) -> None:
    settings = {"bearer_token": "bsp-token", "timeout": "PT5S"}
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL, "settings": settings}).json

    changed = merchant("PATCH", f"/v1/endpoints/{made['id']}", {"settings": {"timeout": None}, "name": "BSP"})

    assert changed.status == 200, changed.text
    assert changed.json["settings"] == {"bearer_token": "***"}
    assert changed.json["name"] == "BSP"
    kept = credentials_of(merchant, made["id"])
    assert kept.bearer_token == "bsp-token"
    assert kept.signing[0].secret == made["signing_secret"]
    assert merchant("PATCH", f"/v1/endpoints/{made['id']}", {"url": "http://10.0.0.1/"}).status == 422


def test_after_a_rotation_both_secrets_sign_until_the_overlap_ends(merchant: Api) -> None:
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json

        rotated = merchant("POST", f"/v1/endpoints/{made['id']}/rotate-secret", {"overlap": "PT1H"})

        assert rotated.status == 200, rotated.text
        new, old = rotated.json["signing_secret"], made["signing_secret"]
        assert new != old
        own = credentials_of(merchant, made["id"])
        assert own.signing_at(services.services().now()) == (new, old)
        clock.shift(timedelta(hours=1))
        assert own.signing_at(services.services().now()) == (new,)
    assert merchant("POST", f"/v1/endpoints/{made['id']}/rotate-secret").status == 200
    assert merchant("POST", f"/v1/endpoints/{made['id']}/rotate-secret", {"overlap": "P8D"}).status == 422


def key_set(merchant: Api, endpoint_id: str) -> Any:
    """What anybody is shown: no credential is sent."""
    return merchant.as_(None)("GET", f"/v1/endpoints/{endpoint_id}/public-keys")


class TestPublicKeys:
    BOTH: ClassVar = {"kind": "webhook", "url": URL, "settings": {"signatures": ["v1", "v1a"]}}

    def test_an_endpoint_signs_by_a_secret_alone_until_it_is_asked_for_more(self, merchant: Api) -> None:
        made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json
        assert (made["public_keys"], made["public_keys_url"]) == ([], None)
        assert key_set(merchant, made["id"]).status == 404

        changed = merchant("PATCH", f"/v1/endpoints/{made['id']}", {"settings": {"signatures": ["v1", "v1a"]}})

        assert changed.status == 200, changed.text
        (key,) = changed.json["public_keys"]
        own = credentials_of(merchant, made["id"])
        assert [one.scheme for one in own.signing] == ["v1", "v1a"]
        assert own.signing[0].secret == made["signing_secret"]
        assert key == {"key": public_key_of(own.signing[1].secret), "expires_at": None}
        again = merchant("PATCH", f"/v1/endpoints/{made['id']}", {"settings": {"timeout": "PT5S"}}).json
        assert again["public_keys"] == [key], "another change leaves the keys"

    def test_anybody_may_read_the_key_set_and_keep_it_for_minutes(self, merchant: Api) -> None:
        made = merchant("POST", "/v1/endpoints", self.BOTH).json
        assert made["public_keys_url"].endswith(f"/v1/endpoints/{made['id']}/public-keys")

        shown = key_set(merchant, made["id"])

        assert (shown.status, shown.headers["cache-control"]) == (200, "public, max-age=300")
        (key,) = shown.json["keys"]
        assert (key["kty"], key["crv"], key["use"]) == ("OKP", "Ed25519", "sig")
        assert key["key"] == made["public_keys"][0]["key"]
        pinned = base64.b64decode(key["key"].removeprefix("whpk_"))
        assert base64.urlsafe_b64decode(key["x"] + "=") == pinned
        private = credentials_of(merchant, made["id"]).signing[1].secret
        for text in (shown.text, json.dumps(made), merchant("GET", f"/v1/endpoints/{made['id']}").text):
            assert "whsk_" not in text
            assert private.removeprefix("whsk_")[:20] not in text

    def test_nobody_learns_which_endpoints_there_are(self, merchant: Api) -> None:
        made = merchant("POST", "/v1/endpoints", self.BOTH).json
        without = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json
        merchant("DELETE", f"/v1/endpoints/{made['id']}")
        answers = [key_set(merchant, own) for own in (made["id"], without["id"], "ep_01M8FKPR6M0EPXNW1CCCM92DK3")]
        assert {(own.status, own.text, own.headers["cache-control"]) for own in answers} == {
            (404, answers[0].text, "no-store")
        }
        assert key_set(merchant, "ep_none").status == 404

    def test_after_a_rotation_both_keys_are_shown_and_sign_until_the_overlap_ends(self, merchant: Api) -> None:
        with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
            made = merchant("POST", "/v1/endpoints", self.BOTH).json
            rotated = merchant("POST", f"/v1/endpoints/{made['id']}/rotate-secret", {"overlap": "PT1H"}).json

            new, old = rotated["public_keys"]
            assert old == {"key": made["public_keys"][0]["key"], "expires_at": "2026-11-21T11:00:00Z"}
            assert [own["key"] for own in key_set(merchant, made["id"]).json["keys"]] == [new["key"], old["key"]]
            own = credentials_of(merchant, made["id"])
            signing = own.signing_at(services.services().now())
            assert [public_key_of(one) for one in signing if is_private_key(one)] == [new["key"], old["key"]]
            assert [one for one in signing if not is_private_key(one)] == [
                rotated["signing_secret"],
                made["signing_secret"],
            ]
            clock.shift(timedelta(hours=1))
            assert [own["key"] for own in key_set(merchant, made["id"]).json["keys"]] == [new["key"]]
            assert merchant("GET", f"/v1/endpoints/{made['id']}").json["public_keys"] == [new]
            at_once = merchant("POST", f"/v1/endpoints/{made['id']}/rotate-secret", {"overlap": "PT0S"}).json
            assert [own["key"] for own in at_once["public_keys"]] != [new["key"]]
            assert len(at_once["public_keys"]) == 1, "a key that leaked signs no more"

    def test_only_what_is_asked_for_signs_and_what_is_not_wanted_any_more_goes(self, merchant: Api) -> None:
        settings = {"signatures": ["v1a"]}
        made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL, "settings": settings}).json
        own = services.services()
        found = own.endpoints.get(MerchantId(merchant("GET", "/v1/merchant").json["id"]), EndpointId(made["id"]))
        assert found is not None
        target = target_of(found.value, own.cipher.endpoint(found.value), own.now())
        assert [is_private_key(one) for one in target.signing_secrets] == [True]

        dropped = merchant("PATCH", f"/v1/endpoints/{made['id']}", {"settings": {"signatures": None}}).json

        assert dropped["public_keys"] == []
        assert [one.scheme for one in credentials_of(merchant, made["id"]).signing] == ["v1"]
        assert key_set(merchant, made["id"]).status == 404

    def test_a_scheme_that_there_is_not_is_refused(self, merchant: Api) -> None:
        for schemes in ([], ["v2"], ["v1", "v1"], "v1a", [1]):
            body = {"kind": "webhook", "url": URL, "settings": {"signatures": schemes}}
            refused = merchant("POST", "/v1/endpoints", body)
            assert refused.status == 422, refused.text
            assert refused.json["errors"][0]["pointer"].startswith("/settings/signatures")


def test_ingest_keeps_what_some_active_endpoint_asks_for(merchant: Api) -> None:
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json
    path = f"/v1/endpoints/{made['id']}"
    assert (stored_merchant(merchant).feed, stored_merchant(merchant).raw) == (False, False)

    merchant("PATCH", path, {"event_types": ["checkout.updated"], "settings": {"payload": "provider"}})
    assert (stored_merchant(merchant).feed, stored_merchant(merchant).raw) == (True, True)
    merchant("PATCH", "/v1/merchant", {"name": "Renamed"})
    assert stored_merchant(merchant).feed

    assert merchant("POST", f"{path}/disable").json["status"] == "disabled"
    assert not stored_merchant(merchant).feed
    assert merchant("POST", f"{path}/enable").json["status"] == "active"
    assert stored_merchant(merchant).raw

    assert merchant("DELETE", path).status == 204
    assert (stored_merchant(merchant).feed, stored_merchant(merchant).raw) == (False, False)
    assert merchant("GET", path).status == 404


def test_every_kind_describes_its_settings(merchant: Api) -> None:
    listed = merchant("GET", "/v1/destinations").json["data"]

    webhook = next(row for row in listed if row["kind"] == "webhook")
    assert webhook["settings"]["properties"]["bearer_token"]["writeOnly"] is True


def test_a_test_event_is_told_by_its_delivery(merchant: Api) -> None:
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json

    answer = merchant("POST", f"/v1/endpoints/{made['id']}/test")

    assert (answer.status, answer.json["event_type"], answer.json["status"]) == (202, "endpoint.test", "pending")
    assert answer.json["checkout_id"] is None
    assert merchant("GET", f"/v1/deliveries/{answer.json['id']}").json == answer.json
    merchant("POST", f"/v1/endpoints/{made['id']}/disable")
    assert merchant("POST", f"/v1/endpoints/{made['id']}/test").status == 409


def test_an_endpoint_shows_how_it_is_doing(merchant: Api) -> None:
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json
    path = f"/v1/endpoints/{made['id']}"
    healthy = merchant("GET", path).json
    assert healthy["breaker"] == {"state": "closed", "failures": 0, "retry_at": None}
    assert (healthy["last_success_at"], healthy["last_failure_at"], healthy["failing_since"]) == (None, None, None)

    at = services.services().now()
    failures = [Observation(at, succeeded=False)] * TRIP_AFTER
    services.services().health.replace(made["id"], observed(HEALTHY, failures), at)

    shown = merchant("GET", path).json
    assert shown["failing_since"] == shown["last_failure_at"] == to_rfc3339(at)
    assert (shown["breaker"]["state"], shown["breaker"]["failures"]) == ("open", TRIP_AFTER)


def test_recovering_is_a_job_that_can_be_looked_at(merchant: Api) -> None:
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL}).json
    path = f"/v1/endpoints/{made['id']}"
    started = merchant("POST", f"{path}/recover", {"since": "2020-01-01T00:00:00Z"})
    assert (started.status, started.json["status"]) == (202, "queued")
    assert {"failed", "held"} <= set(started.json["statuses"])
    assert merchant("GET", f"/v1/jobs/{started.json['id']}").json == started.json
    refused = merchant("POST", f"{path}/recover", {"statuses": ["held", "delivered"]})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/statuses/1")
    merchant("POST", f"{path}/disable")
    assert merchant("POST", f"{path}/recover").status == 409
