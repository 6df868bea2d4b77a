"""A search through checkouts, whichever client's language it was written in: terms, joined by and, or, not."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from shared.domain.instants import parse_instant

_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2999


class NotSearchable(ValueError):
    """The search is malformed, or asks for what is not searched by."""


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison. ``value`` is an instant, the first instant of a ``day``, an id, or one of the field's words."""

    field: str
    comparison: str
    value: str | datetime
    day: bool = False


@dataclass(frozen=True, slots=True)
class All:
    """Every one of them holds."""

    parts: tuple["Search", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one holds."""

    parts: tuple["Search", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    part: "Search"


type Search = Term | All | AnyOf | Not


def searched_instant(value: object) -> datetime | None:
    """The instant a search names, None where it is none, or so far off that no calendar can count on from it."""
    try:
        instant = parse_instant(value) if isinstance(value, str) and "T" in value else None
    except (ValueError, OverflowError):
        return None
    return instant if instant is not None and _FIRST_YEAR <= instant.year <= _LAST_YEAR else None


def holds(search: Search, term_holds: Callable[[Term], bool]) -> bool:
    """Whether the search holds, by what ``term_holds`` says of each term."""
    match search:
        case Term():
            return term_holds(search)
        case All():
            return all(holds(part, term_holds) for part in search.parts)
        case AnyOf():
            return any(holds(part, term_holds) for part in search.parts)
        case Not():
            return not holds(search.part, term_holds)
        case _:
            assert_never(search)


def terms(search: Search) -> list[Term]:
    """Every term in it."""
    match search:
        case Term():
            return [search]
        case Not():
            return terms(search.part)
        case All() | AnyOf():
            return [term for part in search.parts for term in terms(part)]
        case _:
            assert_never(search)


def compared[T: (str, datetime)](own: T, comparison: str, other: T) -> bool:
    """Whether ``own`` stands to ``other`` as a term's comparison says."""
    match comparison:
        case "<":
            return own < other
        case ">":
            return own > other
        case "<=":
            return own <= other
        case ">=":
            return own >= other
        case _:
            return own == other


def at(term: Term, instant: datetime) -> bool:
    """Whether an instant is what a term of a time asks for. A day is all of it, in UTC."""
    if not isinstance(term.value, datetime):
        return False
    if not term.day:
        return compared(instant, term.comparison, term.value)
    end = term.value + timedelta(days=1)
    match term.comparison:
        case "=":
            return term.value <= instant < end
        case ">":
            return instant >= end
        case "<=":
            return instant < end
        case _:
            return compared(instant, term.comparison, term.value)
