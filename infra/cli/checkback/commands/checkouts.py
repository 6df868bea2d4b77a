"""``checkouts``: what was left, and why nothing is sent."""

import click

from checkback.running import ID, Running, common, most, running


@click.group()
def checkouts() -> None:
    """Checkouts and what happened to them."""


@checkouts.command("list")
@click.option("--status", help="Such as abandoned, open or recovered.")
@click.option("--provider", help="Of this provider alone.")
@most
@common
@running
def list_(own: Running, status: str | None, provider: str | None, limit: int) -> None:
    """Find checkouts."""
    found = list(own.api.listed("/v1/checkouts", most=limit, status=status, provider=provider))
    columns = ("id", "provider", "status", "totals.total.amount", "totals.total.currency", "last_activity_at")
    own.rows(found, columns, nothing="no checkout")


@checkouts.command()
@click.argument("checkout_id", type=ID)
@common
@running
def show(own: Running, checkout_id: str) -> None:
    """Show a checkout."""
    own.show(own.api.call("GET", f"/v1/checkouts/{checkout_id}"))


@checkouts.command()
@click.argument("checkout_id", type=ID)
@common
@running
def timeline(own: Running, checkout_id: str) -> None:
    """What happened to a checkout."""
    found = list(own.api.listed(f"/v1/checkouts/{checkout_id}/activities", most=1_000))
    own.rows(found, ("at", "type", "detail"), nothing="nothing happened yet")


@checkouts.command()
@click.argument("checkout_id", type=ID)
@common
@running
def eligibility(own: Running, checkout_id: str) -> None:
    """Whether a message may go out now, and why not."""
    own.show(own.api.call("GET", f"/v1/checkouts/{checkout_id}/eligibility"))
