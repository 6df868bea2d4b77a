"""The runbook's sections on alarms, as the operator reads them: ``docs/runbook.md`` comes with the bundle."""

import re
from functools import cache
from itertools import batched
from pathlib import Path
from typing import NamedTuple

_FILE = Path(__file__).parents[2] / "docs" / "runbook.md"
_SECTION = re.compile(r"^### (\w+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"(?:^- |\s)\*\*(Means|First look|Mend|Verify)\*\* ", re.MULTILINE)
"""Each begins a line of its own, or follows the one before."""
_LINK = re.compile(r"\[([^]]*)]\([^)]*\)")


class Section(NamedTuple):
    """One alarm's: what comes before its parts, and each part by its word (Means, First look, Mend, Verify)."""

    name: str
    before: str
    parts: tuple[tuple[str, str], ...]


def section(anchor: str) -> Section | None:
    """The section that ``docs/runbook.md#<anchor>`` names, or None."""
    return _sections().get(anchor)


@cache
def _sections() -> dict[str, Section]:
    chapter = _FILE.read_text().partition("\n## Alarms\n")[2].partition("\n## ")[0]
    found = {}
    for name, text in _SECTION.findall(chapter + "\n"):
        before, *rest = _PART.split(text)
        parts = tuple((word, _plain(told)) for word, told in batched(rest, 2, strict=True))
        found[name.lower()] = Section(name, _plain(before), parts)
    return found


def _plain(text: str) -> str:
    """Paragraphs in one line each, links by their words."""
    paragraphs = [" ".join(own.split()) for own in re.split(r"\n\s*\n", text.strip())]
    return _LINK.sub(r"\1", "\n\n".join(paragraphs))
