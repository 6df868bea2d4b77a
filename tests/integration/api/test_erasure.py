"""Erasing a merchant leaves nothing of it."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from functions.merchant_api import services
from shared.domain.ids import MerchantId, SourceId
from shared.domain.merchant import Source
from shared.domain.metrics import Fact, FactKind
from shared.domain.transitions import Mark
from shared.store.episodes import EpisodeStore
from shared.store.facts import FactStore
from shared.workflows.campaigns.schedules import CampaignSchedules
from shared.workflows.privacy.merchant_erasure import BUDGET, Clock, MerchantErasure
from shared.workflows.recovery.facts import FactRecorder
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_checkouts import ABANDONED, BOUGHT, checkout
from tests.integration.conftest import Stage
from tests.integration.faults.aws_calls import AwsCalls


class Hours:
    """A clock that never waits; ``per_look`` seconds pass whenever it is read."""

    def __init__(self, per_look: float) -> None:
        """Start at zero."""
        self.seconds, self.per_look, self.slept = 0.0, per_look, 0.0
        self.meanwhile: Callable[[], None] = lambda: None

    def read(self) -> float:
        """The time."""
        self.seconds += self.per_look
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept += seconds
        self.meanwhile()


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


def rows(stage: Stage) -> list[dict[str, Any]]:
    """The whole table."""
    return [dict(row) for row in services.services().table._client.scan(TableName=stage.table_name)["Items"]]


def stored_of(merchant_id: str, stage: Stage) -> list[str]:
    """Every row that names the merchant."""
    return [row["pk"]["S"] + row["sk"]["S"] for row in rows(stage) if merchant_id in str(row)]


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


class TestWhatAnErasureAsksFor:
    """Only what its merchant has, and yet all of it."""

    def test_a_merchant_with_nothing_is_erased_in_few_calls(
        self, operator: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = new_merchant(operator)
        calls = AwsCalls()
        calls.install(monkeypatch)

        with calls.watched():
            assert operator("DELETE", f"/v1/merchants/{made['id']}").status == 204

        assert len(calls.names) < 50, Counter(calls.names)

    def test_checkouts_go_from_every_shard_the_merchant_ever_had(
        self, operator: Api, merchant: Api, stage: Stage
    ) -> None:
        merchant_id = merchant("GET", "/v1/merchant").json["id"]
        now = services.services().now()
        for shards in (1, 3, 4):
            raised = operator("PATCH", f"/v1/merchants/{merchant_id}", {"settings": {"list_shards": shards}})
            assert raised.status == 200, raised.text
            for number in range(6):
                checkout(merchant, f"{number} of {shards}", at=now)
        assert len({own["lp"]["S"] for own in rows(stage) if own["pk"]["S"].startswith("C#")}) > 3

        assert operator("DELETE", f"/v1/merchants/{merchant_id}").status == 204

        assert not [own for own in rows(stage) if own["pk"]["S"].startswith("C#")]

    def test_facts_of_any_day_go(self, operator: Api, merchant: Api, stage: Stage) -> None:
        merchant_id = MerchantId(merchant("GET", "/v1/merchant").json["id"])
        now = services.services().now()
        for days in (-1, 0, 1, 40, 119, 400):
            at = now - timedelta(days=days)
            for number in range(4):
                fact = Fact(FactKind.ABANDONED, at.date(), f"{number}", at)
                # Each by another process.
                assert FactStore(services.services().table).add(merchant_id, [fact])
        assert len([own for own in rows(stage) if own["pk"]["S"].startswith("N#")]) == 24

        assert operator("DELETE", f"/v1/merchants/{merchant_id}").status == 204

        assert stored_of(merchant_id, stage) == []

    def test_what_was_added_while_the_erasure_waited_goes(
        self, operator: Api, shop: Api, hours: Hours, stage: Stage
    ) -> None:
        """A function that had authenticated the merchant before ends its request."""
        merchant_id = shop("GET", "/v1/merchant").json["id"]
        own = services.services()
        late = Source(SourceId("src_late"), merchant_id, "flexype", own.now())
        hours.meanwhile = lambda: own.sources.create(late)

        assert operator("DELETE", f"/v1/merchants/{merchant_id}").status == 204

        assert stored_of(merchant_id, stage) == []
