"""``endpoints``: who is told."""

from typing import Any

import click

from checkback.failures import Exit, Failed
from checkback.running import ID, Running, common, most, running

_COLUMNS = ("id", "kind", "name", "status", "url", "event_types")


@click.group()
def endpoints() -> None:
    """Who is told: webhooks, WhatsApp vendors, mail."""


@endpoints.command("list")
@most
@common
@running
def list_(own: Running, limit: int) -> None:
    """List the endpoints."""
    own.rows(
        list(own.api.listed("/v1/endpoints", most=limit)), _COLUMNS, nothing="no endpoint: checkback endpoints add"
    )


@endpoints.command()
@click.argument("url")
@click.option("--event", "events", multiple=True, help="An event type, such as checkout.abandoned; several times.")
@click.option("--name", help="A name of your own.")
@click.option("--show-secret", is_flag=True, help="Print the signing secret, to paste it at the receiver.")
@common
@running
def add(own: Running, url: str, events: tuple[str, ...], name: str | None, *, show_secret: bool) -> None:
    """Register a webhook endpoint. Its signing secret is kept, and printed only with --show-secret.

    Without --event it gets all types but checkout.updated.
    """
    body: dict[str, Any] = {"kind": "webhook", "url": url}
    body |= {"event_types": list(events)} if events else {}
    body |= {"name": name} if name else {}
    made = own.api.call("POST", "/v1/endpoints", json=body)
    secret = made.pop("signing_secret", None)
    if secret:
        own.keep(made["id"], secret)
    if show_secret:
        made["signing_secret"] = secret
    own.show(made, ("id", "url", "event_types", *(("signing_secret",) if show_secret else ())))


@endpoints.command()
@click.argument("endpoint_id", type=ID)
@common
@running
def show(own: Running, endpoint_id: str) -> None:
    """Show an endpoint and its settings."""
    own.show(own.api.call("GET", f"/v1/endpoints/{endpoint_id}"))


@endpoints.command()
@click.argument("endpoint_id", type=ID)
@common
@running
def secret(own: Running, endpoint_id: str) -> None:
    """Print the signing secret of an endpoint that was registered here."""
    found = own.kept(endpoint_id)
    if found is None:
        told = f"no secret of {endpoint_id} is kept here; the API shows it once: checkback endpoints rotate"
        raise Failed(told, Exit.NOT_FOUND)
    own.show({"id": endpoint_id, "secret": found}, ("secret",))


@endpoints.command()
@click.argument("endpoint_id", type=ID)
@click.option("--show-secret", is_flag=True, help="Print the new signing secret.")
@common
@running
def rotate(own: Running, endpoint_id: str, *, show_secret: bool) -> None:
    """Make a new signing secret; the older one signs too for a day."""
    made = own.api.call("POST", f"/v1/endpoints/{endpoint_id}/rotate-secret")
    own.keep(endpoint_id, made["signing_secret"])
    own.show(
        {"id": endpoint_id, "rotated": True, **({"signing_secret": made["signing_secret"]} if show_secret else {})}
    )


@endpoints.command()
@click.argument("endpoint_id", type=ID)
@common
@running
def test(own: Running, endpoint_id: str) -> None:
    """Send a test event; `checkback deliveries tail` shows what became of it."""
    own.show(own.api.call("POST", f"/v1/endpoints/{endpoint_id}/test"))


@endpoints.command()
@click.argument("endpoint_id", type=ID)
@common
@running
def enable(own: Running, endpoint_id: str) -> None:
    """Send to an endpoint again."""
    own.show(own.api.call("POST", f"/v1/endpoints/{endpoint_id}/enable"), ("id", "status"))


@endpoints.command()
@click.argument("endpoint_id", type=ID)
@common
@running
def disable(own: Running, endpoint_id: str) -> None:
    """Stop sending to an endpoint; what arrives meanwhile is held."""
    own.show(own.api.call("POST", f"/v1/endpoints/{endpoint_id}/disable"), ("id", "status"))


@endpoints.command()
@click.argument("endpoint_id", type=ID)
@click.confirmation_option(prompt="Remove this endpoint?")
@common
@running
def remove(own: Running, endpoint_id: str) -> None:
    """Remove an endpoint."""
    own.api.call("DELETE", f"/v1/endpoints/{endpoint_id}")
    own.secrets.drop(own.session.secret_name(endpoint_id))
    own.show({"id": endpoint_id, "removed": True})
