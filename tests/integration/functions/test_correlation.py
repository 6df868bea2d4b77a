"""From a webhook to every delivery of the feed that it caused: one id, in logs, rows and the API. What logs cost."""

import json
from typing import Any

import pytest

from infra.local.engine import PROJECT
from shared.api.checkouts import delivery_json
from shared.aws.function_log import function_logger
from shared.aws.queues import StepMessage, read_message
from shared.delivery.exchange import Answer
from shared.domain.ids import EpisodeId
from tests.bench.dollars import LOG_BYTES
from tests.integration.campaigning import an_hour_after
from tests.integration.shop import MERCHANT, Shop, aws_event

FIRST, SECOND = "JKJaXmPLvHcESHA=", "KLmNoPqRsTuVwXy="


def webhook(shop: Shop, request_id: str, **changed: Any) -> None:
    """FlexyPe's sample as that request."""
    event = aws_event("webhook")
    event["requestContext"]["requestId"] = request_id
    payload = {**json.loads(event["body"]), **changed}
    session = payload.pop("session", None)
    if session:
        payload["checkout_url"] = f"https://flexype.myshopify.com/?flx_s={session}"
    assert shop.posted({**event, "body": json.dumps(payload)})[0] == 200


class Log:
    """What the functions wrote since the last look: the lines as CloudWatch gets them."""

    def __init__(self, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
        self._caplog, self._capsys = caplog, capsys

    def lines(self) -> list[str]:
        """The lines of the loggers, and those of the embedded metrics."""
        written = [function_logger(own.name).registered_formatter.format(own) for own in self._caplog.records]
        counted = [own for own in self._capsys.readouterr().out.splitlines() if '"_aws"' in own]
        self._caplog.clear()
        return written + counted

    def told(self, message: str) -> list[str | None]:
        """The correlation ids of the lines with that message."""
        found = [own for own in map(json.loads, self.lines()) if own.get("message") == message]
        return [own["correlation_id"] for own in found]

    def volume(self) -> int:
        """Bytes, with the ends of lines."""
        return sum(len(own.encode()) + 1 for own in self.lines())


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Log:
    return Log(caplog, capsys)


def causes(shop: Shop) -> dict[str, str | None]:
    """By event type what the API says caused its delivery."""
    return {own.event_type: delivery_json(own)["correlation_id"] for own in shop.deliveries()}


def test_an_abandonment_is_the_doing_of_the_last_webhook_before_it(shop: Shop, log: Log) -> None:
    shop.endpoint("checkout.abandoned")
    webhook(shop, FIRST)
    shop.wait(minutes=1)
    webhook(shop, SECOND, session_state="PAYMENT_LOADED")
    assert log.told("webhook_received") == [FIRST, SECOND]
    silence(shop)
    assert set(log.told("record_told")) == {SECOND}
    shop.deliver()
    assert log.told("delivery_handled") == [SECOND]
    assert causes(shop) == {"checkout.abandoned": SECOND}


def test_later_attempts_carry_it_too(shop: Shop, log: Log) -> None:
    shop.endpoint("checkout.abandoned")
    shop.answer = lambda _: Answer(503)
    webhook(shop, FIRST)
    silence(shop)
    shop.deliver()
    shop.wait(minutes=15)
    log.lines()
    shop.answer = lambda _: Answer(200)
    shop.deliver(shop.retries())

    assert log.told("delivery_handled") == [FIRST]


def test_what_a_purchase_calls_off_is_the_purchases_doing(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned", "checkout.superseded")
    webhook(shop, FIRST)
    silence(shop)
    shop.deliver()
    webhook(shop, SECOND, session="another-device", session_state="COMPLETED")
    shop.settle()
    shop.deliver()

    assert causes(shop) == {"checkout.abandoned": FIRST, "checkout.superseded": SECOND}


def silence(shop: Shop) -> None:
    """The shopper does nothing until the checkout is abandoned, and it is told."""
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()


def mailing_to(shop: Shop) -> None:
    """A message an hour after each abandonment, to a receiver of its own."""
    an_hour_after(shop, shop.endpoint("endpoint.test").id)


def test_a_campaigns_message_is_the_doing_of_the_webhook_before_its_abandonment(shop: Shop, log: Log) -> None:
    mailing_to(shop)
    webhook(shop, FIRST)
    silence(shop)
    shop.wait(hours=1)
    shop.sweep()
    log.lines()
    shop.deliver()

    assert log.told("delivery_handled") == [FIRST]
    assert causes(shop) == {"campaign.step": FIRST}


def test_after_a_return_it_is_the_newer_abandonments(shop: Shop) -> None:
    mailing_to(shop)
    webhook(shop, FIRST)
    silence(shop)
    webhook(shop, SECOND, session_state="PAYMENT_LOADED")
    shop.settle()
    silence(shop)
    shop.wait(hours=1)
    shop.sweep()
    shop.deliver()

    assert causes(shop) == {"campaign.step": SECOND}


def test_the_message_about_a_worker_that_vanished_carries_it_too() -> None:
    message = StepMessage(EpisodeId("epi_1"), MERCHANT, lost=1, correlation_id=FIRST)

    assert read_message(message.text()) == message


def test_an_older_cart_gives_way_by_the_doing_of_the_newer(shop: Shop) -> None:
    shop.endpoint("checkout.superseded", "checkout.abandoned")
    webhook(shop, FIRST, session="older")
    silence(shop)
    shop.deliver()
    webhook(shop, SECOND, session="newer")
    silence(shop)

    told = {(own.event_type, delivery_json(own)["correlation_id"]) for own in shop.deliveries()}
    assert told == {("checkout.abandoned", FIRST), ("checkout.abandoned", SECOND), ("checkout.superseded", SECOND)}


@pytest.mark.parametrize("odd", ["a b", "x" * 65, "", "ä", 7, None])
def test_an_id_of_another_form_is_none(shop: Shop, odd: Any) -> None:
    shop.endpoint("checkout.abandoned")
    webhook(shop, odd)
    silence(shop)

    assert causes(shop) == {"checkout.abandoned": None}


def lengths(lines: list[str], outcome: str) -> set[int]:
    """The bytes of lines that tell of that outcome, with their ends."""
    return {len(own.encode()) + 1 for own in lines if json.loads(own)["outcome"] == outcome}


def test_a_webhook_and_all_that_it_causes_write_what_the_docs_say(shop: Shop, log: Log) -> None:
    shop.endpoint("checkout.abandoned")
    webhook(shop, FIRST)  # the first says that its provider is heard
    log.lines()
    webhook(shop, SECOND, session="another")
    of_webhook = log.volume()
    shop.wait(minutes=31)
    shop.sweep()
    of_sweep = log.volume()
    shop.settle()
    telling = log.lines()
    shop.deliver()
    delivering = log.lines()

    assert len(shop.sent) == 2
    stated = f"| a webhook | {of_webhook} |\n| a sweep, with its heartbeat | {of_sweep} |"
    assert stated in (PROJECT / "docs" / "operations.md").read_text()
    assert of_webhook == LOG_BYTES["webhook"]
    assert len(telling) == len(delivering) == 3, "two checkouts, of which one gives way to the other"
    assert lengths(telling, "abandoned") == {LOG_BYTES["record"]}
    assert lengths(delivering, "delivered") == {LOG_BYTES["delivery"]}
