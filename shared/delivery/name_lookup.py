"""Looking up host names, so that a name that hangs holds up nobody but who asked for it.

The system's look-up can be neither interrupted nor bounded from outside: one whose name server never answers takes as
long as the system's resolver tries. So each has a daemon thread of its own, which an attempt leaves behind when its
time is up. Whoever asks for a name that is being looked up waits for the same look-up, and one domain has only a few at
once: a customer's names that hang cost a few threads, however often and under however many names they are asked for.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from ipaddress import ip_address
from socket import SOCK_STREAM, getaddrinfo

MOST_AT_ONCE = 128
"""More than a function can begin while the system still tries: ten attempts in three seconds, for half a minute."""
MOST_PER_DOMAIN = 4
_SHORT_REGISTRY = 3

type Lookup = Callable[[str, int], Sequence[str]]
"""Addresses of a host, as text; blocks, and raises OSError when there are none."""


class TooManyLookups(OSError):
    """Look-ups of the domain hang already: no further one is begun."""


def system_lookup(host: str, port: int) -> Sequence[str]:
    """Every address the system's resolver knows for ``host``."""
    return [str(sockaddr[0]) for _, _, _, _, sockaddr in getaddrinfo(host, port, type=SOCK_STREAM)]


class NameLookups:
    """Looks names up for any number of event loops. One per process."""

    def __init__(
        self, lookup: Lookup = system_lookup, *, at_once: int = MOST_AT_ONCE, per_domain: int = MOST_PER_DOMAIN
    ) -> None:
        """``at_once`` and ``per_domain``: how many look-ups may run at all, and for names of one domain."""
        self._lookup = lookup
        self._at_once = at_once
        self._per_domain = per_domain
        self._lock = threading.Lock()
        self._running: dict[str, Future[Sequence[str] | Exception]] = {}
        self._of_domain: Counter[str] = Counter()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of ``host``; whoever waits may give up at any time. Raises OSError when there are none."""
        if _is_address(host):
            return [host]
        # Shielded: who gives up must not end the look-up for the others who wait for it.
        found = await asyncio.shield(asyncio.wrap_future(self._begun(host, port)))
        if isinstance(found, Exception):
            raise found
        return found

    def _begun(self, host: str, port: int) -> "Future[Sequence[str] | Exception]":
        """The look-up that is running for the host, or a new one."""
        domain = domain_of(host)
        with self._lock:
            running = self._running.get(host)
            if running is not None:
                return running
            if len(self._running) >= self._at_once or self._of_domain[domain] >= self._per_domain:
                raise TooManyLookups("look-ups of the domain hang")
            own: Future[Sequence[str] | Exception] = Future()
            own.set_running_or_notify_cancel()
            thread = threading.Thread(target=self._run, args=(host, port, own), name=f"lookup {domain}", daemon=True)
            try:
                thread.start()
            except RuntimeError as none_left:
                raise TooManyLookups("no thread for the look-up") from none_left
            self._running[host] = own
            self._of_domain[domain] += 1
        return own

    def _run(self, host: str, port: int, own: "Future[Sequence[str] | Exception]") -> None:
        try:
            found: Sequence[str] | Exception = self._lookup(host, port)
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            found = error
        domain = domain_of(host)
        with self._lock:
            del self._running[host]
            self._of_domain[domain] -= 1
            if not self._of_domain[domain]:
                del self._of_domain[domain]
        own.set_result(found)


def domain_of(host: str) -> str:
    """The domain somebody registered, by the look of it: ``shop.example``, ``shop.co.in``."""
    labels = host.rstrip(".").split(".")
    under_a_registry = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= _SHORT_REGISTRY
    return ".".join(labels[-3:] if under_a_registry else labels[-2:])


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
