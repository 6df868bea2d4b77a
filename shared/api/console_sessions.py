"""Sessions of the console as a credential: ``<merchant id>.<256 random bits>``, in a cookie and nowhere else."""

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from shared.api.authentication import Authenticator, Principal
from shared.api.problems import unauthorised
from shared.domain.ids import MerchantId
from shared.store.configuration import TokenStore
from shared.store.console_access import ConsoleAccess

_CREDENTIAL = re.compile(r"(mer_[0-9A-HJKMNP-TV-Z]{26})\.([A-Za-z0-9_-]{43})", re.ASCII)
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


class SessionAuthenticator(Authenticator):
    """Takes a session where the API takes a token; the API itself takes none.

    Nothing is remembered between requests: what was ended is over at once.
    """

    def __init__(self, tokens: TokenStore, access: ConsoleAccess, now: Callable[[], datetime]) -> None:
        """``now`` is the clock."""
        super().__init__(tokens, str)
        self._access = access
        self._now = now

    def principal(self, authorization: str | None) -> Principal:
        """Raises Problem 401 for a session that is over, or never was."""
        credential = read_credential((authorization or "").removeprefix(_BEARER))
        found = credential and self._access.session(*credential, self._now())
        if not found:
            raise unauthorised("The session is over.")
        return Principal("merchant", found.merchant_id, found.capability == "read", found.token_hash)
