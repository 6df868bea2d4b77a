"""``listen``: events as they happen, forwarded to a receiver on this machine."""

import time
from typing import Any

import click

from checkback.failures import Exit, Failed
from checkback.listening import Place, events, forwarded, forwarding, newest, session_secret
from checkback.proofs import signing_key
from checkback.running import ID, Running, common, running


@click.command()
@click.option("--forward", help="POST each event to this URL, signed as webhooks are.")
@click.option("--endpoint", type=ID, help="Sign with the secret kept of this endpoint, not with one of this session.")
@click.option("--secret-file", type=click.File("r"), help="Sign with the whsec_ secret in this file.")
@click.option("--types", help="Event types, separated by commas; default: all.")
@click.option("--after", help="Go on behind this cursor, which an earlier call printed.")
@click.option("--from-start", is_flag=True, help="From the oldest event that is kept; default: from now on.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many events.")
@click.option("--seconds", type=click.FloatRange(0), help="Stop after so long; default: until Ctrl-C.")
@common
@running
def listen(own: Running, **given: Any) -> None:
    """Print events as they happen, and hand them to a receiver.

    With --forward and neither --endpoint nor --secret-file, a secret is made for this session and printed once on
    standard error: the receiver verifies with it.
    """
    url: str | None = given["forward"]
    secret = _secret(own, given) if url else ""
    started = time.monotonic()
    seconds = given["seconds"]
    after = given["after"] if given["after"] or given["from_start"] else _behind_all(own)
    count, cursor = 0, after
    own.say(f"listening at {own.api.url}")

    def ends() -> bool:
        return seconds is not None and time.monotonic() - started >= seconds

    try:
        with forwarding() as http:
            for event, behind in events(own.api, Place(after, given["types"]), ends=ends):
                answered = forwarded(url, event, secret, http) if url else None
                _print(own, event, answered)
                count, cursor = count + 1, behind
                if count == given["count"]:
                    break
    finally:
        if cursor:
            own.say(f"go on with --after {cursor}")


def _behind_all(own: Running) -> str | None:
    try:
        return newest(own.api)
    except Failed as failed:
        if failed.exit_code == Exit.NOT_FOUND:
            told = "this stage has no stream of events (GET /v1/events): checkback deliveries tail shows what is sent"
            raise Failed(told, Exit.NOT_FOUND) from failed
        raise


def _print(own: Running, event: dict[str, Any], answered: str | None) -> None:
    if own.json:
        own.show(event if answered is None else {"event": event, "forwarded": answered})
        return
    checkout = event["data"].get("checkout") or {}
    total = (checkout.get("totals") or {}).get("total") or {}
    amount = " ".join(str(total.get(name)) for name in ("amount", "currency")) if total else ""
    parts = (
        event["timestamp"],
        event["type"],
        str(checkout.get("id") or ""),
        amount,
        f"-> {answered}" if answered else "",
    )
    click.echo("  ".join(part for part in parts if part))


def _secret(own: Running, given: dict[str, Any]) -> str:
    secret: str | None = None
    if given["endpoint"]:
        secret = own.kept(given["endpoint"])
        if secret is None:
            raise Failed(f"no secret of {given['endpoint']} is kept here", Exit.CREDENTIALS)
    elif given["secret_file"]:
        secret = given["secret_file"].read().strip()
    if secret is None:
        secret = session_secret()
        own.say(f"signing secret of this session: {secret}")
    if signing_key(secret) is None:
        raise Failed("the secret is not of the form whsec_<base64>", Exit.USAGE)
    return secret
