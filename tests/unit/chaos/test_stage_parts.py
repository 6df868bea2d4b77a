"""What chaos reads off the engine's log and the table's stream."""

import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.aws.stores import now
from tests.chaos.engine_log import EngineLog
from tests.chaos.records import Records
from tests.patience import PATIENCE

FAILED = (
    "2026-11-27 13:14:02 WARNING [lambda] ESM: Lambda {} failed processing {} batch from somewhere"
    " (errorType=Runtime.HandlerError errorMessage={})\n"
)


def test_workers_that_died_at_their_work_are_counted_and_a_stream_whose_reader_failed_is_relieved(
    tmp_path: Path,
) -> None:
    log, relieved = tmp_path / "engine.log", threading.Event()
    told: list[str] = []
    log.write_text(FAILED.format("Deliver", "SQS", "Worker process died"))

    def relieve(function: str) -> None:
        told.append(function)
        relieved.set()

    with EngineLog(log, relieve) as watched:
        with log.open("a") as end:
            end.write(FAILED.format("Deliver", "SQS", "Worker process died"))
            end.write(FAILED.format("Deliver", "SQS", "An error occurred"))
            end.write(FAILED.format("Dispatch", "DynamoDB stream", "1 records failed for now"))
        assert relieved.wait(PATIENCE)
        assert watched.died_at_work() == {"Deliver": 1}
    assert told == ["Dispatch"]


class Streams:
    """A stream of one shard; a place is the number of records before it, an old one is not known any more."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.read: list[int] = []
        self.forgotten: set[str] = set()

    def describe_stream(self, **_: str) -> dict[str, Any]:
        return {"StreamDescription": {"Shards": [{"ShardId": "shard-0"}]}}

    def get_shard_iterator(self, ShardIteratorType: str, **_: str) -> dict[str, str]:  # noqa: N803
        return {"ShardIterator": str(len(self.records) if ShardIteratorType == "LATEST" else 0)}

    def get_records(self, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        if ShardIterator in self.forgotten:
            raise ClientError({"Error": {"Code": "ExpiredIteratorException"}}, "GetRecords")
        page = self.records[int(ShardIterator) :][: min(Limit, 2)]
        self.read += [own["number"] for own in page]
        return {"Records": page, "NextShardIterator": str(int(ShardIterator) + len(page))}

    def came(self, *numbers: int, of: str = "ours") -> None:
        for number in numbers:
            change = {"NewImage": {"of": {"S": of}, "raw": {"B": b"x"}}, "ApproximateCreationDateTime": now()}
            self.records.append({"number": number, "dynamodb": change})


def numbers(records: list[dict[str, Any]]) -> list[int]:
    return [own["number"] for own in records]


def test_the_newest_records_of_a_stream_are_read_once_and_nothing_from_before_the_run() -> None:
    streams = Streams()
    streams.came(1, 2, 3)
    records = Records(streams, "arn:stream", lambda image: image["of"] == {"S": "ours"}, 4)
    assert records.newest() == []

    streams.came(4, 5, 6)
    streams.came(7, of="others")
    assert numbers(records.newest()) == [4, 5, 6]
    streams.came(8, 9)
    told = records.newest()
    assert numbers(told) == [5, 6, 8, 9]
    assert streams.read == [4, 5, 6, 7, 8, 9]
    assert told[0]["dynamodb"]["NewImage"]["raw"] == {"B": "eA=="}
    assert told[0]["eventSourceARN"] == "arn:stream"


def test_a_stream_that_forgot_where_it_was_read_is_read_from_its_beginning_the_next_time() -> None:
    streams = Streams()
    records = Records(streams, "arn:stream", lambda image: image["of"] == {"S": "ours"}, 4)
    streams.came(1, 2, 3)
    assert numbers(records.newest()) == [1, 2, 3]

    streams.forgotten.add("3")
    streams.came(4, 5)
    with pytest.raises(ClientError):
        records.newest()
    assert numbers(records.newest()) == [2, 3, 4, 5]
