"""Checkback's own address: an event sent there would come in as a webhook, and go out as an event, for ever.

The public URL's host is ours whatever the path. So is the API's own ``execute-api`` name, which answers beside a
custom domain, and the name by which a front knows the API. On the local engine everything is one loopback address:
there only the engine's port under the API's path is ours, so that receivers may stand beside it.
"""

from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

HOP_HEADER = "checkback-hop"
"""On everything we send; ingest refuses what carries it, so that a loop by way of somebody's forwarder ends too."""
_EXECUTE_API = "execute-api"


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """Where this stage answers. ``host`` in lower case; ``port`` counts on the local engine alone.

    ``api_id`` is the HTTP API's, empty where it is not known; ``origin`` the host behind the front, where there is one.
    """

    host: str
    port: int
    local: bool
    api_id: str = ""
    origin: str = ""

    @classmethod
    def of(cls, public_url: str, api_id: str, *, local: bool, origin: str = "") -> Self:
        """The address of a stage by what its functions know of it."""
        parts = urlsplit(public_url)
        default = 80 if parts.scheme == "http" else 443
        return cls((parts.hostname or "").lower(), parts.port or default, local, api_id.lower(), origin.lower())

    def includes(self, host: str, port: int, path: str, *, loopback: bool) -> bool:
        """Whether a URL leads here. ``host`` is in lower case and ASCII; ``loopback`` as of ``Target``."""
        if self.local and loopback:
            return port == self.port and _EXECUTE_API in unquote(path).lower()
        name, _, rest = host.partition(".")
        return host in {self.host, self.origin} - {""} or (
            name == self.api_id != "" and rest.startswith(f"{_EXECUTE_API}.")
        )
