"""What a checkout holds after an event: of every leaf, and of the cart, what the newest event to name it said.

The newest event's own names stand at the checkout's order key. What it does not name keeps the place of the event that
did (``Checkout.origins``), so that of two older events which name it the newer wins, whichever comes first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from shared.domain.cart import Cart
from shared.domain.change import CheckoutChange
from shared.domain.checkout import Checkout, LeafValue
from shared.domain.ids import digest
from shared.domain.place import Place

CART = "cart"
"""The cart's name beside those of the leaves."""
_SHAPE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Contents:
    """Leaves and cart, where they are from, and which of them the newest event named (``shape``)."""

    leaves: Mapping[str, LeafValue]
    cart: Cart | None
    origins: Mapping[str, Place]
    shape: bytes | None


def names_in(change: CheckoutChange) -> frozenset[str]:
    """What the event names: leaves, and the cart."""
    return frozenset(change.leaves) | ({CART} if change.cart is not None else frozenset())


def shape_of(change: CheckoutChange) -> bytes:
    """The 8 bytes that two events share if they name the same."""
    return _shape(names_in(change))


@lru_cache(maxsize=256)
def _shape(names: frozenset[str]) -> bytes:
    """Payloads of one kind name the same."""
    return digest(*sorted(names))[:_SHAPE_BYTES]


def merged(old: Checkout, change: CheckoutChange, place: Place, *, newest: bool) -> Contents:
    """The contents after an event that stands at ``place``; nothing that it does not name is touched.

    ``newest``: nothing in the checkout is newer, so all that it names is taken.
    """
    named = names_in(change)
    here = Place(old.order_key, old.ordered_at)
    shape = old.shape
    if newest:
        origins = {name: old.origins.get(name, here) for name in _held(old) if name not in named}
        taken, shape = named, shape_of(change)
    else:
        held = frozenset(_held(old))
        taken = frozenset(own for own in named if own not in held or old.origins.get(own, here).precedes(place))
        origins = {**old.origins, **dict.fromkeys(taken, place)}
    return Contents(
        leaves={**old.leaves, **{leaf: value for leaf, value in change.leaves.items() if leaf in taken}},
        cart=change.cart if CART in taken else old.cart,
        origins=origins,
        shape=shape,
    )


def _held(checkout: Checkout) -> Iterator[str]:
    yield from checkout.leaves
    if checkout.cart is not None:
        yield CART
