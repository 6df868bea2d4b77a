"""A sample webhook: what it says of a checkout is true of nobody, and must reach nobody but who asked for it.

The mark is given beside the webhook, inside the service, and never read out of it: no sender can set or forge it. The
checkout has a name that no provider gives, so a sample never meets one of the shop's, whatever a mapping reads.
"""

from dataclasses import dataclass, replace

from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import ADDRESSES, SAMPLE_PREFIX

_NOBODYS = frozenset({"customer.id", "customer.legal_entity_id", *(f"{own}.phone" for own in ADDRESSES)})
"""What might name a real customer of the shop, or be dialled."""
_CARTS = frozenset({"cart_id", "join_token"})
"""By these an order finds its checkout: a real one must find its own."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Whom the sample may reach: the caller's own phone (E.164) and e-mail, None for nobody."""

    phone: str | None = None
    email: str | None = None

    def taken(self, change: CheckoutChange) -> CheckoutChange | None:
        """What is taken in of a change: a checkout of its own, marked test, without any contact but the caller's.

        None for a purchase: a sample buys nothing, so that no shopper counts as one who bought.
        """
        if change.signal is Signal.PURCHASED:
            return None
        own = {"customer.phone": self.phone, "customer.email": self.email}
        leaves = {
            name: f"{SAMPLE_PREFIX}{value}" if name in _CARTS else value
            for name, value in change.leaves.items()
            if name not in _NOBODYS and (name not in own or _same(value, own[name]))
        }
        return replace(change, external_id=f"{SAMPLE_PREFIX}{change.external_id}", leaves=leaves, test=True)


def _same(value: object, own: str | None) -> bool:
    return own is not None and isinstance(value, str) and value.casefold() == own.casefold()
