"""Forms: what was typed, what the API says of it, and how text fields become the API's fields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from functions.console.visit import Refused
from shared.domain.instants import to_rfc3339

_SPANS = {"PT1H": timedelta(hours=1), "P1D": timedelta(days=1), "P3D": timedelta(days=3), "P7D": timedelta(days=7)}


OVERLAPS = (
    ("P1D", "for a day"),
    ("PT1H", "for an hour"),
    ("P7D", "for seven days"),
    ("PT0S", "not at all: it leaked"),
)
"""For how long what is turned over holds beside its successor: the API's durations, and what they are called."""


@dataclass(frozen=True)
class Form:
    """A form as it is shown: what stands in its fields, and what is wrong with each.

    ``rest`` is what is wrong and belongs to no field. ``newer``: where somebody else was faster, what stands by now in
    the fields that differ from what was typed.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    rest: tuple[str, ...] = ()
    newer: Mapping[str, str] | None = None

    def value(self, name: str) -> str:
        """What stands in the field."""
        return self.values.get(name, "")

    def error(self, name: str) -> str | None:
        """What is wrong with it."""
        return self.errors.get(name)

    @property
    def wrong(self) -> bool:
        """Whether anything is."""
        return bool(self.errors or self.rest or self.newer is not None)


def outdated(typed: Mapping[str, str], version: str, now: Mapping[str, str]) -> Form:
    """What was typed into a form of something that is at another ``version`` by now; sent again it goes through.

    ``now``: the same fields as they stand there. What is not among them, as a secret, cannot be compared.
    """
    newer = {name: own for name, own in now.items() if lines(typed.get(name, "")) != lines(own)}
    return Form({**typed, "version": version}, newer=newer)


def refused(typed: Mapping[str, str], why: Refused, places: Mapping[str, str]) -> Form:
    """What was typed, with the API's words beside the fields; ``places``: pointers (or what they begin with) to fields.

    Raises Refused where it is not about what was typed.
    """
    if why.status not in {409, 412, 422}:
        raise why
    errors: dict[str, str] = {}
    rest: list[str] = [] if why.errors else [why.detail]
    for pointer, detail in why.errors.items():
        fitting = [own for own in places if pointer == own or pointer.startswith(f"{own}/")]
        if not fitting:
            rest.append(f"{pointer.strip('/')} {detail}".strip())
            continue
        place = max(fitting, key=len)
        inside = pointer.removeprefix(place).strip("/").replace("~1", "/").replace("~0", "~")
        # A number is a place in a list: told by its line. A name is one of those that were typed.
        head, _, tail = inside.partition("/")
        named = f"line {int(head) + 1} {tail}".strip() if head.isdigit() else inside
        said = f"{named}: {detail}" if named else detail
        name = places[place]
        errors[name] = f"{errors[name]}; {said}" if name in errors else said
    return Form(typed, errors, tuple(rest))


def since(span: str, now: datetime) -> dict[str, str] | None:
    """The API's ``since`` for a chosen span of time, None for all. To the hour: two clicks mean the same time."""
    found = _SPANS.get(span)
    if found is None:
        return None
    return {"since": to_rfc3339((now - found).replace(minute=0, second=0, microsecond=0))}


def lines(text: str) -> list[str]:
    """The lines that say something."""
    return [own.strip() for own in text.splitlines() if own.strip()]


def pairs(text: str) -> dict[str, str]:
    """``name = value`` by lines; a line without the sign is a name of nothing, which the API refuses."""
    found = {}
    for line in lines(text):
        name, _, value = line.partition("=")
        found[name.strip()] = value.strip()
    return found


def paired(values: Mapping[str, str]) -> str:
    """The inverse, to be changed in a field."""
    return "\n".join(f"{name} = {value}" for name, value in values.items())


def filled(form: Mapping[str, str], names: Iterable[str]) -> dict[str, str | None]:
    """These fields of a form as the API takes them: what is empty is null."""
    return {name: form.get(name, "").strip() or None for name in names}
