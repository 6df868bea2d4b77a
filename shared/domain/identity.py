"""The shopper's identifiers, each as a keyed hash: no index, queue or identity row holds contact data.

A shopper is, within one merchant, whoever shares a phone, an e-mail or the provider's customer id; a cart token
joins an order to its checkout.
"""

import base64
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.checkout import Checkout, LeafValue
from shared.domain.ids import MerchantId

_HMAC_BYTES = 15


class IdentityKind(StrEnum):
    """What identifies a shopper (or, for ``cart``, a cart)."""

    PHONE = "phone"
    EMAIL = "email"
    CUSTOMER = "customer"
    CART = "cart"


SHOPPER_KINDS = (IdentityKind.PHONE, IdentityKind.EMAIL, IdentityKind.CUSTOMER)
LEAVES_OF = {
    IdentityKind.PHONE: ("customer.phone",),
    IdentityKind.EMAIL: ("customer.email",),
    IdentityKind.CUSTOMER: ("customer.id",),
    IdentityKind.CART: ("join_token", "cart_id"),
}
"""Where each identity is read from; the first leaf that has a value counts."""


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """One identifier of one merchant's shopper: ``mac`` is 20 URL-safe characters."""

    merchant_id: MerchantId
    kind: IdentityKind
    mac: str


def one_of_each_kind(identities: Iterable[Identity]) -> dict[str, str]:
    """Hashes by kind, as rows name them: of several of a kind the last."""
    return {identity.kind.value: identity.mac for identity in identities}


def not_named(identities: Iterable[Identity]) -> set[Identity]:
    """Those for which ``one_of_each_kind`` has no room."""
    several = set(identities)
    named = one_of_each_kind(sorted(several)).items()
    return {own for own in several if (own.kind.value, own.mac) not in named}


class IdentityHasher:
    """Makes identity hashes under the stage's secret key."""

    def __init__(self, key: bytes) -> None:
        """``key`` is the stage's key for identities: 32 bytes or more."""
        self._key = key

    def identity(self, merchant_id: MerchantId, kind: IdentityKind, value: str) -> Identity:
        """The identity behind ``value`` (a phone in E.164, an e-mail in any case, an id digit for digit)."""
        plain = value.strip().lower() if kind is IdentityKind.EMAIL else value.strip()
        message = f"{merchant_id}\x1f{kind}\x1f{plain}".encode()
        mac = hmac.digest(self._key, message, "sha256")[:_HMAC_BYTES]
        return Identity(merchant_id, kind, base64.urlsafe_b64encode(mac).decode())

    def identities(self, merchant_id: MerchantId, leaves: Mapping[str, LeafValue]) -> dict[IdentityKind, Identity]:
        """Every identity the leaves give, by kind."""
        found: dict[IdentityKind, Identity] = {}
        for kind, names in LEAVES_OF.items():
            value = next((value for name in names if (value := leaves.get(name))), None)
            if isinstance(value, str) and value.strip():
                found[kind] = self.identity(merchant_id, kind, value)
        return found

    def of_checkout(self, checkout: Checkout) -> dict[IdentityKind, Identity]:
        """Every identity of a stored checkout."""
        return self.identities(checkout.merchant_id, checkout.leaves)

    def of_shopper(self, checkout: Checkout) -> list[Identity]:
        """Those of a stored checkout's identities that name a person, and not a cart."""
        return [own for kind, own in self.of_checkout(checkout).items() if kind in SHOPPER_KINDS]
