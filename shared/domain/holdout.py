"""The holdout: a stable share of shoppers who get no message over any channel, to measure what messages cause."""

from collections.abc import Iterable

from shared.domain.identity import SHOPPER_KINDS, Identity
from shared.domain.ids import digest

_BUCKETS = 10_000


def in_holdout(identities: Iterable[Identity], percent: float) -> bool:
    """Whether the shopper belongs to the holdout.

    By the keyed hash of one identifier (phone, else e-mail, else customer id), so that a shopper stays in or out
    whatever the campaign; an anonymous one is never held out. The episode keeps the answer it began with.
    """
    known = {identity.kind: identity for identity in identities}
    own = next((known[kind] for kind in SHOPPER_KINDS if kind in known), None)
    if own is None:
        return False
    # A salt of its own: the same hash must not decide two things.
    bucket = int.from_bytes(digest("holdout", own.mac)[:8], "big") % _BUCKETS
    return bucket < percent * (_BUCKETS // 100)
