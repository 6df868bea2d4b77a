"""Who is asking: the operator by the stack's admin key, a merchant by one of its tokens."""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from shared.api.problems import forbidden, unauthorised
from shared.domain.ids import MerchantId
from shared.store.configuration import TokenStore
from shared.store.idempotency import OPERATOR

ADMIN_KEY_SECONDS = 5.0
TOKEN_SECONDS = 4.0
"""Below the contract's 5 s, within which a revocation holds: the request that finds it stale takes time itself."""
_REMEMBERED = 2_000
_TOKEN_PREFIX = "cbk_"  # noqa: S105 - the public prefix of every token
_BEARER = re.compile(r" *bearer +([\x21-\x7e]+) *", re.ASCII | re.IGNORECASE)
_TOKEN = re.compile(r"cbk_[A-Za-z0-9_-]{43}")


_READING = frozenset({"GET", "HEAD"})
PrincipalKind = Literal["operator", "merchant"]
PRINCIPALS: frozenset[PrincipalKind] = frozenset(get_args(PrincipalKind))
_TAKES: Mapping[PrincipalKind, str] = {
    "operator": "This address is the operator's; it takes the admin key.",
    "merchant": "This address is a merchant's; it takes a merchant token.",
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking; ``merchant_id`` is None for the operator.

    ``read_only``: it may look at everything and do nothing. ``token_hash``: of the merchant token it showed.
    """

    kind: PrincipalKind
    merchant_id: MerchantId | None = None
    read_only: bool = False
    token_hash: str | None = None

    @property
    def owner(self) -> str:
        """The name under which this principal's idempotency keys are kept apart."""
        return self.merchant_id or OPERATOR


def new_token() -> str:
    """A merchant token: 256 random bits. Shown once."""
    return token_of(secrets.token_bytes(32))


def token_of(bits: bytes) -> str:
    """The token of 256 bits that nobody can guess."""
    return _TOKEN_PREFIX + base64.urlsafe_b64encode(bits).rstrip(b"=").decode()


def token_hash(token: str) -> str:
    """What is stored of a token. A plain digest is enough: nobody guesses 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


class Authenticator:
    """Turns an Authorization header into a principal. One per process: it remembers tokens for seconds."""

    def __init__(
        self, tokens: TokenStore, fetch_admin_key: Callable[[], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``fetch_admin_key`` asks Secrets Manager; ``clock`` counts seconds."""
        self._tokens = tokens
        self._fetch_admin_key = fetch_admin_key
        self._clock = clock
        self._known: dict[str, tuple[MerchantId, float]] = {}
        self._admin: tuple[bytes, float] | None = None

    def principal(self, authorization: str | None) -> Principal:
        """Raises Problem 401 for a missing, wrong or revoked credential."""
        given = _BEARER.fullmatch(authorization or "")
        if given is None:
            raise unauthorised("Send the header Authorization: Bearer, with a merchant token or the admin key.")
        credential = given[1]
        if _TOKEN.fullmatch(credential):
            of_hash = token_hash(credential)
            merchant_id = self._merchant(of_hash)
            if merchant_id is not None:
                return Principal("merchant", merchant_id, token_hash=of_hash)
        elif self._is_admin(credential):
            return Principal("operator")
        raise unauthorised("The credential is wrong or has been revoked.")

    def merchant_of(self, token: str | None) -> MerchantId:
        """The merchant of a token that stands by itself, as other people's clients send it. Raises Problem 401."""
        merchant_id = self._merchant(token_hash(token)) if token is not None and _TOKEN.fullmatch(token) else None
        if merchant_id is None:
            raise unauthorised("The token is missing, wrong or has been revoked.")
        return merchant_id

    def forget(self, of_hash: str) -> None:
        """Forget a revoked token at once in this process; others do within seconds."""
        self._known.pop(of_hash, None)

    def _merchant(self, of_hash: str) -> MerchantId | None:
        known = self._known.get(of_hash)
        now = self._clock()
        if known is not None and now < known[1]:
            return known[0]
        self._known.pop(of_hash, None)
        merchant_id = self._tokens.merchant_of(of_hash)
        if merchant_id is not None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            # Counted from before the look-up: the row may be deleted right after it was read.
            self._known[of_hash] = (merchant_id, now + TOKEN_SECONDS)
        return merchant_id

    def _is_admin(self, credential: str) -> bool:
        now = self._clock()
        if self._admin is None or now >= self._admin[1]:
            key = self._fetch_admin_key().strip()
            self._admin = (hashlib.sha256(key.encode()).digest(), now + ADMIN_KEY_SECONDS) if key else None
        given = hashlib.sha256(credential.encode()).digest()
        return self._admin is not None and hmac.compare_digest(given, self._admin[0])


def permit(principal: Principal, allowed: Collection[PrincipalKind]) -> None:
    """Raises Problem 403 where the credential is of another kind than those ``allowed``."""
    if principal.kind not in allowed:
        raise forbidden(_TAKES["merchant" if "merchant" in allowed else "operator"])


def permit_method(principal: Principal, method: str) -> None:
    """Raises Problem 403 where who may only read asks for more than that."""
    if principal.read_only and method not in _READING:
        raise forbidden("This session may only read.")
