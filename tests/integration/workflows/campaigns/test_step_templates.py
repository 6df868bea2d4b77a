"""Templates of steps are rendered on behalf of their merchant: only that one waits for those that take too long."""

from dataclasses import replace

import pytest

from shared.destinations import liquid
from shared.destinations.liquid_sandbox import Work
from shared.domain.campaign import CampaignStep
from shared.domain.ids import EndpointId, new_ulid
from shared.domain.merchant import Endpoint, EndpointCredentials
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore
from tests.integration.shop import MERCHANT, Shop, stranger
from tests.integration.workflows.campaigns.test_campaign_steps import HOUR, campaign, open_all_day

TEMPLATE = {"name": "come_back", "language": "en", "body": ["{{ merchant.name }}"]}


@pytest.fixture
def due(shop: Shop) -> list[str]:
    """Three shoppers whose first WhatsApp message is due; the messages that say so."""
    open_all_day(shop)
    endpoint_id = EndpointId("ep_" + new_ulid(shop.now))
    sealed = shop.stores.cipher.seal_endpoint(
        endpoint_id, MERCHANT, EndpointCredentials(settings={"api_key": "k" * 20})
    )
    endpoint = Endpoint(
        *(endpoint_id, MERCHANT, "360dialog", shop.now), url="https://waba-v2.360dialog.io", settings={}, sealed=sealed
    )
    EndpointStore(shop.table).create(endpoint)
    made = campaign(shop, endpoint, HOUR)
    steps = (CampaignStep(HOUR, endpoint_id, template=TEMPLATE),)
    CampaignStore(shop.table).create(replace(made, id=type(made.id)("cmp_2"), priority=made.priority + 1, steps=steps))
    for number in range(3):
        shop.webhook(session=f"session-{number}", user=stranger(number))
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    shop.wait(minutes=31)
    shop.sweep()
    return shop.queued()


def test_templates_of_steps_and_of_the_feed_are_rendered_as_their_merchants(
    shop: Shop, due: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owners: list[str | None] = []
    run = liquid._sandbox.run

    def noted(work: Work) -> str:
        owners.append(work.owner)
        return run(work)

    monkeypatch.setattr(liquid._sandbox, "run", noted)
    assert shop.deliver(due) == []
    assert [b"A shop" in (own.body or b"") for own in shop.sent] == [True] * 3
    assert owners == [MERCHANT] * 3

    shop.endpoint(payload={"liquid": '{"shop": "{{ merchant.name }}"}'})
    shop.abandon("later", user=stranger(9))
    shop.settle()
    shop.deliver()
    assert owners == [MERCHANT] * 4
