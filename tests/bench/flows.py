"""The flows of a shopper, each with what it calls and what DynamoDB charges for it.

``python -m tests.bench.flows`` prints them, row by row; with ``--keep`` they become the ceilings of
``tests/bench/ceilings.json``, which a test compares every flow with.
"""

import json
import sys
from collections.abc import Callable, Iterator
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from functions.dispatch import handing_over
from shared.aws import clients
from shared.store.configuration import MerchantStore
from tests.bench.units import Bill, Meter
from tests.integration import conftest
from tests.integration.conftest import INDEXES, REGION, environment_of, open_account
from tests.integration.shop import MERCHANT, Shop, open_shop, stranger

CEILINGS = Path(__file__).parent / "ceilings.json"
TOGETHER = 10
"""Records and messages that a function is given at once where there are enough of them."""
FEED = ("checkout.abandoned", "checkout.recovered", "checkout.completed")


def meter_of(shop: Shop) -> Meter:
    """A meter of the shop's table."""
    return Meter(dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].get_table(shop.stores.environment.table_name), INDEXES)


def played(shop: Shop) -> Iterator[tuple[str, Bill]]:
    """A shopper of FlexyPe who walks away, one who buys and one who buys after the abandonment was told, by turns.

    One receiver hears of it all. Others were here before, so that the process and the day know what they know.
    """
    meter = meter_of(shop)
    services = (clients.dynamodb(), clients.sqs(), clients.kms(), clients.secretsmanager(), clients.s3())
    shop.endpoint(*FEED)
    numbers = count(1)

    def visit(number: int, **said: Any) -> None:
        shop.wait(seconds=1)
        status, answer = shop.webhook(session=f"visit-{number}", user=stranger(number), **said)
        assert status == 200, answer

    def buys(number: int) -> None:
        visit(number, session_state="COMPLETED")

    def told() -> None:
        shop.dispatch(shop.stream())

    first, second = next(numbers), next(numbers)
    visit(first)
    visit(second)
    buys(second)
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    shop.deliver()

    def metered(act: Callable[[], Any]) -> Bill:
        with meter.of(*services) as bill:
            act()
        return bill

    leaves, stays, returns = next(numbers), next(numbers), next(numbers)
    yield "first webhook", metered(lambda: visit(leaves))
    yield "repeat that changes the cart", metered(lambda: visit(leaves, total_payable=701))
    yield "repeat that changes nothing", metered(lambda: visit(leaves, total_payable=701))
    shop.stream()
    shop.wait(minutes=31)
    yield "sweep that moves one", metered(shop.sweep)
    yield "sweep with nothing due", metered(shop.sweep)
    yield "announcing an abandonment", metered(told)
    yield "delivering it", metered(shop.deliver)
    visit(stays)
    yield "purchase", metered(lambda: buys(stays))
    yield "announcing a purchase", metered(told)
    shop.settle()
    yield "delivering a purchase", metered(shop.deliver)
    visit(returns)
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    shop.deliver()
    yield "purchase after a message", metered(lambda: buys(returns))
    yield "announcing a recovery", metered(told)
    shop.settle()
    shop.deliver()
    yield from _updates(shop, visit, metered, numbers)


def _updates(
    shop: Shop, visit: Callable[..., None], metered: Callable[[Callable[[], Any]], Bill], numbers: Iterator[int]
) -> Iterator[tuple[str, Bill]]:
    """Another receiver hears of every update: of one shopper's, then of ten at once."""
    shop.endpoint("checkout.updated", url="https://feed.example/")
    MerchantStore(shop.table).flag(MERCHANT, feed=True, raw=False)
    shop.wait(seconds=6)  # merchants are remembered for five
    for own in range(1, 3):
        for number in [next(numbers) for _ in range(1 if own == 1 else TOGETHER)]:
            visit(number)
        records = shop.stream()
        many = "an update" if own == 1 else f"{TOGETHER} updates"
        with pytest.MonkeyPatch.context() as patched:
            # However long this process is kept from its processor: what is counted is a batch at its usual pace.
            patched.setattr(handing_over, "WAITS_FOR", inf)
            announced = metered(lambda records=records: shop.dispatch(records))
        yield f"announcing {many}", announced
        yield f"delivering {many}", metered(shop.deliver)


def played_anew() -> dict[str, Bill]:
    """Every flow, on an account of its own."""
    with open_account() as (_, stage), pytest.MonkeyPatch.context() as patch:
        conftest.no_real_aws(patch)
        environment = environment_of(stage)
        # Functions log into what is measured with.
        for name, value in (environment | {"POWERTOOLS_LOG_LEVEL": "CRITICAL"}).items():
            patch.setenv(name, value)
        for shop in open_shop(environment):
            patch.setattr("functions.deliver.composition.SendPool", conftest._standing_in(shop))
            return dict(played(shop))
    raise AssertionError("there is a shop")


if __name__ == "__main__":
    _flows = played_anew()
    for _name, _bill in _flows.items():
        print(f"{_name}: {_bill.table_writes} + {_bill.index_writes} written, {_bill.reads} read", file=sys.stderr)
        print(*(f"    {row}" for row in _bill.rows), sep="\n", file=sys.stderr)
    if "--keep" in sys.argv:
        _kept = json.loads(CEILINGS.read_text())
        _kept["flows"] = {name: bill.counted() for name, bill in _flows.items()}
        CEILINGS.write_text(json.dumps(_kept, indent=2) + "\n")
