"""Calls to DynamoDB that are made as any other, up to the socket, and sent nowhere.

What botocore makes of an operation at its first call (its shapes, its events, its signer) is made with them: a tenth
of the first call that somebody waits for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

NO_TABLE: Final = "nowhere"
_NAMED = f'"TableName": "{NO_TABLE}"'.encode()
_BEFORE_SEND = "before-send.dynamodb"


@contextmanager
def kept_back(client: "DynamoDBClient") -> Iterator[None]:
    """Inside, the client answers calls for the table ``NO_TABLE`` itself, with an empty object; others are sent."""
    events: Any = client.meta.events
    events.register_first(_BEFORE_SEND, _answer)
    try:
        yield
    finally:
        events.unregister(_BEFORE_SEND, _answer)


def _answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
    """Before each attempt."""
    body = request.body
    if not isinstance(body, bytes) or _NAMED not in body:
        return None
    return AWSResponse(request.url, 200, HTTPHeaders(), _Nothing())


class _Nothing:
    """An answer's stream."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """One empty object."""
        yield b"{}"
