"""Events on merchants' own buses: the deliver function alone puts them there, and on no bus of the stage's account."""

import pytest

from tests.permissions.needs import ACCOUNT, Need
from tests.permissions.policies import Policies
from tests.unit.infra.conftest import StackTemplate, Synthesise

MERCHANT = "mer_01KAHJ0000000000000000000M"
THEIRS = "111122223333"


def bus(name: str, account: str = THEIRS) -> Need:
    """What putting an event on a bus needs."""
    context = (("aws:ResourceAccount", account),)
    return Need("events:PutEvents", f"arn:aws:events:eu-west-1:{account}:event-bus/{name}", context)


def may(service: StackTemplate, need: Need) -> list[str]:
    """The functions that may."""
    policies = Policies(service.json)
    return [name for name in policies.functions if any(grant.allows(need) for grant in policies.grants(name))]


@pytest.fixture
def service(synthesise: Synthesise) -> StackTemplate:
    return synthesise("production").service


def test_deliver_alone_puts_events_on_a_bus_that_names_a_merchant(service: StackTemplate) -> None:
    assert may(service, bus(f"checkback-{MERCHANT}")) == ["deliver"]
    assert may(service, bus(f"checkback-{MERCHANT}-orders")) == ["deliver"]


@pytest.mark.parametrize("name", ["default", "checkback-production-events", f"checkback-{MERCHANT}"])
def test_nobody_puts_any_on_a_bus_of_the_stages_own_account(service: StackTemplate, name: str) -> None:
    assert may(service, bus(name, ACCOUNT)) == []


@pytest.mark.parametrize("name", ["default", "orders", "checkback-", "checkback-production-events"])
def test_nor_on_one_that_names_no_merchant(service: StackTemplate, name: str) -> None:
    assert may(service, bus(name)) == []


def test_who_checks_and_who_sends_know_the_account(service: StackTemplate) -> None:
    for name in ("merchant_api", "deliver"):
        variables = service.function(name)["Properties"]["Environment"]["Variables"]
        assert variables["ACCOUNT_ID"] == {"Ref": "AWS::AccountId"}
