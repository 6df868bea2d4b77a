"""A merchant's SES tenant is made and removed by commands that may break off anywhere and be run again."""

from typing import Any

import pytest

from infra.operations.mail_tenant import MailTenants

ARN = "arn:aws:ses:ap-south-1:123456789012"
MERCHANT = "mer_01KAHJ0000000000000000000M"
TENANT = f"checkback-production-{MERCHANT}"
BOUND = {f"{ARN}:identity/tea.example", f"{ARN}:configuration-set/checkback-production"}


class Exceptions:
    """As botocore's client has them."""

    class AlreadyExistsException(Exception):
        """It is there."""

    class NotFoundException(Exception):
        """It is not there."""


class BrokenOff(Exception):
    """The shell is closed."""


class Ses:
    """SES v2's tenants, as its API reference has them: a second making is refused, and so is what is not there."""

    exceptions = Exceptions

    def __init__(self) -> None:
        self.tenants: dict[str, list[str]] = {}
        self.breaks_at = (0, "")
        self._calls = 0

    def create_tenant(self, *, TenantName: str) -> None:  # noqa: N803 - the API's names
        with self._call():
            if TenantName in self.tenants:
                raise Exceptions.AlreadyExistsException
            self.tenants[TenantName] = []

    def create_tenant_resource_association(self, *, TenantName: str, ResourceArn: str) -> None:  # noqa: N803
        with self._call():
            bound = self._of(TenantName)
            if ResourceArn in bound:
                raise Exceptions.AlreadyExistsException
            bound.append(ResourceArn)

    def list_tenant_resources(self, *, TenantName: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        with self._call():
            bound, at = self._of(TenantName), int(NextToken)
            more = {"NextToken": str(at + 1)} if at + 1 < len(bound) else {}
            return {"TenantResources": [{"ResourceArn": own} for own in bound[at : at + 1]], **more}

    def delete_tenant_resource_association(self, *, TenantName: str, ResourceArn: str) -> None:  # noqa: N803
        with self._call():
            bound = self._of(TenantName)
            if ResourceArn not in bound:
                raise Exceptions.NotFoundException
            bound.remove(ResourceArn)

    def delete_tenant(self, *, TenantName: str) -> None:  # noqa: N803
        with self._call():
            if self._of(TenantName):
                raise AssertionError("SES would refuse: resources are associated still")
            del self.tenants[TenantName]

    def _of(self, name: str) -> list[str]:
        if name not in self.tenants:
            raise Exceptions.NotFoundException
        return self.tenants[name]

    def _call(self) -> "_Breaking":
        self._calls += 1
        number, moment = self.breaks_at
        return _Breaking(moment if self._calls == number else "")


class _Breaking:
    def __init__(self, moment: str) -> None:
        self._moment = moment

    def __enter__(self) -> None:
        if self._moment == "before":
            raise BrokenOff

    def __exit__(self, *_: object) -> None:
        if self._moment == "after":
            raise BrokenOff


@pytest.fixture
def ses() -> Ses:
    return Ses()


def test_a_merchant_sends_from_the_identities_that_were_bound_to_it(ses: Ses) -> None:
    tenants = MailTenants(ses, ARN, "production")
    for _ in range(2):
        tenants.add(MERCHANT, "tea.example")
    assert {name: set(own) for name, own in ses.tenants.items()} == {TENANT: BOUND}

    tenants.add(MERCHANT, "coffee.example")
    assert set(ses.tenants[TENANT]) == BOUND | {f"{ARN}:identity/coffee.example"}


def test_another_stage_of_the_account_knows_another_tenant(ses: Ses) -> None:
    """Removed from dev, a merchant goes on sending by production."""
    MailTenants(ses, ARN, "production").add(MERCHANT, "tea.example")
    MailTenants(ses, ARN, "dev").remove(MERCHANT)

    assert set(ses.tenants) == {TENANT}


def test_removed_it_sends_nothing(ses: Ses) -> None:
    tenants = MailTenants(ses, ARN, "production")
    tenants.add(MERCHANT, "tea.example")
    for _ in range(2):
        tenants.remove(MERCHANT)
    assert ses.tenants == {}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 6))
def test_wherever_a_command_breaks_off_it_is_run_again(ses: Ses, number: int, moment: str) -> None:
    tenants = MailTenants(ses, ARN, "production")

    def broken(deed: Any, *given: str) -> None:
        ses._calls, ses.breaks_at = 0, (number, moment)
        try:
            deed(*given)
        except BrokenOff:
            ses.breaks_at = (0, "")
            deed(*given)

    broken(tenants.add, MERCHANT, "tea.example")
    assert {name: set(own) for name, own in ses.tenants.items()} == {TENANT: BOUND}
    broken(tenants.remove, MERCHANT)
    assert ses.tenants == {}
