"""The redirect function: ``/r/{code}`` leads back, ``/u/{code}`` unsubscribes.

Codes are proof enough: no session, no cookie, nothing about the shopper in the answer.
"""

from typing import Any

from functions.redirect import pages
from functions.redirect.composition import links, prepare, unsubscribes
from shared.aws.faults import AWS_ERRORS
from shared.aws.front import behind_front
from shared.aws.function_log import function_logger, last_net
from shared.aws.http_api import NotDecodable, body_of, headers_of, path_parameter
from shared.aws.preparing import prepare_where_it_is_free
from shared.aws.snapshot import renew_after_restore
from shared.aws.stores import now
from shared.workflows.campaigns.unsubscribe import channels_chosen
from shared.workflows.insight.follow_link import TooMany, Visitor

_PURPOSES = ("sec-purpose", "purpose", "x-purpose", "x-moz")
"""By which browsers, old and new, say that they fetch a page before anybody wants it."""

logger = function_logger("redirect")
renew_after_restore()


@last_net
@behind_front
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Answer one request."""
    code = path_parameter(event, "code")
    method, _, route = str(event.get("routeKey", "")).partition(" ")
    headers = headers_of(event)
    person = "text/html" in headers.get("accept", "")
    try:
        if not route.startswith("/u/"):
            answer = _followed(code, headers, looking=method == "HEAD")
        else:
            answer = _unsubscribed(code, event) if method == "POST" else _asked(code)
    except TooMany:
        logger.warning("link_limited", route=route)
        return pages.refused(429, person=person)
    except AWS_ERRORS:
        logger.exception("link_not_answered", route=route)
        return pages.refused(503, person=person)
    return pages.refused(404, person=person) if answer is None else answer


def _followed(code: str, headers: dict[str, str], *, looking: bool) -> dict[str, Any] | None:
    """``looking``: whoever checks whether the link is good asks for the head alone, and has not followed it."""
    purpose = next((headers[name] for name in _PURPOSES if headers.get(name)), None)
    visitor = None if looking else Visitor(headers.get("user-agent"), purpose)
    location = links().follow(code, visitor, now())
    logger.info("link_followed", known=location is not None, looking=looking)
    return None if location is None else pages.redirect(location)


def _asked(code: str) -> dict[str, Any] | None:
    found = unsubscribes().look(code)
    return None if found is None else pages.unsubscribe(found.shop)


def _unsubscribed(code: str, event: dict[str, Any]) -> dict[str, Any] | None:
    found = unsubscribes().unsubscribe(code, channels_chosen(_form(event)), now())
    logger.info("unsubscribed", known=found is not None)
    return None if found is None else pages.unsubscribed(found.shop)


def _form(event: dict[str, Any]) -> str:
    """The body as text; one that cannot be decoded holds no choice."""
    try:
        return body_of(event).decode(errors="replace")
    except NotDecodable:
        return ""


prepare_where_it_is_free("redirect", prepare)
