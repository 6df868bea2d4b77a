"""AWS for a function that is measured: moto behind one HTTP port, in a process of its own, with a merchant on it.

``python -m tests.bench.stage`` prints one line of JSON, ``environment`` of the functions, one signed webhook of each
provider as API Gateway hands it over (``webhooks``) and what people ask other functions (``requests``), and serves
until its input ends. What a call costs here is no figure of anything: functions are measured by the time of their own
processor.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any, ClassVar, override

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.core.models import botocore_stubber

from shared.api.authentication import token_hash, token_of
from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.domain.ids import TokenId
from shared.domain.instants import to_ms
from shared.domain.merchant import Merchant
from shared.providers import registry
from shared.store.configuration import MerchantStore, TokenRecord
from tests.fuzz.test_ingest import EVENTS, MERCHANT, connect, proved
from tests.integration.api.conftest import http_event
from tests.integration.conftest import REGION, environment_of, open_account
from tests.integration.console.conftest import COOKIE, Browser

FIRST = {
    "bigcommerce": ("cart-created", None),
    "cashfree": ("abandoned-checkout", None),
    "custom": ("mapped", None),
    "emporix": ("cart-created", "cart.created"),
    "flexype": ("acr", None),
    "razorpay": ("abandoned-cart", None),
    "shopflo": ("checkout-abandoned", None),
    "shopify": ("checkouts-create", "checkouts/create"),
    "stripe": ("checkout-session-expired", None),
    "wix": ("abandoned-checkout-created", None),
    "woocommerce": ("order-created", "order.created"),
}
"""The sample that a provider's figures are of, and its topic."""
_HOSTS = {"DynamoDB_20120810": "dynamodb", "TrentService": "kms", "secretsmanager": "secretsmanager"} | {
    "AmazonSQS": "sqs"
}
_one_at_a_time = threading.Lock()
TOKEN = token_of(bytes(32))
_JSON = {"content-type": "application/json"}


class _Aws(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm: ClassVar[bool] = True

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        target = self.headers.get("x-amz-target", "")
        host = _HOSTS.get(target.partition(".")[0], "s3")
        headers = HTTPHeaders()
        for name, value in self.headers.items():
            headers[name] = value
        url = f"https://{host}.{REGION}.amazonaws.com{self.path}"
        with _one_at_a_time:
            made = botocore_stubber.process_request(AWSPreparedRequest(self.command, url, headers, body, False))
        assert made is not None, url
        status, answered, text = made
        raw = text.encode() if isinstance(text, str) else text
        self.send_response_only(status)
        for name, value in answered.items():
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(name, str(value))
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def __getattr__(self, name: str) -> Any:
        """One answer for every method (``do_POST`` and its like)."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def _where(endpoint: str) -> dict[str, str]:
    """Where a process finds AWS, and how it is to begin."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "PATIENCE_WITH_AWS": "short",
        "PREPARE_AT_INIT": "1",
    }


def connect_all(stores: Stores) -> None:
    """A merchant with a source of every provider."""
    merchant = Merchant(*(MERCHANT, "A shop", ("shop.example.com",), "IN", "INR", "Asia/Kolkata", now()))
    MerchantStore(stores.table).create(merchant, TokenRecord(TokenId("tok_1"), MERCHANT, token_hash(TOKEN), now()))
    for name in registry.names():
        connect(stores, MERCHANT, name, now())


def webhook_of(name: str) -> dict[str, Any]:
    """A provider's webhook as API Gateway hands it to ingest."""
    stem, topic = FIRST[name]
    sample = json.loads((EVENTS / name / f"{stem}.json").read_text())
    event = proved(name, sample, topic, **{"content-type": "application/json"})
    return event | {"version": "2.0", "requestContext": {"requestId": "JKJaXmPLvHcESHA=", "timeEpoch": to_ms(now())}}


def requests() -> dict[str, dict[str, Any]]:
    """What the merchant's people and systems ask: a list by the API, the console's first page, a page Shopify's way."""
    browser = Browser(import_module("functions.console.handler").handler)
    assert browser.sign_in(TOKEN).status == 200
    query = {"query": "{ abandonedCheckouts(first: 10) { nodes { id abandonedCheckoutUrl } } }"}
    asked = http_event(
        "POST", "/admin/api/2026-10/graphql.json", {}, _JSON | {"x-shopify-access-token": TOKEN}, None, None
    )
    listed = http_event("GET", "/v1/checkouts", {}, {"authorization": f"Bearer {TOKEN}"}, None, None)
    return {
        "merchant_api": listed,
        "console": http_event("GET", "/console", {}, {}, None, None) | {"cookies": [f"{COOKIE}={browser.cookie}"]},
        "reading": asked | {"pathParameters": {"version": "2026-10"}, "body": json.dumps(query)},
    }


def served() -> Iterator[dict[str, Any]]:
    """The stage while it is served: its environment and webhooks."""
    with open_account() as (_, stage):
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Aws)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        own = environment_of(stage) | {"ADMIN_SECRET_ARN": stage.admin_secret_arn, "API_ID": "abcde12345"}
        environment = own | _where(f"http://127.0.0.1:{server.server_port}")
        connect_all(Stores(Environment.read(environment)))
        # Functions log into what is answered.
        os.environ.update(own | {"POWERTOOLS_LOG_LEVEL": "CRITICAL"})
        webhooks = {name: webhook_of(name) for name in registry.names()}
        yield {"environment": environment, "webhooks": webhooks, "requests": requests()}
        server.shutdown()


if __name__ == "__main__":
    for _served in served():
        print(json.dumps(_served), flush=True)
        sys.stdin.read()
