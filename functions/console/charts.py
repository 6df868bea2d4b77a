"""Charts as inline SVG, by attributes alone: the policy takes no style. A table stands beside each."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

_WIDTH, _HEIGHT = 720, 160


class Bar(NamedTuple):
    """One day: ``part`` of ``whole`` is drawn over it; ``pale`` where it may still grow."""

    label: str
    whole: int
    part: int
    pale: bool


def bars(days: Sequence[Bar], title: str) -> Markup:
    """Bars over time, the part within the whole. Hidden from readers, who have the table."""
    if not days:
        return Markup("")
    highest = max(1, *(day.whole for day in days))
    step = _WIDTH / len(days)
    drawn = [Markup('<line class="axis" x1="0" y1="{0}" x2="{1}" y2="{0}"/>').format(_HEIGHT, _WIDTH)]
    for number, day in enumerate(days):
        x, width = number * step + step * 0.15, step * 0.7
        tall, within = (_HEIGHT - 8) * day.whole / highest, (_HEIGHT - 8) * day.part / highest
        shade = "whole pale" if day.pale else "whole"
        drawn.append(_rectangle(shade, x, tall, width))
        if day.part:
            drawn.append(_rectangle("part", x, within, width))
    # As text beside the picture: within it, they would shrink with it.
    ends = dict.fromkeys((days[0].label, days[-1].label))
    foot = Markup("").join(Markup("<span>{}</span>").format(label) for label in ends)
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" aria-hidden="true" focusable="false"><title>{}</title>{}</svg>'
        '<p class="ends" aria-hidden="true">{}</p>'
    ).format(_WIDTH, _HEIGHT + 1, title, Markup("").join(drawn), foot)


def _rectangle(shade: str, x: float, tall: float, width: float) -> Markup:
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2"/>').format(
        shade, round(x, 1), round(_HEIGHT - tall, 1), round(width, 1), round(tall, 1)
    )
