"""Mail by the stage's own SES: signed with the function's role, as the merchant's tenant."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.delivery.exchange import Answer
from shared.domain.campaign import Campaign, CampaignId, CampaignStep
from shared.domain.ids import EndpointId, new_ulid
from shared.domain.merchant import Endpoint
from shared.domain.settings import Settings
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore
from tests.integration.shop import MERCHANT, Shop

HOUR = timedelta(hours=1)


@pytest.fixture
def mailing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail an hour after each abandonment, on a stage with tenants."""
    monkeypatch.setenv("SES_TENANTS", "on")
    merchants = MerchantStore(shop.table)
    stored = merchants.get(MERCHANT)
    assert stored is not None
    settings = Settings(quiet_hours=None, consent="unknown_allowed", holdout_percent=0)
    merchants.replace(replace(stored.value, settings=settings), stored.version)
    mail = Endpoint(
        EndpointId("ep_" + new_ulid(shop.now)),
        MERCHANT,
        "ses",
        shop.now,
        settings={"from": "Tea House <hello@mail.tea.example>", "configuration_set": "reports"},
    )
    EndpointStore(shop.table).create(mail)
    made = Campaign(
        id=CampaignId("cmp_1"),
        merchant_id=MERCHANT,
        version=1,
        name="Come back",
        created_at=shop.now,
        steps=(CampaignStep(HOUR, mail.id),),
        activated_at=shop.now,
    )
    CampaignStore(shop.table).create(made)


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
    assert (told["TenantName"], told["ConfigurationSetName"]) == (MERCHANT, "reports")
    assert sent.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=testing/")
    assert [own.status for own in shop.deliveries()] == ["delivered"]
