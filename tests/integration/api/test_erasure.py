"""Erasing a merchant leaves nothing of it."""

import pytest

from functions.merchant_api import services
from shared.domain.transitions import Mark
from shared.store.episodes import EpisodeStore
from shared.store.facts import FactStore
from shared.workflows.campaigns.schedules import CampaignSchedules
from shared.workflows.privacy.merchant_erasure import BUDGET, Clock, MerchantErasure
from shared.workflows.recovery.facts import FactRecorder
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_checkouts import ABANDONED, BOUGHT, checkout
from tests.integration.conftest import Stage


class Hours:
    """A clock that never waits; ``per_look`` seconds pass whenever it is read."""

    def __init__(self, per_look: float) -> None:
        """Start at zero."""
        self.seconds, self.per_look, self.slept = 0.0, per_look, 0.0

    def read(self) -> float:
        """The time."""
        self.seconds += self.per_look
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept += seconds


@pytest.fixture
def hours() -> Hours:
    """The erasure's clock."""
    return Hours(0.0)


@pytest.fixture
def shop(operator: Api, hours: Hours) -> Api:
    """A merchant with everything it can have."""
    own = services.services()
    settle = CampaignSchedules(own.campaigns, own.schedules).settle
    own.erasure = MerchantErasure(own.table, own.bucket, settle, own.now, Clock(hours.read, hours.sleep))
    merchant = operator.as_(new_merchant(operator)["token"])
    merchant("POST", "/v1/sources", {"provider": "flexype"})
    merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"})
    checkout(merchant, "open", at=own.now(), customer__phone="+917777788888")
    lost = checkout(merchant, "lost", at=own.now(), signal=ABANDONED, customer__email="asha@example.com")
    checkout(merchant, "bought", at=own.now(), signal=BOUGHT)
    assert merchant("POST", f"/v1/checkouts/{lost.id}/discard").status == 200
    assert merchant("POST", "/v1/suppressions", {"phone": "+919999999999"}).status == 201
    known = own.merchants.get(lost.merchant_id)
    assert known is not None
    recorder = FactRecorder(FactStore(own.table), EpisodeStore(own.table), own.activities, own.now)
    recorder.record_facts(lost, Mark.ABANDONED, known.value, None)
    assert merchant("GET", "/v1/metrics/recovery").json["total"]["abandoned"] == 1
    return merchant


def stored_of(merchant_id: str, stage: Stage) -> list[str]:
    """Every row that names the merchant."""
    rows = services.services().table._client.scan(TableName=stage.table_name)["Items"]
    return [row["pk"]["S"] + row["sk"]["S"] for row in rows if merchant_id in str(row)]


def test_nothing_of_an_erased_merchant_is_left(operator: Api, shop: Api, hours: Hours, stage: Stage) -> None:
    other = new_merchant(operator)
    merchant_id = shop("GET", "/v1/merchant").json["id"]
    assert len(stored_of(merchant_id, stage)) > 8

    assert operator("DELETE", f"/v1/merchants/{merchant_id}").status == 204

    assert stored_of(merchant_id, stage) == []
    rows = services.services().table._client.scan(TableName=stage.table_name)["Items"]
    assert not [row for row in rows if row["pk"]["S"].startswith("C#")]
    assert hours.slept > 5  # until no function remembers the source
    assert operator("GET", f"/v1/merchants/{merchant_id}").status == 404
    assert operator("GET", f"/v1/merchants/{other['id']}").status == 200
    assert operator.as_(other["token"])("GET", "/v1/merchant").status == 200


def test_what_does_not_fit_into_one_call_is_gone_on_with_by_the_next(
    operator: Api, shop: Api, hours: Hours, stage: Stage
) -> None:
    merchant_id = shop("GET", "/v1/merchant").json["id"]
    hours.per_look = BUDGET.total_seconds() + 1

    first = operator("DELETE", f"/v1/merchants/{merchant_id}")

    assert (first.status, first.json["status"]) == (202, "erasing")
    assert services.services().sources.listed(merchant_id) == []
    hours.per_look = 0
    assert operator("DELETE", f"/v1/merchants/{merchant_id}").status == 204
    assert stored_of(merchant_id, stage) == []


def test_a_token_of_an_erased_merchant_opens_nothing(operator: Api, shop: Api) -> None:
    merchant_id = shop("GET", "/v1/merchant").json["id"]

    operator("DELETE", f"/v1/merchants/{merchant_id}")

    assert shop("GET", "/v1/merchant").status == 401
