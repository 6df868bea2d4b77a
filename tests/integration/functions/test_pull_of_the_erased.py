"""A provider's API is slow to answer, and its merchant is erased meanwhile."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from shared.aws.stores import now
from shared.domain.ids import SourceId
from shared.store.configuration import MerchantStore, SourceStore
from shared.workflows.intake.source_apis import SourceApis
from shared.workflows.intake.sources import REMEMBERED_FOR
from tests.integration.functions.test_pull import MERCHANT, Desk, contents, desk, sample
from tests.integration.stand_in import Reply

pytestmark = pytest.mark.timed

__all__ = ["desk"]


@pytest.fixture
def erased_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The next answer of an API comes so late that nobody remembers the source any more."""
    ask = SourceApis.ask
    clocks: list[Any] = []

    def slow(*arguments: Any) -> Any:
        answers = ask(*arguments)
        MerchantStore(desk.stores.table).close(MERCHANT, now())
        clocks.append(time_machine.travel(now() + REMEMBERED_FOR + timedelta(seconds=1)))
        clocks[-1].start()
        return answers

    monkeypatch.setattr(SourceApis, "ask", slow)
    yield
    for clock in clocks:
        clock.stop()


def contacts_kept(desk: Desk) -> list[str]:
    """Rows of checkouts that hold a contact."""
    rows = desk.stores.table._client.scan(TableName=desk.stage.table_name)["Items"]
    return [row["pk"]["S"] for row in rows if row["pk"]["S"].startswith("C#") and {"c_e", "c_p"} & row.keys()]


@pytest.mark.usefixtures("erased_meanwhile")
def test_contents_are_not_merged(desk: Desk) -> None:
    source = desk.bigcommerce()
    contents(desk)
    desk.abandoned(source)

    assert desk.work() == []

    assert desk.api.asked
    assert contacts_kept(desk) == []
    assert desk.queued() == []


@pytest.mark.usefixtures("erased_meanwhile")
def test_a_page_of_a_backfill_is_not_merged_and_the_job_ends(desk: Desk) -> None:
    source = desk.shopify()
    desk.api.on("/admin/api/2026-04/graphql.json", Reply(sample("shopify/graphql-abandoned-checkouts.json")))
    stored = SourceStore(desk.stores.table).get(SourceId(source.id))
    assert stored is not None
    job = desk.backfills.start(stored.value, desk.merchant, now() - timedelta(days=30), {})

    assert desk.work() == []

    assert desk.api.asked
    assert contacts_kept(desk) == []
    ended = desk.jobs.get(job.id)
    assert ended is not None
    assert (ended.status, ended.reason) == ("failed", "the source is gone")
