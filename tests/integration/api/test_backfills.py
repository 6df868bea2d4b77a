"""``POST /v1/sources/{id}/backfill``, ``GET /v1/jobs`` and ``GET /v1/jobs/{id}``."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.merchant_api.services import services
from shared.aws.pull_queue import PullQueue
from shared.aws.queues import QueueUnavailable
from shared.domain.ids import JobId
from shared.store import keys
from shared.store.jobs import Job, JobStore
from shared.store.resend_jobs import ResendJobStore
from tests.integration.account import onlookers_client
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.conftest import Stage


@pytest.fixture
def shopify(merchant: Api) -> dict[str, Any]:
    credentials = {"secret": "the-apps-secret", "api": {"shop": "a-shop.myshopify.com", "access_token": "shpat_token"}}
    source: dict[str, Any] = merchant("POST", "/v1/sources", {"provider": "shopify", "credentials": credentials}).json
    return source


def test_a_job_is_accepted_enqueued_and_shown(stage: Stage, merchant: Api, shopify: dict[str, Any]) -> None:
    since = (datetime.now(UTC) - timedelta(days=2)).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    answer = merchant("POST", f"/v1/sources/{shopify['id']}/backfill", {"since": since})

    assert answer.status == 202
    assert answer.headers["location"] == f"/v1/jobs/{answer.json['id']}"
    assert answer.json["status"] == "queued"
    assert answer.json["since"] == since
    assert merchant("GET", f"/v1/jobs/{answer.json['id']}").json == answer.json
    (message,) = onlookers_client("sqs").receive_message(QueueUrl=stage.pulls_url)["Messages"]
    assert json.loads(message["Body"])["job_id"] == answer.json["id"]


def jobs() -> list[dict[str, Any]]:
    rows = onlookers_client("dynamodb").scan(TableName="checkback")["Items"]
    return [dict(row) for row in rows if row["pk"]["S"].startswith("J#")]


def test_a_job_whose_first_message_is_not_taken_does_not_wait_for_ever(
    merchant: Api, shopify: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object, **__: object) -> None:
        raise QueueUnavailable("throttled")

    with monkeypatch.context() as unlucky:
        unlucky.setattr(PullQueue, "send", unavailable)
        assert merchant("POST", f"/v1/sources/{shopify['id']}/backfill").status == 503
    assert jobs() == []
    assert merchant("POST", f"/v1/sources/{shopify['id']}/backfill").status == 202
    assert len(jobs()) == 1


def test_without_a_body_it_reaches_back_to_the_recovery_horizon(merchant: Api, shopify: dict[str, Any]) -> None:
    answer = merchant("POST", f"/v1/sources/{shopify['id']}/backfill")

    since = datetime.fromisoformat(answer.json["since"])
    assert timedelta(days=6, hours=23) < datetime.now(UTC) - since < timedelta(days=7, hours=1)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"since": "2099-01-01T00:00:00Z"}, "/since"),
        ({"since": "yesterday"}, "/since"),
        ({"customer_id": "77"}, "/customer_id"),
        ({"until": "2026-01-01T00:00:00Z"}, "/until"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_place(
    merchant: Api, shopify: dict[str, Any], body: dict[str, str], pointer: str
) -> None:
    answer = merchant("POST", f"/v1/sources/{shopify['id']}/backfill", body)

    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == pointer


def test_a_provider_without_a_list_and_missing_credentials_are_conflicts(merchant: Api) -> None:
    for provider, credentials in (
        ("flexype", {"secret": "the-shared-secret"}),
        ("emporix", {"secret": "the-secret-key"}),
    ):
        source = merchant("POST", "/v1/sources", {"provider": provider, "credentials": credentials}).json
        assert merchant("POST", f"/v1/sources/{source['id']}/backfill").status == 409


def heard_of(job: dict[str, Any], ago: timedelta, **what: Any) -> None:
    """The job as a worker left it so long ago."""
    store = JobStore(services().table)
    read = store.get(JobId(job["id"]))
    assert isinstance(read, Job)
    assert store.save(replace(read, updated_at=datetime.now(UTC) - ago, **what), read.page)


def test_a_second_one_at_once_is_refused_with_the_name_of_the_first(merchant: Api, shopify: dict[str, Any]) -> None:
    path = f"/v1/sources/{shopify['id']}/backfill"
    first = merchant("POST", path).json

    refused = merchant("POST", path, {"since": first["since"]})

    assert refused.status == 409
    assert refused.json["detail"] == f"Past checkouts of this source are being read already: {first['id']}."
    assert len(jobs()) == 1
    heard_of(first, timedelta(0), status="completed", page=1, finished_at=datetime.now(UTC))
    assert merchant("POST", path).status == 202


def test_two_customers_carts_are_read_at_once_and_one_customers_once(merchant: Api) -> None:
    given = {"secret": "the-secret-key", "api": {"client_id": "c", "client_secret": "s", "tenant": "shop"}}
    source = merchant("POST", "/v1/sources", {"provider": "emporix", "credentials": given}).json
    path = f"/v1/sources/{source['id']}/backfill"

    asked = [merchant("POST", path, body).status for body in ({"customer_id": "1"}, {"customer_id": "2"}, {})]

    assert asked == [202, 202, 202]
    assert merchant("POST", path, {"customer_id": "2"}).status == 409


def test_a_job_of_which_nothing_is_heard_says_so_and_goes_on_where_it_is_sent_again(
    merchant: Api, shopify: dict[str, Any]
) -> None:
    """As where its message failed five times and lies among the dead letters."""
    path = f"/v1/sources/{shopify['id']}/backfill"
    job = merchant("POST", path).json
    heard_of(job, timedelta(minutes=29), status="running", page=3, reason="the provider answered 503")
    assert merchant("GET", f"/v1/jobs/{job['id']}").json["status"] == "running"
    assert merchant("POST", path).status == 409

    heard_of(job, timedelta(minutes=31), status="running", page=3, reason="the provider answered 503")
    found = merchant("GET", f"/v1/jobs/{job['id']}").json
    since = f"nothing was heard of it since {found['updated_at']}"
    assert (found["status"], found["finished_at"]) == ("stalled", None)
    assert found["reason"] == f"{since}; before that it waited: the provider answered 503"
    assert merchant("GET", "/v1/jobs").json["data"] == [found]
    another = merchant("POST", path)
    assert another.status == 202

    heard_of(job, timedelta(0), status="running", page=4, reason=None)
    assert merchant("GET", f"/v1/jobs/{job['id']}").json["status"] == "running"


def test_a_recovery_of_which_nothing_is_heard_says_so_too(merchant: Api) -> None:
    endpoint = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"}).json
    job = merchant("POST", f"/v1/endpoints/{endpoint['id']}/recover").json
    store = ResendJobStore(services().table, 8)
    read = store.read(keys.job(JobId(job["id"])))
    assert read is not None

    store.save(replace(read, updated_at=datetime.now(UTC) - timedelta(hours=1)), datetime.now(UTC))

    assert merchant("GET", f"/v1/jobs/{job['id']}").json["status"] == "stalled"


def test_other_merchants_see_neither_source_nor_job(operator: Api, merchant: Api, shopify: dict[str, Any]) -> None:
    job = merchant("POST", f"/v1/sources/{shopify['id']}/backfill").json
    other = operator.as_(new_merchant(operator)["token"])

    assert other("POST", f"/v1/sources/{shopify['id']}/backfill").status == 404
    assert other("GET", f"/v1/jobs/{job['id']}").status == 404
    assert merchant("GET", "/v1/jobs/job_none").status == 404


def ended_backfill(merchant: Api, source: dict[str, Any]) -> dict[str, Any]:
    job = merchant("POST", f"/v1/sources/{source['id']}/backfill").json
    heard_of(job, timedelta(0), status="completed", page=1, finished_at=datetime.now(UTC))
    shown: dict[str, Any] = merchant("GET", f"/v1/jobs/{job['id']}").json
    return shown


def test_jobs_of_both_kinds_are_listed_newest_first(merchant: Api, shopify: dict[str, Any]) -> None:
    endpoint = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"}).json
    ended = ended_backfill(merchant, shopify)
    made = [
        ended,
        merchant("POST", f"/v1/endpoints/{endpoint['id']}/recover").json,
        merchant("POST", f"/v1/sources/{shopify['id']}/backfill").json,
    ]
    newest = sorted(made, key=lambda job: str(job["id"]), reverse=True)

    assert merchant("GET", "/v1/jobs").json == {"data": newest, "next_cursor": None}
    of_source = merchant("GET", "/v1/jobs", query={"source_id": shopify["id"]}).json["data"]
    assert of_source == [job for job in newest if job["type"] == "backfill"]
    assert merchant("GET", "/v1/jobs", query={"endpoint_id": endpoint["id"]}).json["data"] == [made[1]]


def test_jobs_are_found_page_by_page(merchant: Api, shopify: dict[str, Any]) -> None:
    endpoint = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"}).json
    made: list[str] = []
    for _ in range(3):
        made.append(ended_backfill(merchant, shopify)["id"])
        made.append(merchant("POST", f"/v1/endpoints/{endpoint['id']}/recover").json["id"])

    everything: dict[str, str] = {}
    for filters, wanted in ((everything, made), ({"source_id": shopify["id"]}, made[::2])):
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = merchant("GET", "/v1/jobs", query=filters | {"limit": "2"} | ({"cursor": cursor} if cursor else {}))
            found += [job["id"] for job in page.json["data"]]
            cursor = page.json["next_cursor"]
        assert found == sorted(wanted, reverse=True)


def test_a_list_of_jobs_is_of_one_merchant_and_one_thing(operator: Api, merchant: Api, shopify: dict[str, Any]) -> None:
    merchant("POST", f"/v1/sources/{shopify['id']}/backfill")
    other = operator.as_(new_merchant(operator)["token"])

    assert other("GET", "/v1/jobs").json["data"] == []
    assert other("GET", "/v1/jobs", query={"source_id": shopify["id"]}).json["data"] == []
    assert merchant("GET", "/v1/jobs", query={"source_id": "src_none"}).status == 404
    both = {"source_id": shopify["id"], "endpoint_id": "ep_01JDZZZZZZZZZZZZZZZZZZZZZZ"}
    refused = merchant("GET", "/v1/jobs", query=both)
    assert (refused.status, refused.json["errors"][0]["parameter"]) == (422, "endpoint_id")


def test_a_merchants_erasure_takes_its_jobs_and_a_shoppers_the_id_in_them(operator: Api, merchant: Api) -> None:
    given = {"secret": "the-secret-key", "api": {"client_id": "c", "client_secret": "s", "tenant": "shop"}}
    source = merchant("POST", "/v1/sources", {"provider": "emporix", "credentials": given}).json
    started = merchant("POST", f"/v1/sources/{source['id']}/backfill", {"customer_id": "cust-77"})
    assert started.status == 202, started.text

    merchant("POST", "/v1/customers/erase", {"customer_id": "cust-77"})
    (job,) = merchant("GET", "/v1/jobs").json["data"]
    assert (job["status"], job["reason"], job["filters"]) == ("failed", "erased", {"customer_id": "erased"})

    operator("DELETE", f"/v1/merchants/{merchant('GET', '/v1/merchant').json['id']}")
    assert jobs() == []
