"""The API's description of itself: OpenAPI 3.1, and Swagger UI without any foreign host."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler import Response

from functions.merchant_api.operations import ANYONE, takes_any_body
from functions.merchant_api.resolver import Resolver
from shared.api.idempotency import Repeat

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "RFC 6901, into the request body"},
                    "parameter": {"type": "string", "description": "A query parameter or header"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_REFUSALS = {
    "400": "Malformed JSON",
    "401": "Missing, wrong or revoked credential",
    "403": "A valid credential of the wrong kind",
    "404": "Not found, or another merchant's",
    "409": "Conflict with the present state",
    "412": "If-Match names a version that is not the current one",
    "422": "Not valid: see errors",
    "503": "Briefly unavailable: try again",
}
_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 255},
}
_REPEATS = {
    Repeat.ANSWERED: "For 24 hours the request is done once: a repeat gets the first answer.",
    Repeat.NAMED: "For 24 hours the request is done once: a repeat gets the first status and the id.",
    Repeat.DONE_AGAIN: "For 24 hours the key names this request alone; a repeat is done and answered anew.",
}
_MATCH_PARAMETER = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The ETag of the version that is meant.",
}


def described(resolver: Resolver) -> Resolver:
    """The resolver with the two addresses at which it describes itself."""

    @resolver.get("/openapi.json", security=ANYONE, include_in_schema=False, enable_validation=False)
    def document() -> Response[str]:
        return Response(200, "application/json", openapi_document(resolver))

    @resolver.get("/docs", security=ANYONE, include_in_schema=False, enable_validation=False)
    def page() -> Response[str]:
        return Response(200, "text/html; charset=utf-8", swagger_page(resolver))

    return resolver


@cache
def openapi_document(resolver: Resolver) -> str:
    """The OpenAPI document; made once per process."""
    from aws_lambda_powertools.event_handler.openapi.models import HTTPBearer, SecurityScheme

    schemes: dict[str, SecurityScheme] = {
        "merchantToken": HTTPBearer(description="A merchant token (cbk_...)"),
        "adminKey": HTTPBearer(description="The operator's admin key"),
    }
    document = json.loads(
        resolver.get_openapi_json_schema(
            title="Checkback", version="1.0.0", openapi_version="3.1.0", security_schemes=schemes
        )
    )
    components = document["components"]
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    document["servers"] = [{"url": "."}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["operationId"] = resolver.operation_id_at(method, path)
            _complete(path, method, operation, resolver.repeat_at(method, path))
    return json.dumps(document, separators=(",", ":"))


@cache
def swagger_page(resolver: Resolver) -> str:
    """Swagger UI with everything inside the page."""
    from aws_lambda_powertools.event_handler.openapi import swagger_ui

    files = Path(swagger_ui.__file__).parent
    return swagger_ui.generate_swagger_html(
        spec=openapi_document(resolver).replace("</", "<\\/"),
        swagger_js=(files / "swagger-ui-bundle.min.js").read_text(),
        swagger_css=(files / "swagger-ui.min.css").read_text(),
        swagger_base_url="",
        oauth2_config=None,
    )


def _complete(path: str, method: str, operation: dict[str, Any], repeat: Repeat) -> None:
    """What the routes do not say themselves: credentials, refusals, request headers, a free body."""
    responses = operation["responses"]
    responses.pop("422", None)
    if operation["security"] == ANYONE:
        return
    reference = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, description in _REFUSALS.items():
        responses[status] = {"description": description, "content": reference}
    parameters = operation.setdefault("parameters", [])
    if method == "post" and not takes_any_body(path):
        parameters.append(_KEY_PARAMETER | {"description": _REPEATS[repeat]})
    if method in {"patch", "delete"}:
        parameters.append(_MATCH_PARAMETER)
    if takes_any_body(path):
        operation["requestBody"] = {"required": True, "content": {"*/*": {"schema": {}}}}
