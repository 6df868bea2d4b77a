"""Events: the exact bytes told to endpoints, kept with their checkout; what is written of them once stays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from botocore.exceptions import ClientError

from shared.domain.ids import EndpointId, EventId, MerchantId
from shared.domain.instants import from_ms, to_ms
from shared.store import event_body, keys
from shared.store.conditions import Attr, Key
from shared.store.event_places import place_of
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item, ItemKey, Put, Update

PROVIDER = "provider"
"""The format that is the provider's own body."""
TEMPLATE = "template"
"""The format that the endpoint's template makes, by whoever delivers."""
LARGEST_FORMATS = 250 * 1024
"""Of all formats of an event together, compressed: they are one item of 400 KB at most."""
_FROZEN = "f_"
"""The bytes that one endpoint's template has made: this and the endpoint's id."""


class EventGone(Exception):
    """The event was erased."""


class TooLarge(Exception):
    """The event has no room for another body."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event. ``version`` is the checkout's write that made it; ``do_not_send_after`` ends its attempts.

    ``body`` is our envelope. ``bodies`` are other formats of it by name, ``formats`` says which endpoint has which, and
    ``problems`` why an endpoint's own could not be made. ``frozen`` holds what templates have made, by endpoint;
    ``packed`` is the size of all formats as they are stored.
    """

    id: EventId
    type: str
    at: datetime
    merchant_id: MerchantId
    checkout_digest: str
    version: int
    body: bytes
    endpoint_ids: tuple[EndpointId, ...]
    do_not_send_after: datetime | None
    expires_at: datetime
    bodies: Mapping[str, bytes] = field(default_factory=dict)
    formats: Mapping[EndpointId, str] = field(default_factory=dict)
    problems: Mapping[EndpointId, str] = field(default_factory=dict)
    frozen: Mapping[EndpointId, bytes] = field(default_factory=dict)
    packed: int = 0
    correlation_id: str | None = None

    def body_for(self, endpoint_id: EndpointId) -> bytes:
        """The bytes that this endpoint receives at every attempt.

        Raises KeyError where a template is yet to make them.
        """
        if endpoint_id in self.frozen:
            return self.frozen[endpoint_id]
        return self.bodies[self.formats[endpoint_id]] if endpoint_id in self.formats else self.body


class EventStore:
    """Events by checkout and version."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self, digest: str, version: int) -> EventRecord | None:
        """The event that this write of the checkout made, or None."""
        item = self._table.get(keys.event(digest, version))
        return None if item is None else read_event(item)

    def get_many(self, wanted: Iterable[ItemKey]) -> dict[ItemKey, EventRecord]:
        """Events by key, consistently read."""
        items = self._table.batch_get(wanted)
        return {key: read_event(item) for key, item in items.items()}

    def of_checkout(self, digest: str) -> list[EventRecord]:
        """Every event of a checkout, oldest first."""
        return [read_event(item) for item in self._items(digest)]

    def _items(self, digest: str) -> Iterable[Item]:
        condition = Key("pk").eq(keys.checkout(digest)[0]) & Key("sk").begins_with("E#")
        return self._table.query_all(condition, consistent=True)

    def freeze(self, event: EventRecord, endpoint_id: EndpointId, body: bytes) -> bytes:
        """Keep ``body`` as what the endpoint receives of the event, unless something is kept already; what is kept.

        Raises:
            EventGone: the event was erased.
            TooLarge: there is no room.
        """
        name, packed = f"{_FROZEN}{endpoint_id}", event_body.pack(body)
        if event.packed + len(packed) > LARGEST_FORMATS:
            raise TooLarge
        only_first = Attr("pk").exists() & Attr(name).not_exists()
        key = keys.event(event.checkout_digest, event.version)
        try:
            self._table.update(Update(key, set={name: packed}, condition=only_first))
        except ConditionFailed as failed:
            if failed.old is None:
                raise EventGone from None
            kept: bytes = event_body.unpack(failed.old[name])
            return kept
        except ClientError as error:
            # Others' bodies came between.
            if error.response["Error"]["Code"] == "ValidationException":
                raise TooLarge from error
            raise
        return body

    def listed(self, digest: str) -> list[EventRecord]:
        """``of_checkout`` for a list: without those that cannot be read."""
        return list(self._table.readable(self._items(digest), read_event))

    def new(self, event: EventRecord) -> Put:
        """The event, only where it is new; its place among all the merchant's is that of this very moment."""
        place = place_of(self._table.now_ms(), event.id, event.type)
        placed = keys.told_event(event.merchant_id, event.checkout_digest, place)
        return Put(_item(event) | placed, Attr("pk").not_exists())


def _item(event: EventRecord) -> Item:
    pk, sk = keys.event(event.checkout_digest, event.version)
    item: Item = {
        "pk": pk,
        "sk": sk,
        "id": event.id,
        "ty": event.type,
        "at": to_ms(event.at),
        "mer": event.merchant_id,
        "body": event_body.pack(event.body),
        "eps": list(event.endpoint_ids),
        "ttl": to_ms(event.expires_at) // 1000,
    }
    if event.bodies:
        item["alt"] = {name: event_body.pack(body) for name, body in event.bodies.items()}
    if event.formats:
        item["fmt"] = dict(event.formats)
    if event.problems:
        item["bad"] = dict(event.problems)
    if event.correlation_id is not None:
        item["cid"] = event.correlation_id
    if event.do_not_send_after is not None:
        item["dns"] = to_ms(event.do_not_send_after)
    return item


def read_event(item: Item) -> EventRecord:
    """The event of a row."""
    bodies: dict[str, bytes] = item.get("alt", {})
    frozen = {EndpointId(own.removeprefix(_FROZEN)): item[own] for own in item if own.startswith(_FROZEN)}
    return EventRecord(
        id=EventId(item["id"]),
        type=item["ty"],
        at=from_ms(int(item["at"])),
        merchant_id=MerchantId(item["mer"]),
        checkout_digest=item["pk"].removeprefix("C#"),
        version=int(item["sk"].removeprefix("E#")),
        body=event_body.unpack(item["body"]),
        endpoint_ids=tuple(EndpointId(own) for own in item["eps"]),
        do_not_send_after=from_ms(int(item["dns"])) if "dns" in item else None,
        expires_at=from_ms(int(item["ttl"]) * 1000),
        bodies={name: event_body.unpack(packed) for name, packed in bodies.items()},
        formats={EndpointId(own): name for own, name in item.get("fmt", {}).items()},
        problems={EndpointId(own): why for own, why in item.get("bad", {}).items()},
        frozen={own: event_body.unpack(packed) for own, packed in frozen.items()},
        packed=sum(map(len, (*bodies.values(), *frozen.values()))),
        correlation_id=item.get("cid"),
    )
