"""Providers by name, loaded when first asked for: a request imports no provider but its own.

A module named ``shared.providers.<name>`` with a ``PROVIDER`` is found by itself; one from outside registers its
module's path.
"""

import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from shared.domain.coupon import PRINTED_ONLY, CouponLink
from shared.providers.provider import Provider
from shared.providers.versions import Versions

_PLUMBING = frozenset(
    {
        *("provider", "registry", "payload", "authentication", "mapping", "bounded_search", "preview", "privacy"),
        *("pull", "versions"),
    }
)
"""Modules of this package that are no provider."""

PLAIN: Final = "custom"
"""The provider whose body may be the contract's own plain form."""
_outside: dict[str, str] = {}


class UnknownProvider(LookupError):
    """No provider of this name is known."""


def register(name: str, module: str) -> None:
    """Make a provider from outside the package known: ``module`` is its import path and has a ``PROVIDER``."""
    _outside[name] = module


@cache
def _own_names() -> frozenset[str]:
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return frozenset(found) - _PLUMBING


def names() -> tuple[str, ...]:
    """Every known provider's name, sorted."""
    return tuple(sorted(_own_names() | _outside.keys()))


@cache
def provider(name: str) -> Provider:
    """The provider's module object, imported at first use. Raises UnknownProvider."""
    if name not in _own_names() and name not in _outside:
        raise UnknownProvider(name)
    found: Provider = import_module(_outside.get(name, f"shared.providers.{name}")).PROVIDER
    return found


def checkout_hosts(name: str) -> frozenset[str]:
    """The hosts of the provider's own checkout pages; none of one that is gone."""
    try:
        return provider(name).checkout_hosts
    except UnknownProvider:
        return frozenset()


def coupon_link(name: str) -> CouponLink:
    """How the provider's links apply a coupon code; one that says nothing, or is gone, applies none."""
    try:
        known = provider(name)
    except UnknownProvider:
        return PRINTED_ONLY
    found: CouponLink = getattr(known, "coupon_link", PRINTED_ONLY)
    return found


def versions(name: str) -> Versions | None:
    """Which versions of its payloads the provider tells and its module knows; None where it tells none, or is gone."""
    try:
        return getattr(provider(name), "versions", None)
    except UnknownProvider:
        return None
