"""The campaign editor's fields: a campaign as typed text, and typed text as the API's campaign.

Steps and conditions are numbered from 0 (``s0.after``, ``c0.field``); ``steps`` and ``conditions`` say how many there
are. Criteria that no list of conditions can say stand as JSON.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from shared.domain.criteria import FIELDS, FieldKind
from shared.domain.durations import parse_duration

UNITS: Final[Mapping[str, str]] = {"minutes": "PT{}M", "hours": "PT{}H", "days": "P{}D", "seconds": "PT{}S"}
_LENGTHS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
_STEP = ("after", "unit", "endpoint_id", "channel", "template", "coupon", "code", "pool_id", "mint")
_CONDITION = ("field", "op", "value")
_LISTS = frozenset({"in", "not_in"})
_COUPON = {"code": "code", "pool_id": "pool_id", "endpoint_id": "mint"}
"""The API's fields of a coupon, and the editor's."""
MOST_STEPS: Final = 10
MOST_CONDITIONS: Final = 20
_NO_JSON = "this is no JSON object"


def starter(name: str, endpoint_id: str) -> dict[str, str]:
    """What a template fills in; an unknown name fills in the simplest."""
    steps: list[dict[str, str]] = [{"after": "1", "unit": "hours"}]
    if name == "three":
        steps += [{"after": "1", "unit": "days"}, {"after": "2", "unit": "days"}]
    elif name == "discount":
        steps.append({"after": "1", "unit": "days", "coupon": "static"})
    titles = {"three": "Three messages", "discount": "A reminder, then a discount"}
    typed = {
        "name": titles.get(name, "A reminder after an hour"),
        "trigger": "abandonment",
        "do_not_send_after": "3",
        "do_not_send_after_unit": "days",
        "priority": "0",
        "max_per_episode": "3",
        "join": "all",
        "conditions": "0",
        "steps": str(len(steps)),
    }
    for at, step in enumerate(steps):
        typed |= {f"s{at}.{field}": value for field, value in ({"endpoint_id": endpoint_id} | step).items()}
    return typed


def typed_of(campaign: Mapping[str, Any]) -> dict[str, str]:
    """A campaign, as the API shows it, as the editor's fields."""
    trigger = campaign["trigger"]
    window: dict[str, str] = trigger.get("window") or {}
    typed = {
        "name": campaign["name"],
        "trigger": trigger["type"],
        "expression": trigger.get("expression") or "",
        "timezone": trigger.get("timezone") or "",
        "priority": str(campaign["priority"]),
        "max_per_episode": str(campaign["limits"]["max_per_episode"]),
        "steps": str(len(campaign["steps"])),
    }
    durations = {"do_not_send_after": campaign["do_not_send_after"]}
    durations |= {name: window[name] for name in ("modified_after", "modified_before") if window.get(name)}
    for name, text in durations.items():
        typed[name], typed[f"{name}_unit"] = amount_and_unit(text)
    typed |= _typed_coupon(campaign["coupon"], "")
    for at, step in enumerate(campaign["steps"]):
        after, unit = amount_and_unit(step["after"])
        own = {"after": after, "unit": unit, "endpoint_id": step["endpoint_id"], "channel": step["channel"] or ""}
        own["template"] = json.dumps(step["template"], indent=2, ensure_ascii=False) if step["template"] else ""
        typed |= {f"s{at}.{name}": value for name, value in own.items()} | _typed_coupon(step["coupon"], f"s{at}.")
    return typed | _typed_criteria(campaign["criteria"])


def body_of(typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The API's campaign, and what is wrong with fields that are no JSON, by their names."""
    wrong: dict[str, str] = {}
    body: dict[str, Any] = {
        "name": typed.get("name", ""),
        "trigger": _trigger(typed),
        "criteria": _criteria(typed, wrong),
        "steps": [_step(typed, at, wrong) for at in range(count(typed, "steps"))],
        "do_not_send_after": _duration(typed, "do_not_send_after", "do_not_send_after_unit"),
        "priority": _whole(typed.get("priority", "")),
        "limits": {"max_per_episode": _whole(typed.get("max_per_episode", ""))},
        "coupon": _coupon(typed, ""),
    }
    return body, wrong


def places(typed: Mapping[str, str], within: str = "") -> dict[str, str]:
    """Which field each of the API's pointers is about; ``within`` is what they all begin with."""
    found = {
        "/name": "name",
        "/do_not_send_after": "do_not_send_after",
        "/priority": "priority",
        "/limits": "max_per_episode",
        "/trigger/expression": "expression",
        "/trigger/timezone": "timezone",
        "/trigger/window": "modified_after",
        "/trigger/window/modified_before": "modified_before",
        **_coupon_places("/coupon", ""),
    }
    for at in range(count(typed, "steps")):
        found |= {f"/steps/{at}/{name}": f"s{at}.{name}" for name in ("after", "endpoint_id", "channel", "template")}
        found |= _coupon_places(f"/steps/{at}/coupon", f"s{at}.")
    if typed.get("criteria_json"):
        found["/criteria"] = "criteria_json"
    for at in range(count(typed, "conditions")):
        found |= {f"/criteria/{typed.get('join', 'all')}/{at}/{name}": f"c{at}.{name}" for name in _CONDITION}
    return {within + pointer: name for pointer, name in found.items()}


def rearranged(typed: Mapping[str, str], do: str) -> dict[str, str] | None:
    """The fields with one more or one less step or condition; None where ``do`` asks for nothing of the kind."""
    verb, _, rest = do.partition("-")
    what, _, number = rest.partition("-")
    if what not in {"step", "condition"} or verb not in {"add", "drop"}:
        return None
    prefix, fields, most = ("s", _STEP, MOST_STEPS) if what == "step" else ("c", _CONDITION, MOST_CONDITIONS)
    held, changed = count(typed, f"{what}s"), dict(typed)
    if verb == "add":
        if held < most:
            changed[f"{what}s"] = str(held + 1)
            # The next message goes the way of the one before it.
            before = {"after": "1", "unit": "days", "endpoint_id": typed.get(f"s{held - 1}.endpoint_id", "")}
            changed |= {f"s{held}.{name}": value for name, value in before.items()} if what == "step" else {}
        return changed
    if not number.isdecimal() or int(number) >= held:
        return changed
    for at in range(int(number), held):
        for name in fields:
            following = typed.get(f"{prefix}{at + 1}.{name}", "") if at + 1 < held else ""
            changed[f"{prefix}{at}.{name}"] = following
    changed[f"{what}s"] = str(held - 1)
    return changed


def count(typed: Mapping[str, str], name: str) -> int:
    """How many ``steps`` or ``conditions`` there are."""
    text = typed.get(name, "")
    most = MOST_STEPS if name == "steps" else MOST_CONDITIONS
    return min(int(text), most) if text.isdecimal() and len(text) < 4 else 0


def amount_and_unit(text: str) -> tuple[str, str]:
    """``PT90M`` as 90 minutes, ``P1D`` as 1 day: the largest unit of which it is a whole number."""
    duration = parse_duration(text)
    if duration is None:
        return text, "minutes"
    seconds = duration // timedelta(seconds=1)
    unit = next(own for own, length in _LENGTHS.items() if seconds % length == 0) if seconds else "minutes"
    return str(seconds // _LENGTHS[unit]), unit


def _duration(typed: Mapping[str, str], name: str, unit: str) -> str:
    amount = typed.get(name, "").strip()
    return UNITS.get(typed.get(unit, ""), "PT{}M").format(amount) if amount.isdecimal() else amount


def _whole(text: str) -> Any:
    """A number where it is one; else the text, which the API refuses."""
    try:
        return int(text)
    except ValueError:
        return text


def _trigger(typed: Mapping[str, str]) -> dict[str, Any]:
    if typed.get("trigger") != "schedule":
        return {"type": "abandonment"}
    window = {
        name: _duration(typed, name, f"{name}_unit")
        for name in ("modified_after", "modified_before")
        if typed.get(name, "").strip()
    }
    return {
        "type": "schedule",
        "expression": typed.get("expression", ""),
        "timezone": typed.get("timezone", "").strip() or None,
        "window": window or None,
    }


def _step(typed: Mapping[str, str], at: int, wrong: dict[str, str]) -> dict[str, Any]:
    own = {name: typed.get(f"s{at}.{name}", "") for name in _STEP}
    return {
        "after": _duration(typed, f"s{at}.after", f"s{at}.unit"),
        "endpoint_id": own["endpoint_id"],
        "channel": own["channel"] or None,
        "template": _object(typed, f"s{at}.template", wrong),
        "coupon": _coupon(typed, f"s{at}."),
    }


def _coupon(typed: Mapping[str, str], prefix: str) -> dict[str, Any] | None:
    kind = typed.get(f"{prefix}coupon", "")
    if not kind:
        return None
    wanted = {"static": "code", "pool": "pool_id", "minted": "endpoint_id"}.get(kind)
    return {"type": kind} | ({wanted: typed.get(prefix + _COUPON[wanted], "")} if wanted else {})


def _typed_coupon(coupon: Mapping[str, str] | None, prefix: str) -> dict[str, str]:
    if coupon is None:
        return {}
    given = {f"{prefix}{name}": coupon[own] for own, name in _COUPON.items() if own in coupon}
    return {f"{prefix}coupon": coupon["type"], **given}


def _coupon_places(pointer: str, prefix: str) -> dict[str, str]:
    return {pointer: f"{prefix}coupon", **{f"{pointer}/{own}": f"{prefix}{name}" for own, name in _COUPON.items()}}


def _criteria(typed: Mapping[str, str], wrong: dict[str, str]) -> dict[str, Any]:
    if typed.get("criteria_json", "").strip():
        return _object(typed, "criteria_json", wrong)
    conditions = [_condition(typed, at) for at in range(count(typed, "conditions"))]
    return {"any" if typed.get("join") == "any" else "all": conditions} if conditions else {}


def _condition(typed: Mapping[str, str], at: int) -> dict[str, Any]:
    field, op, text = (typed.get(f"c{at}.{name}", "").strip() for name in _CONDITION)
    value: Any = text
    if op == "exists":
        value = text.lower() != "no"
    elif op in _LISTS:
        value = [_scalar(field, own.strip()) for own in text.split(",") if own.strip()]
    else:
        value = _scalar(field, text)
    return {"field": field, "op": op, "value": value}


def _scalar(field: str, text: str) -> Any:
    return _whole(text) if FIELDS.get(field) is FieldKind.NUMBER else text


def _typed_criteria(criteria: Mapping[str, Any]) -> dict[str, str]:
    """As conditions where all or any of some are meant; else as JSON."""
    join = "any" if set(criteria) == {"any"} else "all"
    parts = [criteria] if "field" in criteria else criteria.get(join, [])
    plain = all(isinstance(own, Mapping) and set(own) == set(_CONDITION) for own in parts)
    if not plain or len(parts) > MOST_CONDITIONS or not (set(criteria) <= {join} or "field" in criteria):
        return {"criteria_json": json.dumps(criteria, indent=2, ensure_ascii=False), "join": "all", "conditions": "0"}
    typed = {"join": join, "conditions": str(len(parts))}
    for at, own in enumerate(parts):
        typed |= {f"c{at}.field": str(own["field"]), f"c{at}.op": str(own["op"]), f"c{at}.value": _text(own["value"])}
    return typed


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _object(typed: Mapping[str, str], name: str, wrong: dict[str, str]) -> dict[str, Any]:
    text = typed.get(name, "").strip()
    if not text:
        return {}
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        wrong[name] = _NO_JSON
        return {}
    return read
