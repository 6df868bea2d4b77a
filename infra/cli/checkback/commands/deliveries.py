"""``deliveries``: what was sent, attempt by attempt."""

import time
from typing import Any

import click

from checkback.running import ID, Running, common, most, running

_COLUMNS = ("created_at", "id", "event_type", "status", "reason", "attempt_count", "checkout_id")
_SECONDS = 2.0
"""Between two looks of ``tail``."""


@click.group()
def deliveries() -> None:
    """What was sent to the endpoints."""


def _filters(command: Any) -> Any:
    for name, text in (("endpoint-id", "To this endpoint."), ("status", "Such as failed."), ("checkout-id", "Of it.")):
        command = click.option(f"--{name}", help=text)(command)
    return command


@deliveries.command("list")
@_filters
@most
@common
@running
def list_(own: Running, limit: int, **filters: str | None) -> None:
    """Find deliveries, newest first."""
    own.rows(list(own.api.listed("/v1/deliveries", most=limit, **filters)), _COLUMNS, nothing="no delivery")


@deliveries.command()
@_filters
@click.option("--seconds", type=click.FloatRange(0), help="Stop after so long; default: until Ctrl-C.")
@common
@running
def tail(own: Running, seconds: float | None, **filters: str | None) -> None:
    """Follow deliveries: each is printed when it begins, and again when something became of it."""
    seen: dict[str, tuple[str, int]] = {}
    ends = None if seconds is None else time.monotonic() + seconds
    while True:
        page = own.api.call("GET", "/v1/deliveries", params={**filters, "limit": 100})["data"]
        fresh = [one for one in reversed(page) if seen.get(one["id"]) != (one["status"], one["attempt_count"])]
        seen |= {one["id"]: (one["status"], one["attempt_count"]) for one in page}
        if fresh:
            own.rows(fresh, _COLUMNS, nothing="")
        if ends is not None and time.monotonic() >= ends:
            return
        time.sleep(_SECONDS if ends is None else max(min(_SECONDS, ends - time.monotonic()), 0))


@deliveries.command()
@click.argument("delivery_id", type=ID)
@common
@running
def show(own: Running, delivery_id: str) -> None:
    """Show a delivery with its attempts."""
    found = own.api.call("GET", f"/v1/deliveries/{delivery_id}")
    if own.json:
        own.show(found)
        return
    own.show(found, [name for name in found if name != "attempts"])
    columns = ("at", "outcome", "status_code", "latency_ms", "next_attempt_at", "response_body")
    own.rows(found["attempts"], columns, nothing="not tried yet")


@deliveries.command()
@click.argument("delivery_id", type=ID)
@common
@running
def retry(own: Running, delivery_id: str) -> None:
    """Try a delivery that has ended once more, now."""
    own.show(own.api.call("POST", f"/v1/deliveries/{delivery_id}/retry"), ("id", "status"))


@deliveries.command()
@click.argument("endpoint_id", type=ID)
@click.option("--since", help="From when, such as 2026-11-28T09:00:00Z; default: all that is kept.")
@click.option(
    "--status", "statuses", multiple=True, help="Such as failed or held; several times. Default: undelivered."
)
@common
@running
def recover(own: Running, endpoint_id: str, since: str | None, statuses: tuple[str, ...]) -> None:
    """Send an endpoint what it did not get, where it is still true."""
    body: dict[str, Any] = ({"since": since} if since else {}) | ({"statuses": list(statuses)} if statuses else {})
    own.show(own.api.call("POST", f"/v1/endpoints/{endpoint_id}/recover", json=body))
