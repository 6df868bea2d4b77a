"""Mail by the stage's own SES: off unless asked for, as the merchant's tenant, and what becomes of it comes back."""

import json
from typing import Any

import pytest

from tests.unit.infra.conftest import StackTemplate, Synthesise, as_list


@pytest.fixture
def mailing(synthesise: Synthesise) -> StackTemplate:
    return synthesise("production", stage_mail="tenants").service


def sending(service: StackTemplate) -> list[str]:
    """What the deliver function may send mail with, as written."""
    return [
        json.dumps(own["Resource"])
        for own in service.statements("deliver")
        if "ses:SendEmail" in as_list(own["Action"])
    ]


def variables(service: StackTemplate, name: str) -> dict[str, Any]:
    found: dict[str, Any] = service.function(name)["Properties"]["Environment"]["Variables"]
    return found


@pytest.mark.parametrize("stage", ["dev", "production"])
def test_no_merchant_sends_by_the_stages_account_unless_the_stage_says_so(synthesise: Synthesise, stage: str) -> None:
    service = synthesise(stage).service

    assert sending(service) == []
    assert not service.resources("SES::ConfigurationSet")
    for name in ("merchant_api", "deliver"):
        assert variables(service, name)["STAGE_MAIL"] == "off"


def test_with_tenants_each_merchant_sends_as_its_own(mailing: StackTemplate) -> None:
    (allowed,) = sending(mailing)

    assert ":tenant/*" in allowed
    assert variables(mailing, "deliver")["SES_TENANTS"] == "on"


def test_shared_mail_knows_no_tenants(synthesise: Synthesise) -> None:
    service = synthesise("production", stage_mail="shared").service
    (allowed,) = sending(service)

    assert ":tenant/*" not in allowed
    assert variables(service, "deliver")["SES_TENANTS"] == "off"


def test_bounces_and_complaints_come_to_the_callbacks_function_and_from_nowhere_else(mailing: StackTemplate) -> None:
    """SES may publish to the topic for this set alone, and the topic may invoke the live function."""
    (set_id,) = mailing.resources("SES::ConfigurationSet")
    destination = mailing.only("SES::ConfigurationSetEventDestination")["Properties"]
    told = destination["EventDestination"]
    topic = told["SnsDestination"]["TopicARN"]
    (subscribed,) = (
        own["Properties"]
        for own in mailing.resources("SNS::Subscription").values()
        if own["Properties"]["TopicArn"] == topic
    )
    permission = next(
        own["Properties"]
        for own in mailing.resources("Lambda::Permission").values()
        if own["Properties"].get("SourceArn") == topic
    )
    statements = [
        own
        for policy in mailing.resources("SNS::TopicPolicy").values()
        if topic in policy["Properties"]["Topics"]
        for own in policy["Properties"]["PolicyDocument"]["Statement"]
        if own["Effect"] == "Allow"
    ]

    assert destination["ConfigurationSetName"] == {"Ref": set_id}
    assert {"bounce", "complaint"} <= {own.lower() for own in told["MatchingEventTypes"]}
    assert subscribed["Protocol"] == "lambda"
    _, named = subscribed["Endpoint"]["Fn::Sub"]
    assert mailing.led_to(named["Live"]) == mailing.function("callbacks")
    assert permission["FunctionName"] == named["Live"]
    assert permission["Principal"] == "sns.amazonaws.com"
    (publishing,) = statements
    assert publishing["Principal"] == {"Service": "ses.amazonaws.com"}
    source = publishing["Condition"]["StringEquals"]
    assert source["AWS:SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert ":configuration-set/" in json.dumps(source["AWS:SourceArn"])
    assert set_id in json.dumps(source["AWS:SourceArn"])
    assert variables(mailing, "deliver")["SES_CONFIGURATION_SET"] == "checkback-production"


def test_ses_itself_suppresses_whom_an_event_was_lost_about(mailing: StackTemplate) -> None:
    found = mailing.only("SES::ConfigurationSet")["Properties"]

    assert found["Name"] == "checkback-production"
    assert sorted(found["SuppressionOptions"]["SuppressedReasons"]) == ["BOUNCE", "COMPLAINT"]
