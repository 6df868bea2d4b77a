"""What SES tells of mails: a bounce and a complaint close the address itself; SNS is told that we listen."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from functions.callbacks import composition
from functions.callbacks.handler import handler
from shared.delivery.exchange import Answer, DestinationTimeout, OutboundRequest, SendResult
from shared.delivery.send_pool import SendPool
from shared.domain.consent import Channel
from shared.domain.identity import Identity, IdentityKind
from shared.store.activities import ActivityStore
from shared.store.configuration import EndpointStore
from shared.store.shoppers import ShopperStore
from tests.integration.functions.reported import taken_message
from tests.integration.shop import MERCHANT, Shop
from tests.unit.domain.sessions import NOON

WORD = "a-long-random-word"
MAIL = "asha@example.com"
TOPIC = "arn:aws:sns:ap-south-1:123456789012:ses-events"
TOKEN = "2336412f37fb687f5d51e6e2425c464d" * 8
PERMANENT = {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": [{"emailAddress": MAIL}]}
COMPLAINT = {"complaintFeedbackType": "abuse", "complainedRecipients": [{"emailAddress": MAIL}]}


class Mailer:
    """SES, talking to one endpoint of the shop about one mail to a shopper who left nothing but an address."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        shop.abandon(user={"email": MAIL, "phone_no": None})
        assert shop.checkout().text("customer.email") == MAIL
        assert shop.checkout().text("customer.phone") is None
        endpoint, self.delivery = taken_message(shop, "ses", {"callback_token": WORD})
        self.endpoint_id = endpoint.id

    def tells(self, body: dict[str, Any], token: str = WORD) -> int:
        """The status that the handler answers."""
        event = {
            "pathParameters": {"endpoint_id": self.endpoint_id},
            "rawPath": f"/callbacks/{self.endpoint_id}",
            "rawQueryString": f"token={token}",
            "requestContext": {"http": {"method": "POST"}},
            "headers": {"x-amz-sns-message-type": "Notification"},
            "body": json.dumps(body),
        }
        return int(handler(event, None)["statusCode"])

    def reports(self, kind: str, part: str, told: dict[str, Any], **mail: Any) -> int:
        """An event about the mail, wrapped by SNS."""
        about = {"messageId": "m-1", "tags": {"delivery_id": [self.delivery.id]}, **mail}
        event = {"eventType": kind, "mail": about, part: {"timestamp": "2026-11-21T12:00:05Z", **told}}
        return self.tells({"Type": "Notification", "Message": json.dumps(event)})

    def closed(self, address: str = MAIL) -> dict[Channel, str]:
        """What is never used again to reach the address."""
        who: Identity = self._shop.stores.hasher.identity(MERCHANT, IdentityKind.EMAIL, address)
        return dict(ShopperStore(self._shop.table).get_many([who])[who].memory.suppressed)


@pytest.fixture
def mailer(shop: Shop) -> Iterator[Mailer]:
    def fresh() -> None:
        for cached in (composition._stores, composition.status_reports, composition._pool):
            cached.cache_clear()

    fresh()
    yield Mailer(shop)
    fresh()


def test_an_address_that_bounces_for_good_is_never_written_to_again(mailer: Mailer) -> None:
    assert mailer.reports("Bounce", "bounce", PERMANENT) == 200
    assert mailer.closed() == {Channel.EMAIL: "hard_bounce"}


def test_nor_is_one_whose_owner_complains(mailer: Mailer) -> None:
    assert mailer.reports("Complaint", "complaint", COMPLAINT) == 200
    assert mailer.closed() == {Channel.EMAIL: "complaint"}


def test_a_full_mailbox_may_be_written_to_later(mailer: Mailer) -> None:
    assert mailer.reports("Bounce", "bounce", PERMANENT | {"bounceType": "Transient"}) == 200
    assert mailer.closed() == {}


def test_it_is_the_address_that_was_written_to_that_is_closed(mailer: Mailer) -> None:
    old = "old.address@example.com"
    told = {**PERMANENT, "bouncedRecipients": [{"emailAddress": old}]}
    assert mailer.reports("Bounce", "bounce", told) == 200
    assert (mailer.closed(old), mailer.closed()) == ({Channel.EMAIL: "hard_bounce"}, {})


def test_a_mail_of_the_shops_own_that_arrived_is_no_matter_of_any_checkout(mailer: Mailer, shop: Shop) -> None:
    assert mailer.reports("Delivery", "delivery", {}, tags={}, destination=[MAIL]) == 200
    entries, _ = ActivityStore(shop.table).page(shop.digest(), limit=50, after=None)
    assert not [own for own in entries if own.type.startswith("MESSAGE_")]


def test_a_bounce_of_the_shops_own_mail_closes_the_address_and_shows_where_the_shopper_was_last(
    mailer: Mailer, shop: Shop
) -> None:
    assert mailer.reports("Bounce", "bounce", PERMANENT, tags={}) == 200
    assert mailer.closed() == {Channel.EMAIL: "hard_bounce"}
    entries, _ = ActivityStore(shop.table).page(shop.digest(), limit=50, after=None)
    assert [own.type for own in entries if own.type.startswith("MESSAGE_")] == ["MESSAGE_FAILED"]


def test_a_report_that_names_nobody_is_about_the_checkouts_address(mailer: Mailer) -> None:
    assert mailer.reports("Bounce", "bounce", {"bounceType": "Permanent", "bounceSubType": "General"}) == 200
    assert mailer.closed() == {Channel.EMAIL: "hard_bounce"}


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[OutboundRequest]:
    """What was called out, answered 200."""
    requests: list[OutboundRequest] = []

    def send(_: SendPool, given: list[OutboundRequest]) -> list[SendResult]:
        requests.extend(given)
        return [SendResult(NOON, NOON, 7, sent=True, answer=Answer(200)) for _ in given]

    monkeypatch.setattr(SendPool, "send_all", send)
    return requests


def asks(**changed: Any) -> dict[str, Any]:
    """SNS's question, as its documentation shows it."""
    return {
        "Type": "SubscriptionConfirmation",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "Token": TOKEN,
        "TopicArn": TOPIC,
        "Message": "You have chosen to subscribe to the topic.",
        "SubscribeURL": "https://169.254.169.254/latest/meta-data",
        **changed,
    }


def test_a_subscription_is_confirmed_at_sns_itself_whatever_url_is_given(
    mailer: Mailer, called: list[OutboundRequest]
) -> None:
    assert mailer.tells(asks()) == 200
    (asked,) = called
    topic = TOPIC.replace(":", "%3A")
    assert asked.method == "GET"
    assert asked.url == (
        f"https://sns.ap-south-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={topic}&Token={TOKEN}"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"TopicArn": "arn:aws:sns:evil.example/x:123456789012:t"},
        {"TopicArn": "arn:aws:sns:ap-south-1:123456789012:t\n"},
        {"TopicArn": None},
        {"Token": "../../x"},
        {"Token": 5},
        {"Type": "UnsubscribeConfirmation"},
    ],
)
def test_nothing_else_is_called(mailer: Mailer, called: list[OutboundRequest], changed: dict[str, Any]) -> None:
    assert mailer.tells(asks(**changed)) == 200
    assert called == []


def test_nor_for_whoever_does_not_know_the_token(mailer: Mailer, called: list[OutboundRequest]) -> None:
    assert mailer.tells(asks(), token="another-random-word") == 401
    assert called == []


def test_sns_asks_again_where_it_could_not_be_reached(mailer: Mailer, monkeypatch: pytest.MonkeyPatch) -> None:
    late = SendResult(NOON, NOON, 5000, sent=True, error=DestinationTimeout("no answer in time"))
    monkeypatch.setattr(SendPool, "send_all", lambda _, given: [late for _ in given])
    assert mailer.tells(asks()) == 503


class TestByTheStagesOwnTopic:
    """Mail by the stage's SES: SNS invokes the function, with nothing but its own permission for a proof."""

    def brings(self, told: dict[str, Any]) -> int:
        """How many reports were taken in of what SNS brings, as the Lambda Developer Guide shows it."""
        record = {
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "Sns": {"Type": "Notification", "Message": json.dumps(told)},
        }
        answer: dict[str, Any] = handler({"Records": [record]}, None)
        return int(answer["reports"])

    def about(self, delivery_id: str, kind: str = "Bounce", told: dict[str, Any] = PERMANENT) -> dict[str, Any]:
        mail = {"messageId": "m-1", "tags": {"delivery_id": [delivery_id], "ses:configuration-set": ["checkback-dev"]}}
        return {"eventType": kind, "mail": mail, kind.lower(): {"timestamp": "2026-11-21T12:00:05Z", **told}}

    @pytest.mark.parametrize(
        ("kind", "told", "reason"), [("Bounce", PERMANENT, "hard_bounce"), ("Complaint", COMPLAINT, "complaint")]
    )
    def test_a_bounce_and_a_complaint_close_the_address(
        self, mailer: Mailer, kind: str, told: dict[str, Any], reason: str
    ) -> None:
        for _ in range(2):
            assert self.brings(self.about(mailer.delivery.id, kind, told)) == 1
        assert mailer.closed() == {Channel.EMAIL: reason}

    def test_a_front_that_everybody_must_come_by_is_none_of_snss_business(
        self, mailer: Mailer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FRONT_ONLY", "on")
        assert self.brings(self.about(mailer.delivery.id)) == 1

    @pytest.mark.parametrize(
        "named", ["dlv_of_somebody_else", "dlv_01KAHJ0000000000000000000E01KAHJ00000000000000N0NE00"]
    )
    def test_a_mail_that_is_none_of_ours_is_no_trouble(self, mailer: Mailer, named: str) -> None:
        assert self.brings(self.about(named)) == 0
        assert self.brings({"eventType": "Bounce"}) == 0
        assert mailer.closed() == {}

    def test_of_an_endpoint_that_sends_by_an_account_of_its_own_the_stages_topic_says_nothing(
        self, mailer: Mailer, shop: Shop
    ) -> None:
        endpoints = EndpointStore(shop.table)
        stored = endpoints.get(MERCHANT, mailer.endpoint_id)
        assert stored is not None
        own = replace(stored.value, settings={**stored.value.settings, "access_key_id": "AKIAOWN0000000000"})
        endpoints.replace(own, stored.version)
        assert self.brings(self.about(mailer.delivery.id)) == 0
        assert mailer.closed() == {}

    def test_what_fails_for_now_is_repeated_by_lambda(self, mailer: Mailer, monkeypatch: pytest.MonkeyPatch) -> None:
        told = self.about(mailer.delivery.id)
        with monkeypatch.context() as broken:

            def fails(*_: object, **__: object) -> Any:
                raise EndpointConnectionError(endpoint_url="https://dynamodb")

            broken.setattr("shared.workflows.campaigns.suppress.Suppressions.suppress", fails)
            with pytest.raises(EndpointConnectionError):
                self.brings(told)
        assert self.brings(told) == 1
        assert mailer.closed() == {Channel.EMAIL: "hard_bounce"}
