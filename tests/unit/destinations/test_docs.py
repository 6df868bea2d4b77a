"""The pages for merchants: what they say to paste is what registration accepts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.destinations import registry
from shared.workflows.delivering.endpoint_setup import Draft, check
from tests.unit.destinations.test_message_kinds import KINDS

DOCS = Path(__file__).parents[3] / "docs" / "destinations"
MERCHANT = "mer_01KAHJ0000000000000000000M"
PAGES = sorted(DOCS.glob("*.md"))


def endpoints(page: Path) -> list[dict[str, Any]]:
    blocks = [
        json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    ]
    return [block for block in blocks if "kind" in block]


@pytest.mark.parametrize("kind", registry.kinds())
def test_every_kind_has_its_page_with_an_endpoint_to_copy(kind: str) -> None:
    found = endpoints(DOCS / f"{kind}.md")
    assert [endpoint["kind"] for endpoint in found] == [kind] * len(found)
    assert found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_to_be_copied_can_be_registered(page: Path) -> None:
    for endpoint in endpoints(page):
        draft = Draft(endpoint["kind"], endpoint.get("url"), endpoint.get("headers", {}), endpoint["settings"])
        check(draft, local=False, merchant_id=MERCHANT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_setting_is_either_explained_or_shown() -> None:
    for kind in (kind.name for kind in KINDS):
        page = (DOCS / f"{kind}.md").read_text()
        for setting in registry.destination(kind).settings["properties"]:
            assert setting in page or setting == "base_url", f"{kind}: {setting}"
