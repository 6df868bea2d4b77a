"""Idempotency-Key: the first answer to a POST is given again for a day, the request is done once.

Answers may show a secret, so they are kept sealed with the stage's data key. One that is over the cipher's limit
even when compressed (4 KB) is kept without its body: the repeat gets status, Location and the id.

What a request makes has ids (and a token its bits) that follow from the key: one whose end nobody saw, and that is made
again, makes the same and not another.

Answers that hold contact data are not kept at all: an erasure could not reach into them. What becomes of a repeat
instead, each operation says for itself (``Repeat``). Keys and requests are known only by keyed hashes, for the same
reason: a merchant's key, and a body like ``{"phone": "..."}``, could be tried out behind a plain hash.
"""

import base64
import json
import re
import secrets
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any

from shared.api.authentication import new_token, token_of
from shared.api.problems import Problem, conflict, invalid_parameter
from shared.aws.credential_cipher import CredentialCipher, CredentialsTooLarge
from shared.domain.ids import MerchantId, derived_ulid, new_ulid
from shared.store.idempotency import IdempotencyStore

CLAIM_SECONDS = 60
"""After this time a claim may be taken over: its process has died (the function ends after 29 s)."""
KEPT_SECONDS = 86_400
KEY_PATTERN = r"[\x21-\x7e]{1,255}"
_KEY = re.compile(KEY_PATTERN)
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


class Making:
    """Names for what a request makes: random ones, or under a key the same each time the request is made."""

    def __init__(self, at: datetime, derive: Callable[[bytes], str] | None = None) -> None:
        """``at`` is the instant in the ids; ``derive`` a keyed hash of the request."""
        self._at, self._derive, self._made = at, derive, 0

    def ulid(self) -> str:
        """The next id's 26 characters."""
        part = self._next()
        return new_ulid(self._at) if part is None else derived_ulid(self._at, part)

    def token(self) -> str:
        """The next merchant token, as hard to guess as the stage's key."""
        part = self._next()
        return new_token() if part is None else token_of(bytes.fromhex(part))

    def bits(self) -> bytes:
        """The next 256 bits that nobody can guess."""
        part = self._next()
        return secrets.token_bytes(32) if part is None else bytes.fromhex(part)

    def _next(self) -> str | None:
        self._made += 1
        return None if self._derive is None else self._derive(str(self._made).encode())


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

    def once(self, owner: str, key: str, request: str, run: Callable[[Making], Answer]) -> Answer:
        """The answer of ``run``, or what its ``Repeat`` says where the same request came before under this key.

        Raises Problem 409 for another request under the key, or while the first one still runs.
        """
        if not _KEY.fullmatch(key):
            raise invalid_parameter("Idempotency-Key", "1 to 255 printable ASCII characters without spaces")
        key_mac = self._mac(f"{owner}\n{key}".encode())
        known = self._store.claim(owner, key_mac, request, self._now(), CLAIM_SECONDS, KEPT_SECONDS)

        def made() -> Answer:
            first = f"{key_mac}\n{request}\n{known.since.isoformat()}\n".encode()
            return run(Making(known.since, lambda part: self._mac(first + part)))

        if not known.mine:
            return self._again(known.row, owner, key_mac, request, made)
        answer = made()
        if answer.status < 400:
            sealed = None if answer.repeat is Repeat.DONE_AGAIN else self._sealed(answer, owner, key_mac)
            self._store.answered(owner, key_mac, sealed, self._now(), KEPT_SECONDS, answer.about)
        elif answer.status < 500:
            self._store.release(owner, key_mac)  # refused without an effect
        elif answer.status == 503:
            self._store.give_up(owner, key_mac)
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
