"""A DynamoDB call goes to moto's own operation straight from the client, not as an HTTP request and back.

Signing a request, making a WSGI request of it, finding the service by the host, serialising the answer and parsing
it again is half of what a call costs, and none of it is what the tests are about. Whatever a handler of ``before-call``
or ``after-call`` sees stays the same; where a test stands in the way of sending itself (``before-send``), where an
answer is an error, and wherever moto's answer is not made of plain values, the long way is gone, or its second half.
"""

import json
import marshal
from base64 import b64decode
from functools import cache
from threading import Lock
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.exceptions import ServiceException
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.dynamodb.responses import DynamoHandler
from werkzeug.exceptions import HTTPException

_OF_ROWS = frozenset(("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")) | frozenset(
    ("BatchGetItem", "BatchWriteItem", "TransactWriteItems")
)
_OF_TABLES = frozenset(("DescribeTable", "UpdateTable", "DescribeTimeToLive"))
"""What tells of a table has times in it, which only the answer's JSON has as they are told."""
_DIRECT = _OF_ROWS | _OF_TABLES
_one_at_a_time = Lock()
"""DynamoDB takes the writes of a row one after the other; moto's dictionaries are not made for threads."""
_OK = {"RequestId": "", "HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0}


_method_of = cache(camelcase_to_underscores)


def install() -> None:
    """Go the short way from now on, for the life of the process."""
    make: Any = BaseClient._make_request  # type: ignore[attr-defined]
    if getattr(make, "direct", False):
        return

    def made(self: Any, operation: Any, request: dict[str, Any], context: Any) -> Any:
        if operation.name not in _DIRECT or self.meta.service_model.service_name != "dynamodb":
            return make(self, operation, request, context)
        if not _is_moto_next(self, operation.name):
            return make(self, operation, request, context)
        return _answered(self, operation, request)

    made.direct = True  # type: ignore[attr-defined]
    BaseClient._make_request = made  # type: ignore[attr-defined]


def _is_moto_next(client: Any, operation: str) -> bool:
    """Whether nothing but moto waits for the request; what goes to a host of a test's own it leaves alone."""
    if not client.meta.endpoint_url.endswith(".amazonaws.com"):
        return False
    waiting = client.meta.events._emitter._handlers.prefix_search(f"before-send.dynamodb.{operation}")
    return len(waiting) == 1 and isinstance(waiting[0], BotocoreStubber) and waiting[0].enabled


def _answered(client: Any, operation: Any, request: dict[str, Any]) -> Any:
    handler: Any = DynamoHandler()
    handler.params = handler.body = _read(request["body"])
    handler.region, handler.current_account = client.meta.region_name, DEFAULT_ACCOUNT_ID
    handler.headers = request["headers"]
    handler.response_headers, handler.querystring = {}, {}
    try:
        with _one_at_a_time:
            result = getattr(handler, _method_of(operation.name))()
            plain = None if operation.name in _OF_TABLES else _plain(result, operation.output_shape)
    except ServiceException as refused:
        return _parsed(client, operation, handler.serialized(ActionResult(refused)))
    except HTTPException as refused:
        return _parsed(client, operation, (refused.code, dict(refused.get_headers()), refused.description))
    if plain is None:
        return _parsed(client, operation, handler.serialized(result))
    return AWSResponse("", 200, HTTPHeaders(), None), plain | {"ResponseMetadata": dict(_OK)}


def _read(body: bytes) -> Any:
    """A request's parameters as moto has them: bytes where the wire has them in base64."""
    return json.loads(body, object_hook=_decoded if b'"B":' in body or b'"BS":' in body else None)


def _decoded(read: dict[str, Any]) -> dict[str, Any]:
    """An attribute of bytes; what has an attribute of the name ``B`` has a structure under it."""
    if type(read.get("B")) is str:
        return {"B": b64decode(read["B"])}
    if type(read.get("BS")) is list:
        return {"BS": [b64decode(own) for own in read["BS"]]}
    return read


def _parsed(client: Any, operation: Any, answer: Any) -> Any:
    """An HTTP answer as the client reads it."""
    status, headers, body = answer
    told = {"status_code": status, "headers": headers, "body": body.encode() if isinstance(body, str) else body}
    read = client._response_parser.parse(told, operation.output_shape)
    if status >= 300:
        client._endpoint._add_modeled_error_fields(told, read, operation, client._response_parser)
    return AWSResponse("", status, HTTPHeaders(), None), read


def _plain(result: ActionResult, shape: Any) -> dict[str, Any] | None:
    """The answer as it would come out of its JSON: a copy of what the operation has; None for what is not plain."""
    if not isinstance(result.result, dict):
        return None
    answer = {name: held for name, held in result.result.items() if held is not None and name in shape.members}
    try:
        copied: dict[str, Any] = marshal.loads(marshal.dumps(answer))  # noqa: S302 - what was written a moment ago
    except ValueError:
        return None
    return copied
