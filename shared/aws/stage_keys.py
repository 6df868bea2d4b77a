"""The stage's own keys, generated at deploy time into one secret: identity hashes and recovery codes grow from them."""

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from shared.domain.identity import IdentityHasher
from shared.domain.recovery_link import LinkPurpose, RecoveryCodes

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient


class StageKeys:
    """Keys of one stage. The secret is a JSON object: ``version`` (1-255) and ``key``, and older keys by version.

    Identity hashes always use the oldest key: they must stay equal over time. Recovery codes sign with the newest.
    """

    def __init__(self, secret: str) -> None:
        """Read the secret's text. Raises ValueError when it is not of the form."""
        plain = json.loads(secret)
        keys = {int(plain["version"]): str(plain["key"])}
        keys |= {int(version): str(key) for version, key in plain.get("older", {}).items()}
        if not all(0 < version < 256 and len(key) >= 32 for version, key in keys.items()):
            raise ValueError("the stage's keys need versions 1-255 and 32 characters or more")
        self._keys = keys

    @classmethod
    def fetch(cls, client: "SecretsManagerClient", secret_arn: str) -> "StageKeys":
        """Fetch the secret; once per process."""
        return cls(client.get_secret_value(SecretId=secret_arn)["SecretString"])

    def identity_hasher(self) -> IdentityHasher:
        """Hashes shoppers' identifiers."""
        return IdentityHasher(self._derived(min(self._keys), "identity"))

    def request_mac(self, text: bytes) -> str:
        """A keyed hash of a request or of its Idempotency-Key; the oldest key too: it must stay equal for a day."""
        return hmac.new(self._derived(min(self._keys), "request"), text, hashlib.sha256).hexdigest()

    def cursor_mac(self, text: bytes) -> str:
        """A keyed hash of a cursor's place; a cursor given out under an older key is refused."""
        return hmac.new(self._derived(max(self._keys), "cursor"), text, hashlib.sha256).hexdigest()

    def front_keys(self) -> tuple[str, ...]:
        """What the stage's front shows the functions: made of the newest key, and what it showed under older ones."""
        return tuple(self._derived(version, "front").hex() for version in sorted(self._keys, reverse=True))

    def recovery_codes(self) -> RecoveryCodes:
        """Makes and reads the codes of ``/r``."""
        return self._codes(LinkPurpose.RECOVERY)

    def unsubscribe_codes(self) -> RecoveryCodes:
        """Makes and reads the codes of ``/u``."""
        return self._codes(LinkPurpose.UNSUBSCRIBE)

    def _codes(self, purpose: LinkPurpose) -> RecoveryCodes:
        return RecoveryCodes({version: self._derived(version, purpose.value) for version in self._keys})

    def _derived(self, version: int, purpose: str) -> bytes:
        return hmac.new(self._keys[version].encode(), purpose.encode(), hashlib.sha256).digest()
