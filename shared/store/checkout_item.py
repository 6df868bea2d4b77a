"""A checkout as an item and back. Attribute names are short: every kilobyte of an item is paid at every write."""

from collections.abc import Mapping
from typing import Any

from shared.domain import contents
from shared.domain.checkout import ADDRESSES, LEAVES, Checkout, LeafValue, Order, Reason, Status
from shared.domain.identity import LEAVES_OF, SHOPPER_KINDS, Identity, IdentityKind
from shared.domain.ids import MerchantId, SourceId
from shared.domain.instants import from_ms, to_ms
from shared.domain.money import Money
from shared.domain.place import Place
from shared.domain.settings import Settings
from shared.domain.transitions import row_end
from shared.store import cart_blob, keys, list_keys
from shared.store.writes import Item

_SHORT = {
    "name": "nm",
    "cart_id": "ci",
    "join_token": "jt",
    "stage": "sg",
    "note": "no",
    "started_at": "sa",
    "expires_at": "ex",
    "checkout_url": "cu",
    "attributes": "at",
    "customer.id": "c_i",
    "customer.email": "c_e",
    "customer.phone": "c_p",
    "customer.first_name": "c_f",
    "customer.last_name": "c_l",
    "customer.company": "c_c",
    "customer.legal_entity_id": "c_g",
    "customer.locale": "c_n",
    "consent.channels.email": "k_e",
    "consent.channels.sms": "k_s",
    "consent.channels.whatsapp": "k_w",
    "consent.source": "k_o",
    "consent.at": "k_a",
    "attribution.utm_source": "u_s",
    "attribution.utm_medium": "u_m",
    "attribution.utm_campaign": "u_c",
    "attribution.utm_content": "u_t",
    "attribution.utm_term": "u_e",
    "attribution.landing_page": "u_l",
    "attribution.referrer": "u_r",
    "attribution.click_ids": "u_i",
}
_ADDRESS_SHORT = {
    "first_name": "f",
    "last_name": "l",
    "company": "c",
    "phone": "p",
    "address1": "1",
    "address2": "2",
    "city": "t",
    "postal_code": "z",
    "province": "r",
    "country": "n",
}
ATTRIBUTE_OF: dict[str, str] = _SHORT | {
    f"{address}.{name}": f"{prefix}_{short}"
    for address, prefix in zip(ADDRESSES, ("s", "b"), strict=True)
    for name, short in _ADDRESS_SHORT.items()
}
"""The attribute of every leaf."""
LEAF_OF_ATTRIBUTE = {attribute: leaf for leaf, attribute in ATTRIBUTE_OF.items()}
assert set(ATTRIBUTE_OF) == set(LEAVES)  # noqa: S101 - a leaf without an attribute would be lost in silence

IDENTITY_ATTRIBUTE = {
    IdentityKind.PHONE: "ip",
    IdentityKind.EMAIL: "ie",
    IdentityKind.CUSTOMER: "ic",
    IdentityKind.CART: "ik",
}
CONTENTS = ATTRIBUTE_OF | {contents.CART: "b"}
"""The attribute of whatever an event may name."""
_CONTENT_OF = {attribute: name for name, attribute in CONTENTS.items()}
CONTACT_ATTRIBUTES = {kind: ATTRIBUTE_OF[LEAVES_OF[kind][0]] for kind in SHOPPER_KINDS}
"""Where the contact itself stands, in the clear."""
ERASED = "erased"
"""In the place of an erased checkout's external id."""
EVENT_SETS = ("g0", "g1", "g2")
OUTBOX = ("tr", "te")
RAW = "raw"
"""The provider's last accepted body, compressed; written beside the checkout and never read with it."""
CAUSE = "cid"
"""The request that last had a say in the checkout; written beside it and never read with it."""
LISTED_IN = "lp"
"""Its partition of the list index. Every write sets it: an older release may have kept the row in another."""
UNDIFFED = frozenset({*EVENT_SETS, *OUTBOX, "v", "pk", "sk"})
"""Attributes that every write handles by itself."""


def identities_of(item: Item, merchant_id: MerchantId) -> dict[IdentityKind, Identity]:
    """The identities by which an item is listed, whatever else of it can be read."""
    found = {kind: item.get(attribute) for kind, attribute in IDENTITY_ATTRIBUTE.items()}
    return {kind: Identity(merchant_id, kind, mac) for kind, mac in found.items() if isinstance(mac, str)}


def contacts_of(item: Item) -> dict[IdentityKind, str]:
    """Phone, e-mail and customer id of an item, in the clear."""
    found = {kind: item.get(attribute) for kind, attribute in CONTACT_ATTRIBUTES.items()}
    return {kind: value for kind, value in found.items() if isinstance(value, str)}


def names_of(item: Item) -> set[str]:
    """What its provider calls the checkout of an item: its id and cart tokens, also while it is being erased."""
    names = (item.get("xid"), *(item.get(ATTRIBUTE_OF[own]) for own in LEAVES_OF[IdentityKind.CART]))
    kept = item.get("xn")
    return {own for own in (*names, *(kept if isinstance(kept, list) else ())) if isinstance(own, str)} - {ERASED}


def to_item(
    checkout: Checkout,
    identities: Mapping[IdentityKind, Identity],
    settings: Settings,
    due_shards: int,
) -> Item:
    """The item of a checkout, without outbox mark and event sets."""
    item: Item = {
        "pk": keys.checkout(checkout.digest)[0],
        "sk": keys.checkout(checkout.digest)[1],
        "mer": checkout.merchant_id,
        "src": checkout.source_id,
        "pr": checkout.provider,
        "xid": checkout.external_id,
        "st": checkout.status.value,
        "v": checkout.version,
        "sq": checkout.sequence or None,
        "lu": checkout.last_update or None,
        "re": checkout.reason.value if checkout.reason else None,
        "ann": checkout.announced,
        "epi": checkout.episode_id,
        "o": checkout.order_key,
        "oa": to_ms(checkout.ordered_at),
        "ca": to_ms(checkout.created_at),
        "ua": to_ms(checkout.updated_at),
        "la": to_ms(checkout.last_activity_at),
        "idle": checkout.idle_ms,
        "lb": checkout.last_body,
        "b": cart_blob.pack(checkout.cart) if checkout.cart else None,
        "shp": checkout.shape,
        "og": _origins(checkout.origins) or None,
        "test": checkout.test or None,
        "ab0": _ms(checkout.first_abandoned_at),
        "ab": _ms(checkout.abandoned_at),
        "co": _ms(checkout.completed_at),
        "or": _order(checkout.order),
        "lsh": checkout.shard,
        "era": checkout.erased or None,
        LISTED_IN: list_keys.list_partition(checkout.merchant_id, checkout.status, checkout.shard),
        "ls": list_keys.list_hour(checkout.digest, checkout.last_activity_at),
        "ttl": to_ms(row_end(checkout, settings)) // 1000,
    }
    if checkout.due_at is not None:
        item["dq"] = keys.due_queue(keys.CHECKOUT_KIND, checkout.digest, due_shards)
        item["da"] = to_ms(checkout.due_at)
    item |= {IDENTITY_ATTRIBUTE[kind]: identity.mac for kind, identity in identities.items()}
    item |= {ATTRIBUTE_OF[leaf]: _leaf(value) for leaf, value in checkout.leaves.items()}
    return {name: value for name, value in item.items() if value is not None}


def from_item(item: Item) -> Checkout:
    """The checkout of an item (or of a stream image made plain)."""
    return Checkout(
        merchant_id=MerchantId(item["mer"]),
        source_id=SourceId(item["src"]),
        provider=item["pr"],
        external_id=item["xid"],
        digest=item["pk"].removeprefix("C#"),
        status=Status(item["st"]),
        version=int(item["v"]),
        sequence=int(item.get("sq", 0)),
        last_update=int(item.get("lu", 0)),
        reason=Reason(item["re"]) if "re" in item else None,
        announced=int(item["ann"]) if "ann" in item else None,
        episode_id=item.get("epi"),
        order_key=item["o"],
        ordered_at=from_ms(int(item["oa"])),
        created_at=from_ms(int(item["ca"])),
        updated_at=from_ms(int(item["ua"])),
        last_activity_at=from_ms(int(item["la"])),
        idle_ms=int(item["idle"]),
        leaves={leaf: _read_leaf(item[name]) for name, leaf in LEAF_OF_ATTRIBUTE.items() if name in item},
        cart=cart_blob.unpack(item["b"]) if "b" in item else None,
        origins=_read_origins(item.get("og", [])),
        shape=item.get("shp"),
        test=bool(item.get("test", False)),
        first_abandoned_at=from_ms(int(item["ab0"])) if "ab0" in item else None,
        abandoned_at=from_ms(int(item["ab"])) if "ab" in item else None,
        completed_at=from_ms(int(item["co"])) if "co" in item else None,
        order=_read_order(item["or"]) if "or" in item else None,
        due_at=from_ms(int(item["da"])) if "da" in item else None,
        last_body=item.get("lb"),
        event_digests=frozenset().union(*(item.get(name, set()) for name in EVENT_SETS)),
        shard=int(item.get("lsh", 0)),
        erased=bool(item.get("era", False)),
        kept_until=from_ms(int(item["ttl"]) * 1000) if "ttl" in item else None,
    )


def _leaf(value: LeafValue) -> Any:
    return list(value) if isinstance(value, tuple) else value if isinstance(value, str) else dict(value)


def _read_leaf(value: Any) -> LeafValue:
    if isinstance(value, list):
        return (value[0], value[1])
    return value if isinstance(value, str) else {str(name): str(text) for name, text in value.items()}


def _origins(origins: Mapping[str, Place]) -> list[list[Any]]:
    """Each place once, with the attributes that are from there."""
    places = sorted(set(origins.values()), key=lambda own: (own.value, own.at))
    return [
        [own.value, to_ms(own.at), sorted(CONTENTS[name] for name, place in origins.items() if place == own)]
        for own in places
    ]


def _read_origins(stored: list[list[Any]]) -> dict[str, Place]:
    return {_CONTENT_OF[name]: Place(value, from_ms(int(at))) for value, at, names in stored for name in names}


def _ms(instant: Any) -> int | None:
    return None if instant is None else to_ms(instant)


def _order(order: Order | None) -> dict[str, Any] | None:
    if order is None:
        return None
    plain = {
        "id": order.id,
        "at": _ms(order.at),
        "minor": order.total.minor if order.total else None,
        "currency": order.total.currency if order.total else None,
        "reversed": {own.currency: own.minor for own in order.reversed} or None,
        "cancelled": order.cancelled or None,
    }
    return {name: value for name, value in plain.items() if value is not None}


def _read_order(plain: dict[str, Any]) -> Order:
    total = Money(int(plain["minor"]), plain["currency"]) if "minor" in plain else None
    return Order(
        plain.get("id"),
        from_ms(int(plain["at"])) if "at" in plain else None,
        total,
        reversed=tuple(Money(int(minor), code) for code, minor in sorted(plain.get("reversed", {}).items())),
        cancelled=bool(plain.get("cancelled", False)),
    )
