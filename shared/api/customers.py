"""Customers and suppressions: request bodies, and how suppressions are shown."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from shared.api.checkouts import Email
from shared.api.fields import Strict
from shared.api.problems import FieldError, Problem, invalid, pointer
from shared.domain.consent import Channel
from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import MerchantId
from shared.domain.instants import to_rfc3339
from shared.domain.phone import to_e164
from shared.domain.suppression import channels_meant
from shared.store.suppressions import Suppression

ChannelName = Literal["email", "sms", "whatsapp"]
CustomerId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_PREFIX = "sup_"
_REASON = re.compile(r"(?!.*[0-9]{5})[^\W\d_][\w .,'()-]{0,99}")


def _reason(value: str) -> str:
    if not _REASON.fullmatch(value):
        raise ValueError("a few words without addresses or numbers, at most 100 characters")
    return value


Reason = Annotated[str, AfterValidator(_reason)]


class CustomerBody(Strict):
    """One customer, by exactly one identifier."""

    phone: Annotated[str, StringConstraints(min_length=1, max_length=40)] | None = None
    email: Email | None = None
    customer_id: CustomerId | None = None

    def identifier(self, country: str) -> tuple[IdentityKind, str]:
        """The identifier in its normal form; ``country`` (alpha-2) reads a phone without a country code.

        Raises Problem 422 unless exactly one is given, and for what is no phone number.
        """
        named = {
            IdentityKind.PHONE: self.phone,
            IdentityKind.EMAIL: self.email,
            IdentityKind.CUSTOMER: self.customer_id,
        }
        given = [(kind, value) for kind, value in named.items() if value is not None]
        if len(given) != 1:
            raise invalid([FieldError("give exactly one of phone, email and customer_id", pointer())])
        kind, value = given[0]
        if kind is not IdentityKind.PHONE:
            return kind, value
        number = to_e164(value, country)
        if number is None:
            raise invalid([FieldError("not a valid phone number", pointer("phone"))])
        return kind, number


class SuppressionBody(CustomerBody):
    """Whom never to contact, over which channels (default: all), and why."""

    channels: Annotated[list[ChannelName], Field(min_length=1, max_length=3)] | None = None
    reason: Reason = "merchant"

    def closed(self) -> frozenset[Channel]:
        """The channels meant."""
        return channels_meant(self.channels)


class LiftBody(CustomerBody):
    """Whom to allow contact again, over which channels (default: all)."""

    channels: Annotated[list[ChannelName], Field(min_length=1, max_length=3)] | None = None


class ErasureBody(CustomerBody):
    """Whom to erase. ``cursor`` is that of a 202 answer, to go on where it stopped."""

    cursor: Annotated[str, StringConstraints(max_length=512)] | None = None


def suppression_id(identity: Identity) -> str:
    """The id under which a suppression is listed and lifted."""
    return f"{_PREFIX}{identity.kind.value}_{identity.mac}"


def identity_of(merchant_id: MerchantId, named: str) -> Identity | None:
    """The identity behind a suppression's id, as the asking merchant's own; None for what is no such id."""
    kind, _, mac = named.removeprefix(_PREFIX).partition("_")
    if not named.startswith(_PREFIX) or kind not in {"phone", "email", "customer"} or not 0 < len(mac) <= 64:
        return None
    return Identity(merchant_id, IdentityKind(kind), mac)


def suppression_json(row: Suppression) -> dict[str, Any]:
    """A suppression as the API shows it: the identifier only as its keyed hash."""
    details = [
        {"channel": channel.value, "reason": own.reason, "at": to_rfc3339(own.at)}
        for channel, own in sorted(row.channels.items())
    ]
    first = min(row.channels.values(), key=lambda own: own.at, default=None)
    return {
        "id": suppression_id(row.identity),
        "kind": "customer_id" if row.identity.kind is IdentityKind.CUSTOMER else row.identity.kind.value,
        "identifier_hash": row.identity.mac,
        "channels": [channel.value for channel in sorted(row.channels)],
        "reason": None if first is None else first.reason,
        "at": None if first is None else to_rfc3339(first.at),
        "details": details,
    }


def as_parameters(problem: Problem) -> Problem:
    """The same problem of query parameters instead of a body."""
    errors = [
        FieldError(own.detail, parameter=(own.pointer or "").strip("/") or "phone | email | customer_id")
        for own in problem.errors
    ]
    return invalid(errors)
