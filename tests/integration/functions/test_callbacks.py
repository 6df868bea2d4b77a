"""Vendors' status webhooks through the handler: challenge, signature, and what follows from each report."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from functions.callbacks import composition
from functions.callbacks.handler import handler
from shared.delivery.outcome import Refusal, refusal_of
from shared.domain.consent import Channel
from shared.domain.episode import Episode
from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import EndpointId, EpisodeId, delivery_id
from shared.domain.merchant import Endpoint
from shared.domain.shopper import Shopper
from shared.domain.step_state import EpisodeStep, StepState
from shared.domain.suppression import EndReason
from shared.store.activities import ActivityStore
from shared.store.deliveries import DeliveryRecord, DeliveryStatus, DeliveryStore
from shared.store.early_reports import EarlyReportStore
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.store.table import StoreRefused, StoreUnavailable
from shared.store.vendor_messages import VendorMessageStore
from shared.store.writes import Put
from shared.workflows.campaigns.suppress import Suppressions
from tests.integration.functions.reported import taken_message
from tests.integration.shop import MERCHANT, Shop

APP_SECRET = "an-app-secret"
VERIFY = "a-verify-token"
PHONE = "+917777788888"


@dataclass
class Vendor:
    """Meta, talking to one endpoint of the shop."""

    shop: Shop
    endpoint: Endpoint
    delivery: DeliveryRecord

    def call(
        self, method: str, body: bytes = b"", query: dict[str, str] | None = None, **headers: str
    ) -> dict[str, Any]:
        from urllib.parse import urlencode

        event = {
            "pathParameters": {"endpoint_id": self.endpoint.id},
            "rawPath": f"/callbacks/{self.endpoint.id}",
            "rawQueryString": urlencode(query or {}),
            "requestContext": {"http": {"method": method}},
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "body": body.decode(),
        }
        return handler(event, None)

    def report(self, **value: Any) -> dict[str, Any]:
        """A signed webhook with this change."""
        payload = {
            "object": "whatsapp_business_account",
            "entry": [{"changes": [{"field": "messages", "value": value}]}],
        }
        body = json.dumps(payload).encode()
        signature = "sha256=" + hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
        return self.call("POST", body, X_Hub_Signature_256=signature)

    def status(self, status: str, message_id: str = "wamid.1", **more: Any) -> dict[str, Any]:
        at = str(int(self.shop.now.timestamp()))
        row = {"id": message_id, "status": status, "timestamp": at, "recipient_id": PHONE[1:], **more}
        return self.report(statuses=[row])

    def preference(self, value: str) -> dict[str, Any]:
        chosen = {"wa_id": PHONE[1:], "category": "marketing_messages", "value": value, "timestamp": 1}
        return self.report(user_preferences=[chosen])

    def stored(self) -> DeliveryRecord:
        found = self.shop.stores.deliveries.get(self.delivery.id, self.endpoint.id)
        assert found is not None
        return found

    def timeline(self) -> list[str]:
        entries, _ = ActivityStore(self.shop.table).page(self.shop.digest(), limit=50, after=None)
        return [entry.type for entry in entries if entry.type.startswith("MESSAGE_")]

    def suppressed(self) -> Any:
        return self.memory().suppressed

    def episode(self) -> Episode:
        who = self.shop.stores.hasher.identity(MERCHANT, IdentityKind.PHONE, PHONE)
        held = self.shop.checkout().episode_id or ShopperStore(self.shop.table).get_many([who])[who].episode_id
        found = EpisodeStore(self.shop.table).get(EpisodeId(str(held)))
        assert found is not None
        return found

    def memory(self) -> Shopper:
        who: Identity = self.shop.stores.hasher.identity(MERCHANT, IdentityKind.PHONE, PHONE)
        return ShopperStore(self.shop.table).get_many([who])[who].memory


@pytest.fixture
def vendor(shop: Shop) -> Iterator[Vendor]:
    """A message that Meta accepted as wamid.1 for the shopper of the abandoned checkout."""
    for cached in (composition._stores, composition.status_reports):
        cached.cache_clear()
    shop.abandon()
    shop.settle()
    endpoint, delivery = taken_message(shop, "meta_cloud", {"app_secret": APP_SECRET, "verify_token": VERIFY})
    VendorMessageStore(shop.table).remember(endpoint.id, "wamid.1", delivery.id, shop.now)
    yield Vendor(shop, endpoint, delivery)
    for cached in (composition._stores, composition.status_reports):
        cached.cache_clear()


def test_metas_challenge_is_answered_to_whoever_knows_the_token(vendor: Vendor) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY, "hub.challenge": "12345"}
    answer = vendor.call("GET", query=query)
    assert (answer["statusCode"], answer["body"]) == (200, "12345")
    assert vendor.call("GET", query=query | {"hub.verify_token": "wrong"})["statusCode"] == 401
    assert vendor.call("GET")["statusCode"] == 401


def test_a_forged_or_unsigned_report_changes_nothing(vendor: Vendor) -> None:
    body = b'{"entry": []}'
    assert vendor.call("POST", body)["statusCode"] == 401
    assert vendor.call("POST", body, X_Hub_Signature_256="sha256=" + "0" * 64)["statusCode"] == 401
    assert vendor.stored().reports == {}


def test_an_unknown_endpoint_and_one_without_reports_are_not_found(vendor: Vendor, shop: Shop) -> None:
    vendor.endpoint = shop.endpoint()
    assert vendor.call("POST", b"{}")["statusCode"] == 404


@pytest.mark.parametrize("status", ["delivered", "read"])
def test_a_report_reaches_the_delivery_and_the_timeline_once(vendor: Vendor, status: str) -> None:
    assert vendor.status(status)["statusCode"] == 200
    assert vendor.status(status)["statusCode"] == 200
    assert set(vendor.stored().reports) == {status}
    assert vendor.timeline() == [f"MESSAGE_{status.upper()}"]


def test_our_own_id_correlates_without_the_vendors(vendor: Vendor) -> None:
    vendor.status("delivered", "wamid.never-seen", biz_opaque_callback_data=vendor.delivery.id)
    assert set(vendor.stored().reports) == {"delivered"}


def test_a_report_about_nobodys_message_is_taken_all_the_same(vendor: Vendor) -> None:
    assert vendor.status("delivered", "wamid.other", recipient_id="4915550000000")["statusCode"] == 200
    assert vendor.stored().reports == {}
    assert vendor.timeline() == []


def test_what_the_merchant_sends_by_other_tools_is_not_on_the_timeline(vendor: Vendor) -> None:
    """The same number sends order updates too. Only that the shopper cannot be reached is as true for reminders."""
    for status in ("sent", "delivered", "read"):
        assert vendor.status(status, "wamid.an-order-update")["statusCode"] == 200
    vendor.status("failed", "wamid.another", errors=[{"code": 131053, "title": "Media upload error"}])
    assert vendor.timeline() == []
    assert vendor.stored().reports == {}
    vendor.status("failed", "wamid.another", errors=[{"code": 131026, "title": "Message undeliverable"}])
    assert vendor.timeline() == ["MESSAGE_FAILED"]
    assert set(vendor.memory().capped) == {Channel.WHATSAPP}


def test_a_failure_after_acceptance_fails_the_delivery_and_an_opt_out_suppresses(vendor: Vendor) -> None:
    vendor.status("failed", errors=[{"code": 131050, "title": "User has stopped receiving marketing messages"}])
    assert vendor.stored().status is DeliveryStatus.FAILED
    assert vendor.timeline() == ["MESSAGE_FAILED"]
    assert vendor.suppressed() == {Channel.WHATSAPP: "opt_out"}


@pytest.mark.parametrize("earlier", ["delivered", "read"])
def test_a_late_failure_does_not_undo_a_delivery(vendor: Vendor, earlier: str) -> None:
    """Meta may leave out ``delivered`` where ``read`` came."""
    vendor.status(earlier)
    vendor.status("failed", errors=[{"code": 131026, "title": "Message undeliverable"}])
    assert vendor.stored().status is DeliveryStatus.DELIVERED
    assert vendor.suppressed() == {}
    assert vendor.memory().capped == {}


@pytest.mark.parametrize(("code", "days"), [(131049, 1), (131026, 30)], ids=["marketing cap", "not on WhatsApp"])
def test_a_refusal_that_passes_rests_the_channel_for_as_long(vendor: Vendor, code: int, days: int) -> None:
    """Meta takes the message and tells of its cap afterwards: the next step over WhatsApp would only fail again."""
    vendor.status("failed", errors=[{"code": code, "title": "not delivered"}])
    assert vendor.stored().status is DeliveryStatus.FAILED
    assert vendor.suppressed() == {}
    told_at = vendor.shop.now.replace(microsecond=0)
    assert vendor.memory().capped == {Channel.WHATSAPP: told_at + timedelta(days=days)}


@pytest.fixture
def unanswered(vendor: Vendor) -> Vendor:
    """The vendor's answer never came: whether it took the message is not known."""
    unknown = replace(vendor.delivery, status=DeliveryStatus.UNKNOWN, reason="no answer in time")
    vendor.shop.stores.deliveries.keep(unknown)
    return vendor


@pytest.mark.parametrize("status", ["sent", "delivered", "read"])
def test_a_message_of_unknown_outcome_that_the_vendor_speaks_of_was_taken(unanswered: Vendor, status: str) -> None:
    unanswered.status(status, "wamid.unheard", biz_opaque_callback_data=unanswered.delivery.id)
    assert (unanswered.stored().status, unanswered.stored().reason) == (DeliveryStatus.DELIVERED, None)
    assert set(unanswered.stored().reports) == {status}


def test_a_message_of_unknown_outcome_that_the_vendor_could_not_deliver_failed(unanswered: Vendor) -> None:
    errors = [{"code": 131026, "title": "Message undeliverable"}]
    unanswered.status("failed", "wamid.unheard", errors=errors, biz_opaque_callback_data=unanswered.delivery.id)
    assert unanswered.stored().status is DeliveryStatus.FAILED
    assert refusal_of(unanswered.stored().reason) is Refusal.NOT_ON_CHANNEL


def test_a_report_that_is_faster_than_the_answer_is_kept_for_the_delivery(vendor: Vendor) -> None:
    early = delivery_id(vendor.shop.now, "a step that is out", vendor.endpoint.id)
    for status in ("sent", "delivered"):
        assert vendor.status(status, "wamid.2", biz_opaque_callback_data=early)["statusCode"] == 200
    kept = EarlyReportStore(vendor.shop.table).of(early, vendor.endpoint.id)
    assert kept is not None
    assert (set(kept.at), kept.failure) == ({"sent", "delivered"}, None)


def test_of_a_failure_that_is_faster_than_the_answer_no_word_of_the_vendors_is_kept(vendor: Vendor) -> None:
    """What a shopper's erasure does not find must hold nothing of theirs."""
    early = delivery_id(vendor.shop.now, "a step that is out", vendor.endpoint.id)
    errors = [{"code": 131026, "error_data": {"details": "Asha Rao's phone is off"}}]
    vendor.status("failed", "wamid.2", biz_opaque_callback_data=early, errors=errors)
    kept = EarlyReportStore(vendor.shop.table).of(early, vendor.endpoint.id)
    assert kept is not None
    assert kept.failure == "not_on_channel: WhatsApp 131026"


def test_what_another_merchants_vendor_says_of_a_delivery_is_not_kept(vendor: Vendor) -> None:
    elsewhere = EndpointId("ep_01KAHJ0000000000000000000Z")
    theirs = delivery_id(vendor.shop.now, "a step that is out", elsewhere)
    vendor.status("failed", "wamid.2", biz_opaque_callback_data=theirs, errors=[{"code": 131026}])
    assert EarlyReportStore(vendor.shop.table).of(theirs, elsewhere) is None


def test_a_shorter_rest_does_not_end_a_longer_one(vendor: Vendor) -> None:
    for code in (131026, 131049):
        vendor.status("failed", errors=[{"code": code, "title": "not delivered"}])
    told_at = vendor.shop.now.replace(microsecond=0)
    assert vendor.memory().capped == {Channel.WHATSAPP: told_at + timedelta(days=30)}


def test_a_shopper_who_answers_stop_is_suppressed_and_the_reply_is_on_the_timeline(vendor: Vendor) -> None:
    message = {"from": PHONE[1:], "id": "wamid.in", "timestamp": "1795000000", "type": "text", "text": {"body": "Stop"}}
    vendor.report(messages=[message])
    assert vendor.suppressed() == {Channel.WHATSAPP: "opt_out"}
    assert sorted(vendor.timeline()) == ["MESSAGE_OPTED_OUT", "MESSAGE_REPLIED"]


@pytest.mark.parametrize(
    ("sent", "quoted"), [(True, True), (True, False), (False, False)], ids=["quoted", "unquoted", "nothing sent"]
)
def test_a_shopper_who_answers_is_in_conversation_and_gets_no_more_reminders(
    vendor: Vendor, sent: bool, quoted: bool
) -> None:
    """Few answers quote what they answer; one to a shop that has sent nothing is about something else."""
    episode = vendor.episode()
    if sent:
        step = EpisodeStep(1, StepState.SENT, vendor.shop.now, handed_over_at=vendor.shop.now)
        episode = replace(episode, steps=(step,))
        vendor.shop.table.put(Put(EpisodeStore(vendor.shop.table, 1).created(episode, vendor.shop.now, None).item))
        vendor.shop.stores.deliveries.keep(replace(vendor.delivery, episode_id=episode.id, step=1))
    context = {"context": {"id": "wamid.1"}} if quoted else {}
    vendor.report(messages=[{"from": PHONE[1:], "id": "wamid.in", "text": {"body": "Is it in stock?"}, **context}])
    assert vendor.episode().end_reason == (EndReason.REPLIED if sent else None)


def test_resuming_lifts_the_suppression(vendor: Vendor) -> None:
    vendor.preference("stop")
    assert vendor.suppressed() == {Channel.WHATSAPP: "opt_out"}
    vendor.preference("resume")
    assert vendor.suppressed() == {}


@pytest.mark.parametrize("reason", ["merchant", "complaint", "hard_bounce"])
def test_resuming_takes_back_no_word_of_the_merchants_and_of_no_dead_address(vendor: Vendor, reason: str) -> None:
    who = vendor.shop.stores.hasher.identity(MERCHANT, IdentityKind.PHONE, PHONE)
    table = vendor.shop.table
    suppressions = Suppressions(table, ShopperStore(table), EpisodeStore(table), lambda: vendor.shop.now)
    suppressions.suppress([who], [Channel.WHATSAPP], reason)
    vendor.preference("resume")
    assert vendor.suppressed() == {Channel.WHATSAPP: reason}


def test_one_merchants_vendor_cannot_reach_anothers_delivery(vendor: Vendor, shop: Shop) -> None:
    other = vendor.delivery.id[:30] + "01KAHJ0000000000000000000Z"
    vendor.status("delivered", "wamid.x", biz_opaque_callback_data=other)
    assert vendor.stored().reports == {}


def test_a_store_that_is_away_asks_the_vendor_to_repeat(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.store.table import StoreUnavailable

    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    failing: Callable[..., None] = away
    monkeypatch.setattr("shared.store.deliveries.DeliveryStore.reported", failing)
    assert vendor.status("delivered")["statusCode"] == 503


@pytest.mark.parametrize(
    ("error", "status"),
    [(StoreRefused("ItemTooLarge"), 200), (StoreUnavailable("conflicts"), 503)],
    ids=["never", "now"],
)
def test_one_report_that_cannot_be_told_costs_the_others_nothing(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A vendor is asked to repeat only what may go through later: in the end it would switch its webhook off."""
    at = str(int(vendor.shop.now.timestamp()))
    rows = [{"id": "wamid.1", "status": own, "timestamp": at, "recipient_id": PHONE[1:]} for own in ("sent", "read")]
    original = DeliveryStore.reported

    def stumbling(self: DeliveryStore, delivery: DeliveryRecord, report: str, when: Any) -> None:
        if report == "sent":
            raise error
        original(self, delivery, report, when)

    monkeypatch.setattr(DeliveryStore, "reported", stumbling)
    assert vendor.report(statuses=rows)["statusCode"] == status
    assert list(vendor.stored().reports) == ["read"]
    assert ('"SetAside":[1.0]' in capsys.readouterr().out) is (status == 200)
