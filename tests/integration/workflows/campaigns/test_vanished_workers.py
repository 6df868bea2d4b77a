"""A worker that vanishes in the midst of a step: its message comes again, and nothing is left open or uncounted."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.episode import EpisodeStatus
from shared.domain.instants import to_ms
from shared.store.deliveries import DeliveryStatus
from shared.workflows.campaigns.episode_writes import EpisodeWrites
from shared.workflows.campaigns.step_record import StepRecord
from tests.integration.faults.aws_calls import WorkerKilled
from tests.integration.shop import Shop, forget_compositions
from tests.integration.till import Till
from tests.integration.workflows.campaigns.test_campaign_steps import abandoned, due, endpoint, episode, states

__all__ = ["abandoned", "endpoint"]
NEXT_DAY = datetime(2026, 11, 22, 6, tzinfo=UTC)


def killed(*_: Any, **__: Any) -> Any:
    raise WorkerKilled


def vanishes(shop: Shop, messages: list[str]) -> None:
    with pytest.raises(WorkerKilled):
        shop.deliver(messages)
    forget_compositions()


def facts(shop: Shop) -> list[str]:
    return [own["kind"] for own in shop.rows() if own["pk"].startswith("N#") and "kind" in own]


def test_a_claim_in_an_episode_that_a_purchase_ended_becomes_unknown(
    shop: Shop, abandoned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = due(shop, abandoned)
    with monkeypatch.context() as patched:
        patched.setattr(Shop, "send_all", killed)
        vanishes(shop, messages)
    shop.webhook(session_state="COMPLETED")
    shop.settle()
    own = episode(shop)
    assert (own.status, states(shop)) == (EpisodeStatus.ENDED, [("claimed", None)])

    shop.wait(minutes=6)
    assert shop.deliver(messages) == ["m0"], "its lease is not over: the worker may still be there"
    shop.wait(minutes=6)
    assert shop.deliver(messages) == []

    assert states(shop) == [("unknown", "lease_lost")]
    assert shop.sent == []
    (delivery,) = (own for own in shop.deliveries() if own.step)
    assert (delivery.status, delivery.reason) == (DeliveryStatus.UNKNOWN, "lease_lost")
    assert facts(shop).count("messaged") == 1
    before = shop.rows()
    assert shop.deliver(messages) == []
    assert shop.rows() == before


def test_a_step_whose_worker_vanished_with_its_last_write_is_counted(
    shop: Shop, abandoned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = due(shop, abandoned)
    with monkeypatch.context() as patched:
        patched.setattr(StepRecord, "ended", killed)
        vanishes(shop, messages)
    assert states(shop) == [("sent", None)]
    assert "messaged" not in facts(shop)

    shop.wait(minutes=6)
    assert shop.deliver(messages) == []

    assert facts(shop).count("messaged") == 1
    assert len(shop.sent) == 1
    before = shop.rows()
    assert shop.deliver(messages) == []
    assert shop.rows() == before


def test_what_the_answer_asks_for_is_done_before_the_outcome_is_written(
    shop: Shop, abandoned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a message went out counts for the shopper's rest, though its worker vanished."""
    messages = due(shop, abandoned)
    write = EpisodeWrites.write

    def vanishing(self: EpisodeWrites, read: Any, after: Any, settings: Any) -> None:
        write(self, read, after, settings)
        if any(own.state.ended for own in after.steps):
            raise WorkerKilled

    with monkeypatch.context() as patched:
        patched.setattr(EpisodeWrites, "write", vanishing)
        vanishes(shop, messages)
    assert states(shop) == [("sent", None)]
    remembered = [own for own in shop.rows() if own["pk"].startswith("I#") and own["sk"] == "I"]
    assert remembered
    assert all("lm" in own for own in remembered)


@pytest.mark.parametrize("purchase", [False, True], ids=["the sweep finds it", "its message comes again"])
def test_a_lost_message_counts_for_the_shoppers_rest(
    shop: Shop, abandoned: Callable[..., None], monkeypatch: pytest.MonkeyPatch, *, purchase: bool
) -> None:
    """They may have it: the next episode's first message waits for the cooldown as after any other."""
    messages = due(shop, abandoned)
    with monkeypatch.context() as patched:
        patched.setattr(Shop, "send_all", killed)
        vanishes(shop, messages)
    if purchase:
        shop.webhook(session_state="COMPLETED")
        shop.settle()
    shop.wait(minutes=12)
    shop.sweep()
    assert shop.deliver([*shop.queued(), *messages]) == []

    assert states(shop) == [("unknown", "lease_lost")]
    (lost_at,) = (own.handed_over_at for own in episode(shop).steps)
    assert lost_at is not None
    remembered = [own for own in shop.rows() if own["pk"].startswith("I#") and own["sk"] == "I"]
    assert remembered
    assert {own.get("lm") for own in remembered} == {to_ms(lost_at)}


@pytest.mark.parametrize("uncounted", [False, True])
def test_a_message_that_comes_again_after_the_shopper_left_another_checkout_the_next_day_is_counted_once(
    shop: Shop, abandoned: Callable[..., None], monkeypatch: pytest.MonkeyPatch, *, uncounted: bool
) -> None:
    """And of the day on which the checkout was left that it was about, also where its worker had not counted it."""
    messages = due(shop, abandoned)
    till = Till(shop)
    shop.clock.move_to(NEXT_DAY)
    with monkeypatch.context() as patched:
        if uncounted:
            patched.setattr(StepRecord, "ended", killed)
            vanishes(shop, messages)
        else:
            shop.deliver(messages)
    assert states(shop) == [("sent", None)]
    customer = {"phone": "+917777788888"}
    till.posts({"external_id": "next", "status": "abandoned", "totals": {"total": "630.00"}, "customer": customer})
    shop.settle()
    assert len(episode(shop).checkouts) == 2
    shop.deliver(messages)

    (counted,) = [own for own in shop.rows() if own.get("kind") == "messaged"]
    assert counted["pk"].endswith("#2026-11-21#0")
