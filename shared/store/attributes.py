"""What the short attribute names of each row stand for: the one place that spells them out.

They are short because every kilobyte of an item is paid at every write. A name means the same in every row that has it,
but for the few that ``ROWS`` explains row by row. A checkout's leaves have theirs in ``checkout_item.ATTRIBUTE_OF``.
"""

from collections.abc import Mapping
from typing import Final

EVERY_ROW: Final[Mapping[str, str]] = {
    "pk": "partition key",
    "sk": "sort key",
    "ttl": "expiry, in seconds of Unix time; a read takes an expired row as gone",
}
"""In any row."""

SHARED: Final[Mapping[str, str]] = {
    "at": "instant of what the row records",
    "ca": "created at",
    "chk": "checkout, by its digest (an episode's: several)",
    "cid": "correlation id: the request whose webhook caused it",
    "da": "due at: when the sweep is to look at it",
    "dq": "due queue: kind and shard of the due index",
    "epi": "episode",
    "lp": "list partition: merchant, status (the unfinished as abandoned; or kind of row), shard of the list index",
    "ls": "list sort key: hour of the last activity, the moment of arrival, or the partition",
    "mer": "merchant",
    "pr": "provider",
    "src": "source",
    "st": "status",
    "te": "outbox mark: type of what is to be told",
    "tr": "outbox mark: version of the write that has something to tell",
    "ty": "type",
    "v": "version: how many times the row was written",
    "who": "the shopper's identifiers, each as a keyed hash",
    "why": "reason",
}
"""The same wherever it is met."""

CHECKOUT: Final[Mapping[str, str]] = {
    "ab": "abandoned at",
    "ab0": "first abandoned at",
    "ann": "announced: sequence of the abandonment that endpoints were told",
    "b": "cart snapshot, compressed",
    "co": "completed at",
    "cln": "cleaned: what hung on the erased checkout is gone too",
    "epw": "former episodes: those it was in before the one it names",
    "era": "erased",
    "g0": "event ids seen, days 0 modulo 3",
    "g1": "event ids seen, days 1 modulo 3",
    "g2": "event ids seen, days 2 modulo 3",
    "ic": "identity: customer id",
    "ie": "identity: e-mail",
    "ik": "identity: cart token",
    "ip": "identity: phone",
    "la": "last activity at",
    "lb": "last body, by its digest",
    "lsh": "list shard",
    "lu": "last update: version of the newest write told as checkout.updated",
    "o": "order key: where the newest event stands among the checkout's events",
    "oa": "ordered at: arrival of the event that set the order key",
    "og": "origins: places of the events that named what the newest did not, each with its attributes",
    "or": "order that ended it",
    "raw": "the provider's own body, compressed",
    "re": "reason of the status",
    "shp": "shape: digest of which contents the newest event named",
    "sq": "sequence: version of the last transition",
    "ua": "updated at",
    "xid": "external id: what the provider calls it",
    "xn": "external names of an erased checkout, until bodies were searched for them",
}
EVENT: Final[Mapping[str, str]] = {
    "alt": "the bytes in formats other than ours",
    "bad": "endpoints for which no bytes could be made, each with its reason",
    "dns": "do not send after",
    "eps": "endpoints that are told",
    "fmt": "which endpoint gets which format (and `f_` before its id: what its template made)",
}
ACTIVITY: Final[Mapping[str, str]] = {"de": "detail"}
ORDER: Final[Mapping[str, str]] = {
    "oid": "the provider's order id",
    "rb": "what is taken back of it: refunds, their sum so far, a cancellation",
    "rn": "revision of that",
}
IDENTITY: Final[Mapping[str, str]] = {
    "cap": "capped until, over any channel, as older releases wrote it; `cap_` and a channel: over this one",
    "cd": "cooldown until",
    "ep": "episode that holds the shopper",
    "ld": "last discount at",
    "lm": "last message at",
    "po": "purchased at",
    "sup": "suppressions: channel and reason",
}
EPISODE: Final[Mapping[str, str]] = {
    "an": "anchor: from when the steps' waits count",
    "by": "name of a step's last claim",
    "ch": "channel of a step",
    "cmp": "campaign",
    "cap": "how often a vendor's cap has put a step off",
    "cv": "campaign version",
    "end": "ended at",
    "ho": "holdout (of a step: handed over at)",
    "n": "attempts of a step",
    "off": "how often a receiver has put a step off",
    "vid": "the vendor's message id of a step",
}
DELIVERY: Final[Mapping[str, str]] = {
    "eid": "event",
    "era": "erased: nothing is written over it any more",
    "ep": "endpoint",
    "log": "the newest attempts",
    "n": "attempts made",
    "nx": "next attempt at",
    "pl": "place: instant reserved for the next attempt in the endpoint's rate",
    "stp": "campaign step",
    "ver": "version of the checkout that the event tells of",
}
VENDOR_MESSAGE: Final[Mapping[str, str]] = {"dlv": "delivery"}
QUARANTINE: Final[Mapping[str, str]] = {
    "ev": "event name in the URL",
    "hd": "headers that the proof needs",
    "ra": "replayed at",
    "rs": "what became of the replay",
    "s3": "key of the body in the bucket",
}
CAMPAIGN: Final[Mapping[str, str]] = {"rev": "revision: how many times its row was written"}
RUN: Final[Mapping[str, str]] = {"cur": "cursor: the page to go on with"}
SWEEP_LEASE: Final[Mapping[str, str]] = {"by": "name of the sweep that holds the shard"}
COUPON: Final[Mapping[str, str]] = {"exp": "expires at", "n": "step that the code was given to"}
COUPON_POOL: Final[Mapping[str, str]] = {
    "bd": "the last day before `day` on which codes were given out",
    "bf": "number of that day's first code",
    "day": "the last day on which codes were given out (UTC)",
    "df": "number of its first code",
}

ROWS: Final[Mapping[str, Mapping[str, str]]] = {
    "checkout": CHECKOUT,
    "event": EVENT,
    "activity": ACTIVITY,
    "order": ORDER,
    "identity": IDENTITY,
    "episode": EPISODE,
    "delivery": DELIVERY,
    "vendor message": VENDOR_MESSAGE,
    "quarantined body": QUARANTINE,
    "campaign": CAMPAIGN,
    "campaign run": RUN,
    "sweep lease": SWEEP_LEASE,
    "coupon": COUPON,
    "coupon pool": COUPON_POOL,
}
"""What only rows of one kind have."""
