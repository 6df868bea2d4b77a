"""What happens to hosts, clocks and events besides failing calls: done to the stage again and again in its window."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from random import Random
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws.queues import DeliveryMessage, StepMessage
from shared.domain.ids import DeliveryId, EpisodeId, MerchantId
from tests.chaos.ledger import Rows
from tests.chaos.records import Records
from tests.chaos.shoppers import Journal, Market, Shopper
from tests.chaos.stage import Stage

_MOST_RECORDS = 12
_MOST_MESSAGES = 20
_SKEWED = ("ingest", "sweep", "dispatch", "deliver")
_FARTHEST = 2.0
"""Seconds by which a host's clock is off: well within what hosts that ask a time server allow themselves."""


_PUZZLES_FROM = 1_000_000
"""Numbers of those shoppers who come only to puzzle."""


@dataclass(frozen=True, slots=True)
class Done:
    """A deed that was done; ``told`` in words."""

    name: str
    told: str


class Deeds:
    """Does deeds by name, each once; the window repeats it."""

    def __init__(self, stage: Stage, markets: Sequence[Market], journal: Journal, random: Random) -> None:
        """``markets``: whose rows, campaigns and sources are played with."""
        self._stage = stage
        self._markets = markets
        self._merchants = [own.shop.id for own in markets]
        self._journal = journal
        self._random = random
        self._numbers = count(_PUZZLES_FROM)
        self.done: list[Done] = []
        self._threads = ThreadPoolExecutor(8)
        self._begun: dict[str, Future[None]] = {}
        streamed = stage.client("dynamodb").describe_table(TableName=stage.stack["table"])["Table"]["LatestStreamArn"]
        self._records = Records(stage.client("dynamodbstreams"), streamed, self._passes, _MOST_RECORDS)
        self._by_name: dict[str, Callable[[], str | None]] = {
            "stream": self._stream_again,
            "queue": self._queue_again,
            "clocks": self._jump,
            "sweeps": self._sweep_twice,
            "puzzle": self._puzzle,
            "schedule": self._schedule,
            **{f"kill {own}": partial(self._kill, own) for own in _SKEWED},
            **{f"renew {own}": partial(self._renew, own) for own in _SKEWED},
        }

    def begin(self, name: str) -> None:
        """One deed, beside everything else, unless its like is still being done."""
        if name not in self._begun or self._begun[name].done():
            self._begun[name] = self._threads.submit(self._do, name)

    def end(self) -> None:
        """Wait for the last ones."""
        self._threads.shutdown()

    def _do(self, name: str) -> None:
        with suppress(ClientError, BotoCoreError, RuntimeError, httpx.HTTPError, ProcessLookupError):
            told = self._by_name[name]()
            if told is not None:
                self.done.append(Done(name, told))

    def _kill(self, function: str) -> str | None:
        """A worker that is at work."""
        return f"killed a worker of {function} at work" if self._stage.kill_at_work(function) else None

    def _renew(self, function: str) -> str | None:
        """Any worker, so that the next one must fetch what is fetched once in a life."""
        return f"killed a worker of {function}" if self._stage.kill_worker(self._random, function) else None

    def _puzzle(self) -> str:
        """Somebody's webhook that nobody understands: its bytes go to S3."""
        market = self._markets[0]
        Shopper(next(self._numbers), market, self._journal, self._random, "is beyond understanding").live()
        return "a webhook that nobody understands"

    def _schedule(self) -> str:
        """A campaign that runs by the clock is made, changed and, every second one, removed."""
        market = self._random.choice(self._markets)
        shop, step = market.shop, {"after": "PT1H", "endpoint_id": min(market.names)}
        trigger = {"type": "schedule", "expression": f"rate({self._random.randint(2, 20)} days)"}
        made = shop.call(
            "POST",
            "/v1/campaigns",
            json={"name": "By the clock", "status": "paused", "trigger": trigger, "steps": [step]},
        )
        own = f"/v1/campaigns/{made['id']}"
        shop.call("PATCH", own, json={"trigger": trigger | {"expression": "cron(0 10 * * ? *)"}})
        if self._random.random() < 0.5:
            shop.call("DELETE", own)
        return "a campaign by the clock"

    def _stream_again(self) -> str:
        """The newest records once more, in another order and some of them twice, as one batch."""
        records = self._records.newest()
        again = records + self._random.sample(records, len(records) // 3)
        self._random.shuffle(again)
        self._stage.invoke("dispatch", {"Records": again})
        return f"{len(again)} stream records again"

    def _queue_again(self) -> str:
        """Messages as they were sent, old ones too, in another order, to whichever queue the function reads."""
        rows = Rows(self._stage, self._merchants)
        messages = [
            DeliveryMessage(DeliveryId(own), MerchantId(merchant), self._random.choice([0, 0, 1])).text()
            for own, merchant in rows.feed()
        ]
        messages += [StepMessage(EpisodeId(own), MerchantId(merchant)).text() for own, merchant in rows.episodes()]
        chosen = self._random.sample(messages, min(len(messages), _MOST_MESSAGES))
        chosen += chosen[: len(chosen) // 2]
        self._random.shuffle(chosen)
        for start in range(0, len(chosen), 10):
            name = self._random.choice(["deliveries", "retries", "steps", "slow"])
            self._stage.client("sqs").send_message_batch(
                QueueUrl=self._stage.stack["queues"][name],
                Entries=[{"Id": str(at), "MessageBody": own} for at, own in enumerate(chosen[start : start + 10])],
            )
        return f"{len(chosen)} queue messages again"

    def _jump(self) -> str:
        """Every function's clock to another place."""
        offsets = {own: round(self._random.uniform(-_FARTHEST, _FARTHEST), 1) for own in _SKEWED}
        self._stage.set_clocks(offsets)
        return f"clocks are off by {offsets}"

    def _sweep_twice(self) -> str:
        """Two sweeps at the same time, beside the schedule's own."""
        threads = [threading.Thread(target=self._stage.sweep) for _ in range(2)]
        for own in threads:
            own.start()
        for own in threads:
            own.join()
        return "sweeps at once"

    def _passes(self, image: dict[str, Any]) -> bool:
        """Whether the mapping's filter leaves it to dispatch, and it is ours."""
        return "tr" in image and image.get("mer", {}).get("S") in self._merchants
