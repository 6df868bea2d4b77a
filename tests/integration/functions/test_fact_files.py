"""Daily files of facts: what the API gives, by merchant and day, written anew as long as a day can change."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
import time_machine
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

import functions.campaign.handler as campaign_function
from functions.campaign import composition
from functions.merchant_api import services
from infra.local.engine import PROJECT
from shared.domain.ids import MerchantId
from shared.domain.merchant import Merchant
from shared.domain.metrics import Fact, FactKind
from shared.domain.money import Money
from shared.store import keys
from shared.store.facts import FactStore
from shared.workflows.insight import fact_files
from tests.integration.account import onlookers_client
from tests.integration.api.conftest import Api, new_merchant, operator, stage_name
from tests.integration.faults.aws_calls import AwsCalls, Fault, Kind, WorkerKilled
from tests.integration.shop import Invocation

__all__ = ["operator", "stage_name"]

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TODAY = date(2026, 11, 21)
YESTERDAY = TODAY - timedelta(days=1)
BUCKET = "facts"


class Town:
    """Merchants with facts, and the function that writes their files."""

    def __init__(self, operator: Api, clock: time_machine.Traveller) -> None:
        self.operator, self.clock = operator, clock
        self.s3 = onlookers_client("s3")

    def merchant(self, name: str = "Tea House", **given: Any) -> tuple[Merchant, Api]:
        made = new_merchant(self.operator, name=name, **given)
        found = services.services().merchants.get(MerchantId(made["id"]))
        assert found is not None
        return found.value, self.operator.as_(made["token"])

    @property
    def store(self) -> FactStore:
        return services.services().facts

    def fact(self, own: Merchant, day: date, subject: str = "chk_1", **more: Any) -> Fact:
        """A fact of a cohort."""
        at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=9)
        given: dict[str, Any] = {"kind": FactKind.ABANDONED, "at": at, "provider": "flexype"} | more
        fact = Fact(cohort=day, subject=subject, **given)
        self.store.add(own.id, [fact])
        return fact

    def order(self, own: Merchant, day: date, subject: str, amount: Money) -> None:
        """A recovered checkout, with all that its abandonment left."""
        for kind in (FactKind.ABANDONED, FactKind.CONTACTABLE):
            self.fact(own, day, subject, kind=kind)
        self.fact(own, day, subject, kind=FactKind.RECOVERED, tier=3, amount=amount)

    def write(self, context: Any = None) -> dict[str, Any]:
        """One tick."""
        told: dict[str, Any] = campaign_function.handler({"facts": True}, context or Invocation())
        return told

    def tomorrow(self, days: int = 1) -> None:
        self.clock.shift(timedelta(days=days))

    def files(self) -> dict[str, bytes]:
        """Every file by its key, unpacked; looked up in moto, a twentieth of what asking by a client takes."""
        return {name: gzip.decompress(own.value) for name, own in self._objects().items()}

    def remove_files(self) -> None:
        """As if none had been written."""
        for name in list(self._objects()):
            self._objects().pop(name)

    @staticmethod
    def _objects() -> Any:
        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET].keys


def key(own: Merchant, day: date) -> str:
    return f"facts/merchant={own.id}/day={day}/facts.ndjson.gz"


class Hurried:
    """A context whose time is up after so many looks at it."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def get_remaining_time_in_millis(self) -> int:
        self.left -= 1
        return 60_000 if self.left > 0 else 0


@pytest.fixture
def town(operator: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})
    monkeypatch.setenv("FACTS_BUCKET", BUCKET)
    made = (composition._stores, composition.fact_files)
    services.services.cache_clear()
    for cached in made:
        cached.cache_clear()
    with time_machine.travel(NOON, tick=False) as clock:
        yield Town(operator, clock)
    for cached in made:
        cached.cache_clear()


def test_a_days_file_is_what_the_api_gives_of_it(town: Town) -> None:
    own, api = town.merchant()
    other, other_api = town.merchant("Coffee House")
    for number in range(20):
        town.fact(own, YESTERDAY, f"chk_{number}")
    town.order(own, TODAY - timedelta(days=5), "chk_bought", Money(63_000, "INR"))
    town.fact(other, YESTERDAY, "chk_other")

    assert town.write() == {"files": 3, "done": True}
    files = town.files()
    assert set(files) == {key(own, YESTERDAY), key(own, TODAY - timedelta(days=5)), key(other, YESTERDAY)}
    for merchant, asked in ((own, api), (other, other_api)):
        for day in (YESTERDAY, TODAY - timedelta(days=5)):
            if key(merchant, day) in files:
                query = {"from": str(day), "to": str(day)}
                assert files[key(merchant, day)].decode() == asked("GET", "/v1/facts", query=query).text
    assert town.s3.head_object(Bucket=BUCKET, Key=key(own, YESTERDAY))["ContentType"] == "application/gzip"


def test_a_day_that_is_not_over_for_its_merchant_has_no_file_yet(town: Town) -> None:
    """At noon UTC the day of Auckland is over, and Honolulu's has hardly begun."""
    east, _ = town.merchant("East")
    services.services().merchants.replace(replace(east, timezone="Pacific/Auckland"), 1)
    west, _ = town.merchant("West")
    services.services().merchants.replace(replace(west, timezone="Pacific/Honolulu"), 1)
    for own in (east, west):
        town.fact(own, TODAY)
        town.fact(own, YESTERDAY)
    town.write()
    assert set(town.files()) == {key(east, TODAY), key(east, YESTERDAY), key(west, YESTERDAY)}


def test_what_has_not_changed_is_not_written_again_and_what_came_late_is(town: Town) -> None:
    own, _ = town.merchant()
    town.fact(own, YESTERDAY)
    assert town.write() == {"files": 1, "done": True}
    assert town.write() == {"files": 0, "done": True}
    town.tomorrow()
    assert town.write() == {"files": 0, "done": True}

    town.fact(own, YESTERDAY, "chk_late")
    town.tomorrow()
    assert town.write() == {"files": 1, "done": True}
    assert b"chk_late" in town.files()[key(own, YESTERDAY)]


def test_a_mature_day_is_looked_at_once_a_week(town: Town) -> None:
    """A refund may come weeks later."""
    own, _ = town.merchant()
    town.fact(own, YESTERDAY)
    town.write()
    town.tomorrow(30)
    while not town.write()["done"]:
        pass
    town.fact(own, YESTERDAY, "chk_1", kind=FactKind.REVERSED, part="INR", amount=Money(100, "INR"))
    written = 0
    for _ in range(7):
        town.tomorrow()
        written += town.write()["files"]
    assert written == 1
    assert b"reversed" in town.files()[key(own, YESTERDAY)]


def test_a_file_outlives_its_facts(town: Town) -> None:
    own, _ = town.merchant()
    town.fact(own, YESTERDAY)
    town.write()
    kept = town.files()
    for _ in range(12):
        town.tomorrow(11)
        town.write()
    assert list(town.store.in_order(own.id, YESTERDAY)) == []
    assert town.files() == kept


def test_a_call_whose_time_is_up_is_gone_on_with(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_files, "_PAGE", 2)
    for name in ("a", "b", "c", "d", "e"):
        own, _ = town.merchant(name)
        for age in range(1, 5):
            town.fact(own, TODAY - timedelta(days=age))
    calls = 1
    while not town.write(Hurried(1))["done"]:
        calls += 1
        assert calls < 100
    assert calls > 10, "a call does a day, or the last of a merchant's"
    assert len(town.files()) == 20


def test_a_day_too_large_for_a_call_is_passed_over_and_holds_up_nobody(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fact_files, "_PIECE", 1)
    large, _ = town.merchant("a")
    small, _ = town.merchant("b")
    two_days_ago = TODAY - timedelta(days=2)
    for number in range(10):
        town.fact(large, two_days_ago, f"chk_{number}")
    town.fact(large, YESTERDAY)
    town.fact(small, YESTERDAY)
    calls = 0
    while not town.write(Hurried(5))["done"]:
        calls += 1
        assert calls < 20
    assert set(town.files()) == {key(large, YESTERDAY), key(small, YESTERDAY)}


def test_a_day_that_is_cut_short_by_others_is_begun_anew_with_all_of_the_time(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fact_files, "_PIECE", 1)
    own, _ = town.merchant()
    for number in range(6):
        town.fact(own, TODAY - timedelta(days=2), f"chk_{number}")
        town.fact(own, YESTERDAY, f"chk_{number}")
    calls = 0
    while not town.write(Hurried(9))["done"]:
        calls += 1
        assert calls < 20
    assert set(town.files()) == {key(own, YESTERDAY), key(own, TODAY - timedelta(days=2))}


def test_a_walk_longer_than_its_day_is_ended_before_the_next_begins(town: Town) -> None:
    """Else whoever comes last would never be reached."""
    merchants = [town.merchant(name)[0] for name in ("a", "b", "c")]
    for own in merchants:
        town.fact(own, YESTERDAY)
    for _ in range(4):
        town.write(Hurried(1))
        town.tomorrow()
    assert set(town.files()) == {key(own, YESTERDAY) for own in merchants}


def test_an_erased_merchants_files_go_and_nobody_elses(town: Town) -> None:
    own, _ = town.merchant()
    other, _ = town.merchant("Coffee House")
    for merchant in (own, other):
        town.fact(merchant, YESTERDAY)
        town.fact(merchant, TODAY - timedelta(days=2))
    town.write()
    assert town.operator("DELETE", f"/v1/merchants/{own.id}").status in {202, 204}
    assert set(town.files()) == {key(other, YESTERDAY), key(other, TODAY - timedelta(days=2))}
    town.tomorrow()
    town.write()
    assert not any(str(own.id) in name for name in town.files())


def test_who_is_erased_while_the_files_are_written_has_none(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    own, _ = town.merchant()
    town.fact(own, YESTERDAY)
    bucket = composition.fact_files()._bucket
    put = bucket.put

    def erased_meanwhile(*args: Any) -> None:
        services.services().merchants.close(own.id, NOON)
        put(*args)

    monkeypatch.setattr(bucket, "put", erased_meanwhile)
    town.write()
    assert town.files() == {}


def test_nor_where_the_worker_died_right_then(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    own, _ = town.merchant()
    town.fact(own, YESTERDAY)
    bucket = composition.fact_files()._bucket
    put = bucket.put

    def erased_and_killed(*args: Any) -> None:
        put(*args)
        assert town.operator("DELETE", f"/v1/merchants/{own.id}").status in {202, 204}
        put(*args)
        raise WorkerKilled

    with monkeypatch.context() as dying:
        dying.setattr(bucket, "put", erased_and_killed)
        with pytest.raises(WorkerKilled):
            town.write()
    assert town.files() != {}
    town.write()
    assert town.files() == {}


def test_a_row_that_nobody_can_read_and_a_defect_hold_up_no_other_merchant(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick, _ = town.merchant("a")
    whole, _ = town.merchant("b")
    for own in (sick, whole):
        town.fact(own, YESTERDAY)
    in_order = FactStore.in_order

    def broken(store: FactStore, merchant_id: MerchantId, day: date) -> Iterator[Fact]:
        if merchant_id == sick.id:
            raise KeyError("a defect of ours")
        return in_order(store, merchant_id, day)

    monkeypatch.setattr(FactStore, "in_order", broken)
    assert town.write() == {"files": 1, "done": True}
    assert set(town.files()) == {key(whole, YESTERDAY)}


def test_a_large_day_goes_by_the_disk_in_pieces(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are the same."""
    monkeypatch.setattr(fact_files, "_IN_MEMORY", 64)
    monkeypatch.setattr(fact_files, "_PIECE", 128)
    own, api = town.merchant()
    for number in range(50):
        town.fact(own, YESTERDAY, f"chk_{number}")
    town.write()
    query = {"from": str(YESTERDAY), "to": str(YESTERDAY)}
    assert town.files()[key(own, YESTERDAY)].decode() == api("GET", "/v1/facts", query=query).text


@pytest.mark.long
@pytest.mark.parametrize("kind", Kind)
def test_whatever_call_fails_the_next_ticks_end_the_same(
    town: Town, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    # A day is read in sixteen queries of the same kind, two for each shard: of two shards, two stand for six more.
    partitions = keys.facts
    monkeypatch.setattr(keys, "facts", lambda merchant_id, day: partitions(merchant_id, day, 2))
    calls = AwsCalls()
    calls.install(monkeypatch)
    merchants = [town.merchant(name)[0] for name in ("a", "b")]
    for own in merchants:
        town.fact(own, YESTERDAY)
        town.fact(own, TODAY - timedelta(days=2))
    table = services.services().table

    def played(fault: Fault | None) -> dict[str, bytes]:
        town.remove_files()
        table.delete_all([keys.fact_walk()])
        composition.fact_files.cache_clear()
        with calls.watched(fault):
            try:
                campaign_function.handler({"facts": True}, Invocation())
            except (WorkerKilled, Exception):  # noqa: BLE001 - Lambda tries again, and the next tick comes
                composition.fact_files.cache_clear()
        for _ in range(3):
            if town.write()["done"]:
                break
        return town.files()

    whole = played(None)
    made = len(calls.names)
    assert made >= 36
    assert len(whole) == 4
    for at in range(made):
        assert played(Fault(at, kind)) == whole, f"{kind} {at}"


def test_the_query_of_the_page_on_the_files_finds_what_the_report_says(town: Town, tmp_path: Path) -> None:
    own, api = town.merchant()
    other, _ = town.merchant("Coffee House")
    town.order(own, YESTERDAY, "chk_1", Money(63_000, "INR"))
    town.order(own, YESTERDAY, "chk_2", Money(1_234, "KWD"))
    town.order(own, TODAY - timedelta(days=3), "chk_3", Money(50_000, "INR"))
    town.fact(own, YESTERDAY, "chk_lost")
    town.order(other, YESTERDAY, "chk_4", Money(99_900, "INR"))
    town.write()
    for name in town.files():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(town.s3.get_object(Bucket=BUCKET, Key=name)["Body"].read())
    page = (PROJECT / "docs/facts.md").read_text()
    by_day, revenue = (own for own in re.findall(r"```sql\n(.*?)```", page, flags=re.DOTALL) if "<facts bucket>" in own)

    def asked(query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect() as database:
            return database.execute(query.replace("s3://<facts bucket>", str(tmp_path))).fetchall()

    days = {"from": "2026-11-18", "to": "2026-11-20"}
    told = api("GET", "/v1/metrics/recovery", query=days).json["data"]
    found = [row for row in asked(by_day) if row[0] == own.id]
    assert [(str(day), *counts) for _, day, *counts in found] == [
        (row["key"], row["abandoned"], row["contactable"], row["recovered"], row["recovery_rate"])
        for row in told
        if row["abandoned"]
    ]
    assert {(str(day), code, amount) for merchant, day, code, amount in asked(revenue) if merchant == own.id} == {
        (row["key"], each["currency"], Decimal(each["amount"])) for row in told for each in row["recovered_revenue"]
    }
    assert {row[0] for row in asked(by_day)} == {own.id, other.id}


def test_the_tables_columns_are_the_lines_fields(town: Town) -> None:
    own, _ = town.merchant()
    town.fact(own, YESTERDAY)
    town.write()
    (line,) = town.files()[key(own, YESTERDAY)].splitlines()
    page = (PROJECT / "docs/facts.md").read_text()
    (columns,) = re.findall(r"CREATE EXTERNAL TABLE checkback_facts \((.*?)\)\nPARTITIONED", page, flags=re.DOTALL)
    assert re.findall(r"(\w+) (?:string|date|int|boolean|decimal\(18,3\))", columns) == list(json.loads(line))
