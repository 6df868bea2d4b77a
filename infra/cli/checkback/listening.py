"""Events as they happen, read by the cursor of ``GET /v1/events``, and handed to a receiver as webhooks are.

A cursor misses nothing: what was not read yet is read next time, whatever broke between. A receiver gets an event with
the headers of Standard Webhooks, signed anew with a secret of this session: the endpoint's own secret never leaves the
service, and the receiver verifies exactly as it will in production.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from checkback.api import Api
from checkback.failures import Exit, Failed
from checkback.proofs import standard

_WAIT = 10
"""Seconds for which the API holds an empty answer back."""
_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts while the API is not reached; it then goes on where it was."""
_FORWARDING = httpx.Timeout(15, connect=5)


def session_secret() -> str:
    """A signing secret for this session alone."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading goes on: the cursor of what was read, and which types are wanted."""

    after: str | None
    types: str | None = None


def newest(api: Api) -> str | None:
    """The cursor behind everything that has happened."""
    found: str | None = api.call("GET", "/v1/events", params={"after": "now", "limit": 1})["next_cursor"]
    return found


def events(
    api: Api, place: Place, *, ends: Callable[[], bool], pause: Callable[[float], None] = time.sleep
) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Each event with the cursor behind its page, until ``ends``. At least once. Raises Failed where it is no use."""
    after, failed = place.after, 0
    while True:
        try:
            answer = api.ask("GET", "/v1/events", params={"after": after, "types": place.types, "wait": _WAIT})
            failed = 0
        except Failed as broken:
            if broken.exit_code not in {Exit.UNREACHABLE, Exit.TOO_MANY} or ends():
                raise
            pause(_PAUSES[min(failed, len(_PAUSES) - 1)])
            failed += 1
            continue
        page = answer.body
        for own in page["data"]:
            yield own, page["next_cursor"]
        after = page["next_cursor"] or after
        if ends():
            return
        if not page["data"] and answer.headers.get("retry-after", "").isdigit():
            # Too many hold an answer back already, so that this one came at once.
            pause(min(float(answer.headers["retry-after"]), _PAUSES[-1]))


def forwarded(url: str, event: dict[str, Any], secret: str, http: httpx.Client) -> str:
    """Hand an event to a receiver; what it answered, in a word."""
    body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    headers = standard(body, secret, datetime.now(UTC), message_id=str(event["id"]))
    try:
        answer = http.post(url, content=body, headers={"content-type": "application/json", **headers})
    except httpx.HTTPError as gone:
        return f"not reached ({type(gone).__name__})"
    return str(answer.status_code)


def forwarding() -> httpx.Client:
    """The client that talks to the receiver; it follows no redirect, as deliveries do not."""
    return httpx.Client(timeout=_FORWARDING, follow_redirects=False)
