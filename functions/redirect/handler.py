"""The redirect function: ``/r/{code}`` leads back, ``/u/{code}`` unsubscribes.

Codes are proof enough: no session, no cookie, nothing about the shopper in the answer.
"""

import base64
import binascii
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from functions.redirect import pages
from functions.redirect.composition import links, unsubscribes
from shared.aws.stores import now
from shared.store.table import StoreUnavailable
from shared.workflows.campaigns.unsubscribe import channels_chosen
from shared.workflows.insight.follow_link import TooMany, Visitor

logger = Logger(service="redirect")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Answer one request."""
    code = (event.get("pathParameters") or {}).get("code", "")
    method, _, route = str(event.get("routeKey", "")).partition(" ")
    try:
        if not route.startswith("/u/"):
            return _followed(code, event)
        return _unsubscribed(code, event) if method == "POST" else _asked(code)
    except TooMany:
        logger.warning("link_limited", route=route)
        return pages.too_many()
    except (StoreUnavailable, ClientError, BotoCoreError):
        logger.exception("link_not_answered", route=route)
        return pages.unavailable()


def _followed(code: str, event: dict[str, Any]) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    visitor = Visitor(headers.get("user-agent"), headers.get("sec-purpose") or headers.get("purpose"))
    location = links().follow(code, visitor, now())
    logger.info("link_followed", known=location is not None)
    return pages.not_found() if location is None else pages.redirect(location)


def _asked(code: str) -> dict[str, Any]:
    found = unsubscribes().look(code)
    return pages.not_found() if found is None else pages.unsubscribe(found.shop)


def _unsubscribed(code: str, event: dict[str, Any]) -> dict[str, Any]:
    found = unsubscribes().unsubscribe(code, channels_chosen(_form(event)), now())
    logger.info("unsubscribed", known=found is not None)
    return pages.not_found() if found is None else pages.unsubscribed(found.shop)


def _form(event: dict[str, Any]) -> str:
    """The body as text; one that cannot be decoded holds no choice."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body)
    try:
        return base64.b64decode(body).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""
