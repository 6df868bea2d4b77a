"""The command line against the deployed stack: every provider's webhook is accepted, and events come back signed."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from infra.local.engine import PROJECT
from infra.local.receiver import Receiver
from infra.local.shop import Shop
from shared.providers import registry

pytestmark = pytest.mark.e2e

Run = Callable[..., list[Any]]


@pytest.fixture
def run(shop: Shop, tmp_path: Path) -> Run:
    """Runs a command in a process of its own, as the merchant; its lines of JSON."""
    environment = {
        "CHECKBACK_API_URL": shop.stack["api_url"],
        "CHECKBACK_TOKEN": shop.token,
        "CHECKBACK_KEYRING": "off",
        "CHECKBACK_HOME": str(tmp_path),
        "PYTHONPATH": str(PROJECT / "infra/cli"),
        "PATH": os.environ["PATH"],
    }

    def running(*arguments: str, code: int = 0) -> list[Any]:
        command = [sys.executable, "-m", "checkback", *arguments, "--json"]
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=90)
        assert done.returncode == code, f"{arguments}: {done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    return running


@pytest.fixture
def unhurried(shop: Shop) -> None:
    """Nobody is abandoned while commands start, whatever sweeps meanwhile: each test's does all that is due."""
    shop.call("PATCH", "/v1/merchant", json={"settings": {"idle_after": "PT1H"}})


def test_a_webhook_of_every_provider_is_accepted(run: Run) -> None:
    for provider in registry.names():
        run("sources", "add", provider, "--test-keys")
        [told] = run("trigger", provider)
        assert told["status"] == "accepted", told
    assert {own["provider"] for own in run("checkouts", "list")} == set(registry.names())


def test_a_checkout_is_gone_on_with_and_bought(run: Run) -> None:
    run("sources", "add", "flexype", "--test-keys")
    [left] = run("trigger", "flexype", "--phone", "+919820044551", "--total", "1499.50")
    [shown] = run("checkouts", "show", left["checkout_id"])
    assert shown["customer"]["phone"] == "+919820044551"
    assert shown["totals"]["total"] == {"amount": "1499.50", "currency": "INR"}
    [bought] = run("trigger", "flexype", "acr-completed", "--checkout", left["external_id"])
    assert bought["checkout_id"] == left["checkout_id"]
    [shown] = run("checkouts", "show", left["checkout_id"])
    assert shown["status"] in {"completed", "recovered"}
    assert "missing" in {own["state"] for own in run("doctor", code=1)}


@pytest.mark.usefixtures("unhurried")
def test_deliveries_are_seen_from_here(run: Run, shop: Shop, receiver: Receiver) -> None:
    [endpoint] = run("endpoints", "add", receiver.url, "--event", "checkout.completed")
    receiver.secret = run("endpoints", "secret", endpoint["id"])[0]["secret"]
    run("sources", "add", "flexype", "--test-keys")
    [left] = run("trigger", "flexype")
    run("trigger", "flexype", "acr-completed", "--checkout", left["external_id"])
    received = receiver.wait_for("checkout.completed", left["checkout_id"])
    assert received is not None
    assert received.verified
    [delivery] = run("deliveries", "list", "--checkout-id", left["checkout_id"])
    [shown] = run("deliveries", "show", delivery["id"])
    assert shown["event_type"] == "checkout.completed"


def test_a_model_asks_why_a_shopper_was_not_written_to(run: Run, shop: Shop, tmp_path: Path) -> None:
    run("sources", "add", "flexype", "--test-keys")
    [left] = run("trigger", "flexype", "abandoned-checkout")
    environment = {
        "CHECKBACK_API_URL": shop.stack["api_url"],
        "CHECKBACK_TOKEN": shop.token,
        "PATH": os.environ["PATH"],
        "CHECKBACK_HOME": str(tmp_path),
        "PYTHONPATH": str(PROJECT / "infra/cli"),
    }
    command = StdioServerParameters(command=sys.executable, args=["-m", "checkback", "mcp"], env=environment)

    async def asked() -> list[Any]:
        async with Client(command, read_timeout_seconds=30) as client:
            return [
                await client.call_tool("why_not_messaged", {"checkout_id": left["checkout_id"]}),
                await client.call_tool("recovery_metrics", {}),
                await client.call_tool("check_setup", {}),
            ]

    why, metrics, setup = asyncio.run(asked())
    told = why.structured_content["result"]
    assert told["checkout"]["status"] == "abandoned"
    assert isinstance(told["eligibility"]["may_send"], bool)
    assert {"timeline", "deliveries"} <= set(told)
    assert not metrics.is_error
    assert {own["state"] for own in setup.structured_content["result"]} == {"ok", "missing", "warning"}


@pytest.mark.usefixtures("unhurried")
def test_events_are_forwarded_with_a_signature_that_verifies(run: Run, receiver: Receiver, tmp_path: Path) -> None:
    """``GET /v1/events`` of the stack, in two sittings: none twice, none missing."""
    secret = tmp_path / "secret"
    secret.write_text(receiver.secret or "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    receiver.secret = secret.read_text()
    run("sources", "add", "flexype", "--test-keys")
    left = [run("trigger", "flexype")[0] for _ in range(2)]
    for own in left:
        run("trigger", "flexype", "acr-completed", "--checkout", own["external_id"])
    listening = ("listen", "--forward", receiver.url, "--secret-file", str(secret), "--types", "checkout.completed")
    [first] = run(*listening, "--from-start", "--count", "1", "--seconds", "60")
    everything = run(*listening, "--from-start", "--count", "2", "--seconds", "60")

    assert everything[0] == first
    assert {own["event"]["data"]["checkout"]["id"] for own in everything} == {own["checkout_id"] for own in left}
    for own in left:
        received = receiver.wait_for("checkout.completed", own["checkout_id"])
        assert received is not None
        assert received.verified
