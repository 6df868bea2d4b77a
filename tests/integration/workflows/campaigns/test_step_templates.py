"""Templates of steps are rendered on behalf of their merchant: only that one waits for those that take too long."""

from collections import Counter
from dataclasses import replace
from time import perf_counter
from types import SimpleNamespace

import pytest

from shared.destinations import liquid
from shared.destinations.liquid_sandbox import Sandbox, Work
from shared.domain.campaign import Campaign, CampaignId, CampaignStep
from shared.domain.ids import EndpointId, MerchantId, SourceId, TokenId, new_ulid
from shared.domain.merchant import Endpoint, EndpointCredentials, Source, SourceCredentials
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore, SourceStore, TokenRecord
from tests.integration.shop import MERCHANT, SECRET, SOURCE, Shop, stranger
from tests.integration.workflows.campaigns.test_campaign_steps import HOUR, open_all_day
from tests.unit.destinations.test_hostile_templates import HOSTILE
from tests.unit.domain.sessions import NOON

pytestmark = [pytest.mark.long, pytest.mark.timed]

OTHER = MerchantId("mer_01KAHJ00000000000000000THR")
OTHER_SOURCE = SourceId("src_01KAHJ00000000000000000THR")


def sends_whatsapp(shop: Shop, merchant_id: MerchantId, body: str) -> None:
    """The merchant's one campaign: an hour after, by a vendor of WhatsApp, with this template."""
    endpoint_id = EndpointId("ep_" + new_ulid(shop.now))
    sealed = shop.stores.cipher.seal_endpoint(endpoint_id, merchant_id, EndpointCredentials())
    EndpointStore(shop.table).create(Endpoint(endpoint_id, merchant_id, "360dialog", shop.now, sealed=sealed))
    step = CampaignStep(HOUR, endpoint_id, template={"name": "come_back", "language": "en", "body": [body]})
    made = Campaign(
        *(CampaignId(f"cmp_{merchant_id[-3:]}"), merchant_id, 1, "Come back", NOON), steps=(step,), activated_at=NOON
    )
    CampaignStore(shop.table).create(made)


def leave(shop: Shop, source_id: SourceId, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        shop.webhook(source_id=source_id, session=f"session-{number}", user=stranger(number))


def due_steps(shop: Shop) -> list[str]:
    """All that left are announced, and their first step is due: the messages that say so."""
    for _ in range(2):
        shop.wait(minutes=31)
        shop.sweep()
        shop.settle()
    return shop.queued()


@pytest.fixture
def due(shop: Shop) -> list[str]:
    """Three shoppers whose first WhatsApp message is due; the messages that say so."""
    open_all_day(shop)
    sends_whatsapp(shop, MERCHANT, "{{ merchant.name }}")
    leave(shop, SOURCE, 3)
    return due_steps(shop)


@pytest.fixture
def nine_and_one(shop: Shop) -> list[str]:
    """Nine shoppers of a merchant whose template never ends, and last one of somebody else's."""
    open_all_day(shop)
    merchants, sources = MerchantStore(shop.table), SourceStore(shop.table)
    stored = merchants.get(MERCHANT)
    assert stored is not None
    merchants.create(replace(stored.value, id=OTHER), TokenRecord(TokenId("tok_2"), OTHER, "another", NOON))
    sealed = shop.stores.cipher.seal_source(OTHER_SOURCE, OTHER, SourceCredentials(secrets=(SECRET,)))
    sources.create(Source(OTHER_SOURCE, OTHER, "flexype", NOON, sealed=sealed))
    sends_whatsapp(shop, MERCHANT, HOSTILE["parentheses"])
    sends_whatsapp(shop, OTHER, "{{ merchant.name }}")
    leave(shop, SOURCE, 9)
    leave(shop, OTHER_SOURCE, 1, first=9)
    return sorted(due_steps(shop), key=lambda own: OTHER in own)


def test_of_ten_steps_the_good_one_of_another_merchant_does_not_wait_for_nine_that_never_end(
    shop: Shop, nine_and_one: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = Sandbox(cpu_seconds=0.2)
    sandbox.run(Work("render", "text", "{{ 1 }}", {}, "en"))
    waited: list[float] = []

    def timed(work: Work) -> str:
        began = perf_counter()
        try:
            return sandbox.run(work)
        finally:
            if work.owner == OTHER:
                waited.append(perf_counter() - began)

    # The same template nine times stands for nine templates.
    monkeypatch.setattr("shared.destinations.liquid_sandbox.STRIKES", 99)
    monkeypatch.setattr(liquid, "_sandbox", SimpleNamespace(run=timed))
    assert len(nine_and_one) == 10
    assert shop.deliver(nine_and_one) == []
    sandbox.close()

    assert len(shop.sent) == 1
    assert waited[0] < 1.5, "one at a time, nine would take more than two seconds here"
    outcomes = Counter((own.status.value, own.reason) for own in shop.deliveries() if own.merchant_id == MERCHANT)
    assert outcomes == {("failed", "template_limit"): 2, ("retrying", None): 7}


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
