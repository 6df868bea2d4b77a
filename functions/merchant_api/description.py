"""The API's description of itself: OpenAPI 3.1, and Swagger UI without any foreign host."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler import Response

from functions.merchant_api.operations import ANYONE, shape_named, takes_any_body
from functions.merchant_api.resolver import Resolver
from shared.api.idempotency import Repeat

_FOREIGN: dict[str, Any] = {
    "application/json": {"schema": {}},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}
"""A provider's payload: mostly JSON, otherwise any bytes."""


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

    from functions.merchant_api.answers import Bodies, named, plain, responses, said_by
    from functions.merchant_api.examples import put_examples
    from functions.merchant_api.links import links
    from functions.merchant_api.refusals import ABOUT, GATEWAY_MESSAGE, PROBLEM
    from functions.merchant_api.webhooks import BODIES, webhooks

    schemes: dict[str, SecurityScheme] = {
        "merchantToken": HTTPBearer(description="A merchant token (cbk_...)"),
        "adminKey": HTTPBearer(description="The operator's admin key"),
    }
    document = json.loads(
        resolver.get_openapi_json_schema(
            title="Checkback",
            version="1.0.0",
            description=ABOUT,
            openapi_version="3.1.0",
            security_schemes=schemes,
        )
    )
    components = document["components"]
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schemas.pop(unused, None)
    schemas |= {"Problem": PROBLEM, "GatewayMessage": GATEWAY_MESSAGE}
    document["servers"] = [{"url": "."}]
    described = {
        (path, method): resolver.route_at(method, path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    said = [body for own in described.values() if (body := said_by(own.func).body) is not None]
    bodies = Bodies([*said, *BODIES])
    for (path, method), route in described.items():
        operation = document["paths"][path][method]
        operation["operationId"] = resolver.operation_id_at(method, path)
        operation["responses"] = responses(route.func, route.status_code, bodies)
        leading = links(operation["operationId"])
        if leading:
            operation["responses"][str(route.status_code)]["links"] = leading
        _complete(path, method, operation, resolver.repeat_at(method, path))
    document["webhooks"] = webhooks(bodies)
    schemas |= bodies.components([*document["paths"].values(), *document["webhooks"].values()])
    components["schemas"] = {named(name): plain(schema) for name, schema in schemas.items()}
    for part in ("paths", "webhooks"):
        document[part] = plain(document[part])
    put_examples(document)
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
    """What the routes do not say themselves: refusals, request headers, what ids look like, a free body."""
    from functions.merchant_api.refusals import headers, refusals

    if takes_any_body(path):
        operation["requestBody"] = {"required": True, "content": _FOREIGN}
    elif "requestBody" in operation:
        # An optional body is one that is left out: null is no object.
        for content in operation["requestBody"]["content"].values():
            content["schema"] = _without_null(content["schema"])
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
        if parameter["in"] == "path":
            parameter["schema"]["pattern"] = f"^{shape_named(parameter['name'])}$"
    added = headers(path, method, repeat)
    if added:
        operation.setdefault("parameters", []).extend(added)
    operation["responses"] |= refusals(path, method, operation)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of what is given where it may be left out."""
    given: list[dict[str, Any]] = schema.get("anyOf", [])
    choices = [own for own in given if own != {"type": "null"}]
    if len(choices) != 1 or len(given) == 1:
        return schema
    return {name: own for name, own in schema.items() if name != "anyOf"} | choices[0]
