"""Kinds of destination are found by name, loaded late, and may come from elsewhere."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.destinations import registry
from shared.destinations.destination import Endpoint
from tests.patience import PATIENCE

STRANGER = """
from datetime import UTC, datetime

from shared.delivery.exchange import OutboundRequest
from shared.delivery.outcome import Attempt, Outcome


class Pigeon:
    kind = "pigeon"
    title = "Carrier pigeon"
    settings = {"type": "object", "properties": {"loft": {"type": "string"}}}

    def problems(self, endpoint):
        return []

    def build(self, delivery, endpoint):
        return OutboundRequest(endpoint.url, delivery.body)

    def classify(self, result, endpoint):
        return Attempt(datetime.now(UTC), None, 0, Outcome.UNKNOWN)


destination = Pigeon()
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_modules", dict(registry._modules))
    monkeypatch.setattr(registry, "_loaded", {})


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "acme_pigeon.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "acme_pigeon"
    sys.modules.pop("acme_pigeon", None)


def test_a_kind_of_ours_is_found() -> None:
    found = registry.destination("webhook")
    assert found.kind == "webhook"
    assert registry.destination("webhook") is found


def test_a_module_of_the_package_is_a_kind_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pigeon.py").write_text(STRANGER)
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "registry.py"))
    assert registry._own_modules() == {"pigeon": "shared.destinations.pigeon"}


def test_every_module_that_is_no_kind_is_named() -> None:
    assert [kind for kind in registry.kinds() if registry.destination(kind).kind != kind] == []


def test_a_stranger_brings_a_kind_without_touching_ours(stranger: str) -> None:
    registry.register("pigeon", stranger)
    assert stranger not in sys.modules
    assert "pigeon" in registry.kinds()
    assert registry.destination("pigeon").title == "Carrier pigeon"
    listed = {entry["kind"]: entry for entry in registry.describe()}
    assert set(listed["pigeon"]["settings"]["properties"]) >= {"loft", "retry_schedule", "rate_limit"}


def test_registering_twice_is_harmless_but_a_name_is_not_taken_over(stranger: str) -> None:
    registry.register("pigeon", stranger)
    registry.register("pigeon", stranger)
    with pytest.raises(ValueError, match="belongs to"):
        registry.register("webhook", stranger)


@pytest.mark.parametrize("name", ["", "Pigeon", "carrier-pigeon", "1st", "p", "x" * 41])
def test_a_kind_is_named_in_snake_case(name: str) -> None:
    with pytest.raises(ValueError, match="destination kind"):
        registry.register(name, "anything")


def test_an_unknown_kind_is_told_apart_from_a_broken_one(stranger: str) -> None:
    with pytest.raises(registry.UnknownKind):
        registry.destination("telex")
    registry.register("telex", stranger)
    with pytest.raises(TypeError, match="telex"):
        registry.destination("telex")


def test_listing_marks_secrets_and_is_plain_json() -> None:
    import json

    (listed,) = [entry for entry in registry.describe() if entry["kind"] == "webhook"]
    assert json.loads(json.dumps(listed)) == listed
    assert listed["settings"]["properties"]["bearer_token"]["writeOnly"] is True
    assert listed["settings"]["properties"]["timeout"]["default"] == "PT15S"


def test_listing_and_validating_load_no_http_client() -> None:
    """The merchant API's bundle has none."""
    code = (
        "import sys; from shared.destinations import registry; registry.describe();"
        "from shared.delivery.target import check_url; check_url('https://hooks.bsp.example/');"
        "print({'httpx', 'httpcore', 'anyio', 'pydantic', 'boto3', 'idna',"
        " 'liquid', 'babel', 'phonenumbers', 'wcwidth'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.strip() == "set()"


def test_an_endpoint_keeps_its_secrets_out_of_its_repr() -> None:
    endpoint = Endpoint(
        "ep_1",
        "webhook",
        "https://hooks.bsp.example/",
        ("whsec_1",),
        "tok",
        {"x-key": "value1"},
        {"password": "value2"},
    )
    assert not {"whsec_1", "tok", "value1", "value2"} & set(repr(endpoint).replace("'", " ").split())
