"""Shopify's queries over our checkouts: ``abandonedCheckouts``, ``abandonedCheckoutsCount``, ``node``, ``shop``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from functions.reading.costs import MOST_ENTRIES, Spent, refused
from shared.api.cursors import Cursors
from shared.api.problems import Problem
from shared.api.search_terms import All, NotSearchable, Search, Term, at, compared, holds, terms
from shared.api.shopify_checkout import GID, gid, is_open, is_recovered, shopify_checkout
from shared.api.shopify_search import parse
from shared.domain.checkout import Checkout, Status
from shared.domain.ids import digest_of
from shared.domain.merchant import Merchant
from shared.workflows.insight.checkout_pages import (
    ABANDONED,
    MOST_EXAMINED,
    CheckoutPages,
    Page,
    Selection,
    Span,
    TooManyToSort,
    by_time,
    place_of,
)

_CHECKOUT: Final = "AbandonedCheckout"
_LIST_ORDER: Final = frozenset({"ID", "CHECKOUT_ID", "RELEVANCE"})
_NARROWING: Final = {"status": ("open", Status.ABANDONED), "recovery_state": ("recovered", Status.RECOVERED)}
_MOST_IDS: Final = 10
_INVALID: Final = "BAD_REQUEST"


@dataclass(frozen=True, slots=True)
class Reading:
    """One query's view of one merchant's checkouts. ``link`` makes the recovery link of a checkout."""

    merchant: Merchant
    pages: CheckoutPages
    cursor_mac: Callable[[bytes], str]
    link: Callable[[Checkout], str]
    now: datetime
    spent: Spent

    def checkouts(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The connection ``abandonedCheckouts``. Raises GraphQLError."""
        window = _window(asked)
        sort_key = asked.get("sortKey") or "ID"
        cursors = self._cursors(sort_key)
        selection = self._selection(asked)
        rising = window.forwards != bool(asked.get("reverse"))
        after, before = _place(cursors, asked.get("after")), _place(cursors, asked.get("before"))
        above, below = (before, after) if asked.get("reverse") else (after, before)
        page = self._page(selection, Span(above, below, rising=rising, limit=window.size), sort_key)
        entries = list(page.entries) if window.forwards else list(page.entries)[::-1]
        edges = [{"cursor": cursors.encode(own.place), "node": self._shown(own.checkout)} for own in entries]
        self.spent.connection(len(edges))
        reached = cursors.encode(page.reached) if page.more and page.reached else None
        return _connection(edges, window, asked, more=page.more, reached=reached)

    def count(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """How many match, counted as far as is read for one answer."""
        most = asked.get("limit")
        if most is not None and most < 1:
            raise refused("limit must be at least 1.", _INVALID)
        self.spent.thing(100)
        number, whole = self.pages.count(self._selection(asked), MOST_EXAMINED if most is None else most)
        return {"count": number, "precision": "EXACT" if whole else "AT_LEAST"}

    def node(self, named: str) -> dict[str, Any] | None:
        """The checkout of a global id; None for one that is not there. Raises GraphQLError for what is no such id."""
        kind, _, name = named.removeprefix(GID).partition("/")
        if not named.startswith(GID) or not kind.isalnum() or not name:
            raise refused(f"Invalid global id '{named[:100]}'", "argumentLiteralsIncompatible")
        if kind != _CHECKOUT:
            raise refused(f"Only {gid(_CHECKOUT, '...')} can be read here.", _INVALID)
        self.spent.thing()
        digest = digest_of(name)
        found = self.pages.one(self.merchant, digest, self.now) if digest else None
        return None if found is None else self._shown(found)

    def shop(self) -> dict[str, Any]:
        """What clients ask first, to see whether they are let in."""
        self.spent.thing()
        own = self.merchant
        return {"name": own.name, "currencyCode": own.currency, "ianaTimezone": own.timezone}

    def _shown(self, checkout: Checkout) -> dict[str, Any]:
        shown = shopify_checkout(checkout, self.merchant, self.link(checkout))
        lines: Sequence[Mapping[str, Any]] = shown["lineItems"]
        if shown["customer"] is not None:
            customer = shown["customer"]
            shown["customer"] = lambda _: self._counted(customer)
        return shown | {
            "lineItems": lambda _, **asked: self._lines(lines, asked),
            "defaultCursor": self._cursors("ID").encode(place_of(checkout)),
        }

    def _counted[T](self, thing: T) -> T:
        self.spent.thing()
        return thing

    def _lines(self, lines: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> dict[str, Any]:
        """The connection ``lineItems``: they were read with their checkout."""
        window = _window(asked)
        cursors = self._cursors("lineItems")
        places = [f"{number:06d}" for number in range(len(lines))]
        listed = list(zip(places, lines, strict=True))
        if asked.get("reverse"):
            listed.reverse()
        after, before = _place(cursors, asked.get("after")), _place(cursors, asked.get("before"))
        above, below = (before, after) if asked.get("reverse") else (after, before)
        within = [own for own in listed if (above is None or own[0] > above) and (below is None or own[0] < below)]
        shown = within[: window.size] if window.forwards else within[-window.size :]
        edges = [{"cursor": cursors.encode(place), "node": line} for place, line in shown]
        self.spent.connection(len(edges))
        return _connection(edges, window, asked, more=len(within) > len(shown), reached=None)

    def _page(self, selection: Selection, span: Span, sort_key: str) -> Page:
        if sort_key in _LIST_ORDER:
            return self.pages.page(selection, span)
        if sort_key not in _SORT_KEYS:
            # The place in such an order would put a shopper's name into a cursor.
            raise refused(f"Sorting by {sort_key} is not supported.", _INVALID)
        try:
            return self.pages.sorted(selection, span, _SORT_KEYS[sort_key])
        except TooManyToSort:
            message = (
                f"More than {MOST_EXAMINED} checkouts cannot be sorted by {sort_key}:"
                " narrow them by `query`, or sort by ID."
            )
            raise refused(message, _INVALID) from None

    def _cursors(self, sort_key: str) -> Cursors:
        listed = "ID" if sort_key in _LIST_ORDER else sort_key
        return Cursors(self.cursor_mac, f"{self.merchant.id} shopify:{listed}")

    def _selection(self, asked: Mapping[str, Any]) -> Selection:
        if asked.get("savedSearchId") is not None:
            raise refused("Saved searches are not supported: give the search itself as `query`.", _INVALID)
        try:
            search = parse(asked.get("query") or "")
            places = self._places_of_ids(search)
        except NotSearchable as error:
            raise refused(f"Invalid search: {error}.", _INVALID) from None

        def term_holds(checkout: Checkout, term: Term) -> bool:
            match term.field:
                case "status":
                    return is_open(checkout) == (term.value == "open")
                case "recovery_state":
                    return is_recovered(checkout) == (term.value == "recovered")
                case "created_at":
                    return at(term, checkout.began_at)
                case "updated_at":
                    return at(term, checkout.updated_at)
                case _ if term.comparison == "=":
                    return checkout.id == term.value
                case _:
                    return compared(place_of(checkout), term.comparison, places[str(term.value)])

        return Selection(
            self.merchant,
            lambda checkout: holds(search, partial(term_holds, checkout)),
            self.now,
            _statuses(search),
        )

    def _places_of_ids(self, search: Search) -> dict[str, str]:
        """Where the checkouts stand that others are compared with: the order of ids is the list's."""
        compared = {str(own.value) for own in terms(search) if own.field == "id" and own.comparison != "="}
        if len(compared) > _MOST_IDS:
            raise NotSearchable(f"at most {_MOST_IDS} ids can be compared with")
        places: dict[str, str] = {}
        for name in compared:
            digest = digest_of(name)
            found = self.pages.one(self.merchant, digest, self.now) if digest else None
            if found is None:
                raise NotSearchable("an id that others are compared with is of no abandoned checkout")
            places[name] = place_of(found)
        return places


@dataclass(frozen=True, slots=True)
class _Window:
    size: int
    forwards: bool


def _window(asked: Mapping[str, Any]) -> _Window:
    first, last = asked.get("first"), asked.get("last")
    if (first is None) == (last is None):
        raise refused("you must provide one of first or last", _INVALID)
    size = int(last or 0) if first is None else int(first)
    if not 1 <= size <= MOST_ENTRIES:
        raise refused(f"first and last lie between 1 and {MOST_ENTRIES}", _INVALID)
    if first is not None and asked.get("before") is not None:
        raise refused("first goes with after, last with before", _INVALID)
    if last is not None and asked.get("after") is not None:
        raise refused("first goes with after, last with before", _INVALID)
    return _Window(size, first is not None)


def _connection(
    edges: list[dict[str, Any]], window: _Window, asked: Mapping[str, Any], *, more: bool, reached: str | None
) -> dict[str, Any]:
    """A page. Where little was found in much that was read, the next page begins behind what was read: ``reached``."""
    first = edges[0]["cursor"] if edges else None
    last = edges[-1]["cursor"] if edges else None
    if window.forwards:
        last = reached or last
    else:
        first = reached or first
    beyond = asked.get("after" if window.forwards else "before") is not None
    return {
        "edges": edges,
        "nodes": [edge["node"] for edge in edges],
        "pageInfo": {
            "startCursor": first,
            "endCursor": last,
            "hasNextPage": more if window.forwards else beyond,
            "hasPreviousPage": beyond if window.forwards else more,
        },
    }


def _place(cursors: Cursors, cursor: str | None) -> str | None:
    try:
        return cursors.decode(cursor)
    except Problem:
        raise refused("Invalid cursor for current pagination sort.", _INVALID) from None


def _statuses(search: Search) -> tuple[Status, ...]:
    """The statuses that can match at all: what every part demands narrows what is read."""
    demanded = search.parts if isinstance(search, All) else (search,)
    wanted = set(ABANDONED)
    for part in demanded:
        if isinstance(part, Term) and part.field in _NARROWING:
            word, status = _NARROWING[part.field]
            wanted &= {status} if part.value == word else set(ABANDONED) - {status}
    return tuple(own for own in ABANDONED if own in wanted)


def _by_total(checkout: Checkout) -> str:
    total = checkout.cart.total() if checkout.cart else None
    return f"{0 if total is None else total.minor:018d}"


_SORT_KEYS: Final[Mapping[str, Callable[[Checkout], str]]] = {
    "CREATED_AT": lambda checkout: by_time(checkout.began_at),
    "TOTAL_PRICE": _by_total,
}
