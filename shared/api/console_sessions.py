"""Sessions of the console as a credential, in a cookie and nowhere else.

``<merchant id>.<256 random bits>`` of a merchant's, ``operator.<256 random bits>`` of the operator's.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from shared.api.authentication import ADMIN_KEY_SECONDS, Authenticator, Principal
from shared.api.problems import unauthorised
from shared.domain.ids import MerchantId
from shared.store.configuration import TokenStore
from shared.store.console_access import ConsoleAccess

_CREDENTIAL = re.compile(r"(mer_[0-9A-HJKMNP-TV-Z]{26})\.([A-Za-z0-9_-]{43})", re.ASCII)
_OPERATOR = re.compile(r"operator\.([A-Za-z0-9_-]{43})", re.ASCII)
_BEARER = "Bearer "


class Credential(NamedTuple):
    """Whose it is, and the hash by which it is stored."""

    merchant_id: MerchantId
    secret_hash: str


def new_credential(merchant_id: MerchantId, bits: bytes) -> tuple[str, Credential]:
    """The credential of 256 bits that nobody can guess: as text, which is given away, and as it is stored."""
    secret = base64.urlsafe_b64encode(bits).rstrip(b"=")
    return f"{merchant_id}.{secret.decode()}", _stored(merchant_id, secret)


def read_credential(text: str) -> Credential | None:
    """What a credential says of itself; None for anything else."""
    found = _CREDENTIAL.fullmatch(text)
    if found is None:
        return None
    return _stored(MerchantId(found[1]), found[2].encode())


def _stored(merchant_id: MerchantId, secret: bytes) -> Credential:
    return Credential(merchant_id, hashlib.sha256(secret).hexdigest())


def new_operator_credential(bits: bytes) -> tuple[str, str]:
    """The credential of an operator's session: as text, which is given away, and the hash by which it is stored."""
    secret = base64.urlsafe_b64encode(bits).rstrip(b"=")
    return f"operator.{secret.decode()}", hashlib.sha256(secret).hexdigest()


def read_operator_credential(text: str) -> str | None:
    """The hash by which an operator's session is stored; None for anything else."""
    found = _OPERATOR.fullmatch(text)
    return None if found is None else hashlib.sha256(found[1].encode()).hexdigest()


class AdminKey:
    """The stage's admin key as sessions are bound to it: by a keyed hash, so that no row carries the key."""

    def __init__(
        self, fetch: Callable[[], str], mac: Callable[[bytes], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``fetch`` asks Secrets Manager, ``mac`` is keyed by the stage; ``clock`` counts seconds."""
        self._fetch, self._mac, self._clock = fetch, mac, clock
        self._known: tuple[str | None, float] | None = None

    def mac_of(self, key: str) -> str | None:
        """The keyed hash of a key that somebody shows; None where it is not the stage's."""
        shown = self._mac_of(key)
        return shown if self.is_current(shown) else None

    def is_current(self, mac: str) -> bool:
        """Whether this is the hash of the key that holds now, as of some seconds ago. Compared in constant time."""
        now = self._clock()
        if self._known is None or now >= self._known[1]:
            key = self._fetch().strip()
            self._known = (self._mac_of(key) if key else None, now + ADMIN_KEY_SECONDS)
        current = self._known[0]
        return current is not None and hmac.compare_digest(current.encode(), mac.encode())

    def _mac_of(self, key: str) -> str:
        return self._mac(b"operator-session\n" + key.encode(errors="replace"))


class SessionAuthenticator(Authenticator):
    """Takes a session where the API takes a token; the API itself takes none.

    Nothing is remembered between requests: what was ended is over at once.
    """

    def __init__(
        self, tokens: TokenStore, access: ConsoleAccess, admin_key: AdminKey, now: Callable[[], datetime]
    ) -> None:
        """``now`` is the clock."""
        super().__init__(tokens, str)
        self._admin_key = admin_key
        self._access = access
        self._now = now

    def principal(self, authorization: str | None) -> Principal:
        """Raises Problem 401 for a session that is over, or never was."""
        shown = (authorization or "").removeprefix(_BEARER)
        operators = read_operator_credential(shown)
        if operators is not None:
            begun_with = self._access.operator_session(operators, self._now())
            if begun_with is None or not self._admin_key.is_current(begun_with):
                raise unauthorised("The session is over.")
            return Principal("operator")
        credential = read_credential(shown)
        found = credential and self._access.session(*credential, self._now())
        if not found:
            raise unauthorised("The session is over.")
        return Principal("merchant", found.merchant_id, found.capability == "read", found.token_hash)
