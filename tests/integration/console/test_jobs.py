"""Long work on a page: what was begun is seen to go on, to end, to fail, or to have died."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.console import composition
from shared.domain.ids import JobId
from shared.store.jobs import Job, JobCounts, JobStore
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.console.conftest import Browser
from tests.integration.shop import Shop

AT_WORK, AT_REST = 'data-live="1"', 'data-live="6"'


@pytest.fixture
def merchant(operator: Api) -> Api:
    """A new merchant."""
    return operator.as_(new_merchant(operator)["token"])


@pytest.fixture
def shopify(merchant: Api) -> dict[str, Any]:
    """A source whose past checkouts can be read, and which was heard of."""
    api = {"shop": "a-shop.myshopify.com", "access_token": "shpat_token"}
    given = {"provider": "shopify", "credentials": {"secret": "the-apps-secret", "api": api}}
    source: dict[str, Any] = merchant("POST", "/v1/sources", given).json
    return source


def jobs_of(merchant: Api, source: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = merchant("GET", "/v1/jobs", query={"source_id": source["id"]}).json["data"]
    return found


def worked(job: dict[str, Any], *, hours_ago: int = 0, **what: Any) -> None:
    """The job as the pull function leaves it."""
    store = JobStore(composition.services().table)
    read = store.get(JobId(job["id"]))
    assert isinstance(read, Job)
    heard = datetime.now(UTC) - timedelta(hours=hours_ago)
    assert store.save(replace(read, updated_at=heard, **what), read.page)


def test_reading_the_past_is_begun_followed_and_ends_by_itself(
    signed_in: Browser, merchant: Api, shopify: dict[str, Any]
) -> None:
    path = f"/console/sources/{shopify['id']}"
    assert "None were asked for" not in signed_in.get(path).text
    seed = re.search(r'name="once" value="([\w-]+)"', signed_in.get(path).text)
    assert seed

    begun = signed_in.post(f"{path}/backfill", {"once": seed[1], "since": "P1D"}).text
    (job,) = jobs_of(merchant, shopify)
    assert "It begins in a moment" in begun
    assert AT_WORK in begun
    assert "/backfill" not in begun
    since = datetime.now(UTC) - datetime.fromisoformat(job["since"])
    assert timedelta(days=1) <= since <= timedelta(days=1, hours=1)

    again = signed_in.post(f"{path}/backfill", {"since": ""}).text
    assert "It is at work already" in again
    assert len(jobs_of(merchant, shopify)) == 1

    counts = JobCounts(read=52, created=40, merged=9, unchanged=3)
    worked(job, status="running", page=1, cursor="next", counts=counts, reason="the provider answered 429")
    page = signed_in.get(path).text
    assert "So far 52 checkouts on 1 page: 40 new, 9 brought up to date, 3 as they were." in page
    assert "<bdi>the provider answered 429</bdi>" in page
    assert AT_WORK in page

    ended = replace(counts, refused=1)
    worked(job, status="completed", page=2, counts=ended, finished_at=datetime.now(UTC), cursor=None, reason=None)
    page = signed_in.get(path).text
    assert "Past checkouts are read" in page
    assert "52 checkouts on 2 pages" in page
    assert "1 not readable" in page
    assert f'action="{path}/backfill"' in page
    assert "at work" not in page


def test_a_double_click_begins_one_job_also_where_the_list_lags(
    signed_in: Browser, merchant: Api, shopify: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/console/sources/{shopify['id']}"
    with monkeypatch.context() as lagging:
        lagging.setattr("shared.store.job_list.JobList.page", lambda *_: ([], None))
        pages = [signed_in.post(f"{path}/backfill", {"once": "the-same", "since": "P3D"}) for _ in range(2)]
        for page in pages:
            assert "It begins in a moment" in page.text
        stranger = signed_in.get(f"{path}?job=job_none").text
        assert "It begins" not in stranger
        assert signed_in.get(f"{path}?job=../merchant").status == 200

    assert len(jobs_of(merchant, shopify)) == 1


def test_a_provider_that_refuses_is_told_in_its_words(
    signed_in: Browser, merchant: Api, shopify: dict[str, Any]
) -> None:
    path = f"/console/sources/{shopify['id']}"
    signed_in.post(f"{path}/backfill")
    (job,) = jobs_of(merchant, shopify)
    worked(job, status="failed", page=1, reason="the provider answered 403 <b>", finished_at=datetime.now(UTC))

    page = signed_in.get(path).text

    assert "ended early" in page
    assert "<bdi>the provider answered 403 &lt;b&gt;</bdi>" in page
    assert f'action="{path}/backfill"' in page
    assert "begins in a moment" in signed_in.post(f"{path}/backfill").text
    assert "Earlier ones" in signed_in.get(path).text


def test_a_job_whose_worker_died_says_so_and_can_be_begun_anew(
    signed_in: Browser, merchant: Api, shopify: dict[str, Any]
) -> None:
    path = f"/console/sources/{shopify['id']}"
    signed_in.post(f"{path}/backfill")
    (job,) = jobs_of(merchant, shopify)
    worked(job, status="running", page=3, counts=JobCounts(read=150, created=150), hours_ago=1)

    page = signed_in.get(path).text
    assert "seems to have stopped" in page
    assert "So far 150 checkouts on 3 pages" in page
    assert 'class="pulse"' not in page

    assert "begins in a moment" in signed_in.post(f"{path}/backfill").text
    assert len(jobs_of(merchant, shopify)) == 2


def test_without_access_nothing_begins_and_the_page_says_what_is_missing(signed_in: Browser, merchant: Api) -> None:
    given = {"provider": "shopify", "credentials": {"secret": "the-apps-secret"}}
    source = merchant("POST", "/v1/sources", given).json

    page = signed_in.post(f"/console/sources/{source['id']}/backfill")

    assert page.status == 422
    assert "The provider cannot be asked: credentials.api.access_token is not set." in page.text
    assert f'href="/console/sources/{source["id"]}/change"' in page.text
    assert jobs_of(merchant, source) == []


def test_where_there_is_no_list_nothing_is_offered(signed_in: Browser, merchant: Api) -> None:
    source = merchant("POST", "/v1/sources", {"provider": "flexype"}).json

    assert "Past checkouts" not in signed_in.get(f"/console/sources/{source['id']}").text
    refused = signed_in.post(f"/console/sources/{source['id']}/backfill")
    assert "offers no list of past checkouts" in refused.text


def test_who_may_only_look_sees_how_far_it_is_and_begins_nothing(
    browser: Browser, merchant: Api, shopify: dict[str, Any]
) -> None:
    other = Browser(browser.handler)
    other.post(merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"])
    path = f"/console/sources/{shopify['id']}"
    assert "None were asked for yet" in other.get(path).text

    assert other.post(f"{path}/backfill").status == 403
    merchant("POST", f"/v1/sources/{shopify['id']}/backfill")
    page = other.get(path).text
    assert "It begins in a moment" in page
    assert "/backfill" not in page


def test_what_was_not_delivered_is_sent_again_and_counted(browser: Browser, operator: Api, shop: Shop) -> None:
    merchant = operator.as_(operator("POST", f"/v1/merchants/{shop.merchant.id}/tokens").json["token"])
    browser.sign_in(merchant.credential or "")
    endpoint = shop.endpoint("checkout.abandoned")
    path = f"/console/endpoints/{endpoint.id}"
    page = browser.get(path).text
    assert f'action="{path}/recover"' in page

    begun = browser.post(f"{path}/recover", {"since": "P1D"}).text
    assert "It begins in a moment" in begun
    assert "/recover" not in begun
    assert "at work already" in browser.post(f"{path}/recover").text
    (job,) = merchant("GET", "/v1/jobs", query={"endpoint_id": str(endpoint.id)}).json["data"]
    assert shop.now - datetime.fromisoformat(job["since"]) < timedelta(days=1, hours=1)

    shop.sweep()
    page = browser.get(path).text
    assert "0 deliveries looked at, 0 sent again" in page
    assert "is on its way again" in page
    assert f'action="{path}/recover"' in page
