"""``/ecom/v1/abandoned-checkout``: abandoned checkouts of a merchant, answered as Wix' eCommerce API answers.

Errors in Wix' form (https://dev.wix.com/docs/rest/articles/get-started/errors): ``message`` and ``details`` with either
a ``validationError`` or an ``applicationError``. A cursor holds the whole question: who sends one sends no filter.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from functions.reading.answers import Answer
from functions.reading.composition import Services
from shared.api.answer_size import fitting
from shared.api.cursors import Cursors
from shared.api.problems import Problem
from shared.api.search_terms import NotSearchable, Search, Term, at, holds
from shared.api.strict_json import read_object
from shared.api.wix_checkout import ACTIVITY_TYPES, SHOWN, wix_checkout, wix_filter, wix_status
from shared.domain.checkout import Activity, Checkout
from shared.domain.ids import digest_of
from shared.domain.merchant import Merchant
from shared.domain.transitions import retention_end
from shared.workflows.delivering.refusals import Conflict, NotFound
from shared.workflows.insight.checkout_pages import MOST_EXAMINED, Selection, Span, TooManyToSort, by_time

MOST_OF_A_PAGE: Final = 100
_USUAL_PAGE: Final = 50
_MOST_ACTIVITIES: Final = 100
_LONGEST_FILTER: Final = 2_000
_LONGEST_CURSOR: Final = 4_096
_SORT_KEYS: Final = {
    "createdDate": lambda checkout: by_time(checkout.began_at),
    "updatedDate": lambda checkout: by_time(checkout.updated_at),
}
_ENTITY: Final = "abandonedCheckout"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: Wix' operation (``get``, ``query``, ``search``, ``activities``, ``delete``), its id and body."""

    operation: str
    id: str
    headers: Mapping[str, str]
    body: bytes


class Refused(Exception):
    """A request that is refused, in Wix' form."""

    def __init__(self, status: int, message: str, details: Mapping[str, Any]) -> None:
        """What the client gets; never personal data."""
        super().__init__(message)
        self.status = status
        self.body = {"message": message, "details": details}


@dataclass(frozen=True, slots=True)
class _Question:
    """What a list asks for. ``place``: where to go on; ``back``: towards its beginning."""

    filter: Mapping[str, Any]
    sort: tuple[str, bool] | None
    place: str | None
    back: bool
    limit: int


def answer(asked: Asked, services: Services) -> Answer:
    """The answer to one request."""
    token = asked.headers.get("authorization") or ""
    try:
        merchant_id = services.authenticator.merchant_of(token.strip().removeprefix("Bearer "))
        merchant = services.merchant(merchant_id)
    except Problem as problem:
        if problem.status != 401:
            raise
        return Answer(401, {"message": "The token is missing, wrong or has been revoked.", "details": {}})
    try:
        body = _Reader(services, merchant).answered(asked)
    except Refused as refused:
        return Answer(refused.status, refused.body, merchant_id)
    return Answer(200, body, merchant_id)


class _Reader:
    """Answers one request of one merchant."""

    def __init__(self, services: Services, merchant: Merchant) -> None:
        self._services = services
        self._merchant = merchant
        self._now: datetime = services.now()

    def answered(self, asked: Asked) -> dict[str, Any]:
        match asked.operation:
            case "query":
                return self._listed(_object(_document(asked), "query"), "query", "metadata")
            case "search":
                search = _object(_document(asked), "search")
                if _object(search, "search").get("expression"):
                    raise _invalid("search.search.expression", "free text is not searched")
                return self._listed(search, "search", "pagingMetadata")
            case "activities":
                return self._noted(self._one(asked.id), _document(asked))
            case "delete":
                return self._deleted(self._one(asked.id))
            case _:
                return {_ENTITY: self._whole(self._one(asked.id))}

    def _one(self, named: str) -> Checkout:
        digest = digest_of(named)
        found = self._services.pages.one(self._merchant, digest, self._now) if digest else None
        if found is None or found.status not in SHOWN:
            raise _not_found()
        return found

    def _whole(self, checkout: Checkout) -> dict[str, Any]:
        activities, _ = self._services.activities.page(checkout.digest, limit=_MOST_ACTIVITIES, after=None)
        return wix_checkout(checkout, self._services.link(checkout), activities)

    def _noted(self, checkout: Checkout, document: Mapping[str, Any]) -> dict[str, Any]:
        kind = document.get("activityType")
        if not isinstance(kind, str) or kind not in ACTIVITY_TYPES:
            raise _invalid("activityType", f"one of {', '.join(sorted(ACTIVITY_TYPES))}")
        kept = retention_end(checkout, self._merchant.settings)
        self._services.activities.add(checkout.digest, Activity(self._now, kind, {"by": "merchant"}), kept)
        return {_ENTITY: self._whole(checkout)}

    def _deleted(self, checkout: Checkout) -> dict[str, Any]:
        """Dismissed: nothing more is sent, and it is in no list of these any more."""
        try:
            self._services.dismissals.discard(self._merchant, checkout.id)
        except NotFound:
            raise _not_found() from None
        except Conflict as conflict:
            raise _refused(428, "CHECKOUT_ENDED", str(conflict)) from None
        return {}

    def _listed(self, asked: Mapping[str, Any], within: str, paging: str) -> dict[str, Any]:
        cursors = Cursors(self._services.cursor_mac, f"{self._merchant.id} wix:{within}", _LONGEST_CURSOR)
        question = _question(asked, within, cursors)
        try:
            search = wix_filter(question.filter)
        except NotSearchable as error:
            raise _invalid(f"{within}.filter", str(error)) from None
        selection = Selection(self._merchant, partial(_matches, search), self._now, SHOWN)
        falling = question.sort is None or question.sort[1]
        rising = falling if question.back else not falling
        above, below = (question.place, None) if rising else (None, question.place)
        span = Span(above, below, rising=rising, limit=question.limit)
        try:
            if question.sort is None:
                page = self._services.pages.page(selection, span)
            else:
                page = self._services.pages.sorted(selection, span, _SORT_KEYS[question.sort[0]])
        except TooManyToSort:
            raise _invalid(f"{within}.sort", f"more than {MOST_EXAMINED} checkouts cannot be sorted") from None
        entries = list(page.entries)
        shown = [wix_checkout(own.checkout, self._services.link(own.checkout)) for own in entries]
        ahead = page.reached if page.more else None
        if (fit := fitting(shown)) < len(shown):
            entries, shown, ahead = entries[:fit], shown[:fit], entries[fit - 1].place
        if question.back:
            entries, shown = entries[::-1], shown[::-1]
        first = entries[0].place if entries and question.place is not None else None
        last = entries[-1].place if entries else question.place
        places = (ahead, last) if question.back else (first, ahead)
        links = {
            name: _cursor(cursors, question, place, back=name == "prev")
            for name, place in zip(("prev", "next"), places, strict=True)
            if place is not None
        }
        metadata = {"count": len(shown), "cursors": links, "hasNext": "next" in links}
        return {"abandonedCheckouts": shown, paging: metadata}


def _matches(search: Search, checkout: Checkout) -> bool:
    return holds(search, partial(_term_holds, checkout))


def _term_holds(checkout: Checkout, term: Term) -> bool:
    match term.field:
        case "created_at":
            return at(term, checkout.began_at)
        case "updated_at":
            return at(term, checkout.updated_at)
        case "status":
            return wix_status(checkout) == term.value
        case _:
            return checkout.id == term.value


def _question(asked: Mapping[str, Any], within: str, cursors: Cursors) -> _Question:
    for unsupported in ("fields", "fieldsets", "aggregations"):
        if asked.get(unsupported):
            raise _invalid(f"{within}.{unsupported}", "not supported")
    paging, offset = _object(asked, "cursorPaging"), _object(asked, "paging")
    if offset.get("offset"):
        raise _invalid(f"{within}.paging.offset", "pages are asked for by cursor")
    limit = paging.get("limit", offset.get("limit"))
    limit = _USUAL_PAGE if limit is None else limit
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST_OF_A_PAGE:
        raise _invalid(f"{within}.cursorPaging.limit", f"between 1 and {MOST_OF_A_PAGE}")
    cursor = paging.get("cursor")
    if cursor:
        return _gone_on(str(cursor), limit, within, cursors)
    given = _object(asked, "filter")
    if len(json.dumps(given, separators=(",", ":"))) > _LONGEST_FILTER:
        raise _invalid(f"{within}.filter", f"at most {_LONGEST_FILTER} characters")
    return _Question(given, _sort(asked.get("sort"), within), None, back=False, limit=limit)


def _gone_on(cursor: str, limit: int, within: str, cursors: Cursors) -> _Question:
    try:
        text = cursors.decode(cursor)
    except Problem:
        raise _invalid(f"{within}.cursorPaging.cursor", "not a cursor that was given out") from None
    held = json.loads(text or "{}")
    sort = None if held["s"] is None else (str(held["s"][0]), bool(held["s"][1]))
    return _Question(held["f"], sort, held["p"], back=held["b"], limit=limit)


def _cursor(cursors: Cursors, question: _Question, place: str, *, back: bool) -> str:
    held = {"f": question.filter, "s": question.sort, "p": place, "b": back}
    return cursors.encode(json.dumps(held, separators=(",", ":")))


def _sort(given: object, within: str) -> tuple[str, bool] | None:
    """The field and whether it falls; None for the list's own order, newest activity first."""
    if not given:
        return None
    first = given[0] if isinstance(given, list) and len(given) == 1 else None
    field, order = (first.get("fieldName"), first.get("order") or "ASC") if isinstance(first, dict) else (None, None)
    if not isinstance(field, str) or field not in _SORT_KEYS:
        raise _invalid(f"{within}.sort", f"by one of {', '.join(_SORT_KEYS)}")
    if order not in ("ASC", "DESC"):
        raise _invalid(f"{within}.sort", "ASC or DESC")
    return field, order == "DESC"


def _document(asked: Asked) -> Mapping[str, Any]:
    try:
        return read_object(asked.body.decode(errors="replace")) or {}
    except Problem as problem:
        raise Refused(400, problem.detail, {}) from None


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _invalid(name, "must be an object")
    return found


def _invalid(field: str, description: str) -> Refused:
    violation = {"field": field, "description": description, "violatedRule": "OTHER"}
    return Refused(400, f"{field}: {description}", {"validationError": {"fieldViolations": [violation]}})


def _not_found() -> Refused:
    return _refused(404, "CHECKOUT_NOT_FOUND", "There is no such abandoned checkout.")


def _refused(status: int, code: str, description: str) -> Refused:
    return Refused(status, description, {"applicationError": {"code": code, "description": description, "data": {}}})
