"""Problem details (RFC 9457): what every refused request gets, and the one place where exceptions become one."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from shared.aws.credential_cipher import CredentialsTooLarge
from shared.aws.faults import is_temporary
from shared.aws.quarantine_bucket import BodyGone
from shared.domain.pointer import pointer
from shared.providers.provider import NotReadable, NotUnderstood
from shared.store.configuration import VersionConflict
from shared.workflows.delivering.refusals import Conflict, Invalid, NotFound
from shared.workflows.intake.sample import TooManySamples

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:checkback:problem:"
_RETRY_SECONDS = "2"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a request: in the body (``pointer``, RFC 6901) or a parameter or header (``parameter``)."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None

    def as_json(self) -> dict[str, str]:
        """The entry of ``errors``."""
        where = {"parameter": self.parameter} if self.parameter is not None else {"pointer": self.pointer or ""}
        return where | {"detail": self.detail}


@dataclass(slots=True)
class Problem(Exception):
    """A request that is refused. ``kind`` is the last part of ``type``; ``detail`` never holds personal data."""

    status: int
    kind: str
    title: str
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> str:
        """The problem document."""
        document: dict[str, Any] = {
            "type": _TYPE + self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [error.as_json() for error in self.errors]
        return json.dumps(document, separators=(",", ":"))

    def all_headers(self) -> dict[str, str]:
        """Its own headers and the media type."""
        return {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", **self.headers}


def malformed(detail: str) -> Problem:
    """400: the body is not JSON."""
    return Problem(400, "malformed-json", "Malformed JSON", detail)


def unauthorised(detail: str) -> Problem:
    """401: no credential, or one that is not (or no longer) known."""
    challenge = 'Bearer realm="checkback"'
    return Problem(401, "unauthorised", "Authentication required", detail, headers={"WWW-Authenticate": challenge})


def forbidden(detail: str) -> Problem:
    """403: a valid credential of the wrong kind."""
    return Problem(403, "forbidden", "Not allowed with this credential", detail)


def not_found(detail: str = "There is nothing at this address.") -> Problem:
    """404: unknown, or another merchant's."""
    return Problem(404, "not-found", "Not found", detail)


def method_not_allowed(allowed: Iterable[str]) -> Problem:
    """405, with what the address does allow."""
    methods = ", ".join(sorted(allowed))
    detail = f"This address allows {methods}."
    return Problem(405, "method-not-allowed", "Method not allowed", detail, headers={"Allow": methods})


def conflict(detail: str) -> Problem:
    """409: the request meets a state it does not fit."""
    return Problem(409, "conflict", "Conflict", detail)


def precondition_failed() -> Problem:
    """412: If-Match names a version that is not the current one."""
    detail = "The resource changed since it was read; read it again and repeat the change."
    return Problem(412, "precondition-failed", "Precondition failed", detail)


def unsupported_media_type() -> Problem:
    """415: a body that is not declared as JSON."""
    return Problem(415, "unsupported-media-type", "Unsupported media type", "Send application/json.")


def invalid(errors: Sequence[FieldError]) -> Problem:
    """422: understood as JSON, but not valid."""
    detail = "The request is not valid; see errors."
    return Problem(422, "validation-failed", "Validation failed", detail, errors)


def invalid_parameter(name: str, detail: str) -> Problem:
    """422 for one query parameter or header."""
    return invalid([FieldError(detail, parameter=name)])


def unavailable() -> Problem:
    """503: a temporary failure of ours; nothing was done."""
    detail = "The service is briefly unable to do this; try again."
    return Problem(503, "unavailable", "Temporarily unavailable", detail, headers={"Retry-After": _RETRY_SECONDS})


def unexpected() -> Problem:
    """500: a defect of ours, told without its details."""
    return Problem(500, "internal-error", "Internal error", "Something went wrong here; it has been logged.")


def too_many(detail: str, again_in: timedelta) -> Problem:
    """429: a bound of this one operation's is met; nothing was done."""
    headers = {"Retry-After": str(int(again_in.total_seconds()))}
    return Problem(429, "too-many-requests", "Too many requests", detail, headers=headers)


def validation_failed(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The problem of pydantic's errors as the resolver reports them; invalid JSON among them is a 400."""
    if any(error["type"] == "json_invalid" for error in errors):
        return malformed("The body is not valid JSON.")
    return invalid([_field_error(error) for error in errors])


def problem_of(error: Exception) -> Problem:
    """The problem that an exception becomes; anything unforeseen is a 500."""
    if isinstance(error, Problem):
        return error
    return _of_ours(error) or (unavailable() if is_temporary(error) else unexpected())


def _of_ours(error: Exception) -> Problem | None:
    match error:
        case NotFound():
            return not_found(str(error))
        case BodyGone():
            return not_found("The body is gone: bodies are kept for 30 days.")
        case Invalid():
            return invalid([FieldError(detail, pointer=pointer) for pointer, detail in error.problems])
        case Conflict():
            return conflict(str(error))
        case VersionConflict():
            return conflict("The resource was changed at the same time; read it again and repeat the change.")
        case CredentialsTooLarge():
            return invalid([FieldError(str(error), pointer="/credentials")])
        case TooManySamples():
            return too_many("That is as many samples as a minute allows.", error.again_in)
        case NotReadable():
            return malformed(str(error))
        case NotUnderstood():
            return Problem(422, "not-understood", "Payload not understood", str(error))
        case _:
            return None


def _field_error(error: Mapping[str, Any]) -> FieldError:
    where, *path = error["loc"] or ("body",)
    detail = _detail(error)
    if where == "body":
        return FieldError(detail, pointer=pointer(*(part for part in path if not _names_a_branch(part))))
    name = next((str(part) for part in reversed(path) if isinstance(part, str)), str(where))
    return FieldError(detail, parameter=name)


def _names_a_branch(part: str | int) -> bool:
    """Whether pydantic put a union's branch (of the body models) or the mark of a map's key into the path."""
    return isinstance(part, str) and (part in {"[key]", "LiquidBody"} or part.startswith("literal["))


def _detail(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown field"
    if error["type"] == "missing":
        return "required"
    message = str(error.get("msg", "not valid"))
    return message.removeprefix("Value error, ")
