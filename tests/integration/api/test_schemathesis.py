"""Schemathesis against the merchant API: what the description says is what is taken, and what is answered."""

import importlib
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis.configuration import storage_directory

from shared.delivery.exchange import Answer
from shared.domain.ids import QuarantineId, new_ulid
from shared.store.quarantine import QuarantineRecord, QuarantineStore
from shared.workflows.insight.event_stream import EventStream
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.full_bodies import source
from tests.integration.api.gateway import Exchange, served
from tests.integration.api.town import Town, a_town
from tests.integration.shop import SOURCE, Shop, stranger
from tests.patience import PATIENCE

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
PAYLOAD = ROOT / "events" / "flexype" / "abandoned-checkout.json"
SEED, CASES = os.environ.get("SCHEMATHESIS_SEED", "1"), os.environ.get("SCHEMATHESIS_CASES", "3")
"""By hand: other cases, and more of each operation."""
PUBLIC = ("GET /healthz", "GET /v1/endpoints/{endpoint_id}/public-keys")
SPARE = 4
"""Of everything that can be removed there are so many more."""
REFUSED = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429]
TAKEN = ["2xx", 401, 403, 404, 409, 412, 429]
"""What a request may get that fits the description: 412 is the state's, as 409 is."""


def test_every_operation_takes_and_answers_what_it_describes(
    operator: Api,
    shop: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The clock stands still: whoever waits for events would wait for ever.
    monkeypatch.setattr(EventStream, "read", _without_waiting(EventStream.read))
    town = a_town(operator, shop)
    names = inhabitants(town, shop)
    stays = {
        "DELETE /v1/merchants/{merchant_id}": names["merchant_id"][:2],
        "DELETE /v1/tokens/{token_id}": names["token_id"][:2],
        "DELETE /v1/sources/{source_id}": names["source_id"][::2],
        "DELETE /v1/endpoints/{endpoint_id}": names["endpoint_id"][:2],
        "DELETE /v1/campaigns/{campaign_id}": names["campaign_id"][:2],
        "DELETE /v1/quarantine/{quarantine_id}": names["quarantine_id"][:2],
        "POST /v1/checkouts/{checkout_id}/complete": names["checkout_id"][-1::-1],
        "endpoint_id": [names["endpoint_id"][0]],
        "checkout_id": [names["checkout_id"][0]],
    }
    (tmp_path / "schemathesis.toml").write_text(configuration(town, names))
    environment = {
        "CHECKBACK_STAYS": json.dumps(stays),
        "SCHEMATHESIS_HOOKS": "tests.integration.api.schemathesis_hooks",
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        # Its tables of characters, which its own folder would be without.
        "HYPOTHESIS_STORAGE_DIRECTORY": str(storage_directory().path),
    }

    with served() as api, caplog.at_level(logging.CRITICAL, "merchant_api"):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", tmp_path / "schemathesis.toml"),
                *("run", f"{api.url}/openapi.json", "--url", api.url),
            ],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    seen = _by_operation(api.exchanges)
    described = {f"{own.method} {own.template}" for own in town.operations}
    assert [own for own in sorted(described) if not any(200 <= status < 300 for status in seen[own])] == []
    assert f"Tested: {len(described) + len(PUBLIC)}" in done.stdout
    assert len(api.exchanges) >= 1_000


def inhabitants(town: Town, shop: Shop) -> dict[str, list[str]]:
    """Ids by the name of a path's parameter: the town's own first, then as many that may go."""
    mine = town.victim

    def made(method: str, path: str, body: Any = None, *, by: Api = mine) -> str:
        answer = by(method, path, body)
        assert answer.status in {200, 201, 202}, answer.text
        return str(answer.json["id"])

    step = {"after": "PT1H", "endpoint_id": town.ids["endpoint_id"]}
    hook = {"kind": "webhook", "url": "https://bsp.example.com/", "settings": {"signatures": ["v1", "v1a"]}}
    pulled = made("POST", "/v1/sources", source("emporix"))
    failed = _checkouts(shop, SPARE)
    assert mine("POST", f"/v1/endpoints/{town.ids['endpoint_id']}/enable").status == 200
    spare = range(SPARE)
    more = {
        "merchant_id": [new_merchant(town.operator)["id"] for _ in spare],
        "token_id": [made("POST", "/v1/tokens") for _ in spare],
        "source_id": [
            pulled,
            *(made("POST", "/v1/sources", {"provider": "custom" if number % 2 else "flexype"}) for number in spare),
        ],
        "endpoint_id": [made("POST", "/v1/endpoints", hook) for _ in spare],
        "campaign_id": [made("POST", "/v1/campaigns", {"name": "Back", "steps": [step]}) for _ in spare],
        "pool_id": [made("POST", "/v1/coupon-pools", {"name": "Codes"})],
        "checkout_id": failed,
        "delivery_id": [str(own.id) for own in shop.deliveries() if own.id != town.ids["delivery_id"]],
        "quarantine_id": [_quarantined(shop) for _ in spare],
        "suppression_id": [
            made("POST", "/v1/suppressions", {"phone": f"+91777778{number:04}"}) for number in range(SPARE)
        ],
    }
    found = {name: [own, *more.get(name, [])] for name, own in town.ids.items()}
    return found | {"quarantine_id": more["quarantine_id"]}


def _checkouts(shop: Shop, many: int) -> list[str]:
    """Further checkouts, abandoned, of which nobody could be told."""
    sessions = [f"331d47df-8461-495b-9c4f-27ed915d0{number:03}" for number in range(many)]
    shop.answer = lambda _: Answer(410)
    for number, session in enumerate(sessions):
        shop.webhook(session=session, user=stranger(number))
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    shop.deliver()
    return [f"chk_{shop.digest(session)}" for session in sessions]


_BODIES = count()


def _quarantined(shop: Shop) -> str:
    found, key = QuarantineId(f"qrn_{new_ulid(shop.now)}"), f"body-{next(_BODIES)}"
    shop.stores.bucket.keep_body(key, PAYLOAD.read_bytes(), "application/json")
    record = QuarantineRecord(found, shop.merchant.id, SOURCE, "flexype", "no stage", key, 2, shop.now)
    QuarantineStore(shop.table).add(record)
    return str(found)


def configuration(town: Town, names: Mapping[str, Sequence[str]]) -> str:
    """Schemathesis' own configuration file."""
    lines = [
        f"seed = {SEED}",
        "continue-on-failure = true",
        f"request-timeout = {PATIENCE}",
        "suppress-health-check = ['filter_too_much', 'too_slow']",
        "[generation]",
        f"max-examples = {CASES}",
        "no-shrink = true",
        "database = 'none'",
        "[phases.examples]",
        "fill-missing = true",
        "[checks.positive_data_acceptance]",
        f"expected-statuses = {TAKEN}",
        "[checks.negative_data_rejection]",
        f"expected-statuses = {REFUSED}",
        "[auth.openapi.adminKey]",
        f'bearer = "{town.operator.credential}"',
        "[auth.openapi.merchantToken]",
        f'bearer = "{town.victim.credential}"',
    ]
    for name, values in names.items():
        lines += [f"[dictionaries.{name}]", f"values = {list(values)}"]
    lines += ["[parameters]", *(f'"path.{own}" = {{dictionary = "{own}", probability = 0.8}}' for own in names)]
    return "\n".join(lines)


def _by_operation(exchanges: Sequence[Exchange]) -> dict[str, Counter[int]]:
    """How often each operation answered each status."""
    resolver = importlib.import_module("functions.merchant_api.handler")._pipeline._resolver
    found: dict[str, Counter[int]] = {}
    for own in exchanges:
        operation, _ = resolver.find(own.method, own.path.partition("?")[0])
        name = f"{own.method} {operation.name if operation else None}"
        found.setdefault(name, Counter())[own.status] += 1
    return found


def _without_waiting(read: Any) -> Any:
    def at_once(stream: EventStream, *arguments: Any, wait: float, **named: Any) -> Any:
        return read(stream, *arguments, wait=0, **named)

    return at_once
