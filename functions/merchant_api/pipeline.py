"""Every request's way: which operation, who asks, may they, was it asked before, the route, one log line."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools import Logger

from functions.merchant_api.operations import Operation
from functions.merchant_api.resolver import Resolver
from functions.merchant_api.services import Services
from functions.merchant_api.session import Session
from shared.api.authentication import PRINCIPALS, Principal, permit, permit_method
from shared.api.idempotency import Answer, Making
from shared.api.paths import is_plain
from shared.api.problems import (
    Problem,
    malformed,
    method_not_allowed,
    not_found,
    problem_of,
    unsupported_media_type,
)
from shared.aws.http_api import NotDecodable, body_of, headers_of, query_of, raw_query_of
from shared.domain.ids import MerchantId

_PUBLIC = "public"
_OF_A_MERCHANT = re.compile(r"/v1/merchants/(mer_[0-9A-Z]{26})(?:/|\Z)")


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP API (payload 2.0) request; header names in lower case, ``body`` as it was sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Request":
        """Read the event. Raises Problem 400 for a body that is not what its encoding says."""
        try:
            body = body_of(event)
        except NotDecodable:
            raise malformed("The body cannot be decoded.") from None
        return cls(
            method=event["requestContext"]["http"]["method"],
            path=event["rawPath"],
            query=raw_query_of(event),
            headers=headers_of(event),
            body=body,
        )


class Pipeline:
    """Answers events. ``services`` is asked for at first need: /healthz touches nothing."""

    def __init__(self, resolver: Resolver, services: Callable[[], Services], logger: Logger) -> None:
        """One per process."""
        self._resolver = resolver
        self._services = services
        self._logger = logger

    def answer(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """The answer to one event; whatever happens it is one."""
        started = time.monotonic()
        operation: Operation | None = None
        principal: Principal | None = None
        try:
            request = Request.of(event)
            operation, others = self._resolver.find(request.method, request.path)
            principal = self._caller(request, operation, others)
            if operation is None:
                raise method_not_allowed({own.route.method for own in others}) if others else not_found()
            answer = self._answered(request, operation, principal, event, context)
        except Exception as error:  # noqa: BLE001 - the last net: a trace must never reach the caller
            answer = self._refused(error)
        self._log(event, answer, operation, principal, started)
        return {
            "statusCode": answer.status,
            "headers": dict(answer.headers),
            "body": answer.body,
            "isBase64Encoded": False,
        }

    def _caller(self, request: Request, operation: Operation | None, others: Sequence[Operation]) -> Principal | None:
        """Who asks; None where anyone may. Raises Problem 401, 403, and 404 for an address that cannot be.

        What leads nowhere below ``/v1`` asks for a credential too, unless ``others`` at the address are for anyone: a
        stranger learns nothing of what there is.
        """
        if not is_plain(request.path):
            raise not_found()
        is_public = any(not own.callers for own in others) or not request.path.startswith("/v1/")
        if operation is None and is_public:
            return None
        allowed = PRINCIPALS if operation is None else operation.callers
        if not allowed:
            return None
        principal = self._services().authenticator.principal(request.headers.get("authorization"))
        permit(principal, allowed)
        permit_method(principal, request.method)
        return principal

    def _answered(
        self,
        request: Request,
        operation: Operation,
        principal: Principal | None,
        event: dict[str, Any],
        context: Any,
    ) -> Answer:
        if not operation.well_named:
            raise not_found()
        self._check_body(request, operation)
        if principal is None:
            self._resolver.begin(operation, None)
            return self._resolved(request, operation, event, context)
        services = self._services()

        def run(making: Making) -> Answer:
            if_match = request.headers.get("if-match")
            self._resolver.begin(
                operation, Session(services, principal, operation.name, if_match, making, request.body)
            )
            return self._resolved(request, operation, event, context)

        key = request.headers.get("idempotency-key")
        if key is None or request.method != "POST" or operation.takes_any_body:
            return run(Making(services.now()))
        same = services.idempotency.fingerprint(request.method, request.path, request.query, request.body)
        return services.idempotency.once(principal.owner, key, same, run)

    def _resolved(self, request: Request, operation: Operation, event: dict[str, Any], context: Any) -> Answer:
        # The type was checked here; the resolver compares it letter by letter.
        typed = {} if operation.takes_any_body else {"content-type": "application/json"}
        plain = {**event, "headers": {**request.headers, **typed}, "queryStringParameters": query_of(event)}
        made = self._resolver.resolve(plain, context)
        headers = made["headers"]
        return Answer(
            int(made["statusCode"]),
            made["body"] or "",
            headers,
            operation.repeat,
            _merchant_named(headers.get("Location") or request.path),
        )

    def _check_body(self, request: Request, operation: Operation) -> None:
        if not request.body or operation.takes_any_body:
            return
        media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise unsupported_media_type()
        try:
            request.body.decode()
        except UnicodeDecodeError:
            raise malformed("The body is not UTF-8.") from None

    def _refused(self, error: Exception) -> Answer:
        problem: Problem = problem_of(error)
        if problem.status >= 500:
            self._logger.error("request_failed", error_type=type(error).__name__, exc_info=error)
        return Answer(problem.status, problem.body(), problem.all_headers())

    def _log(
        self,
        event: Mapping[str, Any],
        answer: Answer,
        operation: Operation | None,
        principal: Principal | None,
        started: float,
    ) -> None:
        http = event.get("requestContext", {}).get("http", {})
        self._logger.info(
            "request",
            method=http.get("method"),
            route=None if operation is None else operation.name,
            status=answer.status,
            caller=principal.kind if principal else _PUBLIC,
            merchant_id=principal.merchant_id if principal else None,
            request_id=event.get("requestContext", {}).get("requestId"),
            duration_ms=round((time.monotonic() - started) * 1000),
        )


def _merchant_named(address: str) -> MerchantId | None:
    """The merchant that one of the operator's addresses is about."""
    found = _OF_A_MERCHANT.match(address)
    return MerchantId(found[1]) if found else None
