"""The stage's data key: its versions lie in the table, wrapped by KMS, and are unwrapped once per process.

So KMS is asked once per process and version, and not once for each source and endpoint.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Final

from shared.store.data_keys import DataKeyStore, WrappedKey

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient

PURPOSE: Final = "data-key"
"""What the encryption context says; the functions' rights are bound to it."""
MISS_KEPT_FOR = 60.0
"""Seconds for which a version that is not there is not looked for again."""

_logger = logging.getLogger(__name__)


OPENED_AHEAD = 16
"""Versions among which the newest is looked for ahead of any need; rotated yearly, that is long enough."""


class DataKeyMissing(Exception):
    """The table does not hold the version of the data key that something is sealed with.

    A restored table may have lost it; the stage must be mended, so this counts as temporary.
    """


class DataKeys:
    """Opened versions of the data key. Safe to share between threads: who asks meanwhile waits for the one call."""

    def __init__(
        self,
        client: "KMSClient",
        key_id: str,
        stage: str,
        store: DataKeyStore,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``key_id`` is the stage's key for credentials, ``clock`` measures how long a miss is remembered."""
        self._client, self._key_id, self._stage = client, key_id, stage
        self._store = store
        self._now = now
        self._clock = clock
        self._opened: dict[int, bytes] = {}
        self._opening: dict[int, Future[bytes]] = {}
        self._missed: dict[int, float] = {}
        self._lock = Lock()

    def opened(self, version: int) -> bytes:
        """The 32 bytes of a version. Raises DataKeyMissing, and whatever table and KMS raise."""
        known = self._opened.get(version)
        return self._open_once(version) if known is None else known

    def open_ahead(self) -> None:
        """Open what most of the stage is sealed with before it is needed: the newest of the first versions.

        Nothing where nothing was sealed yet. By key, for whoever may not query the table.
        """
        for newest in self._store.among(range(1, OPENED_AHEAD + 1))[-1:]:
            if newest.version not in self._opened:
                self._opened[newest.version] = self._unwrapped(newest)

    def newest_version(self) -> int:
        """The version that is sealed with from now on; the first one is made at first need."""
        newest = self._store.newest()
        if newest is not None:
            return newest.version
        self._make(1)
        return 1

    def rotate(self) -> int:
        """Make the next version, or find the one whose rotation is not through: what all is to be sealed with."""
        newest = self._store.newest()
        if newest is not None and newest.resealing:
            return newest.version
        version = 1 if newest is None else newest.version + 1
        self._make(version, resealing=True)
        return version

    def rotated(self, version: int) -> None:
        """The rotation to this version is through: the next one makes a new version."""
        self._store.resealed(version)

    def _make(self, version: int, *, resealing: bool = False) -> None:
        """Write a new key under the version, where another process does not come first: then that one's stands."""
        made = self._client.generate_data_key(
            KeyId=self._key_id, KeySpec="AES_256", EncryptionContext=self._context(version)
        )
        if self._store.add(WrappedKey(version, bytes(made["CiphertextBlob"]), self._now(), resealing)):
            self._opened[version] = bytes(made["Plaintext"])
        self._missed.pop(version, None)

    def _open_once(self, version: int) -> bytes:
        with self._lock:
            opening = self._opening.get(version)
            mine = opening is None
            if opening is None:
                opening = self._opening[version] = Future[bytes]()
        if mine:
            try:
                self._opened[version] = self._fetched(version)
                opening.set_result(self._opened[version])
            except BaseException as error:
                opening.set_exception(error)
                raise
            finally:
                with self._lock:
                    del self._opening[version]
        return opening.result()

    def _fetched(self, version: int) -> bytes:
        known = self._opened.get(version)  # another thread may have been through a moment ago
        if known is not None:
            return known
        if self._clock() < self._missed.get(version, float("-inf")):
            raise DataKeyMissing(version)
        stored = self._store.get(version)
        if stored is None:
            self._missed[version] = self._clock() + MISS_KEPT_FOR
            _logger.error("version %d of the data key is not in the table: what it seals cannot be opened", version)
            raise DataKeyMissing(version)
        return self._unwrapped(stored)

    def _unwrapped(self, stored: WrappedKey) -> bytes:
        answer = self._client.decrypt(
            CiphertextBlob=stored.wrapped, KeyId=self._key_id, EncryptionContext=self._context(stored.version)
        )
        return bytes(answer["Plaintext"])

    def _context(self, version: int) -> dict[str, str]:
        return {"purpose": PURPOSE, "stage": self._stage, "version": str(version)}
