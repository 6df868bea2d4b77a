"""The newest records of the table's stream, as Lambda is given them."""

import base64
from collections import deque
from collections.abc import Callable
from typing import Any


class Records:
    """Reads on from where it ended the last time: what others left in a stream is thousands of records."""

    def __init__(self, client: Any, stream: str, passes: Callable[[dict[str, Any]], bool], most: int) -> None:
        """What comes from now on; ``passes``: by its new image, whether a record counts; ``most``: how many are kept.

        ``client`` of DynamoDB's streams, ``stream`` its ARN.
        """
        self._client = client
        self._stream = stream
        self._passes = passes
        self._newest: deque[dict[str, Any]] = deque(maxlen=most)
        self._places = {own: self._place(own, "LATEST") for own in self._shards()}

    def newest(self) -> list[dict[str, Any]]:
        """The newest ones that pass, oldest first. Where reading on fails, the next call reads all there is."""
        for shard in self._shards():
            place = self._places.pop(shard, None) or self._place(shard, "TRIM_HORIZON")
            while records := (page := self._client.get_records(ShardIterator=place, Limit=1000))["Records"]:
                ours = (own for own in records if self._passes(own["dynamodb"].get("NewImage", {})))
                self._newest.extend(_as_lambda_has_it(own, self._stream) for own in ours)
                place = page["NextShardIterator"]
            self._places[shard] = place
        return list(self._newest)

    def _shards(self) -> list[str]:
        told = self._client.describe_stream(StreamArn=self._stream)["StreamDescription"]["Shards"]
        return [own["ShardId"] for own in told]

    def _place(self, shard: str, kind: str) -> str:
        told = self._client.get_shard_iterator(StreamArn=self._stream, ShardId=shard, ShardIteratorType=kind)
        place: str = told["ShardIterator"]
        return place


def _as_lambda_has_it(record: dict[str, Any], arn: str) -> dict[str, Any]:
    change = dict(record["dynamodb"])
    change["ApproximateCreationDateTime"] = change["ApproximateCreationDateTime"].timestamp()
    return {**_plain({**record, "dynamodb": change}), "eventSourceARN": arn}


def _plain(value: Any) -> Any:
    """Binaries as base64, as in JSON."""
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items()}
    if isinstance(value, list | set):
        return [_plain(own) for own in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
