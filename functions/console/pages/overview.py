"""The overview: what was recovered, what the messages caused, where checkouts are left."""

from collections.abc import Iterator
from typing import Any

from functions.console import answers
from functions.console.charts import Bar
from functions.console.visit import Visit
from functions.console.words import reason


def show(visit: Visit) -> dict[str, Any]:
    """The last 30 days, or those that the address names."""
    since, until = visit.query.get("from"), visit.query.get("to")
    report = visit.get("/v1/metrics/recovery", **{"from": since, "to": until, "group_by": "day"})
    funnel = visit.get("/v1/metrics/funnel", **{"from": since, "to": until})
    days = [Bar(own["key"], own["abandoned"], own["recovered"], own["immature"]) for own in report["data"]]
    return answers.page(
        visit,
        "overview.html",
        merchant=visit.merchant,
        report=report,
        total=report["total"],
        funnel=funnel["data"],
        days=days,
        verdict=_verdict(report["total"]["lift"]),
        explained=report["definitions"],
        not_sent=list(_not_sent(report["total"])),
    )


def _not_sent(total: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Each reason in words with its steps, the commonest first; last those of days that were summed without reasons."""
    counts: dict[str, int] = total["not_sent_reasons"]
    for name, count in sorted(counts.items(), key=lambda own: (-own[1], own[0])):
        yield reason(name), count
    if untold := total["not_sent"] - sum(counts.values()):
        yield "the reason was not kept", untold


def _verdict(lift: dict[str, float] | None) -> str:
    """What the lift means, in a sentence."""
    if lift is None:
        return "Not known yet: it takes a holdout, and shoppers on both sides of it."
    points, low, high = (f"{lift[name] * 100:+.1f}" for name in ("difference", "low", "high"))
    between = f"between {low} and {high} percentage points with {lift['confidence'] * 100:.0f} % confidence"
    if lift["low"] > 0:
        return f"Messages cause recoveries: {points} points over the holdout, {between}."
    if lift["high"] < 0:
        return f"Messages do harm: {points} points under the holdout, {between}. Pause the campaign and look why."
    return f"Not yet more than chance: {points} points beside the holdout, {between}."
