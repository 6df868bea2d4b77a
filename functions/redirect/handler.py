"""The redirect function. Codes are proof enough: no session, no cookie, nothing about the shopper in the answer."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from functions.redirect import pages
from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.store.activities import ActivityStore
from shared.store.configuration import MerchantStore
from shared.store.table import StoreUnavailable
from shared.workflows.follow_link import Links, Visitor

logger = Logger(service="redirect")


@cache
def _links() -> Links:
    stores = Stores(Environment.read())
    return Links(
        stores.keys.recovery_codes(),
        stores.checkouts,
        MerchantStore(stores.table),
        ActivityStore(stores.table),
    )


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Answer GET /r/{code}."""
    code = (event.get("pathParameters") or {}).get("code", "")
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    visitor = Visitor(headers.get("user-agent"), headers.get("sec-purpose") or headers.get("purpose"))
    try:
        location = _links().follow(code, visitor, now())
    except (StoreUnavailable, ClientError, BotoCoreError):
        logger.exception("link_not_followed")
        return pages.unavailable()
    logger.info("link_followed", known=location is not None)
    return pages.not_found() if location is None else pages.redirect(location)
