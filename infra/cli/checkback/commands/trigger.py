"""``trigger``: a provider's webhook, as the provider would send it."""

import json
from datetime import UTC, datetime
from typing import Any

import click
import httpx

from checkback.api import TIMEOUT
from checkback.failures import Exit, Failed, of_problem
from checkback.proofs import proved
from checkback.running import ID, Running, common, running
from checkback.samples import ProviderSamples, Wanted, providers

_SERVED = 200


@click.command()
@click.argument("provider", required=False)
@click.argument("event", required=False)
@click.option("--source", type=ID, help="Which source; default: the only one of the provider, or the newest.")
@click.option("--secret-stdin", is_flag=True, help="Read the source's secret (or private key) from standard input.")
@click.option("--phone", help="The shopper's phone, such as +919820012345: one of your own.")
@click.option("--email", help="The shopper's e-mail address: one of your own.")
@click.option("--total", help="The total, such as 1499.00.")
@click.option("--currency", help="The currency, such as INR.")
@click.option("--checkout", "external_id", help="Of which checkout: the external_id that an earlier call printed.")
@click.option("--list", "listing", is_flag=True, help="List providers and events.")
@click.option("--print", "printing", is_flag=True, help="Print the body instead of sending it.")
@common
@running
def trigger(own: Running, provider: str | None, event: str | None, **given: Any) -> None:
    """Send a provider's sample webhook to a source of it, signed as the provider signs.

    Each call is another checkout, at this moment; with --checkout it goes on with an earlier one. It names no phone and
    no e-mail address but those given here: what a sample holds may be a stranger's, and messages go out.
    """
    if given["listing"] or provider is None:
        rows = [{"provider": one, "events": " ".join(ProviderSamples(one).events)} for one in providers()]
        own.rows(rows, ("provider", "events"), nothing="no samples")
        return
    samples = ProviderSamples(provider)
    event = event or samples.default
    wanted = Wanted(
        given["phone"], given["email"], given["total"], given["currency"], given["external_id"], nobody=True
    )
    now = datetime.now(UTC)
    sample = samples.sample(event, wanted, now)
    if given["printing"]:
        click.echo(sample.body.decode())
        return
    source = _source(own, provider, given["source"])
    secret = click.get_text_stream("stdin").read().strip() if given["secret_stdin"] else own.kept(source["id"])
    url = own.kept(f"{source['id']}/url") or source["url"]
    if url.endswith("token=***"):
        raise Failed(f"the URL of {source['id']} holds a token that is not kept here", Exit.CREDENTIALS)
    webhook = proved(samples, sample, secret, now, source["settings"])
    told = _sent(url, webhook.path, webhook.body, dict(webhook.headers))
    shown = {"provider": provider, "event": event, "source_id": source["id"], "external_id": sample.external_id, **told}
    own.show(shown)
    if told.get("status") == "quarantined":
        own.say("authentic, but not understood: checkback quarantine list")
        click.get_current_context().exit(Exit.NO)


def _source(own: Running, provider: str, wanted: str | None) -> dict[str, Any]:
    if wanted is not None:
        found: dict[str, Any] = own.api.call("GET", f"/v1/sources/{wanted}")
        if found["provider"] != provider:
            raise Failed(f"{wanted} is a source of {found['provider']}", Exit.USAGE)
        return found
    mine = [one for one in own.api.listed("/v1/sources", most=1_000) if one["provider"] == provider]
    if not mine:
        told = f"no source of {provider}: checkback sources add {provider} --test-keys"
        raise Failed(told, Exit.NOT_FOUND)
    return mine[-1]


def _sent(url: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """What ingest answered. Raises Failed for anything but 200."""
    address = httpx.URL(url)
    if path:
        address = address.copy_with(path=address.path + path)
    try:
        answer = httpx.post(address, content=body, headers=headers, timeout=TIMEOUT)
    except httpx.HTTPError as gone:
        raise Failed(f"{address.host} was not reached: {type(gone).__name__}", Exit.UNREACHABLE) from gone
    try:
        told = answer.json()
    except json.JSONDecodeError:
        told = {}
    if answer.status_code != _SERVED:
        raise of_problem(answer.status_code, told)
    found: dict[str, Any] = told
    return found
