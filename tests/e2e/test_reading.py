"""Other people's clients, unmodified, page through the same 120 checkouts on the deployed stack."""

import itertools
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import shopify
from gql import Client, GraphQLRequest
from gql.transport.httpx import HTTPXTransport

from infra.local.engine import PROJECT
from infra.local.shop import FlexyPeSession, Shop
from tests.e2e.tls_front import tls_front

pytestmark = pytest.mark.e2e

PHONES = (f"96{random.randint(10, 99)}{number:06d}" for number in itertools.count(300_000))
MANY = 120
PATIENCE = 60
PAGE = """
query ($first: Int, $after: String, $last: Int, $before: String) {
  abandonedCheckouts(first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { id name totalPriceSet { shopMoney { amount currencyCode } } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
WAYS = {
    "forwards": ("first", "after", "hasNextPage", "endCursor"),
    "backwards": ("last", "before", "hasPreviousPage", "startCursor"),
}


@dataclass(frozen=True)
class Left:
    """A merchant whose shoppers have left; ``port`` speaks TLS, which ``trusted`` proves."""

    shop: Shop
    ids: frozenset[str]
    port: int
    trusted: Path

    def by_node(self, script: str, host: str) -> Any:
        """What a script of ``tests/npm`` prints."""
        command = ["node", script, host, self.shop.token]
        run = subprocess.run(
            command,
            cwd=PROJECT / "tests" / "npm",
            env=os.environ | {"NODE_EXTRA_CA_CERTS": str(self.trusted)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)


@pytest.fixture(scope="module")
def left(stack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """120 shoppers of one merchant who all walked away."""
    shop = Shop(stack, {"idle_after": "PT1S"})
    source = shop.source()
    sessions = [FlexyPeSession(shop, source, next(PHONES)) for _ in range(MANY)]

    def begun(session: FlexyPeSession) -> str:
        answer = session.post("ADDRESS_LOADED")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["checkout_id"])

    with ThreadPoolExecutor(4) as pool:
        ids = frozenset(pool.map(begun, sessions))
    until = time.monotonic() + PATIENCE
    while True:
        shop.sweep()
        shown = shop.call("GET", "/v1/checkouts", params={"status": "abandoned", "limit": 200})
        if len(shown["data"]) == MANY:
            break
        assert time.monotonic() < until, f"{len(shown['data'])} of {MANY} are abandoned"
        time.sleep(0.5)
    with tls_front(stack["api_url"], tmp_path_factory.mktemp("tls")) as (port, trusted):
        yield Left(shop, ids, port, trusted)
    shop.close()


def plain(named: str) -> str:
    """Checkback's own id in Shopify's global one."""
    return named.removeprefix("gid://shopify/AbandonedCheckout/")


def walked(ask: Any, way: str) -> list[list[str]]:
    """All pages of 50 by a client that asks with variables."""
    size, place, more, cursor = WAYS[way]
    pages: list[list[str]] = []
    at = None
    while True:
        found = ask({size: 50, place: at})["abandonedCheckouts"]
        pages.append([plain(edge["node"]["id"]) for edge in found["edges"]])
        assert {edge["node"]["totalPriceSet"]["shopMoney"]["currencyCode"] for edge in found["edges"]} == {"INR"}
        if not found["pageInfo"][more]:
            return pages
        at = found["pageInfo"][cursor]


def check(left: Left, forwards: list[list[str]], backwards: list[list[str]]) -> None:
    """Each checkout once, and the same order both ways."""
    assert [len(page) for page in forwards] == [50, 50, 20]
    assert sorted(len(page) for page in backwards) == [20, 50, 50]
    order = list(itertools.chain.from_iterable(forwards))
    assert len(order) == len(set(order))
    assert set(order) == left.ids
    assert list(itertools.chain.from_iterable(reversed(backwards))) == order


def test_gql_pages_both_ways_and_reads_the_schema(left: Left, stack: dict[str, Any]) -> None:
    transport = HTTPXTransport(
        url=f"{stack['api_url']}/admin/api/2026-10/graphql.json",
        headers={"X-Shopify-Access-Token": left.shop.token},
        timeout=30,
    )
    with Client(transport=transport, fetch_schema_from_transport=True) as client:
        assert client.client.schema is not None
        pages = [
            walked(lambda asked: client.execute(GraphQLRequest(PAGE, variable_values=asked)), way) for way in WAYS
        ]  # fmt: skip
    check(left, *pages)


def test_shopifys_python_client_pages_both_ways(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes its host of a name and a domain, both of which it lets one choose; and it wants TLS."""
    monkeypatch.setenv("SSL_CERT_FILE", str(left.trusted))
    monkeypatch.setattr(shopify.Session, "myshopify_domain", "0.0.1")
    monkeypatch.setattr(shopify.Session, "port", left.port)

    def ask(asked: dict[str, Any]) -> Any:
        answer = json.loads(shopify.GraphQL().execute(PAGE, asked))
        assert "errors" not in answer, answer
        return answer["data"]

    with shopify.Session.temp("127.0.0.1", "2025-10", left.shop.token):
        pages = [walked(ask, way) for way in WAYS]
    check(left, *pages)


def test_shopifys_javascript_client_pages_both_ways(left: Left) -> None:
    seen = left.by_node("shopify_pages.mjs", f"127.0.0.1:{left.port}")

    check(left, *([[plain(own) for own in page] for page in seen[way]] for way in WAYS))


def test_wixs_client_pages_both_ways_and_deletes(left: Left) -> None:
    seen = left.by_node("wix_pages.mjs", f"127.0.0.1:{left.port}")

    check(left, seen["forwards"], seen["backwards"])
    assert (seen["status"], seen["created"], seen["searched"]) == ("ABANDONED", True, 10)
    assert "EMAIL_SENT" in seen["activities"]
    assert seen["gone"] == "CHECKOUT_NOT_FOUND"
    assert left.shop.checkout(seen["named"])["status"] == "discarded"
