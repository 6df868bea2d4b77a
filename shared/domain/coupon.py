"""Coupons of campaign steps: which code a step carries, and how the recovery link applies it.

One allocation per (episode, step), repeated at a retry; later steps of the episode reuse it. A shopper gets no second
discount within 30 days, whichever campaign offers it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

FIRST_COUPON_STEP = 2
"""A campaign's own coupon starts here; a step that names a coupon carries it wherever it stands."""
DISCOUNT_REST = timedelta(days=30)
LONGEST_CODE = 100

CouponType = Literal["none", "static", "pool", "minted"]


@dataclass(frozen=True, slots=True)
class CouponRule:
    """Where a step's code comes from: one code for all, a pool of single-use codes, or the merchant's own webhook."""

    type: CouponType = "none"
    code: str | None = None
    pool_id: str | None = None
    endpoint_id: str | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """The code given to one step of one episode."""

    step: int
    code: str
    at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NoCoupon:
    """The step carries none."""


@dataclass(frozen=True, slots=True)
class Carry:
    """The step carries this code: its own allocation, an earlier step's, or the campaign's static one."""

    code: str


@dataclass(frozen=True, slots=True)
class Allocate:
    """A code must be claimed for the step, from a pool or by minting, before the step is claimed."""

    rule: CouponRule


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The step wants a code and may not have one: the gate's ``coupon_unavailable``."""

    why: Literal["second_discount", "expired", "exhausted"]


type CouponPlan = NoCoupon | Carry | Allocate | Unavailable


def rule_problems(rule: CouponRule, pointer: str) -> list[tuple[str, str]]:
    """What is wrong with a rule: each type wants its own field, and no other."""
    wanted = {"none": None, "static": "code", "pool": "pool_id", "minted": "endpoint_id"}[rule.type]
    problems = []
    for name in ("code", "pool_id", "endpoint_id"):
        given = getattr(rule, name) is not None
        if given and name != wanted:
            problems.append((f"{pointer}/{name}", f"does not belong to a coupon of type {rule.type}"))
        elif not given and name == wanted:
            problems.append((f"{pointer}/{name}", f"is needed by a coupon of type {rule.type}"))
    if rule.code is not None and not (0 < len(rule.code) <= LONGEST_CODE and rule.code.isprintable()):
        problems.append((f"{pointer}/code", f"1 to {LONGEST_CODE} printable characters"))
    return problems


def rule_of(step: int, own: CouponRule | None, campaign: CouponRule | None) -> CouponRule | None:
    """The rule in force for a step: its own, else from step 2 on the campaign's; None where there is none."""
    rule = own if own is not None else (campaign if step >= FIRST_COUPON_STEP else None)
    return None if rule is None or rule.type == "none" else rule


def planned_coupon(
    step: int,
    rule: CouponRule | None,
    allocations: Iterable[Allocation],
    last_discount_at: datetime | None,
    now: datetime,
) -> CouponPlan:
    """What the step carries.

    ``rule`` as ``rule_of`` gives it; ``allocations`` are the episode's; ``last_discount_at`` is when the shopper last
    got a code in another episode.
    """
    if rule is None:
        return NoCoupon()
    earlier = sorted((own for own in allocations if own.step <= step), key=lambda own: own.step)
    if earlier:
        newest = earlier[-1]
        expired = newest.expires_at is not None and newest.expires_at <= now
        return Unavailable("expired") if expired else Carry(newest.code)
    if last_discount_at is not None and now < last_discount_at + DISCOUNT_REST:
        return Unavailable("second_discount")
    return Carry(rule.code) if rule.type == "static" and rule.code is not None else Allocate(rule)


@dataclass(frozen=True, slots=True)
class CouponLink:
    """How a provider's link applies a code.

    ``path`` is a path with ``{code}`` that takes the shopper on to ``redirect_parameter`` (Shopify:
    ``/discount/{code}`` and ``redirect``); ``parameter`` is a query parameter of the destination itself. Neither: the
    code is only printed.
    """

    path: str | None = None
    redirect_parameter: str = "redirect"
    parameter: str | None = None


PRINTED_ONLY = CouponLink()
"""The provider's links apply nothing."""
SHOPIFY_DISCOUNT = CouponLink(path="/discount/{code}")
"""Shopify, Help Center, "Discount links": ``/discount/CODE?redirect=/path`` on the shop's own domain."""


def with_coupon(destination: str, code: str | None, link: CouponLink) -> str:
    """The destination with the code applied; without a code, or a way to apply one, unchanged. The host stays."""
    if not code:
        return destination
    parts = urlsplit(destination)
    if link.parameter is not None:
        query = "&".join(text for text in (parts.query, urlencode({link.parameter: code})) if text)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))
    if link.path is not None:
        onward = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        # A path of two slashes would read as another host.
        onward = "/" + onward.lstrip("/")
        path = link.path.replace("{code}", quote(code, safe=""))
        query = urlencode({link.redirect_parameter: onward})
        return urlunsplit((parts.scheme, parts.netloc, path, query, parts.fragment))
    return destination


def revocable(allocations: Iterable[Allocation], rules: Mapping[int, CouponRule]) -> tuple[Allocation, ...]:
    """The allocations to revoke when the checkout completes: single-use codes, not those everyone shares."""
    single_use = {step for step, rule in rules.items() if rule.type in {"pool", "minted"}}
    return tuple(own for own in allocations if own.step in single_use)
