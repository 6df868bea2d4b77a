"""Operations: each says itself who may call it, and what the ids in its path name.

The declaration is OpenAPI's own, a route's ``security``; so what is described is what is demanded. A route that
declares nothing cannot be registered.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aws_lambda_powertools.event_handler.api_gateway import Route

from functions.merchant_api.session import repeat_of
from shared.api.authentication import PrincipalKind
from shared.api.idempotency import Repeat
from shared.api.paths import CUSTOMER_PATTERN, is_customer
from shared.domain.ids import IdKind, id_pattern, is_id

Security = list[dict[str, list[str]]]

OPERATOR: Final[Security] = [{"adminKey": []}]
MERCHANT: Final[Security] = [{"merchantToken": []}]
ANYONE: Final[Security] = [{}]
"""OpenAPI's empty requirement: no credential is asked for."""

_HOLDERS: Final[Mapping[str, PrincipalKind]] = {"adminKey": "operator", "merchantToken": "merchant"}
_PARAMETER: Final = re.compile(r"<(\w+)>")
_FOREIGN_BODY: Final = frozenset({"/v1/sources/{source_id}/preview"})
_NAMED: Final[Mapping[str, IdKind]] = {
    "merchant_id": IdKind.MERCHANT,
    "token_id": IdKind.TOKEN,
    "source_id": IdKind.SOURCE,
    "endpoint_id": IdKind.ENDPOINT,
    "checkout_id": IdKind.CHECKOUT,
    "campaign_id": IdKind.CAMPAIGN,
    "pool_id": IdKind.POOL,
    "delivery_id": IdKind.DELIVERY,
    "quarantine_id": IdKind.QUARANTINE,
    "job_id": IdKind.JOB,
    "suppression_id": IdKind.SUPPRESSION,
}
_VERSIONED: Final = frozenset(
    {
        ("patch", "/v1/merchant"),
        *((method, "/v1/merchants/{merchant_id}") for method in ("patch", "delete")),
        *((method, "/v1/sources/{source_id}") for method in ("patch", "delete")),
        ("post", "/v1/sources/{source_id}/rotate-token"),
        *((method, "/v1/endpoints/{endpoint_id}") for method in ("patch", "delete")),
        *(("post", f"/v1/endpoints/{{endpoint_id}}/{verb}") for verb in ("rotate-secret", "enable", "disable")),
        *((method, "/v1/campaigns/{campaign_id}") for method in ("get", "patch", "delete")),
        *(("post", f"/v1/campaigns/{{campaign_id}}/{verb}") for verb in ("pause", "resume", "preview")),
    }
)
"""Operations that heed If-Match, by method and described path."""
_CUSTOMER: Final = "customer_id"
"""The one path parameter that is not ours to shape: providers name their customers."""


class NotDeclared(TypeError):
    """A route says not who may call it, or not what a parameter of its path names."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A route of the API and the values of its path."""

    route: Route
    arguments: Mapping[str, str]

    @property
    def name(self) -> str:
        """The path as it is described: ``/v1/sources/{source_id}``."""
        return self.route.openapi_path

    @property
    def callers(self) -> frozenset[PrincipalKind]:
        """Who may call it; empty: anyone, without a credential."""
        return callers(self.route.security)

    @property
    def well_named(self) -> bool:
        """Whether every id in the path has the shape of what it should name."""
        return all(_fits(name, value) for name, value in self.arguments.items())

    @property
    def repeat(self) -> Repeat:
        """What a repeat under its Idempotency-Key does."""
        return repeat_of(self.route.func)

    @property
    def takes_any_body(self) -> bool:
        """Whether the body is somebody else's payload, of any type."""
        return takes_any_body(self.name)


def takes_any_body(name: str) -> bool:
    """Whether the operation of this described path takes somebody else's payload, of any type."""
    return name in _FOREIGN_BODY


def is_versioned(method: str, name: str) -> bool:
    """Whether the operation of this described path heeds If-Match."""
    return (method.lower(), name) in _VERSIONED


def shape_named(name: str) -> str:
    """What a parameter of a path looks like, as a regular expression of the whole."""
    return CUSTOMER_PATTERN if name == _CUSTOMER else id_pattern(_NAMED[name])


def callers(security: Sequence[Mapping[str, Any]] | None) -> frozenset[PrincipalKind]:
    """Whom a declaration lets in; empty for ``ANYONE``. Raises NotDeclared for none, and for one that is not ours."""
    schemes = [scheme for requirement in security or () for scheme in requirement]
    if not security or not set(schemes) <= _HOLDERS.keys() or (len(security) > 1 and {} in security):
        raise NotDeclared("every operation says who may call it: OPERATOR, MERCHANT or ANYONE")
    return frozenset(_HOLDERS[scheme] for scheme in schemes)


def check_declared(register: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Refuse a call of the library's ``route`` that declares too little. Raises NotDeclared."""
    given = inspect.signature(register).bind(*arguments, **named).arguments
    callers(given.get("security"))
    unknown = [own for own in _PARAMETER.findall(given["rule"]) if own not in _NAMED and own != _CUSTOMER]
    if unknown:
        raise NotDeclared(f"what does {', '.join(unknown)} in {given['rule']} name?")


def _fits(name: str, value: str) -> bool:
    return is_customer(value) if name == _CUSTOMER else is_id(_NAMED[name], value)
