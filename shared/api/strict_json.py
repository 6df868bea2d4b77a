"""Request bodies: a JSON object by the letter of RFC 8259, or a problem that says what is wrong."""

import json
from typing import Any

from shared.api.problems import FieldError, invalid, malformed


def read_object(text: str | None) -> dict[str, Any] | None:
    """The object; None where there is no body. Raises Problem 400 (not JSON) and 422 (JSON, but no object)."""
    if text is None or not text.strip():
        return None
    try:
        document = json.loads(text, parse_constant=_refuse)
        if "\\u" in text:
            # A lone surrogate is no character: nothing could store it.
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise malformed("The body is not valid JSON in UTF-8.") from None
    if not isinstance(document, dict):
        raise invalid([FieldError("must be a JSON object", pointer="")])
    return document


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
