"""``doctor``: what is set up, what is missing, and whether purchases arrive."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import click

from checkback.api import Api
from checkback.failures import Exit
from checkback.running import Running, common, running

_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Found:
    """One thing looked at. ``missing`` keeps it from working, ``warning`` makes it work badly."""

    state: Literal["ok", "warning", "missing"]
    check: str
    detail: str
    do: str | None = None


def examined(api: Api) -> Iterator[Found]:
    """Everything that can be seen with a merchant's token, in the order in which it is set up."""
    merchant = api.call("GET", "/v1/merchant")
    yield Found("ok", "token", f"{merchant['name']} ({merchant['id']}) at {api.url}")
    if merchant.get("store_domains"):
        yield Found("ok", "store domains", ", ".join(merchant["store_domains"]))
    else:
        told = "recovery links lead nowhere but to the provider's own hosts"
        yield Found("warning", "store domains", told, "PATCH /v1/merchant {store_domains}")
    sources = list(api.listed("/v1/sources", most=1_000))
    if not sources:
        yield Found("missing", "sources", "no checkout provider is connected", "checkback sources add <provider>")
    for provider in dict.fromkeys(own["provider"] for own in sources):
        yield from _provider(api, provider)
    yield from _endpoints(api)
    yield from _deliveries(api)
    yield _quarantine(api)


def _provider(api: Api, provider: str) -> Iterator[Found]:
    """Whether its webhooks arrive, and its purchases: without them shoppers are written to who have bought."""
    newest = list(api.listed("/v1/checkouts", most=1, provider=provider))
    if not newest:
        told = "registered, but no checkout has arrived: the url may not be pasted at the provider yet"
        yield Found("missing", f"webhooks of {provider}", told, f"checkback trigger {provider}")
        return
    yield Found("ok", f"webhooks of {provider}", f"the last activity was at {newest[0]['last_activity_at']}")
    bought = any(
        list(api.listed("/v1/checkouts", most=1, provider=provider, status=status))
        for status in ("completed", "recovered")
    )
    if bought:
        yield Found("ok", f"purchases of {provider}", "they arrive")
    else:
        told = "none has arrived: shoppers would be written to after they bought"
        yield Found("warning", f"purchases of {provider}", told, "subscribe to the provider's order events as well")


def _endpoints(api: Api) -> Iterator[Found]:
    known = list(api.listed("/v1/endpoints", most=1_000))
    if not known:
        yield Found("missing", "endpoints", "nobody is told", "checkback endpoints add <url>")
        return
    for own in known:
        name = f"endpoint {own['id']}"
        if own["status"] != "active":
            told = f"disabled ({own.get('disabled_reason') or 'by hand'}): what arrives is held"
            yield Found("missing", name, told, f"checkback endpoints enable {own['id']}, then deliveries recover")
        else:
            yield Found("ok", name, f"{own['kind']}, {len(own['event_types'])} event types")
    if not any("checkout.abandoned" in own["event_types"] for own in known) and not _campaigns(api):
        told = "no endpoint gets checkout.abandoned, and no campaign runs: nobody is written to"
        yield Found("missing", "abandonment", told, "checkback endpoints add <url> --event checkout.abandoned")


def _campaigns(api: Api) -> bool:
    return any(own.get("status") == "active" for own in api.listed("/v1/campaigns", most=_LOOKED_AT))


def _deliveries(api: Api) -> Iterator[Found]:
    newest = list(api.listed("/v1/deliveries", most=_LOOKED_AT))
    bad: list[dict[str, Any]] = [own for own in newest if own["status"] in {"failed", "retrying", "held", "expired"}]
    if not newest:
        yield Found("warning", "deliveries", "none yet", "checkback endpoints test <endpoint>")
    elif bad:
        told = (
            f"{len(bad)} of the newest {len(newest)} did not arrive; the last: {bad[0]['status']}, {bad[0]['reason']}"
        )
        yield Found("warning", "deliveries", told, f"checkback deliveries show {bad[0]['id']}")
    else:
        yield Found("ok", "deliveries", f"the newest {len(newest)} arrived or had no reason to")


def _quarantine(api: Api) -> Found:
    waiting = [own for own in api.listed("/v1/quarantine", most=_LOOKED_AT) if own["replay_status"] is None]
    if not waiting:
        return Found("ok", "quarantine", "empty, or read again")
    told = f"{len(waiting)} authentic webhooks were not understood; the last: {waiting[0]['reason']}"
    return Found("warning", "quarantine", told, f"checkback quarantine replay {waiting[0]['id']}")


@click.command()
@common
@running
def doctor(own: Running) -> None:
    """Look at what is set up, what is missing, and whether purchases arrive. Ends with 1 where something is missing."""
    found = list(examined(own.api))
    own.rows([asdict(one) for one in found], ("state", "check", "detail", "do"), nothing="")
    if any(one.state == "missing" for one in found):
        click.get_current_context().exit(Exit.NO)
