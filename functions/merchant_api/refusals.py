"""Which refusals an operation can answer, and which request headers it heeds: what its route does not say itself."""

from typing import Any, Final

from functions.merchant_api.operations import ANYONE, MERCHANT, OPERATOR, is_versioned, takes_any_body
from shared.api.idempotency import KEY_PATTERN, Repeat

PROBLEM: Final[dict[str, Any]] = {
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
GATEWAY_MESSAGE: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What API Gateway itself answers",
    "required": ["message"],
    "properties": {"message": {"type": "string"}},
}
ABOUT: Final = (
    "Every refusal is a problem (RFC 9457), `application/problem+json`; an unknown path is a 404, a method that an "
    "address does not have a 405 with `Allow`. Under `/v1` both ask for a credential first, where the address is not "
    "public. Blanks around a text are taken off."
)
_OURS: Final = {
    "400": "The body is not JSON in UTF-8",
    "401": "Missing, wrong or revoked credential",
    "403": "A valid credential of the wrong kind",
    "404": "Not found, or another merchant's",
    "409": "Conflict with the present state, or with another request under the same Idempotency-Key",
    "412": "If-Match names a version that is not the current one",
    "415": "The body is not declared as application/json",
    "422": "Not valid: see errors",
    "500": "A defect of ours; it has been logged",
    "503": "Briefly unavailable: try again",
}
_GATEWAYS: Final = {
    "413": "The body is larger than some 4 MB",
    "429": "Too many requests to the whole stage: try again",
}
_NAMES_SOMETHING: Final = frozenset(
    {
        ("get", "/v1/deliveries"),
        ("get", "/v1/jobs"),
        ("post", "/v1/portal-links"),
        ("post", "/v1/suppressions"),
        ("delete", "/v1/suppressions"),
    }
)
"""What can be not found without an id in the path."""
_REPEATS: Final = {
    Repeat.ANSWERED: "For 24 hours the request is done once: a repeat gets the first answer.",
    Repeat.NAMED: "For 24 hours the request is done once: a repeat gets the first status and the id.",
    Repeat.DONE_AGAIN: "For 24 hours the key names this request alone; a repeat is done and answered anew.",
}
_MATCH_PARAMETER: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ["*"]},
    "description": "The ETag of the version that is meant, or *.",
}


_BOUNDED: Final = frozenset({("post", "/v1/sources/{source_id}/sample")})
"""What has a bound of its own beside the stage's."""


def refusals(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    """The refusals of one operation of the description, by status."""
    statuses = _statuses(path, method, operation)
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    message = {"application/json": {"schema": {"$ref": "#/components/schemas/GatewayMessage"}}}
    ours = {own: {"description": text, "content": problem} for own, text in _OURS.items() if own in statuses}
    gateways = {own: {"description": text, "content": message} for own, text in _GATEWAYS.items() if own in statuses}
    if (method, path) in _BOUNDED:
        told = "Too many of these, or too many requests to the whole stage: try again"
        gateways["429"] = {"description": told, "content": problem | message}
    return dict(sorted((ours | gateways).items()))


def _statuses(path: str, method: str, operation: dict[str, Any]) -> set[str]:
    found = {"422", "429"}
    security = operation["security"]
    if path == "/healthz":
        return found
    found |= {"500", "503"}
    if security != ANYONE:
        found.add("401")
    if security in (MERCHANT, OPERATOR):
        found.add("403")
    if "{" in path or (method, path) in _NAMES_SOMETHING:
        found.add("404")
    if method == "patch" or (method == "post" and not takes_any_body(path)) or is_versioned(method, path):
        found.add("409")
    if is_versioned(method, path):
        found.add("412")
    if "requestBody" in operation:
        found |= {"400", "413"} if takes_any_body(path) else {"400", "413", "415"}
    return found


def headers(path: str, method: str, repeat: Repeat) -> list[dict[str, Any]]:
    """The request headers that an operation heeds."""
    found: list[dict[str, Any]] = []
    if is_versioned(method, path):
        found.append(_MATCH_PARAMETER)
    if method == "post" and not takes_any_body(path):
        schema = {"type": "string", "maxLength": 255, "pattern": f"^{KEY_PATTERN}$"}
        named = {"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema}
        found.append(named | {"description": _REPEATS[repeat]})
    return found
