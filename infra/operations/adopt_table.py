"""Makes a restored table what a stage's table must be, and lets the stage be deployed onto it.

    python -m infra.operations.adopt_table --stage production --table checkback-restored

A table restored from a backup has another name and another stream, and comes without TTL, stream, point-in-time
recovery, tags and deletion protection (Amazon DynamoDB Developer Guide, "Restoring a DynamoDB table"). Each is set
where it is missing, so that the command may be run again whenever it broke off. At its end the stream's ARN is
written where a deployment with ``restored_table`` looks for it. It ends with 1 while something remains to be done.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3

from infra.parameters import restored_stream_parameter
from infra.stages import Stage
from infra.table_schema import INDEXES, KEYS, TTL, Indexes, index_changes

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_CDK_JSON = Path(__file__).parents[2] / "cdk.json"
_IMAGES: Final = "NEW_AND_OLD_IMAGES"


class NotAdoptable(Exception):
    """Not this table, or not yet; the message says what to do."""


def stage_settings(name: str) -> Stage:
    """The stage as ``cdk.json`` has it. Raises UnusableStageError."""
    return Stage.from_context(name, json.loads(_CDK_JSON.read_text())["context"]["stages"])


class Adoption:
    """One restored table of one stage."""

    def __init__(self, dynamodb: "DynamoDBClient", ssm: Any, *, stage: Stage, table: str) -> None:
        """``ssm``: the Systems Manager client; ``table``: the restored table's name."""
        self._dynamodb = dynamodb
        self._ssm = ssm
        self._stage = stage
        self._name = table

    def run(self) -> Iterator[str]:
        """Set what is missing, and say so. Raises NotAdoptable."""
        table = self._described()
        self._check(table)
        # One kind of change at a time, each waited for: DynamoDB refuses a second while the table is updated.
        steps: tuple[Callable[[Mapping[str, Any]], str | None], ...] = (
            self._make_index,
            self._start_stream,
            self._protect,
            self._recover_by_time,
            self._expire,
            self._tag,
            self._publish,
        )
        for step in steps:
            if done := step(self._described()):
                yield done

    def _described(self) -> Mapping[str, Any]:
        self._dynamodb.get_waiter("table_exists").wait(TableName=self._name)
        found: Mapping[str, Any] = self._dynamodb.describe_table(TableName=self._name)["Table"]
        return found

    def _check(self, table: Mapping[str, Any]) -> None:
        keys = {own["KeyType"]: own["AttributeName"] for own in table["KeySchema"]}
        if (keys.get("HASH"), keys.get("RANGE")) != KEYS:
            msg = f"{self._name} has other keys: it was never a table of Checkback"
            raise NotAdoptable(msg)
        if table.get("RestoreSummary", {}).get("RestoreInProgress"):
            msg = f"{self._name} is being restored: run this again when it is done"
            raise NotAdoptable(msg)
        stream = table.get("StreamSpecification", {})
        if stream.get("StreamEnabled") and stream.get("StreamViewType") != _IMAGES:
            msg = f"{self._name} has a stream of another kind than {_IMAGES}: disable it, then run this again"
            raise NotAdoptable(msg)

    def _make_index(self, table: Mapping[str, Any]) -> str | None:
        """One missing index: DynamoDB makes one at a time, and fills it for as long as it takes."""
        present = table.get("GlobalSecondaryIndexes", [])
        building = [own["IndexName"] for own in present if own["IndexStatus"] != "ACTIVE"]
        if building:
            msg = f"index {', '.join(building)} is being filled: run this again when it is active"
            raise NotAdoptable(msg)
        found = indexes_of(table)
        if wrong := [name for name in INDEXES if name in found and found[name] != INDEXES[name]]:
            msg = f"index {', '.join(wrong)} has other keys than this release wants: delete it, then run this again"
            raise NotAdoptable(msg)
        # One that a later release left is no harm.
        missing = index_changes(found, {**found, **INDEXES})
        if not missing:
            return None
        name = missing[0].removeprefix("make ")
        partition, sort, kind = INDEXES[name]
        known = {own["AttributeName"]: own["AttributeType"] for own in table["AttributeDefinitions"]}
        self._dynamodb.update_table(
            TableName=self._name,
            AttributeDefinitions=[
                {"AttributeName": attribute, "AttributeType": own}
                for attribute, own in {**known, partition: "S", sort: kind}.items()
            ],
            GlobalSecondaryIndexUpdates=[
                {
                    "Create": {
                        "IndexName": name,
                        "KeySchema": [
                            {"AttributeName": partition, "KeyType": "HASH"},
                            {"AttributeName": sort, "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                }
            ],
        )
        msg = f"index {name} was missing and is being made: run this again when it is active"
        raise NotAdoptable(msg)

    def _start_stream(self, table: Mapping[str, Any]) -> str | None:
        if table.get("StreamSpecification", {}).get("StreamEnabled"):
            return None
        self._dynamodb.update_table(
            TableName=self._name, StreamSpecification={"StreamEnabled": True, "StreamViewType": _IMAGES}
        )
        return "stream: enabled"

    def _protect(self, table: Mapping[str, Any]) -> str | None:
        if self._stage.removable or table.get("DeletionProtectionEnabled"):
            return None
        self._dynamodb.update_table(TableName=self._name, DeletionProtectionEnabled=True)
        return "deletion protection: on"

    def _recover_by_time(self, _table: Mapping[str, Any]) -> str | None:
        found = self._dynamodb.describe_continuous_backups(TableName=self._name)["ContinuousBackupsDescription"]
        if found.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") == "ENABLED":
            return None
        self._dynamodb.update_continuous_backups(
            TableName=self._name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        return "point-in-time recovery: on"

    def _expire(self, _table: Mapping[str, Any]) -> str | None:
        found = self._dynamodb.describe_time_to_live(TableName=self._name)["TimeToLiveDescription"]
        status = found["TimeToLiveStatus"]
        if status in {"ENABLED", "ENABLING"}:
            if found.get("AttributeName", TTL) != TTL:
                msg = (
                    f"{self._name} expires by another attribute than {TTL}: disable that, wait an hour, run this again"
                )
                raise NotAdoptable(msg)
            return None
        if status == "DISABLING":
            msg = "TTL is being disabled: run this again in an hour"
            raise NotAdoptable(msg)
        self._dynamodb.update_time_to_live(
            TableName=self._name, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL}
        )
        return f"TTL: by {TTL}"

    def _tag(self, table: Mapping[str, Any]) -> str | None:
        wanted = {"application": "checkback", "stage": self._stage.name}
        found = self._dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
        if wanted.items() <= {own["Key"]: own["Value"] for own in found}.items():
            return None
        self._dynamodb.tag_resource(
            ResourceArn=table["TableArn"], Tags=[{"Key": key, "Value": value} for key, value in wanted.items()]
        )
        return "tags: set"

    def _publish(self, table: Mapping[str, Any]) -> str:
        """Last: whoever finds the parameter may deploy."""
        parameter = restored_stream_parameter(self._stage.name, self._name)
        self._ssm.put_parameter(Name=parameter, Value=table["LatestStreamArn"], Type="String", Overwrite=True)
        return f"stream's ARN: in {parameter}"


def indexes_of(table: Mapping[str, Any]) -> Indexes:
    """The indexes of a described table, as ``infra.table_schema`` writes them."""
    types = {own["AttributeName"]: own["AttributeType"] for own in table["AttributeDefinitions"]}
    found = {}
    for index in table.get("GlobalSecondaryIndexes", []):
        keys = {own["KeyType"]: own["AttributeName"] for own in index["KeySchema"]}
        sort = keys.get("RANGE", "")
        found[index["IndexName"]] = (keys["HASH"], sort, types.get(sort, "S"))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Adopt for a stage, with the credentials of this shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--table", required=True, help="the restored table's name")
    given = parser.parse_args(arguments)
    adoption = Adoption(
        boto3.client("dynamodb"), boto3.client("ssm"), stage=stage_settings(given.stage), table=given.table
    )
    try:
        for done in adoption.run():
            sys.stdout.write(f"{done}\n")
    except NotAdoptable as reason:
        sys.stdout.write(f"{reason}\n")
        return 1
    sys.stdout.write(f'Now: "restored_table": "{given.table}" in cdk.json, then make deploy STAGE={given.stage}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
