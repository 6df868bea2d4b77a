"""What is printed: tables for people, JSON for scripts. What others wrote cannot move a terminal's cursor."""

import json
import shutil
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click


def printable(value: object) -> str:
    """A value as one line of text, without control characters: a shopper chose it, or a vendor."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return "".join(" " if unicodedata.category(own) in {"Cc", "Cf", "Zl", "Zp"} else own for own in text)


def as_json(document: object) -> None:
    """A document for scripts, on one line of output per document."""
    click.echo(json.dumps(document, ensure_ascii=False, default=str))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, nothing: str) -> None:
    """A table of the columns; ``nothing`` is said where there is no row."""
    if not rows:
        click.echo(nothing)
        return
    cells = [[printable(_at(row, name)) for name in columns] for row in rows]
    titles = [own.rpartition(".")[2].upper().replace("_", " ") for own in columns]
    widths = [max(_width(name), *(_width(own[place]) for own in cells)) for place, name in enumerate(titles)]
    room = max(shutil.get_terminal_size((100, 24)).columns, 40)
    for line in (titles, *cells):
        text = "  ".join(own + " " * (width - _width(own)) for own, width in zip(line, widths, strict=True)).rstrip()
        click.echo(text if not _is_terminal() else _cut(text, room))


def facts(document: Mapping[str, Any], names: Iterable[str] | None = None) -> None:
    """A thing's facts, one a line."""
    shown = list(names or document)
    width = max((len(own) for own in shown), default=0)
    for name in shown:
        click.echo(f"{name:<{width}}  {printable(_at(document, name))}")


def _at(row: Mapping[str, Any], name: str) -> Any:
    """A value by its dotted name."""
    found: Any = row
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(own) else 1 + (unicodedata.east_asian_width(own) in "WF") for own in text)


def _is_terminal() -> bool:
    return click.get_text_stream("stdout").isatty()


def _cut(text: str, room: int) -> str:
    while _width(text) > room:
        text = text[:-2] + "…"
    return text
