"""Reads the books' ledger off the stage: its table, queues and bucket, past the proxy."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from shared.domain.campaign import CampaignId
from shared.domain.checkout import Checkout
from shared.domain.ids import MerchantId
from shared.domain.instants import to_ms
from shared.store.checkout_item import from_item
from shared.store.deliveries import read_delivery
from shared.store.episodes import read_episode
from shared.store.events import read_event
from shared.store.wire import from_wire
from shared.workflows.campaigns.schedules import schedule_name
from tests.chaos.books import CheckoutRow, DeliveryRow, EventRow, Ledger, StepRow
from tests.chaos.shoppers import Journal, Market
from tests.chaos.stage import Stage
from tests.chaos.vendors import Vendors


class Rows:
    """The table as it is now, of some merchants."""

    def __init__(self, stage: Stage, merchants: Iterable[str]) -> None:
        """Reads all of theirs: the engine looks through the others' rows in less time than a client reads them."""
        wanted = {f":m{number}": {"S": own} for number, own in enumerate(merchants)}
        pages = (
            stage.client("dynamodb")
            .get_paginator("scan")
            .paginate(
                TableName=stage.stack["table"],
                ConsistentRead=True,
                FilterExpression=f"mer IN ({', '.join(wanted)})",
                ExpressionAttributeValues=wanted,
            )
        )
        self.items = [from_wire(own) for page in pages for own in page["Items"]]

    def checkouts(self) -> Iterator[Checkout]:
        """Every checkout."""
        return (from_item(own) for own in self._of("C#", "C") if "st" in own)

    def events(self) -> Iterator[EventRow]:
        """Every event of a checkout."""
        for item in self._of("C#", "E#"):
            event = read_event(item)
            checkout: dict[str, Any] = json.loads(event.body)["data"].get("checkout") or {}
            yield EventRow(
                id=event.id,
                type=event.type,
                checkout_id=f"chk_{event.checkout_digest}",
                endpoint_ids=tuple(event.endpoint_ids),
                abandoned_at=checkout.get("abandoned_at"),
            )

    def deliveries(self) -> Iterator[DeliveryRow]:
        """Every delivery, of events and of steps."""
        for item in self._of("T#", "dlv_"):
            own = read_delivery(item)
            yield DeliveryRow(
                own.id, own.endpoint_id, own.event_id, own.status.value, own.reason, own.episode_id, own.step
            )

    def steps(self, now: datetime) -> Iterator[StepRow]:
        """Every step that was ever planned."""
        for item in self._of("P#", ""):
            if "an" not in item:
                continue
            episode = read_episode(item)
            for step in episode.steps:
                due_in = (step.due_at - now).total_seconds()
                yield StepRow(episode.id, episode.status.value, step.number, step.state.value, step.reason, due_in)

    def feed(self) -> Iterator[tuple[str, str]]:
        """Deliveries of events, each with its merchant."""
        return ((own["sk"], own["mer"]) for own in self._of("T#", "dlv_") if "epi" not in own)

    def episodes(self) -> Iterator[tuple[str, str]]:
        """Episodes, each with its merchant."""
        return ((own["pk"].removeprefix("P#"), own["mer"]) for own in self._of("P#", "") if "an" in own)

    def due(self, now: datetime) -> Iterator[str]:
        """What the sweep should have moved."""
        for item in self.items:
            if "dq" in item and int(item["da"]) <= to_ms(now):
                yield f"{item['pk']} {item['sk']} ({item['dq']})"

    def due_times(self) -> list[datetime]:
        """When each waiting row is due."""
        return [datetime.fromtimestamp(int(own["da"]) / 1000, UTC) for own in self.items if "dq" in own]

    def quarantined(self, stage: Stage) -> dict[str, bytes]:
        """The kept bytes by id."""
        bucket = stage.client("s3")
        [name] = [own["Name"] for own in bucket.list_buckets()["Buckets"] if "quarantine" in own["Name"].lower()]
        places = {own["pk"].removeprefix("Q#"): f"quarantine/{own['s3']}" for own in self._of("Q#", "") if "s3" in own}
        return {row: bucket.get_object(Bucket=name, Key=key)["Body"].read() for row, key in places.items()}

    def _of(self, partition: str, sort: str) -> Iterator[dict[str, Any]]:
        return (own for own in self.items if own["pk"].startswith(partition) and own["sk"].startswith(sort))


def ledger(
    stage: Stage, rows: Rows, journal: Journal, vendors: Vendors, markets: Sequence[Market], now: datetime
) -> Ledger:
    """Everything that is known, at the stage's ``now``."""
    merchants = [own.shop.id for own in markets]
    return Ledger(
        cases=tuple(journal.cases[own] for own in sorted(journal.cases)),
        posted=tuple(journal.posted()),
        received=tuple(vendors.received()),
        checkouts=tuple(map(_checkout, rows.checkouts())),
        events=tuple(rows.events()),
        deliveries=tuple(rows.deliveries()),
        steps=tuple(rows.steps(now)),
        names={endpoint_id: name for own in markets for endpoint_id, name in own.names.items()},
        due=tuple(rows.due(now)),
        queued=stage.waiting(merchants),
        dead=tuple(stage.dead(merchants)),
        quarantined=rows.quarantined(stage),
        campaigns={name: expression for own in markets for name, expression in _campaigns(own)},
        schedules=stage.schedules(merchants),
    )


def _campaigns(market: Market) -> Iterator[tuple[str, str]]:
    """The schedules that a merchant's campaigns ask for."""
    for own in market.shop.call("GET", "/v1/campaigns", params={"limit": 100})["data"]:
        if own["trigger"]["type"] == "schedule":
            yield schedule_name(MerchantId(market.shop.id), CampaignId(own["id"])), own["trigger"]["expression"]


def _checkout(own: Checkout) -> CheckoutRow:
    return CheckoutRow(
        id=own.id,
        status=own.status.value,
        stage=own.text("stage"),
        phone=own.text("customer.phone"),
        abandoned=own.first_abandoned_at is not None,
    )
