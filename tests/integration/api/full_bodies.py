"""Valid requests with much in them: whoever wants to know what a strange value does puts it into one of these."""

from collections.abc import Iterator
from typing import Any

from shared.destinations import registry as destinations
from shared.providers import registry as providers
from tests.integration.api.conftest import Api
from tests.integration.api.town import Town


def bodies_of(town: Town) -> Iterator[tuple[Api, str, str, Any]]:
    """Caller, method, path and body of requests to every operation that takes a body."""
    ids = town.ids
    yield (
        town.operator,
        "POST",
        "/v1/merchants",
        {
            "name": "N",
            "store_domains": ["a.example"],
            "country": "IN",
            "currency": "INR",
            "timezone": "UTC",
            "settings": {
                "idle_after": "PT30M",
                "quiet_hours": {"start": "21:00", "end": "09:00"},
                "holdout_percent": 1,
                "list_shards": 1,
            },
        },
    )
    yield town.victim, "PATCH", "/v1/merchant", {"name": "N", "timezone": "UTC", "settings": {"cooldown": "P1D"}}
    yield town.victim, "POST", "/v1/tokens", {"name": "T"}
    for name in providers.names():
        yield (
            town.victim,
            "POST",
            "/v1/sources",
            {
                "provider": name,
                "name": "N",
                "credentials": {
                    "secret": "s" * 20,
                    "secrets": ["t" * 20],
                    "public_key": "k" * 40,
                    "api": {"shop": "a" * 10, "store_hash": "b" * 10},
                },
                "settings": {
                    "currency": "INR",
                    "country": "IN",
                    "idle_after": "PT30M",
                    "on_arrival": "timer",
                    "recovery_url_template": "https://a.example/{id}",
                    "keep_click_ids": False,
                    "money_unit": "minor",
                    "mapping": {"external_id": "id"},
                    "signature": {
                        "header": "x-a",
                        "algorithm": "sha256",
                        "encoding": "hex",
                        "signed_parts": ["body"],
                        "timestamp_header": "x-t",
                    },
                },
            },
        )
    for kind in destinations.kinds():
        properties = destinations.destination(kind).settings.get("properties", {})
        yield (
            town.victim,
            "POST",
            "/v1/endpoints",
            {
                "kind": kind,
                "name": "N",
                "url": "https://bsp.example.com/",
                "event_types": ["checkout.abandoned"],
                "headers": {"x-a": "b"},
                "settings": dict.fromkeys(properties, "a" * 10)
                | {
                    "timeout": "PT5S",
                    "retry_schedule": ["PT5S"],
                    "rate_limit": {"max": 1, "per": "PT1S"},
                    "filter": {"all": [{"field": "total", "op": "gte", "value": "1"}]},
                },
            },
        )
    step = {"after": "PT1H", "endpoint_id": ids["endpoint_id"], "template": {"name": "a", "parameters": ["{{ a }}"]}}
    coupon = {"type": "pool", "pool_id": ids["pool_id"]}
    minted = {"type": "minted", "endpoint_id": ids["endpoint_id"]}
    yield (
        town.victim,
        "POST",
        "/v1/campaigns",
        {
            "name": "N",
            "trigger": {
                "type": "schedule",
                "expression": "rate(1 hour)",
                "timezone": "UTC",
                "window": {"modified_after": "P1D", "modified_before": "PT1H"},
            },
            "criteria": {
                "any": [
                    {"field": "items.sku", "op": "in", "value": ["a", "b"]},
                    {"not": {"field": "age", "op": "lt", "value": "P1D"}},
                ]
            },
            "steps": [step | {"coupon": coupon, "channel": "email"}, step | {"coupon": minted, "channel": "email"}],
            "do_not_send_after": "P3D",
            "priority": 1,
            "limits": {"max_per_episode": 2},
            "coupon": {"type": "static", "code": "BACK"},
            "status": "paused",
        },
    )
    yield town.victim, "PATCH", f"/v1/campaigns/{ids['campaign_id']}", {"name": "N", "priority": 1, "criteria": {}}
    yield town.victim, "POST", f"/v1/campaigns/{ids['campaign_id']}/preview", {"days": 1}
    yield town.victim, "POST", "/v1/coupon-pools", {"name": "N"}
    yield town.victim, "POST", f"/v1/coupon-pools/{ids['pool_id']}/codes", {"codes": ["A", "B"]}
    yield (
        town.victim,
        "PATCH",
        f"/v1/endpoints/{ids['endpoint_id']}",
        {"name": "N", "url": "https://b.example/", "headers": {"a": "b"}, "settings": {"timeout": "PT5S"}},
    )
    yield town.victim, "POST", f"/v1/endpoints/{ids['endpoint_id']}/rotate-secret", {"overlap": "PT1H"}
    yield (
        town.victim,
        "POST",
        f"/v1/endpoints/{ids['endpoint_id']}/recover",
        {"since": "2026-11-21T10:00:00Z", "statuses": ["failed"]},
    )
    yield (
        town.victim,
        "PATCH",
        f"/v1/sources/{ids['source_id']}",
        {"name": "N", "credentials": {"secret": "s" * 20}, "settings": {"currency": "INR"}},
    )
    yield (
        town.victim,
        "POST",
        f"/v1/sources/{ids['source_id']}/backfill",
        {"since": "2026-11-21T10:00:00Z", "customer_id": "7"},
    )
    yield (
        town.victim,
        "POST",
        f"/v1/checkouts/{ids['checkout_id']}/complete",
        {"order_id": "7", "completed_at": "2026-11-21T10:00:00Z"},
    )
    yield town.victim, "POST", "/v1/customers/export", {"customer_id": "7", "cursor": "a"}
    yield town.victim, "POST", "/v1/customers/erase", {"email": "a@b.example"}
    yield (
        town.victim,
        "POST",
        "/v1/suppressions",
        {"phone": "+917777788888", "channels": ["email"], "reason": "asked for it"},
    )
    yield town.victim, "DELETE", "/v1/suppressions", {"customer_id": "7", "channels": ["email"]}
