"""An AWS account on moto that outlives a test: made once per process, put back before every test.

Making a table, a key, six queues and six clients costs half a second; putting the account back costs a few
milliseconds. What a test may leave behind is undone: rows, stream records, messages, objects, schedules, keys and
secrets, whatever else it created, and the handlers it registered with the shared clients.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from threading import Condition
from typing import Any

import boto3
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.model_instances import reset_model_data
from moto.dynamodb.models import dynamodb_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends
from moto.scheduler.models import scheduler_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sqs.models import sqs_backends

from shared.aws import clients

SHARED_CLIENTS = (
    clients.dynamodb,
    clients.sqs,
    clients.s3,
    clients.kms,
    clients.secretsmanager,
    clients.scheduler,
)
_SERVICES: tuple[BackendDict[Any], ...] = (
    dynamodb_backends,
    sqs_backends,
    s3_backends,
    kms_backends,
    secretsmanager_backends,
    scheduler_backends,
)


@cache
def onlookers_client(service: str) -> Any:
    """A client by which a test looks on, apart from the shared ones: what is made to fail for those leaves it alone.

    One per process, for making one takes longer than most calls; who registers something with a client makes its own.
    """
    return boto3.client(service)  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class _Registered:
    """A handler somebody registered with a shared client's events."""

    unregister: Callable[..., None]
    event: str
    handler: Any
    unique_id: str | None

    def undo(self) -> None:
        self.unregister(self.event, self.handler, self.unique_id)


class Account:
    """The account as it stood when this was made, to come back to."""

    def __init__(self) -> None:
        """Remember what is there now, and note from here on what is registered with the shared clients."""
        self._kept = {id(backend): _copied(backend.__dict__) for backend in _backends()}
        self._registered: list[_Registered] = []
        self._clients = {shared: self._noted(shared()) for shared in SHARED_CLIENTS}

    def put_back(self) -> None:
        """Undo everything since. The environment is to be a test's own again."""
        while self._registered:
            self._registered.pop().undo()
        for shared, client in self._clients.items():
            if shared() is not client:  # a test had them made anew, under settings of its own
                shared.cache_clear()
                self._clients[shared] = self._noted(shared())
        for backend in _backends():
            backend.reset()  # closes the files that objects are kept in
            if id(backend) in self._kept:
                backend.__dict__ = _copied(self._kept[id(backend)])
        reset_model_data()

    def _noted(self, client: Any) -> Any:
        """The client, whose registrations are noted from here on."""
        events = client.meta.events
        for method in ("register", "register_first", "register_last"):
            setattr(events, method, self._noting(getattr(events, method), events.unregister))
        return client

    def _noting(self, register: Callable[..., None], unregister: Callable[..., None]) -> Callable[..., None]:
        def noted(event_name: str, handler: Any, unique_id: str | None = None, **rest: Any) -> None:
            register(event_name, handler, unique_id, **rest)
            self._registered.append(_Registered(unregister, event_name, handler, unique_id))

        return noted


def _backends() -> Iterator[BaseBackend]:
    """Every region's backend of the services there are clients for."""
    for service in _SERVICES:
        for _, _, backend in list(service.iter_backends()):
            yield backend


def _copied(content: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of what a backend holds; a queue's lock cannot be copied and is made anew."""
    locks = {id(queue._messages_lock): Condition() for queue in content.get("queues", {}).values()}
    return copy.deepcopy(dict(content), locks)
