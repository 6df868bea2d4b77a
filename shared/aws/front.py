"""The stage's front (CloudFront with a firewall), where it has one: what came by it, and that nothing comes past it.

The front adds a header of its own to every request, over whatever a client sent under that name. Its value is made of
the stage's keys, so there is no further secret; who knows it can pass the firewall by, and no more: every request
proves itself to the function all the same.
"""

import functools
import hmac
import ipaddress
import os
from collections.abc import Callable
from typing import Any, Final

from shared.aws import clients
from shared.aws.embedded_metrics import count
from shared.aws.environment import Environment
from shared.aws.faults import AWS_ERRORS
from shared.aws.function_log import function_logger
from shared.aws.http_api import headers_of, problem
from shared.aws.stage_keys import StageKeys

FRONT_HEADER: Final = "x-checkback-front"
FRONT_ONLY: Final = "FRONT_ONLY"
"""The variable that is ``on`` where requests past the front are refused."""

type Handler[C] = Callable[[dict[str, Any], C], dict[str, Any]]


def behind_front[C](handler: Handler[C]) -> Handler[C]:
    """A handler that sees no request but the front's, where the stage wants it so; and never the front's header."""

    @functools.wraps(handler)
    def guarded(event: dict[str, Any], context: C) -> dict[str, Any]:
        shown = headers_of(event).get(FRONT_HEADER)
        if os.environ.get(FRONT_ONLY) == "on":
            try:
                by_the_front = _is_known(shown or "")
            except AWS_ERRORS:
                function_logger(handler.__module__.split(".")[-2]).exception("front_not_checked")
                return problem(503, "Service Unavailable", "Please try again.", {"retry-after": "1"})
            if not by_the_front and shown:
                # Who shows another key is the front itself after a mistake of ours, and then nothing comes in any more.
                count("FrontRefused", service="checkback")
            if not by_the_front:
                return problem(403, "Forbidden", "This address answers nobody but the stage's front.")
        return handler(event if shown is None else _without_header(event), context)

    return guarded


@functools.cache
def _keys() -> tuple[bytes, ...]:
    """One call to Secrets Manager for each process. Of all versions: the front may still show an older key's."""
    stage_keys = StageKeys.fetch(clients.secretsmanager(), Environment.read().keys_secret_arn)
    return tuple(own.encode() for own in stage_keys.front_keys())


def address_of(event: dict[str, Any]) -> str:
    """Who asks, as far as it can be trusted: the connection's address, behind the front that of the front's visitor.

    CloudFront adds the address of its own visitor at the end of ``X-Forwarded-For``, whatever that one wrote there
    (CloudFront Developer Guide, "Request and response behavior for custom origins"); API Gateway may add the address of
    the front, which it names as ``sourceIp``. Of IPv6 the network of 64 bits: one visitor has as many addresses as
    they like of it.
    """
    peer = str(event["requestContext"]["http"].get("sourceIp", ""))
    if os.environ.get(FRONT_ONLY) != "on":
        return _network(peer)
    hops = [own.strip() for own in headers_of(event).get("x-forwarded-for", "").split(",") if own.strip()]
    if hops and hops[-1] == peer:
        hops.pop()
    return _network(hops[-1] if hops else peer)


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def _is_known(shown: str) -> bool:
    """Compared in a time that tells nothing of a key."""
    return any(hmac.compare_digest(shown.encode(), own) for own in _keys())


def _without_header(event: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = event.get("headers") or {}
    return {**event, "headers": {name: own for name, own in given.items() if name.lower() != FRONT_HEADER}}
