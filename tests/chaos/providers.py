"""Webhooks as three providers post them: one shopper's checkout each, from the samples in ``events/``."""

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from infra.local.shop import sample

SHOPIFY_SECRET = "shopify-app-secret"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook, to be posted with the same bytes until it is taken. ``stage`` is None for a purchase."""

    url: str
    body: bytes
    headers: dict[str, str]
    stage: str | None


class Visit(Protocol):
    """One shopper's checkout at one provider."""

    @property
    def stages(self) -> tuple[str, ...]:
        """In order of progress, as the checkout shows them afterwards."""
        ...

    def at(self, stage: int) -> Webhook:
        """The shopper is at this stage."""
        ...

    def bought(self) -> Webhook:
        """The shopper has bought."""
        ...


class FlexyPeVisit:
    """A FlexyPe session: the order of its stages is the vendor's, whenever they arrive."""

    stages = ("phone_entered", "otp_verified", "address_loaded", "address_shipping_selected", "payment_loaded")

    def __init__(self, source: dict[str, Any], phone: str, session: str, _: float = 0) -> None:
        """``phone``: ten national digits. FlexyPe's webhooks tell no time of their own."""
        self._source = source
        self._phone = phone
        self._session = session

    def at(self, stage: int) -> Webhook:
        return self._webhook("flexype/acr.json", self.stages[stage].upper(), self.stages[stage])

    def paying(self) -> Webhook:
        """The shopper is at the payment provider's."""
        return self._webhook("flexype/acr.json", "PAYMENT_INITIATED", "payment_initiated")

    def bought(self) -> Webhook:
        return self._webhook("flexype/acr-completed.json", "COMPLETED", None)

    def beyond_understanding(self) -> Webhook:
        """Authentic, and of no form that is known."""
        body = json.dumps({"session_state": "TELEPORTED", "note": f"Grüße 👜 {self._session}"}).encode()
        return self._signed(body, "")

    def browsing(self) -> Webhook:
        """About no checkout."""
        return self._signed(json.dumps({"event_type": "PRODUCT_VIEWED", "id": self._session}).encode(), "")

    def _webhook(self, name: str, state: str, stage: str | None) -> Webhook:
        body = sample(name)
        body["session_state"] = state
        body["user"]["phone_no"] = self._phone
        body["checkout_url"] = re.sub(r"flx_s=[^&]*", f"flx_s={self._session}", body["checkout_url"])
        return self._signed(json.dumps(body).encode(), stage)

    def _signed(self, body: bytes, stage: str | None) -> Webhook:
        secret = self._source["credentials"]["secret"]
        headers = {"content-type": "application/json", "X-Flexype-Authorization": secret}
        return Webhook(self._source["url"], body, headers, stage)


class ShopifyVisit:
    """A Shopify checkout; its webhooks are ordered by ``updated_at``."""

    stages = ("", "", "", "", "")

    def __init__(self, source: dict[str, Any], phone: str, session: str, skew: float) -> None:
        """``phone``: ten national digits; ``skew``: seconds by which the shop's clock is ahead."""
        self._source = source
        self._skew = timedelta(seconds=skew)
        self._phone = f"+91{phone}"
        self._session = session.replace("-", "")

    def at(self, stage: int) -> Webhook:
        body = sample("shopify/checkouts-create.json")
        now = (datetime.now(UTC) + self._skew).isoformat()
        body |= {"token": self._session, "cart_token": None, "email": None, "phone": self._phone, "customer": None}
        body |= {"created_at": now, "updated_at": now, "note": f"stage {stage}"}
        body |= {"billing_address": None, "shipping_address": None}
        return self._signed("checkouts/create" if stage == 0 else "checkouts/update", body, self.stages[stage])

    def bought(self) -> Webhook:
        body = sample("shopify/orders-create.json")
        now = (datetime.now(UTC) + self._skew).isoformat()
        body |= {"phone": self._phone, "email": None, "contact_email": None, "customer": None, "cart_token": None}
        body |= {"checkout_token": self._session, "id": int(self._session[:13], 16), "created_at": now}
        body |= {"updated_at": now, "processed_at": now, "billing_address": None, "shipping_address": None}
        return self._signed("orders/create", body, None)

    def _signed(self, topic: str, payload: dict[str, Any], stage: str | None) -> Webhook:
        body = json.dumps(payload).encode()
        mac = hmac.digest(SHOPIFY_SECRET.encode(), body, "sha256")
        headers = {
            "content-type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": base64.b64encode(mac).decode(),
            "X-Shopify-Webhook-Id": hashlib.sha256(body).hexdigest()[:32],
            "X-Shopify-Triggered-At": datetime.now(UTC).isoformat(),
        }
        return Webhook(self._source["url"], body, headers, stage)


class CustomVisit:
    """A shop of the merchant's own making, in the contract's names."""

    stages = ("contact", "address", "shipping", "payment", "review")

    def __init__(self, source: dict[str, Any], phone: str, session: str, skew: float) -> None:
        """``phone``: ten national digits; ``skew``: seconds by which the shop's clock is ahead."""
        self._source = source
        self._skew = timedelta(seconds=skew)
        self._phone = f"+91{phone}"
        self._session = session

    def at(self, stage: int) -> Webhook:
        return self._webhook(stage, {"status": "open", "stage": self.stages[stage]}, self.stages[stage])

    def bought(self) -> Webhook:
        return self._webhook(9, {"status": "completed", "order": {"id": f"order-{self._session}"}}, None)

    def _webhook(self, number: int, changed: dict[str, Any], stage: str | None) -> Webhook:
        body = sample("custom/checkout.json")
        body |= {"external_id": self._session, "event_id": f"{self._session}-{number}", **changed}
        body |= {"customer": {"phone": self._phone}, "updated_at": (datetime.now(UTC) + self._skew).isoformat()}
        body.pop("started_at", None)
        return Webhook(self._source["url"], json.dumps(body).encode(), {"content-type": "application/json"}, stage)
