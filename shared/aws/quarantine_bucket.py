"""Raw bytes that must not be lost: quarantined bodies and poison stream records."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_CONTENT_TYPE = re.compile(r"[!-~][ -~]{0,199}")


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
            Key=f"quarantine/{key}",
            Body=body,
            ContentType=_plain_type(content_type),
        )

    def body(self, key: str) -> bytes:
        """The exact bytes kept under ``key``."""
        return self._client.get_object(Bucket=self._name, Key=f"quarantine/{key}")["Body"].read()

    def delete_body(self, key: str) -> None:
        """Drop a body."""
        self._client.delete_object(Bucket=self._name, Key=f"quarantine/{key}")

    def keep_poison(self, key: str, record: bytes) -> str:
        """Keep a stream record that cannot be processed, whole; returns where."""
        path = f"poison/{key}"
        self._client.put_object(Bucket=self._name, Key=path, Body=record, ContentType="application/json")
        return path


def _plain_type(content_type: str | None) -> str:
    """The sender's content type where it is one: it travels as a header of ours."""
    known = content_type is not None and _CONTENT_TYPE.fullmatch(content_type) is not None
    return content_type if known and content_type is not None else "application/octet-stream"
