"""Campaigns in plain words: when a message goes out, to whom, with what; and where two versions differ."""

from collections.abc import Mapping
from typing import Any

from functions.console.campaign_form import amount_and_unit, typed_of
from functions.console.words import said

OPERATORS: Mapping[str, str] = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "contains": "contains",
    "exists": "is known",
}
_FIELDS = {"after": "after", "unit": "unit", "mint": "minting endpoint", "pool_id": "pool", "endpoint_id": "endpoint"}
_PARTS = {"s": "Message", "c": "Condition"}
_COUPONS = {"none": "no coupon", "pool": "a code of a pool", "minted": "a code of your own webhook"}


def duration(text: str) -> str:
    """``PT1H`` as "1 hour"."""
    amount, unit = amount_and_unit(text)
    return f"{amount} {unit.removesuffix('s') if amount == '1' else unit}"


def field_label(name: str) -> str:
    """``items.sku`` as "Items sku"."""
    return said(name)


def audience(criteria: Mapping[str, Any]) -> list[str]:
    """The criteria as sentences' parts, one a line; nested ones are indented by what joins them."""
    if not criteria:
        return ["every abandoned checkout"]
    return _told(criteria)


def coupon(rule: Mapping[str, str] | None) -> str:
    """What a step carries."""
    if rule is None:
        return ""
    return f"code {rule['code']}" if rule["type"] == "static" else _COUPONS.get(rule["type"], rule["type"])


def differences(typed: Mapping[str, str], now: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Where what was typed differs from the campaign as it is now: what, typed, now."""
    standing = typed_of(now)
    names = dict.fromkeys((*standing, *typed))
    compared = [name for name in names if name in standing or "." in name or name in _OF_THE_CAMPAIGN]
    return [
        (_label(name), typed.get(name, ""), standing.get(name, ""))
        for name in compared
        if _plain(typed.get(name, "")) != _plain(standing.get(name, ""))
    ]


_OF_THE_CAMPAIGN = frozenset({"coupon", "code", "pool_id", "mint", "criteria_json", "expression", "timezone"})


def _plain(text: str) -> str:
    """Browsers send lines with a carriage return."""
    return text.replace("\r\n", "\n").strip()


def _label(name: str) -> str:
    part, _, own = name.partition(".")
    if own and part[:1] in _PARTS and part[1:].isdecimal():
        return f"{_PARTS[part[0]]} {int(part[1:]) + 1}: {_FIELDS.get(own, said(own).lower())}"
    return said(name)


def _told(criteria: Mapping[str, Any]) -> list[str]:
    if "field" in criteria:
        op, value = criteria["op"], criteria["value"]
        if op == "exists":
            return [f"{field_label(criteria['field'])} is {'known' if value else 'not known'}"]
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return [f"{field_label(criteria['field'])} {OPERATORS.get(op, op)} {shown}"]
    if "not" in criteria:
        return [f"not: {' and '.join(_told(criteria['not']))}"]
    joined = "any" if "any" in criteria else "all"
    lines = [line for part in criteria.get(joined, ()) for line in _told(part)]
    return lines if joined == "all" or len(lines) < 2 else [f"one of: {'; or '.join(lines)}"]
