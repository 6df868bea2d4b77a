"""The resolver: routes, validation, and every error as a problem."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import BaseModel

from functions.merchant_api.routes import ROUTERS
from functions.merchant_api.session import Session, repeat_of
from shared.api.idempotency import Repeat
from shared.api.problems import (
    FieldError,
    Problem,
    invalid,
    method_not_allowed,
    not_found,
    problem_of,
    validation_failed,
)
from shared.api.strict_json import read_object


class Resolver(APIGatewayHttpResolver):
    """Powertools' resolver; remembers the route that answered, for the log line, and what a repeat of it does."""

    answered_by: str | None = None
    repeat = Repeat.ANSWERED

    def begin(self, session: Session | None) -> None:
        """Take up a request; ``session`` is None for what anyone may ask."""
        self.answered_by, self.repeat = None, Repeat.ANSWERED
        if session is not None:
            self.append_context(session=session)  # type: ignore[no-untyped-call]  # the library's

    def clear_context(self) -> None:
        """Forget the request, but not its route."""
        route = self.context.get("_route")
        known = route if self.knows(route) else None
        self.answered_by = getattr(known, "openapi_path", None)
        self.repeat = repeat_of(getattr(known, "func", None))
        super().clear_context()  # type: ignore[no-untyped-call]  # the library's

    def knows(self, route: Any) -> bool:
        """Whether the route is one of ours, not the catch-all for unknown addresses."""
        return any(own is route for own in (*self._static_routes, *self._dynamic_routes))

    def repeat_at(self, method: str, openapi_path: str) -> Repeat:
        """What a repeat of this operation does."""
        routes = (*self._static_routes, *self._dynamic_routes)
        same = (own for own in routes if own.openapi_path == openapi_path and own.method == method.upper())
        return repeat_of(next((own.func for own in same), None))

    def methods_of(self, path: str) -> set[str]:
        """The methods that the address allows."""
        routes = (*self._static_routes, *self._dynamic_routes)
        return {own.method for own in routes if own.rule.match(path)}


def build(logger: Logger) -> Resolver:
    """The resolver with all routes."""
    resolver = Resolver(enable_validation=True, json_body_deserializer=read_object)  # type: ignore[arg-type]  # None: no body
    for router in ROUTERS:
        resolver.include_router(router)
    resolver.use(middlewares=[refuse_unknown_parameters])

    def unknown_address(_: NotFoundError) -> Response[str]:
        allowed = resolver.methods_of(resolver.current_event.path)
        return rendered(method_not_allowed(allowed) if allowed else not_found())

    def not_valid(error: RequestValidationError) -> Response[str]:
        return rendered(validation_failed(error.errors()))

    def refused(error: Exception) -> Response[str]:
        problem = problem_of(error)
        if problem.status >= 500:
            logger.error("request_failed", error_type=type(error).__name__, exc_info=error)
        return rendered(problem)

    resolver.exception_handler(NotFoundError)(unknown_address)
    resolver.exception_handler(RequestValidationError)(not_valid)
    resolver.exception_handler(Exception)(refused)
    return resolver


def rendered(problem: Problem) -> Response[str]:
    """A problem as an answer."""
    headers = problem.all_headers()
    return Response(problem.status, headers.pop("Content-Type"), problem.body(), headers)


def refuse_unknown_parameters(app: Any, next_middleware: NextMiddleware) -> Any:
    """A misspelt filter must not silently select everything."""
    route = app.context["_route"]
    if app.knows(route) and not route.path.endswith("/preview"):
        known = {name for field in route.dependant.query_params for name in _names(field)}
        unknown = sorted(set(app.current_event.query_string_parameters) - known)
        if unknown:
            raise invalid([FieldError("unknown parameter", parameter=name) for name in unknown])
    return next_middleware(app)


def _names(field: Any) -> set[str]:
    annotation = field.field_info.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return set(annotation.model_fields)
    return {field.alias}
