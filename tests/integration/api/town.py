"""Two merchants on one stage, and every operation at the address of something that exists."""

from dataclasses import dataclass
from typing import Any

from shared.domain.ids import JobId, QuarantineId, new_ulid
from shared.store.jobs import Job, JobStore
from shared.store.quarantine import QuarantineRecord, QuarantineStore
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.shop import SOURCE, Shop

BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/merchants": {"name": "Another"},
    "POST /v1/sources": {"provider": "flexype"},
    "POST /v1/endpoints": {"kind": "webhook", "url": "https://bsp.example.com/"},
    "POST /v1/endpoints/{endpoint_id}/preview": {"checkout_id": "chk_x"},
    "POST /v1/campaigns": {"name": "Back", "steps": [{"after": "PT1H", "endpoint_id": "ep_x"}]},
    "POST /v1/campaigns/preview": {"campaign": {"name": "Back", "steps": [{"after": "PT1H", "endpoint_id": "ep_x"}]}},
    "POST /v1/coupon-pools": {"name": "Codes"},
    "POST /v1/coupon-pools/{pool_id}/codes": {"codes": ["A"]},
    "POST /v1/customers/export": {"customer_id": "7"},
    "POST /v1/customers/erase": {"customer_id": "7"},
    "POST /v1/suppressions": {"customer_id": "7"},
    "POST /v1/portal-links": {"capabilities": ["read"]},
    "POST /v1/quarantine/{quarantine_id}/preview": {"mapping": {"external_id": "id"}},
}
"""A body that is valid, for the operations that want one."""


@dataclass(frozen=True)
class Operation:
    """One operation of the description, at the address of something that exists."""

    method: str
    template: str
    path: str
    operators: bool

    @property
    def body(self) -> dict[str, Any] | None:
        return BODIES.get(f"{self.method} {self.template}", {} if self.method in {"POST", "PATCH"} else None)


@dataclass(frozen=True)
class Town:
    """Two merchants on one stage. Everything that has an id is the victim's."""

    operator: Api
    victim: Api
    neighbour: Api
    ids: dict[str, str]
    operations: list[Operation]


def a_town(operator: Api, shop: Shop) -> Town:
    """Two merchants, of whom one has something of everything."""
    victim = operator.as_(operator("POST", f"/v1/merchants/{shop.merchant.id}/tokens").json["token"])
    endpoint = shop.endpoint("checkout.abandoned")
    shop.abandon()
    shop.settle()
    at = shop.now
    source, quarantined = SOURCE, QuarantineId(f"qrn_{new_ulid(at)}")
    shop.stores.bucket.keep_body("body", b"{}", "application/json")
    QuarantineStore(shop.table).add(
        QuarantineRecord(quarantined, shop.merchant.id, source, "flexype", "no stage", "body", 2, at)
    )
    job = Job(JobId(f"job_{new_ulid(at)}"), shop.merchant.id, source, at, at, at)
    JobStore(shop.table).create(job)
    step = {"after": "PT1H", "endpoint_id": endpoint.id}
    ids = {
        "merchant_id": str(shop.merchant.id),
        "token_id": victim("GET", "/v1/tokens").json["data"][0]["id"],
        "source_id": str(source),
        "endpoint_id": str(endpoint.id),
        "checkout_id": f"chk_{shop.digest()}",
        "customer_id": "7",
        "campaign_id": victim("POST", "/v1/campaigns", {"name": "Back", "steps": [step]}).json["id"],
        "pool_id": victim("POST", "/v1/coupon-pools", {"name": "Codes"}).json["id"],
        "delivery_id": str(shop.deliveries()[0].id),
        "quarantine_id": str(quarantined),
        "job_id": str(job.id),
        "suppression_id": victim("POST", "/v1/suppressions", {"customer_id": "8"}).json["id"],
    }
    return Town(operator, victim, operator.as_(new_merchant(operator)["token"]), ids, operations(operator, ids))


def operations(api: Api, ids: dict[str, str]) -> list[Operation]:
    """All that ask for a credential."""
    document = api.as_(None)("GET", "/openapi.json").json
    return [
        Operation(method.upper(), template, template.format_map(ids), described["security"] == [{"adminKey": []}])
        for template, methods in document["paths"].items()
        for method, described in methods.items()
        if described["security"] != [{}]
    ]
