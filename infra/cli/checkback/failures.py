"""How a command ends when it cannot do what was asked: a text for people, and an exit code for scripts.

| Code | Means |
| --- | --- |
| 0 | done |
| 1 | done, and the answer is no: a wrong signature, a webhook in quarantine, a setup with gaps |
| 2 | the command was not written as it should be |
| 3 | no credentials, or such as the API refuses (401, 403) |
| 4 | there is no such thing (404) |
| 5 | the API refuses the request (any other 4xx) |
| 6 | the API was not reached, did not answer in time, or failed (5xx) |
| 7 | too many requests (429): wait and try again |
"""

from collections.abc import Mapping
from enum import IntEnum
from http import HTTPStatus
from typing import Any

import click


class Exit(IntEnum):
    """What a script can tell apart."""

    DONE = 0
    NO = 1
    USAGE = 2
    CREDENTIALS = 3
    NOT_FOUND = 4
    REFUSED = 5
    UNREACHABLE = 6
    TOO_MANY = 7


class Failed(click.ClickException):
    """A command that ends with an exit code and a reason. ``facts`` are what ``--json`` prints of it."""

    def __init__(self, message: str, code: Exit, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.exit_code = code
        self.facts = dict(facts or {"detail": message})


def code_of(status: int) -> Exit:
    """The exit code of an HTTP status that is no success."""
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Exit.CREDENTIALS
        case HTTPStatus.NOT_FOUND:
            return Exit.NOT_FOUND
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Exit.TOO_MANY
        case _:
            return Exit.REFUSED if status < HTTPStatus.INTERNAL_SERVER_ERROR else Exit.UNREACHABLE


def of_problem(status: int, document: object) -> Failed:
    """The failure that problem details (RFC 9457) tell; what is no such document is told by its status."""
    told: dict[str, Any] = document if isinstance(document, dict) else {"status": status}
    lines = [f"{status} {told.get('title') or _phrase(status)}"]
    if told.get("detail"):
        lines.append(str(told["detail"]))
    errors = told.get("errors")
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            where = error.get("pointer") or error.get("parameter") or "body"
            lines.append(f"  {where}: {error.get('detail')}")
    return Failed("\n".join(lines), code_of(status), told)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
