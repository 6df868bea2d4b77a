"""The resolver: routes, validation, and every error as a problem."""

from functools import cached_property
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.api_gateway import ResponseBuilder, Route
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import BaseModel

from functions.merchant_api.operations import Operation, check_declared
from functions.merchant_api.routes import ROUTERS
from functions.merchant_api.session import Session, repeat_of
from shared.api.idempotency import Repeat
from shared.api.problems import FieldError, Problem, invalid, problem_of, validation_failed
from shared.api.strict_json import read_object

_CONTEXT: Final[dict[str, Any]] = {}
"""What the routes know of the request at hand. Routers are the process's: they look here whichever resolver asks."""


class Resolver(APIGatewayHttpResolver):
    """Powertools' resolver; takes only operations that are declared, and runs the one that was found."""

    def route(self, *arguments: Any, **named: Any) -> Any:
        """Register an operation. Raises NotDeclared where it says not who may call it."""
        check_declared(super().route, arguments, named)
        return super().route(*arguments, **named)

    def repeat_at(self, method: str, openapi_path: str) -> Repeat:
        """What a repeat of this operation does."""
        return repeat_of(self.route_at(method, openapi_path).func)

    def operation_id_at(self, method: str, openapi_path: str) -> str:
        """What generated clients call this operation: the route's own name, ``listCheckouts``."""
        name: str = self.route_at(method, openapi_path).func.__name__
        first, *others = name.split("_")
        return first + "".join(word.capitalize() for word in others)

    def route_at(self, method: str, openapi_path: str) -> Route:
        """The route of an operation. Raises LookupError."""
        routes = (*self._static_routes, *self._dynamic_routes)
        same = (own for own in routes if own.openapi_path == openapi_path and own.method == method.upper())
        found = next(same, None)
        if found is None:
            raise LookupError(f"no operation at {method} {openapi_path}")
        return found

    def find(self, method: str, path: str) -> tuple[Operation | None, list[Operation]]:
        """The operation at an address, and what else there is at the address. Both are compared by the letter."""
        routes = self._by_beginning.get(_beginning(path), ())
        found = [Operation(own, at.groupdict()) for own in routes if (at := own.rule.fullmatch(path)) is not None]
        named = [own for own in found if own.well_named]
        # ``/v1/campaigns/preview`` is no campaign: what it does not have is a method, not a thing of this name.
        return next((own for own in named or found if own.route.method == method), None), named

    @cached_property
    def _by_beginning(self) -> dict[str, list[Route]]:
        """The routes that may fit a path, which is compared with a few patterns and not with a hundred."""
        found: dict[str, list[Route]] = {}
        for route in (*self._static_routes, *self._dynamic_routes):
            found.setdefault(_beginning(route.openapi_path), []).append(route)
        return found

    def begin(self, operation: Operation, session: Session | None) -> None:
        """Take up a request; ``session`` is None for what anyone may ask."""
        self.append_context(operation=operation, session=session)  # type: ignore[no-untyped-call]  # the library's

    def _resolve(self) -> ResponseBuilder[Any]:
        """Run the operation whose caller was checked; a second reading of the path might find another."""
        operation: Operation = self.context["operation"]
        self.append_context(_route=operation.route, _path=operation.name)  # type: ignore[no-untyped-call]
        return self._call_route(operation.route, dict(operation.arguments))


def build(logger: Logger) -> Resolver:
    """The resolver with all routes."""
    resolver = Resolver(enable_validation=True, json_body_deserializer=read_object)  # type: ignore[arg-type]  # None: no body
    resolver.context = _CONTEXT
    for router in ROUTERS:
        resolver.include_router(router)
    resolver.use(middlewares=[refuse_unknown_parameters])

    def not_valid(error: RequestValidationError) -> Response[str]:
        return rendered(validation_failed(error.errors()))

    def refused(error: Exception) -> Response[str]:
        problem = problem_of(error)
        if problem.status >= 500:
            logger.error("request_failed", error_type=type(error).__name__, exc_info=error)
        return rendered(problem)

    resolver.exception_handler(RequestValidationError)(not_valid)
    resolver.exception_handler(Exception)(refused)
    return resolver


def _beginning(path: str) -> str:
    """``/v1/sources`` of all that lies there: no operation has an id so early in its path."""
    return "/".join(path.split("/", 3)[:3])


def rendered(problem: Problem) -> Response[str]:
    """A problem as an answer."""
    headers = problem.all_headers()
    return Response(problem.status, headers.pop("Content-Type"), problem.body(), headers)


def refuse_unknown_parameters(app: Any, next_middleware: NextMiddleware) -> Any:
    """A misspelt filter must not silently select everything."""
    operation: Operation = app.context["operation"]
    if not operation.takes_any_body:
        known = {name for field in operation.route.dependant.query_params for name in _names(field)}
        unknown = sorted(set(app.current_event.query_string_parameters) - known)
        if unknown:
            raise invalid([FieldError("unknown parameter", parameter=name) for name in unknown])
    return next_middleware(app)


def _names(field: Any) -> set[str]:
    annotation = field.field_info.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return set(annotation.model_fields)
    return {field.alias}
