"""Coupon pools: how many codes are left, until when at this pace, and more of them."""

from typing import Any

from functions.console import answers, forms
from functions.console.forms import Form
from functions.console.visit import Refused, Visit

_MOST_CODES = 5_000


def show_list(visit: Visit) -> dict[str, Any]:
    """Oldest first, codes never."""
    return _page(visit, Form())


def make(visit: Visit) -> dict[str, Any]:
    """A new pool, empty at first."""
    typed = visit.form
    try:
        made = visit.ask("POST", "/v1/coupon-pools", body={"name": typed.get("name", "").strip()}, once=True)
    except Refused as why:
        return _page(visit, forms.refused(typed, why, {"/name": "name"}))
    return answers.see_other(visit.url(f"/settings/coupons/{made['id']}", done="pool_made"))


def show(visit: Visit, pool_id: str) -> dict[str, Any]:
    """One pool, to be filled."""
    return _one(visit, visit.get(f"/v1/coupon-pools/{pool_id}"), Form())


def fill(visit: Visit, pool_id: str) -> dict[str, Any]:
    """Add codes; those that the pool ever held are not added again, so a double click adds them once."""
    typed, path = visit.form, f"/v1/coupon-pools/{pool_id}"
    codes = typed.get("codes", "").replace(",", " ").replace(";", " ").split()
    if not codes or len(codes) > _MOST_CODES:
        wrong = "At least one." if not codes else f"{len(codes):,} at once; {_MOST_CODES:,} at most."
        return _one(visit, visit.get(path), Form(typed, {"codes": wrong}))
    try:
        done = visit.ask("POST", f"{path}/codes", body={"codes": codes})
    except Refused as why:
        return _one(visit, visit.get(path), forms.refused(typed, why, {"/codes": "codes"}))
    return answers.see_other(visit.url(f"/settings/coupons/{pool_id}", added=done["added"], known=done["duplicates"]))


def _page(visit: Visit, form: Form) -> dict[str, Any]:
    rows = visit.get("/v1/coupon-pools", limit=200)["data"]
    return answers.page(visit, "coupons.html", merchant=visit.merchant, rows=rows, form=form)


def _one(visit: Visit, pool: dict[str, Any], form: Form) -> dict[str, Any]:
    told = [visit.query.get(name, "") for name in ("added", "known")]
    counts = [int(own) if own.isascii() and own.isdigit() and len(own) < 6 else 0 for own in told]
    return answers.page(
        visit,
        "coupon_pool.html",
        merchant=visit.merchant,
        pool=pool,
        form=form,
        added=counts if any(told) else None,
    )
