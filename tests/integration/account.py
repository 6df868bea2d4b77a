"""An AWS account on moto that outlives a test: made once per process, put back before every test.

Making a table, a key, six queues and six clients costs half a second; putting the account back costs a few
milliseconds. What a test may leave behind is undone: rows, stream records, messages, objects, schedules, keys and
secrets, whatever else it created, and the handlers it registered with the shared clients.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from threading import Condition
from typing import Any

import boto3
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from moto.core.base_backend import BackendDict, BaseBackend
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
        self._kept = {id(backend): _written(backend.__dict__) for backend in _backends()}
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
                backend.__dict__ = self._kept[id(backend)].copied()

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


def _written(content: Mapping[str, Any]) -> "_Written":
    """What a backend holds, to be made anew any number of times: a deep copy takes ten times as long."""
    text, shared = BytesIO(), list[Any]()
    _Writer(text, shared).dump(dict(content))
    return _Written(text.getvalue(), shared)


@dataclass(frozen=True, slots=True)
class _Written:
    text: bytes
    shared: list[Any]

    def copied(self) -> dict[str, Any]:
        """As it was written."""
        copy: dict[str, Any] = _Reader(BytesIO(self.text), self.shared).load()
        return copy


class _Writer(pickle.Pickler):
    """A queue's lock cannot be copied and is made anew; a private key does not change and stays the one it is."""

    def __init__(self, text: BytesIO, shared: list[Any]) -> None:
        super().__init__(text)
        self._shared = shared

    def persistent_id(self, obj: Any) -> int | None:
        """What stands for it: 0 for a lock, else its place among what is shared, from 1."""
        if type(obj) is Condition:
            return 0
        if not isinstance(obj, RSAPrivateKey):
            return None
        self._shared.append(obj)
        return len(self._shared)


class _Reader(pickle.Unpickler):
    """Reads what was written here."""

    def __init__(self, text: BytesIO, shared: list[Any]) -> None:
        super().__init__(text)
        self._shared = shared

    def persistent_load(self, pid: Any) -> Any:
        """A lock of its own, for a queue has but one; or what is shared."""
        return self._shared[pid - 1] if pid else Condition()
