"""Every AWS call of an erasure fails once, before its effect and after it; whoever asked repeats: the same end.

What a call leaves that fails before its effect, the call before it left: a test run plays only the ends of those that
have an effect, ``make faults`` all of them.
"""

from collections.abc import Callable, Iterator

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.sqs.models import sqs_backends

from functions.merchant_api import services
from shared.delivery.exchange import Answer
from tests.integration.api.conftest import Api, operator, stage_name
from tests.integration.api.test_customers import PHONE, _bucket, merchant, quarantined, shop
from tests.integration.conftest import REGION
from tests.integration.faults.aws_calls import AwsCalls, Fault, Kind, WorkerKilled
from tests.integration.faults.conftest import CASES, EVERYTHING, StageState, objects
from tests.integration.privacy.scanning import rows
from tests.integration.shop import MERCHANT, Shop
from tests.integration.workflows.campaigns.test_campaign_steps import HOUR, campaign, open_all_day

__all__ = ["_bucket", "merchant", "operator", "shop", "stage_name"]
pytestmark = pytest.mark.long
READS = ("Query", "GetItem", "BatchGetItem", "ListObjectsV2", "GetObject", "GetSecretValue", "Decrypt", "ListSchedules")
VOLATILE = {"ttl", "ua", "v", "da", "at", "closed_at"}
DONE = {200, 204, 404}
"""404: the last delete took effect unseen, and there is no such merchant any more."""
type Ask = Callable[[], int]


class Erasure:
    """A stage on which a shopper left something everywhere, and one way of erasing it."""

    def __init__(self, shop: Shop, calls: AwsCalls, ask: Ask) -> None:
        self._shop, self._calls, self._ask = shop, calls, ask
        self._began = shop.now
        self._state = StageState.taken(shop.stores.environment.table_name)
        self._ends: dict[tuple[int, frozenset[str]], set[str]] = {}
        """By what the first call left: repeated on the same remains, the same end needs no playing."""
        self.expected, self.made = self._played(None), list(calls.names)

    def wrong(self) -> Iterator[str]:
        """What ends otherwise."""
        for fault in self.faults():
            if (found := self._played(fault)) != self.expected:
                missing, more = sorted(self.expected - found)[:4], sorted(found - self.expected)[:4]
                yield f"{fault.kind} {fault.at} {self.made[fault.at]}: missing {missing}, more {more}"

    def faults(self) -> Iterator[Fault]:
        """Calls that have an effect, after it; all of them in every way, where everything is played."""
        for at, name in enumerate(self.made):
            has_effect = name.partition(".")[2] not in READS
            yield from (Fault(at, own) for own in (Kind if EVERYTHING else (Kind.UNSEEN,) if has_effect else ()))

    def _played(self, fault: Fault | None) -> set[str]:
        self._state.restore(self._shop.stores.environment.table_name)
        self._shop.clock.move_to(self._began)
        services.services.cache_clear()
        with self._calls.watched(fault):
            try:
                status = self._ask()
            except WorkerKilled:
                services.services.cache_clear()
                status = 500
        left = (status, frozenset(ends(self._shop)) | set(messages()))
        if left not in self._ends:
            self._ends[left] = self._repeated(status)
        return self._ends[left]

    def _repeated(self, status: int) -> set[str]:
        """The end, asked until it is done."""
        for _ in range(4):
            if status in DONE:
                break
            assert status in {202, 500, 503}, status
            status = self._ask()
        assert status in DONE, status
        self._shop.wait(minutes=20)
        self._shop.deliver([*self._shop.queued(), *self._shop.retries()])
        return ends(self._shop)


def messages() -> Iterator[str]:
    """What the queues hold."""
    queues = sqs_backends[ACCOUNT_ID][REGION].queues.values()
    return (message.body for own in queues for message in own._messages)


def ends(shop: Shop) -> set[str]:
    """Every row and object that is left, but for instants and what is counted up."""
    found = set(objects())
    for row in rows(shop.stores.environment.table_name):
        if row["pk"][:2] in {"X#", "K#"} or row.get("ty") == "customer.erased":
            continue
        said = {name: own for name, own in row.items() if name not in VOLATILE}
        key = "C#event" if row["sk"].startswith("E#") else f"{row['pk']} {row['sk']}"
        found.add(f"{key} {sorted(map(str, said.items()))}")
    return found


@pytest.fixture
def lived(shop: Shop) -> Shop:
    """A checkout that was told of, a message that failed, a purchase elsewhere, a body of no kind, a poison record."""
    open_all_day(shop)
    told = shop.endpoint("checkout.abandoned")
    campaign(shop, told, HOUR, 24 * HOUR)
    shop.answer = lambda _: Answer(400, body=b"no such person")
    shop.abandon()
    shop.settle()
    shop.wait(minutes=31)
    shop.sweep()
    shop.deliver()
    quarantined(shop, b'{"tel": "7777788888"}')
    shop.stores.bucket.keep_poison(f"{MERCHANT}/{shop.digest()}/e1.json", b"7777788888")
    return shop


def played(erasure: Erasure, name: str, record_property: Callable[[str, object], None]) -> None:
    faults = list(erasure.faults())
    assert len(faults) > 10
    record_property(CASES, (name, len(faults)))
    wrong = list(erasure.wrong())
    assert wrong == [], "\n".join(wrong)


def test_a_shoppers_erasure_ends_the_same_whatever_call_fails(
    lived: Shop, merchant: Api, calls: AwsCalls, record_property: Callable[[str, object], None]
) -> None:
    def ask() -> int:
        return merchant("POST", "/v1/customers/erase", {"phone": PHONE}).status

    erasure = Erasure(lived, calls, ask)
    assert not any("7777788888" in own for own in erasure.expected)
    played(erasure, "a shopper's erasure", record_property)


def test_a_merchants_erasure_ends_the_same_whatever_call_fails(
    lived: Shop, operator: Api, calls: AwsCalls, record_property: Callable[[str, object], None]
) -> None:
    def ask() -> int:
        return operator("DELETE", f"/v1/merchants/{MERCHANT}").status

    erasure = Erasure(lived, calls, ask)
    assert not any(str(MERCHANT) in own for own in erasure.expected)
    played(erasure, "a merchant's erasure", record_property)
