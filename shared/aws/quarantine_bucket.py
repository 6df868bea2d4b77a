"""Raw bytes that must not be lost: quarantined bodies and poison stream records, each under its merchant.

    quarantine/<merchant>/<quarantine id>
    poison/<merchant>/<checkout digest>/<event id>.json

A record that does not tell its checkout, or not even its merchant, lies that much higher. An erasure goes by prefix.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.aws.bucket_objects import MOST, delete_under, listed
from shared.domain.ids import MerchantId, QuarantineId

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_CONTENT_TYPE = re.compile(r"[!-~][ -~]{0,199}")
_BODIES = "quarantine/"
_POISON = "poison/"
_GONE = frozenset({"NoSuchKey", "404"})
_HIDDEN = frozenset({"AccessDenied", "403"})
"""What S3 answers for an object that is not there, to whoever may not list."""


class BodyGone(LookupError):
    """The object was deleted, or its 30 days are over. Its row may stand for a while yet."""


def body_key(merchant_id: MerchantId, quarantine_id: QuarantineId) -> str:
    """Where a quarantined body is kept."""
    return f"{merchant_id}/{quarantine_id}"


class QuarantineBucket:
    """The stage's bucket for what was not understood. Objects go after 30 days by the bucket's lifecycle."""

    def __init__(self, client: "S3Client", name: str) -> None:
        """``name`` of the bucket."""
        self._client = client
        self._name = name

    def keep_body(self, key: str, body: bytes, content_type: str | None) -> None:
        """Keep a webhook's exact bytes under ``quarantine/``."""
        self._client.put_object(
            Bucket=self._name,
            Key=f"{_BODIES}{key}",
            Body=body,
            ContentType=_plain_type(content_type),
        )

    def body(self, key: str) -> bytes:
        """The exact bytes kept under ``key``. Raises BodyGone."""
        return self._read(f"{_BODIES}{key}")

    def delete_body(self, key: str) -> None:
        """Drop a body."""
        self._client.delete_object(Bucket=self._name, Key=f"{_BODIES}{key}")

    def bodies_of(self, merchant_id: MerchantId, limit: int, after: str | None = None) -> list[str]:
        """Keys of the merchant's bodies, oldest first, those after a key; fewer than ``limit`` end the list."""
        found = self._listed(f"{_BODIES}{merchant_id}/", limit, f"{_BODIES}{after}" if after else "")
        return [own.removeprefix(_BODIES) for own in found]

    def delete_bodies_of(self, merchant_id: MerchantId) -> bool:
        """Drop up to 1,000 of the merchant's bodies; whether there may be more. Raises BucketUnavailable."""
        return self._delete_under(f"{_BODIES}{merchant_id}/")

    def keep_poison(self, key: str, record: bytes) -> str:
        """Keep a stream record that cannot be processed, whole; returns where."""
        path = f"{_POISON}{key}"
        self._client.put_object(Bucket=self._name, Key=path, Body=record, ContentType="application/json")
        return path

    def delete_poison_of(self, merchant_id: MerchantId, digest: str | None = None) -> bool:
        """Drop up to 1,000 poison records of a merchant, or of one checkout; whether there may be more.

        Raises BucketUnavailable.
        """
        return self._delete_under(f"{_POISON}{merchant_id}/" + (f"{digest}/" if digest else ""))

    def unplaced_poison(self, merchant_id: MerchantId) -> Iterator[tuple[str, bytes]]:
        """Poison records that do not tell their checkout, the merchant's and those that tell no merchant either."""
        for prefix in (f"{_POISON}{merchant_id}/", _POISON):
            after = ""
            while keys := self._listed(prefix, MOST, after, Delimiter="/"):
                for key in keys:
                    with contextlib.suppress(BodyGone):
                        yield key, self._read(key)
                after = keys[-1]

    def delete_poison(self, path: str) -> None:
        """Drop one poison record."""
        self._client.delete_object(Bucket=self._name, Key=path)

    def _read(self, path: str) -> bytes:
        try:
            return self._client.get_object(Bucket=self._name, Key=path)["Body"].read()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in _GONE or (code in _HIDDEN and path not in self._listed(path, 1)):
                raise BodyGone(path) from error
            raise

    def _delete_under(self, prefix: str) -> bool:
        return delete_under(self._client, self._name, prefix)

    def _listed(self, prefix: str, limit: int, after: str = "", **more: Any) -> list[str]:
        return [own["Key"] for own in listed(self._client, self._name, prefix, limit, after, **more)]


def _plain_type(content_type: str | None) -> str:
    """The sender's content type where it is one: it travels as a header of ours."""
    known = content_type is not None and _CONTENT_TYPE.fullmatch(content_type) is not None
    return content_type if known and content_type is not None else "application/octet-stream"
