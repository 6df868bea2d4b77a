"""Daily files of facts, under keys that Athena and DuckDB read as columns.

    facts/merchant=<merchant>/day=<cohort>/facts.ndjson.gz

A merchant's erasure goes by prefix.
"""

import hashlib
from datetime import date
from typing import IO, TYPE_CHECKING

from shared.aws.bucket_objects import delete_under, listed
from shared.domain.ids import MerchantId

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_FACTS = "facts/"
_NAME = "facts.ndjson.gz"
_PIECE = 256 * 1024


class FactsBucket:
    """The stage's bucket of daily files. They go by the bucket's lifecycle."""

    def __init__(self, client: "S3Client", name: str) -> None:
        """``name`` of the bucket."""
        self._client = client
        self._name = name

    def marks(self, merchant_id: MerchantId, since: date) -> dict[str, str]:
        """What the merchant's files hold, as ``mark_of`` says it, by day from ``since`` on; one call."""
        prefix = _prefix(merchant_id)
        # The key of a day begins with its prefix, and so comes after it.
        found = listed(self._client, self._name, prefix, after=f"{prefix}day={since.isoformat()}")
        return {own["Key"].removeprefix(f"{prefix}day=").partition("/")[0]: own["ETag"].strip('"') for own in found}

    @staticmethod
    def mark_of(file: IO[bytes]) -> str:
        """S3's ETag of an object that one call put, without a key of KMS: its MD5."""
        file.seek(0)
        digest = hashlib.md5(usedforsecurity=False)
        while piece := file.read(_PIECE):
            digest.update(piece)
        return digest.hexdigest()

    def put(self, merchant_id: MerchantId, day: date, file: IO[bytes]) -> None:
        """Write a day's file, whole, in the place of an older one."""
        file.seek(0)
        self._client.put_object(
            Bucket=self._name,
            Key=f"{_prefix(merchant_id)}day={day.isoformat()}/{_NAME}",
            Body=file,
            ContentType="application/gzip",
        )

    def delete_of(self, merchant_id: MerchantId) -> bool:
        """Drop up to 1,000 of the merchant's files; whether there may be more. Raises BucketUnavailable."""
        return delete_under(self._client, self._name, _prefix(merchant_id))


def _prefix(merchant_id: MerchantId) -> str:
    return f"{_FACTS}merchant={merchant_id}/"
