"""``preview``: what a payload becomes."""

from typing import Any

import click

from checkback.running import ID, Running, common, running


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--source", type=ID, required=True, help="As a webhook of this source.")
@click.option("--event", help="The vendor's event name, where only the URL carries it.")
@click.option("--header", "headers", multiple=True, help="A header, such as 'x-shopify-topic: checkouts/create'.")
@common
@running
def preview(own: Running, file: Any, source: str, event: str | None, headers: tuple[str, ...]) -> None:
    """Show what a payload becomes; nothing is stored. FILE - reads standard input."""
    sent = {"content-type": "application/octet-stream"}
    for one in headers:
        name, _, value = one.partition(":")
        sent[name.strip()] = value.strip()
    path, params = f"/v1/sources/{source}/preview", {"event": event}
    answer = own.api.ask("POST", path, params=params, content=file.read(), headers=sent)
    own.show(answer.body)
    for name, meaning in (("checkback-missing", "not in the payload"), ("checkback-assumed", "assumed")):
        if answer.headers.get(name):
            own.say(f"{meaning}: {answer.headers[name]}")
