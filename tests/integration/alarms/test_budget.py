"""The budget is proved by months that cost too much: what is told, when, and that it reaches a person."""

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.alarms.budgets import ACCOUNT, DAYS, HISTORY, SERVICE, Budgets, Told, published
from tests.unit.infra.conftest import StackTemplate, Synthesise, synthesise

__all__ = ["synthesise"]

LIMIT = 300
A_DAYS_SHARE = LIMIT / DAYS
OPERATOR = ("alarms@example.com",)


@pytest.fixture
def service(synthesise: Synthesise) -> StackTemplate:
    return synthesise("production", monthly_budget_usd=LIMIT).service


def told(service: StackTemplate, by_day: list[float], known: timedelta = HISTORY) -> list[Told]:
    return Budgets(service, known).month(by_day)


def test_a_month_that_goes_on_too_fast_is_told_of_while_it_can_be_mended(service: StackTemplate) -> None:
    """A loop costs half as much again each day: at once by the forecast, and again at four fifths."""
    assert told(service, [A_DAYS_SHARE * 1.5] * DAYS) == [
        Told(1, "FORECASTED", OPERATOR),
        Told(17, "ACTUAL", OPERATOR),
    ]


def test_in_an_account_too_new_for_a_forecast_the_bill_alone_speaks(service: StackTemplate) -> None:
    assert told(service, [A_DAYS_SHARE * 1.5] * DAYS, timedelta(0)) == [Told(17, "ACTUAL", OPERATOR)]


def test_a_days_outburst_is_told_of_the_same_day(service: StackTemplate) -> None:
    by_day = [A_DAYS_SHARE * 0.3] * DAYS
    by_day[9] = LIMIT

    assert {(own.day, own.kind) for own in told(service, by_day)} == {(10, "ACTUAL"), (10, "FORECASTED")}


def test_a_month_within_the_budget_tells_nobody(service: StackTemplate) -> None:
    assert told(service, [A_DAYS_SHARE * 0.75] * DAYS) == []


def test_every_threshold_there_is_has_its_proof(service: StackTemplate) -> None:
    there = {
        own["Notification"]["NotificationType"]
        for own in service.only("Budgets::Budget")["Properties"]["NotificationsWithSubscribers"]
    }

    assert there == {own.kind for own in told(service, [A_DAYS_SHARE * 1.5] * DAYS)}


def test_a_budget_of_another_account_reaches_nobody(service: StackTemplate) -> None:
    (topic,) = {
        own["Address"]["Ref"]
        for each in service.only("Budgets::Budget")["Properties"]["NotificationsWithSubscribers"]
        for own in each["Subscribers"]
    }

    assert tuple(published(service, {"Ref": topic}, f"arn:aws:budgets::{ACCOUNT}:budget/monthly")) == OPERATOR
    for stranger in ("arn:aws:budgets::999999999999:budget/monthly", f"arn:aws:s3::{ACCOUNT}:bucket"):
        assert not list(published(service, {"Ref": topic}, stranger))


def without_its_right(template: dict[str, Any]) -> None:
    for own in template["Resources"].values():
        if own["Type"] == "AWS::SNS::TopicPolicy":
            document = own["Properties"]["PolicyDocument"]
            document["Statement"] = [each for each in document["Statement"] if SERVICE not in json.dumps(each)]


def encrypted(template: dict[str, Any]) -> None:
    for own in template["Resources"].values():
        if own["Type"] == "AWS::SNS::Topic":
            own["Properties"]["KmsMasterKeyId"] = "alias/aws/sns"


def unsubscribed(template: dict[str, Any]) -> None:
    for name, own in list(template["Resources"].items()):
        if own["Type"] == "AWS::SNS::Subscription":
            del template["Resources"][name]


@pytest.mark.parametrize("spoil", [without_its_right, encrypted, unsubscribed])
def test_the_proof_sees_what_would_keep_the_message(
    service: StackTemplate, spoil: Callable[[dict[str, Any]], None]
) -> None:
    """A topic that the service may not publish to, that is encrypted by AWS's own key, or that nobody reads."""
    template = copy.deepcopy(dict(service.json))
    spoil(template)

    assert {own.receivers for own in told(StackTemplate(template), [A_DAYS_SHARE * 1.5] * DAYS)} == {()}
