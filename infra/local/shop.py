"""A merchant and its shoppers for trials of a running stack: registers through the API, plays provider webhooks."""

import json
import re
import time
import uuid
from functools import cache
from http import HTTPStatus
from ssl import SSLContext
from typing import Any

import boto3
import httpx

from infra.local.engine import PROJECT

EVENTS = PROJECT / "events"


def sample(name: str) -> dict[str, Any]:
    """A provider payload of ``events/``."""
    parsed: dict[str, Any] = json.loads((EVENTS / name).read_text())
    return parsed


class Shop:
    """One merchant on a running stack, with a FlexyPe source and a webhook endpoint."""

    def __init__(self, stack: dict[str, Any], settings: dict[str, Any] | None = None) -> None:
        """Register the merchant. ``stack`` is what ``make local`` wrote; ``settings`` are the merchant's own."""
        self.stack = stack
        self.http = httpx.Client(base_url=stack["api_url"], timeout=30, verify=_trusted())
        created = self.call(
            "POST",
            "/v1/merchants",
            token=stack["admin_key"],
            json={
                "name": "Walnut & Sons",
                "store_domains": ["flexype.myshopify.com"],
                "country": "IN",
                "currency": "INR",
                "timezone": "Asia/Kolkata",
                "settings": {"idle_after": "PT2S", **(settings or {})},
            },
        )
        self.id: str = created["id"]
        self.token: str = created["token"]

    def call(self, method: str, path: str, *, token: str | None = None, **arguments: Any) -> Any:
        """Call the API as the merchant (or with another token); anything but 2xx is an error."""
        headers = {"authorization": f"Bearer {token or self.token}"}
        answer = self.http.request(method, path, headers=headers, **arguments)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def close(self) -> None:
        """Close the connections to the stack."""
        self.http.close()

    def source(self, provider: str = "flexype", **fields: Any) -> dict[str, Any]:
        """Register a source."""
        made: dict[str, Any] = self.call("POST", "/v1/sources", json={"provider": provider, **fields})
        return made

    def endpoint(self, url: str, event_types: list[str], **fields: Any) -> dict[str, Any]:
        """Register a webhook endpoint."""
        body = {"kind": "webhook", "url": url, "event_types": event_types, **fields}
        made: dict[str, Any] = self.call("POST", "/v1/endpoints", json=body)
        return made

    def checkout(self, checkout_id: str) -> dict[str, Any]:
        """A checkout as the API shows it."""
        shown: dict[str, Any] = self.call("GET", f"/v1/checkouts/{checkout_id}")
        return shown

    def sweep(self) -> dict[str, Any]:
        """Do all that is due now."""
        client = boto3.client("lambda", **engine_arguments(self.stack))
        answer = client.invoke(FunctionName=self.stack["functions"]["sweep"], Payload=b'{"asked": "by hand"}')
        done: dict[str, Any] = json.loads(answer["Payload"].read())
        return done


class FlexyPeSession:
    """One shopper's FlexyPe session, played from the vendor's own payload."""

    def __init__(self, shop: Shop, source: dict[str, Any], phone: str) -> None:
        """``phone``: ten national digits; each session's shopper has their own."""
        self.id = str(uuid.uuid4())
        self._shop = shop
        self._source = source
        self._phone = phone

    def payload(self, stage: str) -> dict[str, Any]:
        """The session's state at a stage."""
        body = sample("flexype/acr-completed.json" if stage == "COMPLETED" else "flexype/acr.json")
        body["session_state"] = stage
        body["user"]["phone_no"] = self._phone
        body["checkout_url"] = re.sub(r"flx_s=[^&]*", f"flx_s={self.id}", body["checkout_url"])
        return body

    def post(self, stage: str, *, secret: str | None = None) -> httpx.Response:
        """Post the session's state as FlexyPe does: what is answered 503 comes again, after a second and after two."""
        own = self._source["credentials"]["secret"] if secret is None else secret
        headers = {"content-type": "application/json", "X-Flexype-Authorization": own}
        body = json.dumps(self.payload(stage)).encode()
        answer = self._shop.http.post(self._source["url"], content=body, headers=headers)
        for seconds in (1, 2):
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                break
            time.sleep(seconds)
            answer = self._shop.http.post(self._source["url"], content=body, headers=headers)
        return answer


@cache
def _trusted() -> SSLContext:
    """For all shops of a process: reading whom one trusts takes 20 ms, and each test has a shop."""
    return httpx.create_ssl_context()


def engine_arguments(stack: dict[str, Any]) -> dict[str, Any]:
    """What makes a boto3 client the engine's."""
    return {
        "endpoint_url": stack["engine_url"],
        "region_name": stack["region"],
        "aws_access_key_id": stack["aws"]["access_key_id"],
        "aws_secret_access_key": stack["aws"]["secret_access_key"],
    }
