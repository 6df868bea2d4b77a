"""The benchmarks' page as text: its lines filled, and chapters that were measured anew put in the place of the old."""

import re
import textwrap
from collections.abc import Collection, Iterable
from itertools import groupby

WIDTH = 120


def chosen(only: str, chapters: Collection[str]) -> list[str]:
    """The chapters that are named, none where all are meant. Raises SystemExit for one that there is not."""
    wanted = only.split()
    if unknown := set(wanted) - set(chapters):
        raise SystemExit(f"ONLY takes {', '.join(chapters)}, and not {', '.join(sorted(unknown))}")
    return wanted


def page(lines: Iterable[str]) -> str:
    """The lines as a page: what is prose is filled, a row or a heading stays as it is."""
    blocks: list[str] = []
    for is_prose, block in groupby(lines, lambda line: line[:1] not in {"", "#", "|"}):
        told = list(block)
        blocks += [textwrap.fill(" ".join(told), WIDTH, break_on_hyphens=False)] if is_prose else told
    return "\n".join(blocks) + "\n"


def with_chapters(standing: str, chapters: str) -> str:
    """The page with these chapters in the place of its own of the same headings; new ones come last."""
    anew = {own.splitlines()[0]: own.rstrip() for own in re.split(r"(?m)^(?=## )", chapters) if own.strip()}
    kept = [own.rstrip() for own in re.split(r"(?m)^(?=## )", standing)]
    told = [anew.pop(own.splitlines()[0], own) for own in kept]
    return "\n\n".join([*told, *anew.values()]) + "\n"
