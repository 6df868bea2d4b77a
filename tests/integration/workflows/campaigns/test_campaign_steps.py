"""A campaign's steps from the abandonment to the last outcome, on moto: planned, gated, claimed, sent, stopped."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.aws.queues import StepMessage, read_message
from shared.delivery.exchange import Answer
from shared.domain.campaign import Campaign, CampaignId, CampaignStep, Limits
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.ids import EndpointId, EpisodeId, MerchantId
from shared.domain.instants import to_rfc3339
from shared.domain.merchant import Endpoint
from shared.domain.settings import Settings
from shared.domain.step_state import StepState
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.deliveries import DeliveryStatus
from shared.store.episodes import EpisodeStore
from shared.store.events import EventStore
from shared.store.resend_jobs import ResendJobStore
from shared.workflows.delivering.history import DeliveryHistory, DeliveryQuery
from shared.workflows.delivering.refusals import Conflict
from shared.workflows.delivering.resend import ResendJobs
from tests.integration.conftest import DUE_SHARDS
from tests.integration.shop import MERCHANT, SESSION, Shop, stranger
from tests.unit.domain.sessions import NOON

HOUR = timedelta(hours=1)


def open_all_day(shop: Shop, **changes: Any) -> None:
    """The merchant's settings without quiet hours, so that the clock of a test decides nothing by itself."""
    merchants = MerchantStore(shop.table)
    stored = merchants.get(MERCHANT)
    assert stored is not None
    fields: dict[str, Any] = {"quiet_hours": None, "consent": "unknown_allowed", "holdout_percent": 0, **changes}
    merchants.replace(replace(stored.value, settings=Settings(**fields)), stored.version)


def campaign(shop: Shop, endpoint: Endpoint, *offsets: timedelta, **fields: Any) -> Campaign:
    """An active campaign with one step per offset, all to one endpoint."""
    made = Campaign(
        id=CampaignId("cmp_1"),
        merchant_id=MERCHANT,
        version=1,
        name="Come back",
        created_at=NOON,
        steps=tuple(CampaignStep(after, endpoint.id) for after in offsets),
        activated_at=NOON,
        **fields,
    )
    CampaignStore(shop.table).create(made)
    return made


def episode(shop: Shop) -> Episode:
    found = EpisodeStore(shop.table).get(EpisodeId(shop.checkout().episode_id or ""))
    assert found is not None
    return found


def states(shop: Shop) -> list[tuple[str, str | None]]:
    return [(own.state.value, own.reason) for own in episode(shop).steps]


@pytest.fixture
def endpoint(shop: Shop) -> Endpoint:
    open_all_day(shop)
    return shop.endpoint("checkout.recovered")


@pytest.fixture
def abandoned(shop: Shop, endpoint: Endpoint) -> Callable[..., None]:
    """A shopper who walked away from a checkout under a campaign of these steps; the announcement is told."""

    def make(*offsets: timedelta, **fields: Any) -> None:
        campaign(shop, endpoint, *(offsets or (HOUR, 24 * HOUR)), **fields)
        shop.abandon()
        shop.settle()

    return make


def due(shop: Shop, abandoned: Callable[..., None]) -> list[str]:
    """The message of a first step that is due; nobody has handled it yet."""
    abandoned(HOUR)
    shop.wait(minutes=31)
    shop.sweep()
    return shop.queued()


def test_the_abandonment_plans_the_campaigns_steps_from_the_last_activity(
    shop: Shop, abandoned: Callable[..., None]
) -> None:
    abandoned(HOUR, 24 * HOUR)
    own = episode(shop)
    assert own.campaign_id == "cmp_1"
    assert [step.due_at - own.anchor for step in own.steps] == [HOUR, 24 * HOUR]
    assert own.anchor == NOON


def test_a_due_step_is_sent_once_and_recorded_everywhere(shop: Shop, abandoned: Callable[..., None]) -> None:
    abandoned(HOUR, 24 * HOUR)
    assert shop.sweep() == {}
    shop.wait(minutes=31)
    assert shop.sweep() == {"step_queued": 1}
    bodies = shop.queued()
    assert [type(read_message(body)) for body in bodies] == [StepMessage]
    assert shop.deliver(bodies) == []
    assert shop.deliver(bodies) == []
    [sent] = shop.told()
    assert sent["data"]["step"]["index"] == 1
    assert sent["data"]["checkout"]["status"] == "abandoned"
    assert states(shop) == [("sent", None), ("planned", None)]
    [delivery] = shop.deliveries()
    assert (delivery.status, delivery.step, delivery.attempt_count) == (DeliveryStatus.DELIVERED, 1, 1)
    timeline, _ = ActivityStore(shop.table).page(shop.digest(), limit=10, after=None)
    assert [own.type for own in timeline] == ["SCHEDULED", "SCHEDULED", "TASK_CREATED"]
    assert timeline[-1].detail["delivery_id"] == delivery.id


@pytest.mark.parametrize("session", ["another", SESSION], ids=["another cart", "the same cart"])
def test_a_cart_that_fits_is_written_to_though_one_before_it_did_not(
    shop: Shop, abandoned: Callable[..., None], session: str
) -> None:
    abandoned(HOUR, criteria={"field": "total", "op": "gte", "value": "5000"})
    assert episode(shop).campaign_id is None
    first = episode(shop).id
    shop.wait(hours=3)
    shop.abandon(session, total_payable=9_000, session_state="PHONE_ENTERED")
    shop.settle()
    assert shop.checkout(session).episode_id == first
    assert (episode(shop).campaign_id, states(shop)) == ("cmp_1", [("planned", None)])

    shop.wait(minutes=31)
    shop.sweep()
    shop.deliver()

    assert [own["data"]["checkout"]["id"] for own in shop.told()] == [shop.checkout(session).id]
    started = [own for own in shop.rows() if own.get("kind") == "started"]
    assert len(started) == 1


def test_a_cart_that_joins_an_episode_with_no_message_left_is_told_why(
    shop: Shop, abandoned: Callable[..., None]
) -> None:
    abandoned(HOUR)
    shop.wait(minutes=31)
    shop.sweep()
    shop.deliver()
    assert states(shop) == [("sent", None)]
    shop.wait(hours=48)

    shop.abandon("another")
    told = shop.stream()
    for _ in range(2):
        shop.dispatch(told)

    assert shop.checkout("another").episode_id == episode(shop).id
    timeline, _ = ActivityStore(shop.table).page(shop.digest("another"), limit=10, after=None)
    assert [(own.type, own.detail) for own in timeline] == [
        ("NOT_SENT", {"campaign_id": "cmp_1", "reason": "frequency_cap"})
    ]


@pytest.mark.parametrize(("step", "end"), [(HOUR, 6 * HOUR), (100 * HOUR, 144 * HOUR)])
def test_the_receiver_is_told_the_campaigns_own_end(
    shop: Shop, abandoned: Callable[..., None], step: timedelta, end: timedelta
) -> None:
    """The merchant's three days are for the feed: after them a receiver would drop what the campaign still sends."""
    abandoned(step, do_not_send_after=end)
    shop.wait(minutes=step.total_seconds() // 60 - 30)
    shop.sweep()
    shop.deliver()
    [sent] = shop.told()
    assert sent["do_not_send_after"] == to_rfc3339(NOON + end)


def test_a_step_that_is_skipped_leaves_its_place_in_the_cap_to_the_next(shop: Shop, endpoint: Endpoint) -> None:
    """One message at most, by e-mail if it can be, else by WhatsApp: this shopper has no e-mail."""
    made = campaign(shop, endpoint, HOUR, 2 * HOUR, limits=Limits(1))
    store = CampaignStore(shop.table)
    found = store.get(MERCHANT, made.id)
    assert found is not None
    by_mail = CampaignStep(HOUR, endpoint.id, channel="email")
    store.revise(found, replace(made, steps=(by_mail, CampaignStep(2 * HOUR, endpoint.id, channel="whatsapp"))))
    shop.abandon(user=stranger(1))
    shop.settle()
    assert [own.number for own in episode(shop).steps] == [1]

    for minutes in (31, 60):
        shop.wait(minutes=minutes)
        shop.sweep()
        shop.deliver()

    assert states(shop) == [("skipped", "no_contact"), ("sent", None)]
    assert [own["data"]["step"]["index"] for own in shop.told()] == [2]


def test_a_step_that_fails_leaves_its_place_in_the_cap_to_the_next(shop: Shop, abandoned: Callable[..., None]) -> None:
    abandoned(HOUR, 2 * HOUR, limits=Limits(1))
    for minutes, status in ((31, 400), (2, 400), (11, 400), (60, 200)):
        shop.answer = lambda _, own=status: Answer(own)  # type: ignore[misc]  # the status of this round
        shop.wait(minutes=minutes)
        shop.sweep()
        shop.deliver()
    assert [state for state, _ in states(shop)] == ["failed", "sent"]


def test_a_step_for_which_a_late_message_leaves_no_time_is_told(shop: Shop, abandoned: Callable[..., None]) -> None:
    abandoned(HOUR, 20 * HOUR, do_not_send_after=24 * HOUR)
    assert len(episode(shop).steps) == 2
    shop.wait(hours=21)
    shop.sweep()
    shop.deliver()

    assert states(shop) == [("sent", None), ("skipped", "too_old")]
    timeline, _ = ActivityStore(shop.table).page(shop.digest(), limit=10, after=None)
    assert [own.detail["reason"] for own in timeline if own.type == "NOT_SENT"] == ["too_old"]
    assert [(own.step, own.status.value, own.reason) for own in shop.deliveries() if own.step == 2] == [
        (2, "skipped", "too_old")
    ]
    assert len([own for own in shop.rows() if own.get("kind") == "not_sent"]) == 1


def test_the_second_step_follows_and_the_campaign_ends_with_it(shop: Shop, abandoned: Callable[..., None]) -> None:
    abandoned(HOUR, 24 * HOUR)
    for wait in (31, 24 * 60):
        shop.wait(minutes=wait)
        shop.sweep()
        shop.deliver()
    assert states(shop) == [("sent", None), ("sent", None)]
    assert len(shop.sent) == 2
    shop.wait(days=8)
    assert shop.sweep()["episode_over"] == 1
    assert episode(shop).status is EpisodeStatus.ENDED


@pytest.mark.parametrize("when", ["before the sweep", "on the queue"])
def test_after_a_purchase_no_step_goes_out(shop: Shop, abandoned: Callable[..., None], when: str) -> None:
    abandoned(HOUR, 24 * HOUR)
    shop.wait(minutes=31)
    bodies: list[str] = []
    if when == "on the queue":
        shop.sweep()
        bodies = shop.queued()
    assert shop.webhook(session_state="COMPLETED")[0] == 200
    shop.sweep()
    assert shop.deliver(bodies) == []
    shop.wait(days=2)
    shop.sweep()
    shop.deliver()
    assert shop.sent == []
    assert states(shop) == [("skipped", "purchased"), ("skipped", "purchased")]


def test_a_purchase_with_the_same_phone_in_another_checkout_stops_the_steps(
    shop: Shop, abandoned: Callable[..., None]
) -> None:
    bodies = due(shop, abandoned)
    shop.webhook(session="another-device", session_state="COMPLETED")
    shop.deliver(bodies)
    assert shop.sent == []
    assert states(shop) == [("skipped", "purchased")]


def test_a_purchase_between_the_gate_and_the_claim_wins(
    shop: Shop, abandoned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = due(shop, abandoned)
    write = EpisodeStore.write
    bought: list[bool] = []

    def buying_first(self: EpisodeStore, put: Any) -> None:
        if not bought:
            bought.append(True)
            assert shop.webhook(session_state="COMPLETED")[0] == 200
        write(self, put)

    monkeypatch.setattr(EpisodeStore, "write", buying_first)
    assert shop.deliver(bodies) == []
    assert bought
    assert shop.sent == []


def test_a_purchase_while_the_answer_to_the_claim_is_on_its_way_wins_too(
    shop: Shop, abandoned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS takes the claim at once and says so after four seconds."""
    bodies = due(shop, abandoned)
    write = EpisodeStore.write
    bought: list[bool] = []

    def answering_late(self: EpisodeStore, put: Any) -> None:
        write(self, put)
        if not bought:
            bought.append(True)
            assert shop.webhook(session_state="COMPLETED")[0] == 200
            shop.wait(seconds=4)

    monkeypatch.setattr(EpisodeStore, "write", answering_late)
    assert shop.deliver(bodies) == []
    assert bought
    assert shop.sent == []
    assert states(shop) == [("skipped", "purchased")]


def test_the_shoppers_return_pauses_the_steps_and_walking_away_again_plans_them_anew(
    shop: Shop, abandoned: Callable[..., None]
) -> None:
    abandoned(HOUR)
    shop.webhook(session_state="PAYMENT_LOADED")
    shop.settle()
    assert episode(shop).status is EpisodeStatus.PAUSED
    shop.wait(minutes=31)
    assert shop.sweep() == {"abandoned": 1}
    shop.settle()
    again = episode(shop)
    assert again.status is EpisodeStatus.ACTIVE
    assert again.anchor == NOON + timedelta(minutes=31)
    assert again.steps[0].due_at == again.anchor + HOUR
    shop.deliver()
    assert all("step" not in own["data"] for own in shop.told())


def test_an_endpoint_that_is_busy_gets_the_step_again_and_a_crash_leaves_it_unknown(
    shop: Shop, abandoned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned(HOUR)
    shop.answer = lambda _: Answer(503)
    shop.wait(minutes=31)
    shop.sweep()
    shop.deliver()
    assert states(shop) == [("planned", None)]
    [delivery] = shop.deliveries()
    assert delivery.status is DeliveryStatus.RETRYING

    shop.wait(minutes=5)
    shop.sweep()

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Shop, "send_all", killed)
    with pytest.raises(KeyboardInterrupt):
        shop.deliver()
    assert episode(shop).steps[0].state is StepState.CLAIMED
    shop.wait(minutes=30)
    assert shop.sweep()["lease_lost"] == 1
    assert states(shop) == [("unknown", "lease_lost")]
    shop.deliver()
    [delivery] = shop.deliveries()
    assert (delivery.status, delivery.reason) == (DeliveryStatus.UNKNOWN, "lease_lost")


def test_a_step_that_falls_due_while_a_lost_claim_lasts_waits_for_its_end_and_no_sweep_turns_it_over_in_vain(
    shop: Shop, abandoned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_all_day(shop, min_step_gap=timedelta())
    abandoned(HOUR, HOUR + timedelta(minutes=1))
    shop.wait(minutes=30)
    shop.sweep()

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Shop, "send_all", killed)
        with pytest.raises(KeyboardInterrupt):
            shop.deliver()
    claimed = episode(shop)
    assert [own.state for own in claimed.steps] == [StepState.CLAIMED, StepState.PLANNED]

    shop.wait(minutes=3)
    assert shop.sweep() == {}
    assert episode(shop) == claimed

    shop.wait(minutes=5)
    assert shop.sweep()["lease_lost"] == 1
    assert states(shop) == [("unknown", "lease_lost"), ("planned", None)]


def test_quiet_hours_defer_a_step_to_the_morning(shop: Shop, endpoint: Endpoint) -> None:
    from datetime import time

    from shared.domain.settings import QuietHours

    open_all_day(shop, quiet_hours=QuietHours(time(21), time(9)))
    campaign(shop, endpoint, 4 * HOUR)
    shop.abandon()
    shop.settle()
    shop.wait(hours=4)
    shop.sweep()
    shop.deliver()
    assert shop.sent == []
    [step] = episode(shop).steps
    assert step.state is StepState.PLANNED
    assert (step.due_at + timedelta(hours=5, minutes=30)).hour == 10


def test_without_consent_nothing_is_sent_and_the_reason_is_shown(shop: Shop, endpoint: Endpoint) -> None:
    open_all_day(shop, consent="required")
    campaign(shop, endpoint, HOUR)
    shop.abandon()
    shop.settle()
    shop.wait(minutes=31)
    shop.sweep()
    shop.deliver()
    assert shop.sent == []
    assert states(shop) == [("skipped", "no_consent")]
    [delivery] = shop.deliveries()
    assert (delivery.status, delivery.reason) == (DeliveryStatus.SKIPPED, "no_consent")


def test_a_foreign_or_unknown_step_message_sends_nothing(shop: Shop, abandoned: Callable[..., None]) -> None:
    abandoned(HOUR)
    shop.wait(minutes=31)
    own = episode(shop)
    foreign = StepMessage(own.id, MerchantId("mer_other"))
    unknown = StepMessage(EpisodeId("epi_nobody"), MERCHANT)
    assert shop.deliver([foreign.text(), unknown.text()]) == []
    assert shop.sent == []


def test_a_deleted_endpoint_skips_its_steps(shop: Shop, abandoned: Callable[..., None], endpoint: Endpoint) -> None:
    abandoned(HOUR)
    EndpointStore(shop.table).delete(MERCHANT, EndpointId(endpoint.id))
    shop.wait(minutes=31)
    shop.sweep()
    shop.deliver()
    assert states(shop) == [("skipped", "endpoint_deleted")]


def test_a_purchase_under_an_identifier_the_checkout_learnt_later_wins_too(
    shop: Shop, abandoned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The episode is held by the first phone; the purchase between gate and claim names only the second."""
    abandoned(HOUR)
    second = {"phone_no": "7777799999", "dial_code": "91", "address": {}}
    digest = shop.digest()
    key, value = {"pk": f"C#{digest}", "sk": "C"}, "+917777799999"
    shop.stores.table._client.update_item(
        TableName=shop.stores.table.name,
        Key={name: {"S": text} for name, text in key.items()},
        UpdateExpression="SET c_p = :p",
        ExpressionAttributeValues={":p": {"S": value}},
    )
    shop.wait(minutes=31)
    shop.sweep()
    bodies = shop.queued()
    transact = type(shop.table).transact
    bought: list[bool] = []

    def buying_first(self: Any, writes: Any) -> None:
        if not bought:
            bought.append(True)
            assert shop.webhook(session="elsewhere", session_state="COMPLETED", user=second)[0] == 200
        transact(self, writes)

    monkeypatch.setattr(type(shop.table), "transact", buying_first)
    shop.deliver(bodies)
    assert bought
    assert shop.sent == []


def test_a_checkout_that_has_learnt_another_phone_gets_its_message_all_the_same(
    shop: Shop, abandoned: Callable[..., None]
) -> None:
    """What the claim rests on is looked at in the same write: also the record that no episode holds."""
    abandoned(HOUR)
    shop.stores.table._client.update_item(
        TableName=shop.stores.table.name,
        Key={"pk": {"S": f"C#{shop.digest()}"}, "sk": {"S": "C"}},
        UpdateExpression="SET c_p = :p",
        ExpressionAttributeValues={":p": {"S": "+917777799999"}},
    )
    shop.wait(minutes=31)
    shop.sweep()
    shop.deliver()

    assert len(shop.sent) == 1


def test_a_steps_delivery_is_listed_with_its_checkout_and_never_sent_by_hand(
    shop: Shop, abandoned: Callable[..., None], endpoint: Endpoint
) -> None:
    abandoned(HOUR)
    shop.answer = lambda _: Answer(410)
    shop.wait(minutes=31)
    shop.sweep()
    shop.deliver()
    history = DeliveryHistory(
        shop.stores.deliveries,
        EventStore(shop.table),
        EndpointStore(shop.table),
        ActivityStore(shop.table),
        lambda: shop.stores.queues,
        lambda: shop.now,
    )
    [listed], _ = history.find(MERCHANT, DeliveryQuery(checkout_id=shop.checkout().id), limit=10, before=None)
    assert (listed.step, listed.status) == (1, DeliveryStatus.FAILED)
    with pytest.raises(Conflict, match="sent by its episode"):
        history.retry(MERCHANT, listed.id)

    stored = EndpointStore(shop.table).get(MERCHANT, endpoint.id)
    assert stored is not None
    assert stored.value.status == "disabled"
    active = replace(stored.value, status="active")
    EndpointStore(shop.table).replace(active, stored.version)
    ResendJobs(ResendJobStore(shop.table, DUE_SHARDS), lambda: shop.now).start(active, None, None)
    shop.sweep()
    assert shop.retries() == []
