"""`docs/` as a site: every link leads somewhere, no page asks a third party's host, what pages say of code is true."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from checkback.failures import Exit
from checkback.main import cli
from infra.local.engine import PROJECT
from tests.patience import PATIENCE

PAGES = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}


class Fetched(HTMLParser):
    """The addresses that a browser fetches by itself when it shows the page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.classes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.classes |= set((given.get("class") or "").split())
        if tag in FETCHED and given.get("rel") not in {"canonical", "next", "prev"}:
            self.addresses.append(given.get(FETCHED[tag]) or "")


@pytest.mark.long
def test_the_site_is_built_without_a_word_and_asks_nobody_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        build, cwd=PROJECT, env=environment, check=False, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > len(list((PROJECT / "docs").rglob("*.md")))
    for page in pages:
        found = Fetched()
        found.feed(page.read_text())
        assert not [own for own in found.addresses if re.match(r"(https?:)?//", own)], page
        assert "mermaid" not in found.classes, "Material would fetch its script from another host"
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", sheet.read_text()), sheet


@pytest.mark.parametrize("page", PAGES, ids=lambda own: own.name)
def test_a_page_beside_the_site_links_to_what_there_is(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http", "mailto:")):
            assert (PROJECT / target).exists(), target


def test_the_page_of_the_command_line_tells_every_command_and_exit_code() -> None:
    page = (PROJECT / "docs/command-line.md").read_text()
    for name in cli.list_commands(None):  # type: ignore[arg-type]
        if name != "completion":
            assert re.search(rf"^\| [^|]*`{name}\b", page, flags=re.MULTILINE), name
    assert "checkback completion" in page
    assert [int(own) for own in re.findall(r"^\| (\d) \|", page, flags=re.MULTILINE)] == list(Exit)
