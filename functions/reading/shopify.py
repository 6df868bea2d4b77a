"""``POST /admin/api/{version}/graphql.json``: one GraphQL query of a merchant, answered as Shopify answers.

Errors of a query are 200 with ``errors``, as Shopify gives them (https://shopify.dev/docs/api/usage/response-codes);
who is not let in gets 401, and a version that never was 404. An older version than those kept is served as the oldest,
which ``X-Shopify-API-Version`` tells (https://shopify.dev/docs/api/usage/versioning).
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLResolveInfo,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    Source,
    execute_sync,
    get_operation_ast,
    parse,
    validate,
)

from functions.reading.answers import Answer
from functions.reading.composition import Services
from functions.reading.costs import BUCKET, RESTORED_PER_SECOND, Buckets, Costs, Spent, check, refused
from functions.reading.shopify_resolvers import Reading
from functions.reading.shopify_schema import schema
from shared.api.problems import Problem
from shared.api.strict_json import read_object
from shared.domain.ids import MerchantId

OLDEST: Final = "2024-01"
"""What the queries served here look like is the same in every version since."""
UNSTABLE: Final = "unstable"
_QUARTER: Final = re.compile(r"20\d\d-(?:01|04|07|10)", re.ASCII)
LONGEST_BODY: Final = 65_536
MOST_TOKENS: Final = 2_000
_MOST_ERRORS: Final = 10
_HEADER: Final = "x-shopify-access-token"
_buckets = Buckets(time.monotonic)


@dataclass(frozen=True, slots=True)
class _Query:
    text: str
    variables: Mapping[str, Any]
    operation: str | None


def served_version(asked: str, now: datetime) -> str | None:
    """The version that answers for the one asked for; None for one that never was, or is not there yet.

    A version is there from its quarter on, and three months before as a release candidate.
    """
    if asked == UNSTABLE:
        return asked
    if not _QUARTER.fullmatch(asked):
        return None
    candidate = now + timedelta(days=92)
    return max(asked, OLDEST) if asked <= f"{candidate:%Y-%m}" else None


def answer(version: str, headers: Mapping[str, str], body: bytes, services: Services) -> Answer:
    """The answer to one request."""
    try:
        merchant_id = services.authenticator.merchant_of(headers.get(_HEADER))
        merchant = services.merchant(merchant_id)
    except Problem as problem:
        if problem.status != 401:
            raise
        unknown = "[API] Invalid API key or access token (unrecognized login or wrong password)"
        return Answer(401, {"errors": unknown})
    served = served_version(version, services.now())
    if served is None:
        return Answer(404, {"errors": "Not Found"}, merchant_id)
    told = {"x-shopify-api-version": served}
    try:
        query = _read(body)
    except Problem:
        return Answer(400, {"errors": {"query": "Required parameter missing or invalid"}}, merchant_id, told)
    reading = Reading(merchant, services.pages, services.cursor_mac, services.link, services.now(), Spent())
    return Answer(200, _answered(query, reading, merchant_id), merchant_id, told)


def _read(body: bytes) -> _Query:
    """Raises Problem for what is no query in JSON: GraphQL's batches are not Shopify's either."""
    if len(body) > LONGEST_BODY:
        raise Problem(413, "too-large", "Too large", "A query has at most 64 KiB.")
    document = read_object(body.decode(errors="replace")) or {}
    text, variables, operation = document.get("query"), document.get("variables"), document.get("operationName")
    if not isinstance(text, str) or not isinstance(variables or {}, dict):
        raise Problem(400, "no-query", "No query", "A query is a text, its variables an object.")
    if operation is not None and not isinstance(operation, str):
        raise Problem(400, "no-query", "No query", "The operation's name is a text.")
    return _Query(text, variables or {}, operation or None)


def rehearse() -> None:
    """Check a query and answer nobody: what reads queries is then there."""
    validate(schema(), parse("{ abandonedCheckouts(first: 1) { nodes { id } } }"))


def _answered(query: _Query, reading: Reading, merchant_id: MerchantId) -> dict[str, Any]:
    try:
        document, costs = _checked(query)
    except GraphQLError as error:
        return {"errors": [error.formatted]}
    except RecursionError:
        return {"errors": [refused("The query goes too deep.", "MAX_DEPTH_EXCEEDED").formatted]}
    found = validate(schema(), document, max_errors=_MOST_ERRORS)
    if found:
        return {"errors": [error.formatted for error in found]}
    left = _buckets.take(merchant_id, costs.points)
    if left is None:
        throttled = refused("Throttled", "THROTTLED")
        return {
            "errors": [throttled.formatted],
            "extensions": _extensions(costs, None, _buckets.left(merchant_id)),
        }
    result = execute_sync(
        schema(),
        document,
        root_value=_root(reading),
        variable_values=dict(query.variables),
        operation_name=query.operation,
        field_resolver=_field,
    )
    for error in result.errors or ():
        # What a resolver did not foresee is no word of ours to the client: the handler's last net logs it.
        if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
            raise error.original_error
    spent = min(reading.spent.points, costs.points)
    left = _buckets.give_back(merchant_id, costs.points - spent)
    shown: dict[str, Any] = {"data": result.data}
    if result.errors:
        shown = {"errors": [error.formatted for error in result.errors[:_MOST_ERRORS]], **shown}
    return shown | {"extensions": _extensions(costs, spent, left)}


def _checked(query: _Query) -> tuple[DocumentNode, Costs]:
    """The query read and found affordable, before the costlier validation. Raises GraphQLError, RecursionError."""
    document = parse(Source(query.text), max_tokens=MOST_TOKENS)
    operation = get_operation_ast(document, query.operation)
    if operation is None:
        raise refused("An operation is missing, or operationName names none of them.", "BAD_REQUEST")
    if operation.operation is not OperationType.QUERY:
        raise refused(f"Only queries are answered here: this is a {operation.operation.value}.", "BAD_REQUEST")
    # The others are not run, but they are validated, which costs as well.
    operations = [own for own in document.definitions if isinstance(own, OperationDefinitionNode)]
    costs = [check(document, own, _with_defaults(own, query.variables)) for own in operations]
    return document, costs[operations.index(operation)]


def _with_defaults(operation: OperationDefinitionNode, given: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {
        own.variable.name.value: int(own.default_value.value[:6])
        for own in operation.variable_definitions or ()
        if isinstance(own.default_value, IntValueNode)
    }
    return defaults | dict(given)


def _root(reading: Reading) -> dict[str, Any]:
    return {
        "abandonedCheckouts": lambda _, **asked: reading.checkouts(asked),
        "abandonedCheckoutsCount": lambda _, **asked: reading.count(asked),
        "node": lambda _, **asked: reading.node(asked["id"]),
        "shop": lambda _: reading.shop(),
    }


def _field(source: Any, info: GraphQLResolveInfo[Any], **asked: Any) -> Any:
    """What stands under the field's name: everything here is a mapping, and what takes arguments a call."""
    value = source.get(info.field_name)
    return value(info, **asked) if callable(value) else value


def _extensions(costs: Costs, spent: int | None, left: float) -> dict[str, Any]:
    return {
        "cost": {
            "requestedQueryCost": costs.points,
            "actualQueryCost": spent,
            "throttleStatus": {
                "maximumAvailable": BUCKET,
                "currentlyAvailable": int(left),
                "restoreRate": RESTORED_PER_SECOND,
            },
        }
    }
