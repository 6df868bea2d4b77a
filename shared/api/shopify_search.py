"""Shopify's search syntax, as far as abandoned checkouts are searched by it.

Terms ``field:value`` with comparators ``< > <= >=``, joined by AND (also by a blank), OR and NOT (also ``-field:``), in
parentheses (https://shopify.dev/docs/api/usage/search-syntax). Fields as the query ``abandonedCheckouts`` has them.
Anything else is refused: a filter that is left out unseen would answer with more than was asked for.
"""

import re
from collections.abc import Mapping
from typing import Final

from shared.api.search_terms import All, AnyOf, Not, NotSearchable, Search, Term, searched_instant

LONGEST: Final = 1_000
"""Characters of a search."""
_DEEPEST: Final = 20
_FIELDS: Final = frozenset({"created_at", "updated_at", "status", "recovery_state", "id"})
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "status": frozenset({"open", "closed"}),
    "recovery_state": frozenset({"recovered", "not_recovered"}),
}
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<paren>[()])|(?P<minus>-)?(?P<field>[A-Za-z_]+):(?P<op><=|>=|<|>)?"""
    r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s()"']+))|(?P<word>[^\s()]+))"""
)
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_GID: Final = re.compile(r"(?:gid://shopify/AbandonedCheckout/)?(?P<id>[A-Za-z0-9_]{1,80})", re.ASCII)


def parse(text: str) -> Search:
    """The search in ``text``; a blank one is all. Raises NotSearchable."""
    if len(text) > LONGEST:
        raise NotSearchable(f"a search has at most {LONGEST} characters")
    reading = _Reading(_tokens(text))
    return reading.whole()


type _Token = Term | str


def _tokens(text: str) -> list[_Token]:
    """Terms, and ``( ) AND OR NOT`` as they are."""
    found: list[_Token] = []
    place = 0
    text = text.rstrip()
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:  # pragma: no cover - every text without blanks is at least a word
            raise NotSearchable("the search cannot be read")
        place = token.end()
        if token["paren"]:
            found.append(token["paren"])
        elif token["field"]:
            if token["minus"]:
                found.append("NOT")
            quoted = token["double"] if token["double"] is not None else token["single"]
            found.append(_term(token["field"], token["op"] or "=", token["bare"] if quoted is None else quoted))
        elif token["word"].upper() in {"AND", "OR", "NOT"}:
            found.append(token["word"].upper())
        else:
            raise NotSearchable("a search without a field is not supported: name one, like created_at:>2026-11-21")
    return found


def _term(name: str, comparison: str, value: str) -> Term:
    field = name.lower()
    if field not in _FIELDS:
        known = ", ".join(sorted(_FIELDS))
        raise NotSearchable(f"abandoned checkouts are not searched by {name}: only by {known}")
    if not value or value == "*":
        raise NotSearchable(f"{field} wants a value")
    if field in _WORDS:
        if comparison != "=" or value.lower() not in _WORDS[field]:
            raise NotSearchable(f"{field} is one of {', '.join(sorted(_WORDS[field]))}")
        return Term(field, comparison, value.lower())
    if field == "id":
        named = _GID.fullmatch(value)
        if named is None:
            raise NotSearchable("id wants the id of an abandoned checkout")
        return Term(field, comparison, named["id"])
    return _time(field, comparison, value)


def _time(field: str, comparison: str, value: str) -> Term:
    if _DAY.fullmatch(value):
        day = searched_instant(f"{value}T00:00:00Z")
        if day is not None:
            return Term(field, comparison, day, day=True)
    instant = searched_instant(value)
    if instant is None:
        raise NotSearchable(f"{field} wants a day or a time, like 2026-11-21 or 2026-11-21T10:00:00Z")
    return Term(field, comparison, instant)


class _Reading:
    """Recursive descent: OR binds least, then AND (said or not), then NOT."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Search:
        if not self._tokens:
            return All(())
        found = self._either()
        if self._at < len(self._tokens):
            raise NotSearchable("a parenthesis is closed that was not opened")
        return found

    def _next(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _either(self) -> Search:
        parts = [self._both()]
        while self._next() == "OR":
            self._at += 1
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _both(self) -> Search:
        parts = [self._one()]
        while (token := self._next()) is not None and token not in {"OR", ")"}:
            if token == "AND":  # noqa: S105 - a word of the search
                self._at += 1
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Search:
        token = self._next()
        self._at += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            raise NotSearchable(f"a search nests at most {_DEEPEST} deep")
        try:
            if token == "NOT":  # noqa: S105 - a word of the search
                return Not(self._one())
            if token == "(":  # noqa: S105 - a sign of the search
                inside = self._either()
                if self._next() != ")":
                    raise NotSearchable("a parenthesis is not closed")
                self._at += 1
                return inside
            if isinstance(token, Term):
                return token
        finally:
            self._depth -= 1
        raise NotSearchable("a term is missing: two connectives meet, or one stands at an end")
