"""A vendor's API on loopback, and one abandoned checkout to send to it."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from shared.delivery.exchange import OutboundRequest, SendResult
from shared.delivery.outcome import Attempt
from shared.delivery.send_pool import SendPool
from shared.destinations import registry
from shared.destinations.destination import Delivery, Endpoint
from tests.unit.delivery.receiver import Behaviour, Received, Receiver

AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
RECOVERY_URL = "https://go.example/r/AQH9f31c0de"


def checkout(**changes: Any) -> dict[str, Any]:
    """The contract's checkout object, as far as messages are concerned; a change of None stays null."""
    whole: dict[str, Any] = {
        "id": "chk_9f31",
        "status": "abandoned",
        "reason": "incomplete",
        "customer": {
            "id": None,
            "email": "asha@example.com",
            "phone": "+919876543210",
            "first_name": "Asha",
            "last_name": "Rao",
            "company": None,
            "locale": None,
        },
        "consent": {"marketing": "granted", "channels": {"email": "unknown", "sms": "unknown", "whatsapp": "granted"}},
        "shipping_address": {"first_name": "Asha", "country_code": "IN"},
        "items": [
            {
                "title": "Brownie",
                "quantity": 2,
                "unit_price": {"amount": "499.00", "currency": "INR"},
                "image_url": "https://cdn.shop.example/brownie.jpg",
            },
            {
                "title": "Cookie",
                "quantity": 1,
                "unit_price": {"amount": "501.00", "currency": "INR"},
                "image_url": None,
            },
        ],
        "item_count": 3,
        "totals": {"subtotal": None, "total": {"amount": "1499.00", "currency": "INR"}},
        "recovery_url": None,
    }
    return whole | changes


def delivery(
    *, of: dict[str, Any] | None = None, event_type: str = "checkout.abandoned", without_step: bool = False, **step: Any
) -> Delivery:
    """A campaign step about the checkout ``of``; ``step`` overrides its parts."""
    whole_step = {
        "index": 1,
        "template": None,
        "coupon_code": "BACK10",
        "recovery_url": RECOVERY_URL,
        "unsubscribe_url": "https://go.example/u/AQH9f31c0de",
        "idempotency_key": "dlv_01J",
    }
    return Delivery(
        id="dlv_01J",
        message_id="evt_01J",
        event_type=event_type,
        attempted_at=AT,
        facts={
            "id": "evt_01J",
            "type": event_type,
            "do_not_send_after": "2026-11-24T09:30:00Z",
            "merchant": {"name": "Sweet Shop"},
            "data": {"checkout": checkout() if of is None else of, "episode": None},
        },
        step=None if without_step else whole_step | step,
    )


def answer(status: int, body: object = None, *, headers: dict[str, str] | None = None) -> Behaviour:
    """A vendor that answers with JSON, or with the text or bytes as they are."""
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = {"content-type": "application/json", "content-length": str(len(raw)), **(headers or {})}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + raw)
        await writer.drain()

    return behave


async def hangs_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the request and closes without a word."""
    writer.transport.abort()


def hangs_up_inside(body: bytes, status: int = 200) -> Behaviour:
    """Begins its answer and breaks off."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body) + 10}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.transport.close()

    return behave


async def keeps_silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await asyncio.sleep(5)


@dataclass
class Vendor:
    """Speaks HTTP on loopback in a vendor's place; what it received can be read afterwards."""

    receiver: Receiver
    pool: SendPool

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}"

    def endpoint(self, kind: str, *, timeout: float = 5, **changes: Any) -> Endpoint:
        """An endpoint of that kind which calls here."""
        given: dict[str, Any] = {"url": self.url, "bearer_token": "key-123456", "settings": {}} | changes
        return Endpoint(id="ep_1", kind=kind, timeout=timedelta(seconds=timeout), **given)

    def send(self, sent: Delivery, endpoint: Endpoint, behaviour: Behaviour) -> Attempt:
        """One attempt over the wire, answered by ``behaviour`` whatever the path."""
        kind = registry.destination(endpoint.kind)
        return kind.classify(self.exchange(kind.build(sent, endpoint), behaviour), endpoint)

    def exchange(self, request: OutboundRequest, behaviour: Behaviour) -> SendResult:
        path = request.url.removeprefix(self.url)
        self.receiver.on(path, behaviour)
        (result,) = self.pool.send_all([request])
        return result

    @property
    def received(self) -> Received:
        """The last request."""
        return self.receiver.requests[-1]

    @property
    def received_json(self) -> Any:
        return json.loads(self.received.body)

    @property
    def received_form(self) -> dict[str, str]:
        return dict(parse_qsl(self.received.body.decode(), strict_parsing=True, keep_blank_values=True))
