"""Where Checkback may connect to: rules for URLs and addresses. Pure, and cheap to import.

The destination is chosen by a customer, so each rule keeps a request away from something that is not theirs.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from shared.delivery.exchange import RefusedDestination
from shared.delivery.own_address import OwnAddress

HTTPS_PORTS = frozenset({443, 8443})
MAX_URL_LENGTH = 2048

# IANA IPv4 Special-Purpose Address Registry, plus multicast. Blocks that the registry calls globally
# reachable but that serve protocols, not web servers (AS112, AMT, 6to4 relays, PCP/TURN anycast), are refused
# with the rest.
_REFUSED_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # shared address space
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local: instance and task metadata
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # TEST-NET-1
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relay anycast
        "192.168.0.0/16",  # private use
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # TEST-NET-2
        "203.0.113.0/24",  # TEST-NET-3
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, limited broadcast
    )
)
# Of IPv6, IANA has given out only 2000::/3 as global unicast. Everything else is refused by that alone:
# loopback, mapped and compatible IPv4, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), discard-only, SRv6,
# unique-local, link-local, site-local, multicast. Inside it the IANA IPv6 Special-Purpose Address Registry
# takes these out:
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, ORCHID, AMT, DRIP
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)

_LOOPBACK_NAME = "localhost"
_LOOPBACK_V4 = IPv4Network("127.0.0.0/8")
_LOOPBACK_V6 = IPv6Address("::1")
_PRIVATE_SUFFIXES = ("localhost", "local", "internal", "home.arpa", "onion", "alt")

_UNSAFE = re.compile(r"[\s\x00-\x20\x7f-\x9f\\]")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BRACKETED = re.compile(r"\[[^\[\]]*\](?::[0-9]*)?")
_MAX_NAME_LENGTH = 253


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed the rules, taken apart.

    ``host`` is a lower-case ASCII name or a canonical IP address.
    ``loopback`` marks a loopback address or ``localhost``, which only the local stage permits.
    """

    scheme: str
    host: str
    port: int
    loopback: bool


def check_url(
    url: str,
    *,
    allow_loopback: bool = False,
    ports: Collection[int] = HTTPS_PORTS,
    own: OwnAddress | None = None,
) -> list[str]:
    """What is wrong with a destination URL, as sentences for the merchant; empty when it may be registered.

    Looks at the text alone. What the name resolves to is checked at every connection. ``own`` is where Checkback
    itself answers: nothing is sent there.
    """
    inspected = _inspected(url, allow_loopback, ports, own)
    return inspected if isinstance(inspected, list) else []


def parse_target(
    url: str,
    *,
    allow_loopback: bool = False,
    ports: Collection[int] = HTTPS_PORTS,
    own: OwnAddress | None = None,
) -> Target:
    """The checked parts of a destination URL.

    Raises:
        RefusedDestination: ``check_url`` finds something.
    """
    inspected = _inspected(url, allow_loopback, ports, own)
    if isinstance(inspected, list):
        raise RefusedDestination("; ".join(inspected))
    return inspected


def with_ascii_host(url: str) -> str:
    """``url`` as it is stored and shown: a host in another script in its IDNA form (``xn--...``).

    Two names that look alike look different then. Everything else stays as it was written, as does a URL that
    ``check_url`` refuses.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.netloc.isascii():
        return url
    host, problem = _normal_host(parts)
    if problem is not None or "@" in parts.netloc:
        return url
    port = parts.netloc.rpartition(":")[2] if ":" in parts.netloc else ""
    return url.replace(parts.netloc, f"{host}:{port}" if port else host, 1)


def is_public(address: str) -> bool:
    """Whether ``address`` is a global unicast address outside every special-purpose block."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in block for block in _REFUSED_V4)
    return parsed in _GLOBAL_V6 and parsed.scope_id is None and not any(parsed in block for block in _REFUSED_V6)


def is_loopback(address: str) -> bool:
    """Whether ``address`` is in 127.0.0.0/8 or is ::1; spellings of them inside other IPv6 blocks are not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return parsed in _LOOPBACK_V4 if isinstance(parsed, IPv4Address) else parsed == _LOOPBACK_V6


def _inspected(url: str, allow_loopback: bool, ports: Collection[int], own: OwnAddress | None) -> Target | list[str]:
    found = _inspect(url, allow_loopback, ports)
    if own is None or not isinstance(found, Target):
        return found
    home = own.includes(found.host, found.port, urlsplit(url).path, loopback=found.loopback)
    return ["the URL leads back to Checkback itself"] if home else found


def _inspect(url: str, allow_loopback: bool, ports: Collection[int]) -> Target | list[str]:
    if len(url) > MAX_URL_LENGTH:
        return [f"the URL is longer than {MAX_URL_LENGTH} characters"]
    if _UNSAFE.search(url):
        return ["the URL holds white space, a control character or a backslash"]
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ["the URL cannot be parsed"]
    scheme = parts.scheme.lower()
    if not parts.hostname:
        return ["the URL has no host" if scheme in {"http", "https"} else "the URL must begin with https://"]
    host, problem = _normal_host(parts)
    loopback = allow_loopback and (host == _LOOPBACK_NAME or is_loopback(host))
    problems = [] if problem is None else [problem]
    if scheme not in ({"http", "https"} if loopback else {"https"}):
        problems.append("the URL must begin with https://")
    if "@" in parts.netloc:
        problems.append("the URL must not hold a user name or password")
    if "#" in url:
        problems.append("the URL must not hold a fragment: it would never be sent")
    if port is None:
        port = 80 if scheme == "http" else 443
    if port == 0 or not (loopback or port in ports):
        problems.append(f"the port must be one of {', '.join(map(str, sorted(ports)))}")
    if problem is None and not loopback:
        problems += _host_problems(host)
    if problems:
        return problems
    return Target(scheme, host, port, loopback)


def _normal_host(parts: SplitResult) -> tuple[str, str | None]:
    """The host in ASCII and lower case, and a problem when it has no such form."""
    host = parts.hostname or ""
    if "[" in parts.netloc:
        try:
            # urlsplit drops what stands between the bracket and the port.
            address = IPv6Address(host if _BRACKETED.fullmatch(parts.netloc.rpartition("@")[2]) else "")
        except ValueError:
            return host, "the host is not a valid IPv6 address"
        return (host, "an IPv6 address must not name a zone") if address.scope_id else (str(address), None)
    if not host.isascii():
        import idna

        try:
            host = idna.encode(host).decode()
        except idna.IDNAError:
            return host, "the host is not a valid internationalised domain name"
    labels = host.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        # The WHATWG rule: a name that ends in a number is an IPv4 address, and resolvers read every odd
        # spelling of it.
        try:
            return str(IPv4Address(host)), None
        except ValueError:
            return host, "an IPv4 address must be written as four decimal numbers without leading zeros"
    if len(host) > _MAX_NAME_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        return host, "the host is not a valid domain name"
    return host, None


def _host_problems(host: str) -> list[str]:
    if ":" in host or _NUMERIC_LABEL.fullmatch(host.rsplit(".", 1)[-1]):
        return [] if is_public(host) else ["the host is not a public address"]
    if "." not in host or host.endswith(tuple(f".{suffix}" for suffix in _PRIVATE_SUFFIXES)):
        return ["the host is not a public domain name"]
    return []
