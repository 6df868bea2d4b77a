"""A call to S3 or Scheduler is handed to moto as the request it is, without what is only done on its way there.

What these services are asked stands in a request's path, query and headers, so moto gets a request, by the same
handler that stands before sending; botocore reads the answer. Signing it is left out, trying it again, and telling
those who hear of a request that is made or of what came back: where somebody else waits to send it, all is done.
"""

from typing import Any

from botocore.awsrequest import create_request_object

_NOBODYS_SIGNATURE = "AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request"
"""As much as moto reads of one: whose, and for which region."""
_CHUNKED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
DIRECT = {
    "s3": {"GetObject", "HeadObject", "PutObject", "DeleteObject", "DeleteObjects", "ListObjectsV2"},
    "scheduler": {"GetSchedule", "CreateSchedule", "UpdateSchedule", "DeleteSchedule", "ListSchedules"},
}
"""By the service's name in events: which of its operations."""


def answered(client: Any, operation: Any, request: dict[str, Any], context: dict[str, Any]) -> Any:
    """What moto answers, read by the client's own endpoint; raises what that raises."""
    endpoint = client._endpoint
    made = create_request_object(request)
    made.stream_output = operation.has_streaming_output
    prepared = made.prepare()
    headers = prepared.headers
    headers["Authorization"] = _NOBODYS_SIGNATURE.format(
        key=client._request_signer._credentials.access_key,
        region=client.meta.region_name,
        service=client.meta.service_model.signing_name,
    )
    if "X-Amz-Trailer" in headers:
        headers["X-Amz-Content-SHA256"] = _CHUNKED
    success, failed = endpoint._do_get_response(prepared, operation, context)
    if failed is not None:
        raise failed
    success[1]["ResponseMetadata"]["RetryAttempts"] = 0
    return success
