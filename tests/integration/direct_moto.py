"""A call to DynamoDB, SQS, KMS or Secrets Manager goes to moto's own operation straight from the client.

As an HTTP request and back it costs ten times as much: signing it, making a WSGI request of it, finding the service by
the host, serialising the answer and parsing it again, and none of it is what the tests are about. Whatever a handler of
``before-call`` or ``after-call`` sees stays the same; where a test stands in the way of sending itself
(``before-send``), where an answer is an error, and wherever moto's answer is not made of plain values, the long way is
gone, or its second half. S3 and Scheduler are asked by ``direct_requests.py``.

A call that nobody else listens to does not become a request at all: what botocore would refuse it refuses, and moto
gets a copy of what was given, as the request would have brought it.
"""

import json
import marshal
from base64 import b64decode, b64encode
from contextlib import nullcontext
from copy import deepcopy
from functools import cache, wraps
from threading import Lock
from types import SimpleNamespace
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
from moto.kms.responses import KmsResponse
from moto.secretsmanager.responses import SecretsManagerResponse
from moto.sqs.responses import SQSResponse
from werkzeug.exceptions import HTTPException

from tests.integration import direct_requests, request_checks

_OF_ROWS = frozenset(("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")) | frozenset(
    ("BatchGetItem", "BatchWriteItem", "TransactWriteItems")
)
_DIRECT = {
    "dynamodb": (DynamoHandler, _OF_ROWS | {"DescribeTable", "UpdateTable", "DescribeTimeToLive"}),
    "sqs": (SQSResponse, {"SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes"}),
    "kms": (KmsResponse, {"Encrypt", "Decrypt", "GenerateDataKey"}),
    "secrets-manager": (SecretsManagerResponse, {"GetSecretValue"}),
}
"""By the service's name in events: moto's operations, and which of them."""
_IN_EVENTS = {name.replace("-", ""): name for name in _DIRECT}
"""The same names, by those of botocore's models."""
_one_at_a_time = {DynamoHandler: Lock()}
"""DynamoDB takes the writes of a row one after the other; moto's dictionaries are not made for threads."""
_OK = {"RequestId": "", "HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0}


_method_of = cache(camelcase_to_underscores)


_NONE: tuple[Any, frozenset[str]] = (None, frozenset())


def install() -> None:
    """Go the short way from now on, for the life of the process."""
    make: Any = BaseClient._make_request  # type: ignore[attr-defined]
    if getattr(make, "direct", False):
        return

    def made(self: Any, operation: Any, request: dict[str, Any], context: Any) -> Any:
        service = self.meta.service_model.service_id.hyphenize()
        handler, operations = _DIRECT.get(service, _NONE)
        if operation.name in direct_requests.DIRECT.get(service, ()) and _is_moto_next(self, service, operation.name):
            return direct_requests.answered(self, operation, request, context)
        if operation.name not in operations or b"BinaryValue" in request["body"]:
            return make(self, operation, request, context)
        if not _is_moto_next(self, service, operation.name):
            return make(self, operation, request, context)
        return _answered(handler(), self, operation, request)

    made.direct = True  # type: ignore[attr-defined]
    _call_without_a_request()
    BaseClient._make_request = made  # type: ignore[attr-defined]
    BaseClient._resolve_endpoint_ruleset = _resolved_once(  # type: ignore[attr-defined]
        BaseClient._resolve_endpoint_ruleset  # type: ignore[attr-defined]
    )


def _call_without_a_request() -> None:
    """Beneath whoever writes down calls (``tests.permissions.recording``), which hands on to ``call``."""
    base: Any = BaseClient
    recorded = base._make_api_call
    call = getattr(recorded, "call", recorded)

    def called(self: Any, name: str, given: dict[str, Any]) -> Any:
        service = _IN_EVENTS.get(self._service_model.service_name)
        if service is None or not _nobody_listens(self, service, name):
            return call(self, name, given)
        operation = self._service_model.operation_model(name)
        if not request_checks.is_sound(given, service, operation.input_shape):
            return call(self, name, given)
        handler = _DIRECT[service][0]()
        try:
            if service == "dynamodb":
                params, headers = marshal.loads(marshal.dumps(given)), {"X-Amz-Target": f".{name}"}  # noqa: S302 - ours
            else:
                handler.body, headers = _text(given, service), _headers(self._service_model, name)
                params = json.loads(handler.body)
        except (TypeError, ValueError):
            return call(self, name, given)
        http, answer = _done(handler, self, operation, params, headers)
        if http.status_code >= 300:
            error = answer.get("Error", {})
            raise self.exceptions.from_code(error.get("QueryErrorCode") or error.get("Code"))(answer, name)
        return answer

    if recorded is call:
        base._make_api_call = called
    else:
        recorded.call = called


def _text(given: dict[str, Any], service: str) -> str:
    """A request's body; raises TypeError for bytes where moto would have them otherwise than in base64."""
    return json.dumps(given, default=None if service == "sqs" else lambda held: b64encode(held).decode())


@cache
def _headers(model: Any, operation: str) -> dict[str, str]:
    """What moto finds an operation by, and how its answer is written."""
    found = {
        "X-Amz-Target": f"{model.metadata['targetPrefix']}.{operation}",
        "Content-Type": f"application/x-amz-json-{model.metadata['jsonVersion']}",
    }
    return found | {"x-amzn-query-mode": "true"} if model.is_query_compatible else found


_SILENT = {"shared.aws.whole_answers"}
_HEARD = ("provide-client-params", "before-parameter-build", "before-call", "after-call")


def _nobody_listens(client: Any, service: str, operation: str) -> bool:
    """Whether but botocore, our clients and moto nobody hears of a call, which goes the direct way.

    Kept where the client keeps whom it found, until the next one registers.
    """
    emitter = client.meta.events._emitter
    known = emitter._lookup_cache
    key = f"{__name__}.{operation}"
    stubber = known.get(key)
    if stubber is None:
        found = (
            listener.__module__
            for event in _HEARD
            for listener in emitter._handlers.prefix_search(f"{event}.{service}.{operation}")
        )
        alone = all(own in _SILENT or (own.startswith("botocore.") and own != "botocore.stub") for own in found)
        is_direct = alone and operation in _DIRECT[service][1] and _is_moto_next(client, service, operation)
        sending = emitter._handlers.prefix_search(f"before-send.{service}.{operation}")
        stubber = known[key] = sending[0] if is_direct else _NOBODY
    return bool(stubber.enabled)


_NOBODY = SimpleNamespace(enabled=False)


def _resolved_once(resolve: Any) -> Any:
    """Where an operation's requests go, and how they are signed: worked out once per client.

    The rules would have it otherwise for a table that is named by its ARN, or an account's own endpoint: what the
    code has not.
    """
    signing = ("auth_type", "signing")

    @wraps(resolve)
    def resolved(self: Any, operation: Any, params: Any, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        known = self.__dict__.setdefault("_known_endpoints", {})
        found = known.get(operation.name)
        if found is None or args or kwargs:
            answer = resolve(self, operation, params, context, *args, **kwargs)
            if operation.name not in _DIRECT.get(self.meta.service_model.service_id.hyphenize(), _NONE)[1]:
                return answer
            found = known[operation.name] = (answer, {name: context[name] for name in signing if name in context})
        (url, headers, properties), signed = found
        context.update(deepcopy(signed))
        return url, dict(headers), deepcopy(properties)

    return resolved


def _is_moto_next(client: Any, service: str, operation: str) -> bool:
    """Whether nothing but moto waits for the request; what goes to a host of a test's own it leaves alone."""
    if not client.meta.endpoint_url.endswith(".amazonaws.com"):
        return False
    waiting = client.meta.events._emitter._handlers.prefix_search(f"before-send.{service}.{operation}")
    return len(waiting) == 1 and isinstance(waiting[0], BotocoreStubber) and waiting[0].enabled


def _answered(handler: Any, client: Any, operation: Any, request: dict[str, Any]) -> Any:
    handler.body = request["body"].decode()
    return _done(handler, client, operation, _read(request["body"]), request["headers"])


def _done(handler: Any, client: Any, operation: Any, params: Any, headers: Any) -> Any:
    handler.params = params
    if isinstance(handler, DynamoHandler):
        handler.body = handler.params
    handler.region, handler.current_account = client.meta.region_name, DEFAULT_ACCOUNT_ID
    handler.headers = headers
    handler.response_headers, handler.querystring, handler.uri_match = {}, {}, {}
    try:
        with _one_at_a_time.get(type(handler), nullcontext()):
            result = getattr(handler, _method_of(operation.name))()
            plain = _plain(result, operation.output_shape) if operation.name in _OF_ROWS else None
    except ServiceException as refused:
        return _parsed(client, operation, handler.serialized(ActionResult(refused)))
    except HTTPException as refused:
        return _parsed(client, operation, (refused.code, dict(refused.get_headers()), refused.description))
    if plain is not None:
        return AWSResponse("", 200, HTTPHeaders(), None), plain | {"ResponseMetadata": dict(_OK)}
    return _parsed(client, operation, (200, {}, result) if isinstance(result, str) else handler.serialized(result))


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
    """The answer as it would come out of its JSON: a copy of what the operation has; None for what is not plain.

    Only of rows: what tells of a table has times in it, which are times only after they were parsed.
    """
    if not isinstance(result.result, dict):
        return None
    answer = {name: held for name, held in result.result.items() if held is not None and name in shape.members}
    try:
        copied: dict[str, Any] = marshal.loads(marshal.dumps(answer))  # noqa: S302 - what was written a moment ago
    except ValueError:
        return None
    return copied
