"""Draws a dashboard (its ``DashboardBody``) over metrics as an SVG, each widget where the definition puts it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any

from tests.integration.alarms.cloudwatch import CloudWatch, Series, computed

COLUMN, ROW = 50, 32
LEFT, TOP, BOTTOM = 62, 46, 40
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#7f7f7f")
STEP = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Span:
    """What is shown."""

    start: datetime
    end: datetime


def body_of(dashboard: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The body of an ``AWS::CloudWatch::Dashboard``, and what it refers to, by the words that stand in their place."""
    references: dict[str, Any] = {}
    text = ""
    for part in dashboard["DashboardBody"]["Fn::Join"][1]:
        if isinstance(part, str):
            text += part
        else:
            word = f"@{len(references)}@"
            references[word] = part
            text += word
    return json.loads(text), references


def draw(dashboard: Mapping[str, Any], watched: CloudWatch, span: Span, fired: Mapping[str, bool]) -> str:
    """The picture. ``fired``: by alarm whether it fired in the span."""
    body, references = body_of(dashboard)
    height = max(own["y"] + own["height"] for own in body["widgets"]) * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN} {height}" font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="#f4f4f4"/>',
    ]
    for widget in body["widgets"]:
        x, y = widget["x"] * COLUMN, widget["y"] * ROW
        wide, high = widget["width"] * COLUMN - 8, widget["height"] * ROW - 8
        parts.append(f'<g transform="translate({x + 4},{y + 4})">')
        parts.append(f'<rect width="{wide}" height="{high}" fill="#fff" stroke="#ccc"/>')
        parts.append(
            f'<text x="10" y="20" font-size="13" font-weight="bold">{escape(widget["properties"]["title"])}</text>'
        )
        if widget["type"] == "alarm":
            parts += _alarms(fired, wide)
        else:
            parts += _graph(widget["properties"], references, watched, span, (wide, high))
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _alarms(fired: Mapping[str, bool], wide: int) -> Iterator[str]:
    columns = 9
    each = (wide - 20) // columns
    for at, (name, rang) in enumerate(sorted(fired.items())):
        x, y = 10 + at % columns * each, 30 + at // columns * 28
        fill = "#d62728" if rang else "#2ca02c"
        yield f'<rect x="{x}" y="{y}" width="{each - 6}" height="22" rx="3" fill="{fill}"/>'
        yield f'<text x="{x + 6}" y="{y + 15}" fill="#fff" font-size="10.5">{escape(name)}</text>'


def _graph(
    shown: Mapping[str, Any],
    references: Mapping[str, Any],
    watched: CloudWatch,
    span: Span,
    size: tuple[int, int],
) -> Iterator[str]:
    wide, high = size[0] - LEFT - 12, size[1] - TOP - BOTTOM
    lines = dict(_lines(shown["metrics"], references, watched, span))
    top = max((value for points in lines.values() for _, value in points), default=0) or 1
    yield f'<text x="10" y="36" fill="#666" font-size="10.5">{escape(shown["yAxis"]["left"]["label"])}</text>'
    for share in (0, 0.5, 1):
        y = TOP + high * (1 - share)
        yield f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{y}" y2="{y}" stroke="#e4e4e4"/>'
        mark = f"{top * share:,.4g}"
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end" fill="#666" font-size="10.5">{mark}</text>'
    length = (span.end - span.start) / STEP
    for at in range(0, int(length) + 1, 6):
        x = LEFT + wide * at / length
        told = f"{span.start + at * STEP:%H:%M}"
        yield f'<text x="{x}" y="{TOP + high + 15}" text-anchor="middle" fill="#666" font-size="10.5">{told}</text>'
    x = 10
    for number, (label, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        for run in _runs(points):
            told = " ".join(
                f"{LEFT + wide * at / length:.1f},{TOP + high * (1 - value / top):.1f}" for at, value in run
            )
            yield f'<polyline points="{told}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
            if len(run) == 1:
                cx, cy = told.split(",")
                yield f'<circle cx="{cx}" cy="{cy}" r="2.4" fill="{colour}"/>'
        yield f'<text x="{x}" y="{size[1] - 8}" fill="{colour}" font-size="10.5">{escape(label)}</text>'
        x += 16 + 6 * len(label)


def _runs(points: Sequence[tuple[int, float]]) -> Iterator[list[tuple[int, float]]]:
    """Neighbours; where a period has no value the line breaks off."""
    run: list[tuple[int, float]] = []
    for point in points:
        if run and point[0] != run[-1][0] + 1:
            yield run
            run = []
        run.append(point)
    if run:
        yield run


def _lines(
    metrics: Sequence[Sequence[Any]], references: Mapping[str, Any], watched: CloudWatch, span: Span
) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """Label and points of each line that is shown."""
    hidden = {own[-1]["id"]: own for own in metrics if isinstance(own[-1], dict) and "id" in own[-1]}
    for row in metrics:
        options = row[-1] if isinstance(row[-1], dict) else {}
        if options.get("visible") is False:
            continue
        points = []
        for at in range(int((span.end - span.start) / STEP)):
            period = span.start + at * STEP, span.start + (at + 1) * STEP
            if "expression" in options:
                names = [name for name in hidden if re.search(rf"\b{name}\b", options["expression"])]
                series = {name: _series(hidden[name], references) for name in names}
                values = {name: watched.statistic(own, _stat(hidden[name]), *period) for name, own in series.items()}
                if None in values.values():
                    continue
                given = {name: own or 0.0 for name, own in values.items()}
                quotas = {name: watched.quotas.get(own, 1.0) for name, own in series.items()}
                points.append((at, computed(options["expression"], given, quotas)))
            else:
                value = watched.statistic(_series(row, references), _stat(row), *period)
                if value is not None:
                    points.append(
                        (
                            at,
                            value / (STEP / timedelta(seconds=options.get("period", 300)))
                            if _stat(row) == "Sum"
                            else value,
                        )
                    )
        yield str(options.get("label", row[1] if len(row) > 1 else "")), points


def _stat(row: Sequence[Any]) -> str:
    return str(row[-1].get("stat", "Average")) if isinstance(row[-1], dict) else "Average"


def _series(row: Sequence[Any], references: Mapping[str, Any]) -> Series:
    plain = [own for own in row if not isinstance(own, dict)]
    pairs = zip(plain[2::2], plain[3::2], strict=True)
    return Series.of(plain[0], plain[1], {name: references.get(value, value) for name, value in pairs})
