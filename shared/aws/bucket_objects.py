"""Objects of a bucket by prefix: listed, and deleted by the thousand."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MOST = 1_000
"""Objects that one call lists or deletes."""


class BucketUnavailable(Exception):
    """Objects could not be deleted: a temporary failure of ours."""


def listed(client: "S3Client", bucket: str, prefix: str, limit: int = MOST, after: str = "", **more: Any) -> list[Any]:
    """The entries of ``ListObjectsV2``, by key, those after one; fewer than ``limit`` end the list."""
    answer = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=limit, StartAfter=after, **more)
    return list(answer.get("Contents", []))


def delete_under(client: "S3Client", bucket: str, prefix: str) -> bool:
    """Delete up to 1,000 objects; whether there may be more. Raises BucketUnavailable."""
    keys = [own["Key"] for own in listed(client, bucket, prefix)]
    if keys:
        doomed: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = client.delete_objects(Bucket=bucket, Delete=doomed)
        if answer.get("Errors"):
            raise BucketUnavailable(f"{len(answer['Errors'])} objects stay")
    return bool(keys)
