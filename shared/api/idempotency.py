"""Idempotency-Key: the first answer to a POST is given again for a day, the request is done once.

Answers may show a secret, so they are kept encrypted under the stage's key. One that does not fit into a KMS call
even when compressed (4 KB) is kept without its body: the repeat gets status, Location and the id.

Answers that hold contact data are not kept at all: an erasure could not reach into them. What becomes of a repeat
instead, each operation says for itself (``Repeat``). Keys and requests are known only by keyed hashes, for the same
reason: a merchant's key, and a body like ``{"phone": "..."}``, could be tried out behind a plain hash.
"""

import base64
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any

from shared.api.problems import Problem, conflict, invalid_parameter
from shared.aws.credential_cipher import CredentialCipher, CredentialsTooLarge
from shared.domain.ids import MerchantId
from shared.store.idempotency import IdempotencyStore

CLAIM_SECONDS = 60
"""A claim is given up after this time: its process has died (the function ends after 29 s)."""
KEPT_SECONDS = 86_400
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_REPLAYED = "Idempotency-Replayed"
_KEPT_HEADERS = frozenset({"content-type", "etag", "location", "cache-control"})


class Repeat(Enum):
    """What an operation does when its request comes again under the same Idempotency-Key."""

    ANSWERED = auto()
    """The first answer is given again: it holds no contact data, and the work must not be done twice."""
    NAMED = auto()
    """Status, Location and the id are: the answer holds contact data, and the work must not be done twice."""
    DONE_AGAIN = auto()
    """The work is done again and answered anew: the answer holds contact data, or is soon untrue."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with a text body. ``about``: the merchant that an operator's request was about."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    repeat: Repeat = Repeat.ANSWERED
    about: MerchantId | None = None


class Idempotency:
    """Runs requests that carry an Idempotency-Key at most once a day each."""

    def __init__(
        self,
        store: IdempotencyStore,
        cipher: CredentialCipher,
        mac: Callable[[bytes], str],
        now: Callable[[], datetime],
    ) -> None:
        """``mac`` makes keyed hashes, ``now`` is the clock."""
        self._store = store
        self._cipher = cipher
        self._mac = mac
        self._now = now

    def fingerprint(self, method: str, path: str, query: str, body: bytes) -> str:
        """Tells requests apart: the same key with another request is a mistake."""
        return self._mac(f"{method}\n{path}\n{query}\n".encode() + body)

    def once(self, owner: str, key: str, request: str, run: Callable[[], Answer]) -> Answer:
        """The answer of ``run``, or what its ``Repeat`` says where the same request came before under this key.

        Raises Problem 409 for another request under the key, or while the first one still runs.
        """
        if not _KEY.fullmatch(key):
            raise invalid_parameter("Idempotency-Key", "1 to 255 printable ASCII characters without spaces")
        key_mac = self._mac(f"{owner}\n{key}".encode())
        met = self._store.claim(owner, key_mac, request, self._now(), CLAIM_SECONDS)
        if met is not None:
            return self._again(met, owner, key_mac, request, run)
        answer = run()
        if answer.status < 400:
            sealed = None if answer.repeat is Repeat.DONE_AGAIN else self._sealed(answer, owner, key_mac)
            self._store.answered(owner, key_mac, sealed, self._now(), KEPT_SECONDS, answer.about)
        elif answer.status != 500:
            # A refused request had no effect and may be repeated under its key. After a 500 that is not sure:
            # the claim stays until it expires.
            self._store.release(owner, key_mac)
        return answer

    def _again(
        self, met: Mapping[str, Any], owner: str, key_mac: str, request: str, run: Callable[[], Answer]
    ) -> Answer:
        if met.get("fingerprint") != request:
            raise conflict("This Idempotency-Key was used for another request.")
        if "again" in met:
            return run()
        if "answer" not in met:
            problem: Problem = conflict("The first request with this Idempotency-Key is still running.")
            problem.headers = {"Retry-After": "2"}
            raise problem
        text = zlib.decompress(base64.b64decode(self._cipher.answer(met["answer"], owner, key_mac)))
        status, body, headers = json.loads(text)
        return Answer(status, body, {**headers, _REPLAYED: "true"})

    def _sealed(self, answer: Answer, owner: str, key_mac: str) -> bytes:
        if answer.repeat is Repeat.ANSWERED:
            try:
                return self._cipher.seal_answer(_packed(answer, answer.body), owner, key_mac)
            except CredentialsTooLarge:
                pass
        known = json.loads(answer.body)
        brief = json.dumps({"id": known["id"]} if "id" in known else {})
        return self._cipher.seal_answer(_packed(answer, brief), owner, key_mac)


def _packed(answer: Answer, body: str) -> str:
    headers = {name: value for name, value in answer.headers.items() if name.lower() in _KEPT_HEADERS}
    return base64.b64encode(zlib.compress(json.dumps([answer.status, body, headers]).encode(), 9)).decode()
