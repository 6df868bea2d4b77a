"""A shopper's values, distinct per place, from every provider through everything: after an erasure none is anywhere."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from functions.merchant_api import services
from shared.aws.queues import DeliveryMessage
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_checkouts import checkout
from tests.integration.privacy.scanning import places_of, rows, stage_texts
from tests.integration.privacy.world import CODE, NOTE, World
from tests.integration.shop import MERCHANT

pytestmark = pytest.mark.long


def kinds(held: Iterable[set[str]]) -> set[str]:
    """Where values lie: the first letter of a row's key and the beginning of its second half, or the folder."""
    places = {place for own in held for place in own}
    return {place.split("/")[0] if "/" in place else f"{place[0]} {place.partition(' ')[2][:2]}" for place in places}


def test_of_an_erased_shopper_nothing_is_left_anywhere(
    world: World, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    world.lives_on()
    neighbour = world.neighbours()
    world.passes(minutes=31)
    planted = world.values | {NOTE}
    held = places_of(planted, stage_texts(world.shop.stores))
    theirs = places_of(neighbour.values.values(), stage_texts(world.shop.stores))
    assert len(held) > 150
    assert {"C C", "C E#", "T dl", "Q Q", "O O", "J J", "quarantine", "poison"} <= kinds(held.values())
    assert {"C C", "C E#", "quarantine"} <= kinds(theirs.values())
    assert "P K#" in kinds(places_of([CODE], stage_texts(world.shop.stores)).values())

    world.erases_everyone()
    world.passes(minutes=1)

    assert places_of(planted, stage_texts(world.shop.stores)) == {}
    assert places_of(neighbour.values.values(), stage_texts(world.shop.stores)).keys() == theirs.keys()
    said = capsys.readouterr()
    told = [("log", text) for text in (caplog.text, said.out, said.err)]
    assert places_of(planted | set(neighbour.values.values()), told) == {}


def test_of_an_erased_merchant_nothing_is_left_anywhere(
    world: World, operator: Api, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    world.lives_on()
    made = new_merchant(operator)
    other = operator.as_(made["token"])
    checkout(other, "theirs", at=world.shop.now, customer__phone="+917777700001", note="a neighbour's note")
    assert other("POST", "/v1/suppressions", {"phone": "+917777700002"}, headers={"idempotency-key": "k"}).status == 201
    own = services.services()
    own.bucket.keep_poison(f"{made['id']}/e1.json", b"a neighbour's record")
    before = [row for row in rows(world.shop.stores.environment.table_name) if made["id"] in str(row)]
    planted = world.values | {NOTE, CODE, str(MERCHANT), "cmp_1", "pool_1"}
    assert len(places_of(planted, stage_texts(world.shop.stores))) > 150

    # When a retry comes is a matter of chance; this one is on its way whatever became of the others.
    delivery = world.shop.deliveries()[0]
    late = DeliveryMessage(delivery.id, MERCHANT, delivery.attempt_count)
    world.shop.stores.queues.retry([(late, timedelta(minutes=15))])
    assert operator("DELETE", f"/v1/merchants/{MERCHANT}").status == 204

    world.passes(minutes=1)
    left = places_of(planted, stage_texts(world.shop.stores))
    # A message names ids alone; SQS ends it, and whoever gets it finds nothing.
    assert left == {str(MERCHANT): {"pulls", "retries", "record-dead-letters"}}
    assert [row for row in rows(world.shop.stores.environment.table_name) if made["id"] in str(row)] == before
    assert "a neighbour's record" in {text for _, text in stage_texts(world.shop.stores)}
    said = capsys.readouterr()
    told = [("log", text) for text in (caplog.text, said.out, said.err)]
    assert places_of(world.values | {NOTE, CODE}, told) == {}
