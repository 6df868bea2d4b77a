"""Mail by the stage's own SES: signed with the function's role, as the merchant's tenant."""

import json

import pytest

from infra.parameters import configuration_set_name, tenant_prefix
from shared.delivery.exchange import Answer
from shared.domain.ids import EndpointId, new_ulid
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from tests.integration.campaigning import an_hour_after
from tests.integration.shop import MERCHANT, Shop


@pytest.fixture
def mailing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail an hour after each abandonment, on a stage with tenants."""
    monkeypatch.setenv("SES_TENANT_PREFIX", tenant_prefix("production"))
    monkeypatch.setenv("SES_CONFIGURATION_SET", configuration_set_name("production"))
    mail = Endpoint(
        EndpointId("ep_" + new_ulid(shop.now)),
        MERCHANT,
        "ses",
        shop.now,
        settings={"from": "Tea House <hello@mail.tea.example>", "configuration_set": "a-merchants-word"},
    )
    EndpointStore(shop.table).create(mail)
    an_hour_after(shop, mail.id)


@pytest.mark.usefixtures("mailing")
def test_a_mail_of_the_stages_own_ses_goes_out_as_the_merchants_tenant(shop: Shop) -> None:
    shop.answer = lambda _: Answer(200, body=b'{"MessageId": "m-1"}')
    shop.abandon(user={"email": "asha@example.com", "phone_no": None})
    shop.settle()
    shop.wait(hours=1)
    shop.sweep()
    shop.deliver()

    (sent,) = shop.sent
    told = json.loads(sent.body or b"")
    assert (told["TenantName"], told["ConfigurationSetName"]) == (
        f"checkback-production-{MERCHANT}",
        "checkback-production",
    )
    assert sent.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=testing/")
    assert [own.status for own in shop.deliveries()] == ["delivered"]
