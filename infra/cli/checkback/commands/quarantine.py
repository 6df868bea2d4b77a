"""``quarantine``: authentic webhooks that were not understood."""

import base64
import os
from pathlib import Path

import click

from checkback.failures import Exit
from checkback.running import ID, Running, common, most, running


@click.group()
def quarantine() -> None:
    """Authentic webhooks that were not understood."""


@quarantine.command("list")
@most
@common
@running
def list_(own: Running, limit: int) -> None:
    """List them, newest first."""
    columns = ("received_at", "id", "provider", "event", "reason", "size", "replay_status")
    own.rows(list(own.api.listed("/v1/quarantine", most=limit)), columns, nothing="nothing is in quarantine")


@quarantine.command()
@click.argument("quarantine_id", type=ID)
@click.option("--body", type=click.Path(dir_okay=False, path_type=Path), help="Write the exact bytes into this file.")
@common
@running
def show(own: Running, quarantine_id: str, body: Path | None) -> None:
    """Show why one was not understood; its bytes hold what a shopper typed, and go into a file alone."""
    found = own.api.call("GET", f"/v1/quarantine/{quarantine_id}")
    raw = base64.b64decode(found.pop("body_base64"))
    if body is not None:
        with os.fdopen(os.open(body, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(raw)
    own.show(found)


@quarantine.command()
@click.argument("quarantine_id", type=ID)
@common
@running
def replay(own: Running, quarantine_id: str) -> None:
    """Read one once more, as on the day it came; ends with 1 where it still is not understood."""
    told = own.api.call("POST", f"/v1/quarantine/{quarantine_id}/replay")
    own.show(told)
    if told["status"] == "quarantined":
        own.say("it is still not understood")
        click.get_current_context().exit(Exit.NO)
