"""Mail by the stage's own SES: off unless asked for, as the merchant's tenant, and what becomes of it comes back."""

import json
from typing import Any

import pytest

from tests.permissions.needs import Need, arn, needs_of_mail
from tests.permissions.policies import Policies
from tests.unit.infra.conftest import StackTemplate, Synthesise, as_list

MERCHANT = "mer_01KAHJ0000000000000000000M"


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


type Mail = tuple[str, str, str | None]


def mail(sender: str, configuration_set: str, tenant: str | None = None) -> Mail:
    """Who sends, with what, as whom."""
    return sender, configuration_set, tenant


def refused(service: StackTemplate, sent: Mail) -> list[str]:
    """The resources that the deliver function may not send the mail with."""
    sender, configuration_set, tenant = sent
    body = {"FromEmailAddress": sender, "ConfigurationSetName": configuration_set}
    body |= {"TenantName": tenant} if tenant else {}
    return refused_needs(service, needs_of_mail(json.dumps(body).encode(), Policies(service.json).written))


def refused_needs(service: StackTemplate, needs: list[Need]) -> list[str]:
    grants = Policies(service.json).grants("deliver")
    return [own.resource.rpartition(":")[2] for own in needs if not any(grant.allows(own) for grant in grants)]


def test_with_tenants_each_merchant_sends_as_its_own(mailing: StackTemplate) -> None:
    assert variables(mailing, "deliver")["SES_TENANT_PREFIX"] == "checkback-production-"
    assert refused(mailing, mail("hello@tea.example", "checkback-production", f"checkback-production-{MERCHANT}")) == []


@pytest.mark.parametrize("tenant", [None, f"checkback-dev-{MERCHANT}", MERCHANT, "a-tenant-of-another-system"])
def test_as_no_tenant_and_as_one_of_another_stage_nothing_is_sent(mailing: StackTemplate, tenant: str | None) -> None:
    """Of the same account: another stage's merchants, and whatever else sends mail there."""
    needs = mail("hello@tea.example", "checkback-production", tenant)

    assert refused(mailing, needs) == ["identity/tea.example", "configuration-set/SES_CONFIGURATION_SET"]


def test_no_mail_goes_out_by_another_configuration_set(mailing: StackTemplate) -> None:
    needs = mail("hello@tea.example", "checkback-dev", f"checkback-production-{MERCHANT}")

    assert refused(mailing, needs) == ["configuration-set/checkback-dev"]


def test_identities_that_are_named_are_the_only_ones(synthesise: Synthesise) -> None:
    """A domain with the addresses under it, or one address; with tenants and without."""
    named = "tea.example, care@coffee.example"
    shared, tenants = (
        synthesise("production", stage_mail=kind, mail_identities=named).service for kind in ("shared", "tenants")
    )
    (allowed,) = sending(shared)

    assert '"*"' not in allowed
    assert "SES_TENANT_PREFIX" not in variables(shared, "deliver")
    for service, tenant in ((shared, None), (tenants, f"checkback-production-{MERCHANT}")):
        assert refused(service, mail("a@tea.example", "checkback-production", tenant)) == []
        assert refused(service, mail("a@milk.example", "checkback-production", tenant)) == ["identity/milk.example"]
    for own in ("identity/a@tea.example", "identity/care@coffee.example"):
        assert refused_needs(shared, [Need("ses:SendEmail", arn("ses", own))]) == []
    for own in ("identity/a@notea.example", "identity/coffee.example", "identity/tea.example.evil"):
        assert refused_needs(shared, [Need("ses:SendEmail", arn("ses", own))]) == [own]


def test_only_the_deliver_function_sends(mailing: StackTemplate) -> None:
    policies = Policies(mailing.json)

    assert [name for name in policies.functions if any("ses:" in own.action for own in policies.grants(name))] == [
        "deliver"
    ]


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
