"""Valid requests with much in them: whoever wants to know what a strange value does puts it into one of these."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.providers import registry as providers
from tests.integration.api.conftest import Api
from tests.integration.api.town import Town

Call = tuple[Api, str, str, Any]
"""Caller, method, path and body."""
PAGES = Path(__file__).parents[3] / "docs" / "destinations"
SINCE = "2026-11-21T10:00:00Z"
SIGNATURE = {
    "header": "x-a",
    "algorithm": "sha256",
    "encoding": "hex",
    "signed_parts": ["timestamp", "body"],
    "timestamp_header": "x-t",
}
COMMON_SETTINGS = {
    "timeout": "PT5S",
    "retry_schedule": ["PT5S"],
    "rate_limit": {"max": 1, "per": "PT1S"},
    "filter": {"all": [{"field": "total", "op": "gte", "value": "1"}]},
}


def bodies_of(town: Town) -> Iterator[Call]:
    """A request to every operation that takes a body, and one for every provider and kind."""
    yield town.operator, "POST", "/v1/merchants", _merchant()
    yield town.operator, "PATCH", f"/v1/merchants/{town.ids['merchant_id']}", _merchant()
    yield from ((town.victim, *own) for own in _of_the_merchant(town.ids))
    yield from ((town.victim, "POST", "/v1/sources", source(name)) for name in providers.names())
    yield from ((town.victim, "POST", "/v1/endpoints", _owned(own, town)) for own in endpoints_of_every_kind())
    yield town.victim, "POST", "/v1/campaigns", _campaign(town.ids)
    draft = {"name": "Back", "steps": [{"after": "PT1H", "endpoint_id": town.ids["endpoint_id"]}]}
    played = {"campaign": draft, "in_place_of": town.ids["campaign_id"], "days": 7}
    yield town.victim, "POST", "/v1/campaigns/preview", played
    pulled = town.victim("POST", "/v1/sources", source("emporix")).json["id"]
    yield town.victim, "POST", f"/v1/sources/{pulled}/backfill", {"since": SINCE, "customer_id": "7"}


def _merchant() -> dict[str, Any]:
    settings = {
        "idle_after": "PT30M",
        "recovery_horizon": "P7D",
        "retention": "P30D",
        "cooldown": "P1D",
        "min_step_gap": "PT4H",
        "do_not_send_after": "P3D",
        "consent": "required",
        "holdout_percent": 1,
        "minimum_total": [{"amount": "5.00", "currency": "INR"}],
        "quiet_hours": {"start": "21:00", "end": "09:00"},
        "list_shards": 1,
    }
    return {
        "name": "N",
        "store_domains": ["a.example"],
        "country": "IN",
        "currency": "INR",
        "timezone": "UTC",
        "settings": settings,
    }


def _of_the_merchant(ids: dict[str, str]) -> Iterator[tuple[str, str, Any]]:
    endpoint, source = f"/v1/endpoints/{ids['endpoint_id']}", f"/v1/sources/{ids['source_id']}"
    campaign, pool = f"/v1/campaigns/{ids['campaign_id']}", f"/v1/coupon-pools/{ids['pool_id']}"
    mine = _merchant()
    del mine["settings"]["list_shards"], mine["store_domains"]
    yield "PATCH", "/v1/merchant", mine
    yield "POST", "/v1/tokens", {"name": "T"}
    yield "PATCH", campaign, {"name": "N", "priority": 1, "criteria": {}}
    yield "POST", f"{campaign}/preview", {"days": 1}
    yield "POST", "/v1/coupon-pools", {"name": "N"}
    yield "POST", f"{pool}/codes", {"codes": ["A", "B"]}
    changed = {"url": "https://b.example/", "headers": {"a": "b"}, "event_types": ["checkout.updated"]}
    yield "PATCH", endpoint, {"name": "N", "settings": COMMON_SETTINGS, **changed}
    yield "POST", f"{endpoint}/rotate-secret", {"overlap": "PT1H"}
    yield "POST", f"{endpoint}/recover", {"since": SINCE, "statuses": ["failed"]}
    yield "PATCH", source, {"name": "N", "credentials": {"secret": "s" * 20}, "settings": {"currency": "INR"}}
    yield "POST", f"/v1/checkouts/{ids['checkout_id']}/complete", {"order_id": "7", "completed_at": SINCE}
    yield "POST", "/v1/customers/export", {"customer_id": "7"}
    yield "POST", "/v1/customers/erase", {"email": "a@b.example"}
    yield "POST", "/v1/suppressions", {"phone": "+917777788888", "channels": ["email"], "reason": "asked for it"}
    yield "DELETE", "/v1/suppressions", {"customer_id": "8", "channels": ["email"]}


def source(provider: str) -> dict[str, Any]:
    """A source of this provider with all that it may have."""
    credentials: dict[str, Any] = {"secret": "s" * 20}
    wanted = {own.name for own in providers.provider(provider).description.credentials}
    if "api" in wanted:
        names = ("tenant", "client_id", "client_secret", "store_hash", "access_token")
        credentials["api"] = {"shop": "a.myshopify.com", **dict.fromkeys(names, "b" * 10)}
    if "public_key" in wanted:
        credentials = credentials | {"public_key": _public_key()}
        del credentials["secret"]
    mapping = {"external_id": "id", "customer.email": "buyer.mail", "items": "lines[].{title: name, quantity: count}"}
    settings = {
        "currency": "INR",
        "country": "IN",
        "idle_after": "PT30M",
        "on_arrival": "timer",
        "money_unit": "minor",
        "recovery_url_template": "https://a.example/{id}",
        "keep_click_ids": False,
        "mapping": mapping,
        "signature": SIGNATURE,
    }
    return {"provider": provider, "name": "N", "credentials": credentials, "settings": settings}


@cache
def _public_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def endpoints_of_every_kind() -> Iterator[dict[str, Any]]:
    """One of each kind: what the pages for merchants show."""
    webhook = {"kind": "webhook", "url": "https://bsp.example.com/", "settings": {"payload": {"liquid": "{{ id }}"}}}
    blocks = (
        json.loads(block)
        for page in sorted(PAGES.glob("*.md"))
        for block in re.findall(r"^```json\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    )
    shown = {block["kind"]: block for block in blocks if "kind" in block}
    for own in (webhook, *shown.values()):
        yield own | {"event_types": ["checkout.abandoned"], "settings": own["settings"] | COMMON_SETTINGS}


def _owned(body: dict[str, Any], town: Town) -> dict[str, Any]:
    """The same endpoint with the merchant's own name in its settings, where a page shows somebody's."""
    own: dict[str, Any] = json.loads(re.sub(r"mer_[0-9A-Z]{26}", town.ids["merchant_id"], json.dumps(body)))
    return own


def _campaign(ids: dict[str, str]) -> dict[str, Any]:
    step = {"after": "PT1H", "endpoint_id": ids["endpoint_id"], "template": {"name": "a", "parameters": ["{{ a }}"]}}
    pool = {"type": "pool", "pool_id": ids["pool_id"]}
    minted = {"type": "minted", "endpoint_id": ids["endpoint_id"]}
    window = {"modified_after": "P1D", "modified_before": "PT1H"}
    criteria = [
        {"field": "items.sku", "op": "in", "value": ["a", "b"]},
        {"not": {"field": "age", "op": "lt", "value": "P1D"}},
    ]
    return {
        "name": "N",
        "trigger": {"type": "schedule", "expression": "rate(1 hour)", "timezone": "UTC", "window": window},
        "criteria": {"any": criteria},
        "steps": [
            step | {"coupon": pool, "channel": "email"},
            step | {"after": "P1D", "coupon": minted, "channel": "email"},
        ],
        "do_not_send_after": "P3D",
        "priority": 1,
        "limits": {"max_per_episode": 2},
        "coupon": {"type": "static", "code": "BACK"},
        "status": "paused",
    }
