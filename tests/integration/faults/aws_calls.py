"""Counts a process's calls to AWS and spoils exactly one of them, in every way in which AWS may.

A call is what the code makes of its SDK client: botocore's own retries are behind it and spent. So a spoilt call is
worse than one lost packet, and each of them must end well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

_THROTTLED = {
    "dynamodb": "ProvisionedThroughputExceededException",
    "sqs": "ThrottlingException",
    "kms": "ThrottlingException",
    "secretsmanager": "ThrottlingException",
    "s3": "SlowDown",
    "scheduler": "ThrottlingException",
}


class WorkerKilled(BaseException):
    """The process is gone: nothing after this runs, not even an ``except Exception``."""


class Kind(StrEnum):
    """How a call goes wrong."""

    THROTTLED = "throttled"
    """Refused; nothing happened."""
    UNREACHABLE = "unreachable"
    """No connection; nothing happened."""
    UNSEEN = "succeeds unseen"
    """It took effect, and its answer never came."""
    PARTIAL = "partly done"
    """A batch of which AWS took a part, and says so; calls that are no batch are throttled."""
    KILLED_BEFORE = "worker killed before"
    KILLED_AFTER = "worker killed after"

    @property
    def kills(self) -> bool:
        """Whether the process dies."""
        return self in {Kind.KILLED_BEFORE, Kind.KILLED_AFTER}


@dataclass(frozen=True)
class Fault:
    """The ``at``-th call (from 0) goes wrong in this way."""

    at: int
    kind: Kind


class AwsCalls:
    """The calls made while ``watched``; one of them may be spoilt."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.fired: str | None = None
        self._fault: Fault | None = None
        self._watching = False
        self._counting = Lock()

    @contextmanager
    def watched(self, fault: Fault | None = None) -> Iterator[None]:
        """Count, and let ``fault`` happen."""
        self.names, self.fired, self._fault, self._watching = [], None, fault, True
        try:
            yield
        finally:
            self._watching = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand between the code and every client."""
        make = BaseClient._make_api_call  # type: ignore[attr-defined]  # the one place all calls pass

        def call(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            if not self._watching:
                return make(client, operation, arguments)
            service = client.meta.service_model.service_name
            with self._counting:
                number = len(self.names)
                self.names.append(f"{service}.{operation}")
            if self._fault is None or self._fault.at != number:
                return make(client, operation, arguments)
            self.fired = self.names[-1]
            return _spoilt(
                self._fault.kind, service, operation, lambda given: make(client, operation, given), arguments
            )

        monkeypatch.setattr(BaseClient, "_make_api_call", call)


def _spoilt(kind: Kind, service: str, operation: str, make: Any, arguments: dict[str, Any]) -> Any:
    match kind:
        case Kind.UNREACHABLE:
            raise EndpointConnectionError(endpoint_url=f"https://{service}")
        case Kind.UNSEEN:
            make(arguments)
            raise ReadTimeoutError(endpoint_url=f"https://{service}")
        case Kind.KILLED_BEFORE:
            raise WorkerKilled
        case Kind.KILLED_AFTER:
            make(arguments)
            raise WorkerKilled
        case Kind.PARTIAL if operation in {"BatchGetItem", "BatchWriteItem"}:
            return _left_undone(operation, make, arguments)
        case Kind.PARTIAL if operation == "SendMessageBatch":
            return _partly_sent(make, arguments)
        case _:
            code = _THROTTLED[service]
            error: Any = {"Error": {"Code": code, "Message": "slow down"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(error, operation)


def _left_undone(operation: str, make: Any, arguments: dict[str, Any]) -> Any:
    """Half of the keys or writes, the rest given back."""
    (name, wanted) = next(iter(arguments["RequestItems"].items()))
    if operation == "BatchGetItem":
        half = len(wanted["Keys"]) // 2
        answer = (
            make({**arguments, "RequestItems": {name: {**wanted, "Keys": wanted["Keys"][:half]}}}) if half else None
        )
        left = {name: {**wanted, "Keys": wanted["Keys"][half:]}}
        return {"Responses": (answer or {}).get("Responses", {name: []}), "UnprocessedKeys": left}
    half = len(wanted) // 2
    if half:
        make({"RequestItems": {name: wanted[:half]}})
    return {"UnprocessedItems": {name: wanted[half:]}}


def _partly_sent(make: Any, arguments: dict[str, Any]) -> Any:
    """All but the last entry are taken."""
    *taken, refused = arguments["Entries"]
    answer: dict[str, Any] = make({**arguments, "Entries": taken}) if taken else {"Successful": []}
    failed = {"Id": refused["Id"], "SenderFault": False, "Code": "InternalError", "Message": "try again"}
    return {"Successful": answer.get("Successful", []), "Failed": [failed]}
