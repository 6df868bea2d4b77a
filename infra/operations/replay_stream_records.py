"""Hands stream records that were kept in the quarantine bucket to dispatch once more.

    python -m infra.operations.replay_stream_records --stage production aws/lambda/ poison/<merchant>/

Takes what Lambda gave up (a batch) and what dispatch set aside itself (one record). Dispatch is idempotent; an object
is removed only after all of it was taken. What fails again of a batch is set aside under its merchant; a record that
was set aside and fails again stays where it is, and the command ends with 1.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any

import boto3

from infra.operations.deployed import DeployedStage, FunctionFailed

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

type Record = dict[str, Any]
type Invoke = Callable[[Sequence[Record], bool], object]
"""Hands records to dispatch; the second says whether what fails may be refused instead of being set aside."""

_SET_ASIDE = "poison/"
_AT_ONCE = 5  # images of 400 KB, old and new: below the 6 MB of one invocation


class Refused(Exception):
    """Dispatch failed on what it was handed."""


def records_of(kept: bytes) -> list[Record]:
    """The records of an object: of a batch as Lambda writes it, or the one record of a poison object.

    None of a poison object that was emptied, since its checkout was erased meanwhile.
    """
    if not kept:
        return []
    plain = json.loads(kept)
    payload = plain.get("payload", plain)
    if isinstance(payload, str):
        payload = json.loads(payload)
    records = payload.get("Records")
    return list(records) if isinstance(records, list) else [payload]


def replay(s3: "S3Client", bucket: str, prefixes: Iterable[str], invoke: Invoke) -> Iterator[tuple[str, int | None]]:
    """Every object under the prefixes: its key and how many records were taken, None where some were refused."""
    for prefix in prefixes:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for key in (own["Key"] for own in page.get("Contents", [])):
                records = records_of(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
                try:
                    for some in batched(records, _AT_ONCE, strict=False):
                        invoke(some, key.startswith(_SET_ASIDE))
                except Refused:
                    yield key, None
                else:
                    s3.delete_object(Bucket=bucket, Key=key)
                    yield key, len(records)


def invoking(stage: DeployedStage) -> Invoke:
    """Hands records to the stage's dispatch."""

    def invoke(records: Sequence[Record], replayed: bool) -> None:
        try:
            stage.invoke("dispatch", {"Records": list(records), "replayed": replayed})
        except FunctionFailed as failed:
            raise Refused(str(failed)) from failed

    return invoke


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay for a stage, with the credentials of this shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    parser.add_argument("prefix", nargs="+", help="keys, or what they begin with")
    given = parser.parse_args(arguments)
    stage = DeployedStage(given.stage)
    invoke, bucket = invoking(stage), stage.outputs["QuarantineBucketName"]
    refused = 0
    for key, taken in replay(boto3.client("s3"), bucket, given.prefix, invoke):
        refused += taken is None
        sys.stdout.write(f"{key}: {'refused' if taken is None else f'{taken} records'}\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
