"""Seals merchants' credentials with the stage's data key, each bound to its owner.

What KMS itself sealed, as all was once, is read until it is sealed anew.
"""

import json
import logging
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shared.aws.data_keys import DataKeys
from shared.aws.faults import AWS_ERRORS, code_of
from shared.aws.sealing import seal, unseal, version_of
from shared.domain.instants import from_ms, to_ms
from shared.domain.merchant import (
    Endpoint,
    EndpointCredentials,
    OlderToken,
    SigningSecret,
    Source,
    SourceCredentials,
)

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient

LARGEST = 4096
"""Bytes of credentials in all: what KMS once encrypted directly, and the API promises."""

_logger = logging.getLogger(__name__)


class CredentialsTooLarge(ValueError):
    """The credentials are larger than they may be (4,096 bytes in all)."""


class CredentialCipher:
    """Seals and opens credentials.

    What opens raises SealBroken, DataKeyMissing and errors of AWS; all are in ``faults.AWS_ERRORS``.
    """

    def __init__(self, data_keys: DataKeys, client: "KMSClient", key_id: str) -> None:
        """``key_id`` is the stage's key for credentials, which opens what it sealed itself."""
        self._data_keys = data_keys
        self._client = client
        self._key_id = key_id
        # KMS is asked once per process for what it sealed itself.
        self._opened = lru_cache(maxsize=512)(self._open)

    def seal_source(self, source_id: str, merchant_id: str, credentials: SourceCredentials) -> bytes:
        """The ciphertext of a source's credentials. Raises CredentialsTooLarge."""
        plain = {
            "secrets": list(credentials.secrets),
            "public_key": credentials.public_key,
            "api": dict(credentials.api),
            "url_token": credentials.url_token,
            "older_tokens": [[own.token, to_ms(own.expires_at)] for own in credentials.older_tokens],
        }
        return self._seal(plain, merchant_id, source_id)

    def source(self, source: Source) -> SourceCredentials:
        """A source's credentials in the clear."""
        if source.sealed is None:
            return SourceCredentials()
        plain = self._opened(source.sealed, source.merchant_id, source.id)
        older = tuple(OlderToken(token, from_ms(end)) for token, end in plain.get("older_tokens", ()))
        return SourceCredentials(
            tuple(plain["secrets"]), plain["public_key"], dict(plain["api"]), plain.get("url_token"), older
        )

    def seal_endpoint(self, endpoint_id: str, merchant_id: str, credentials: EndpointCredentials) -> bytes:
        """The ciphertext of an endpoint's credentials. Raises CredentialsTooLarge."""
        plain = {
            "signing": [
                [own.secret, None if own.expires_at is None else to_ms(own.expires_at)] for own in credentials.signing
            ],
            "bearer_token": credentials.bearer_token,
            "headers": dict(credentials.headers),
            "settings": dict(credentials.settings),
        }
        return self._seal(plain, merchant_id, endpoint_id)

    def endpoint(self, endpoint: Endpoint) -> EndpointCredentials:
        """An endpoint's credentials in the clear."""
        if endpoint.sealed is None:
            return EndpointCredentials()
        plain = self._opened(endpoint.sealed, endpoint.merchant_id, endpoint.id)
        signing = tuple(SigningSecret(own, None if end is None else from_ms(end)) for own, end in plain["signing"])
        return EndpointCredentials(
            signing, plain["bearer_token"], dict(plain["headers"]), dict(plain.get("settings", {}))
        )

    def seal_answer(self, answer: str, merchant_id: str, key: str) -> bytes:
        """The ciphertext of an API answer that shows a secret, for the Idempotency-Key that may ask again."""
        return self._seal({"answer": answer}, merchant_id, key)

    def answer(self, sealed: bytes, merchant_id: str, key: str) -> str:
        """The answer behind ``seal_answer``."""
        return str(self._open(sealed, merchant_id, key)["answer"])

    def resealed[Owner: (Source, Endpoint)](self, owner: Owner, newest: int) -> Owner:
        """The same with its credentials sealed anew, unless it is with the ``newest`` version of the data key."""
        if owner.sealed is None or (version_of(owner.sealed) or 0) >= newest:
            return owner
        plain = self._open(owner.sealed, owner.merchant_id, owner.id)
        return replace(owner, sealed=self._seal(plain, owner.merchant_id, owner.id))

    def renewed[Owner: (Source, Endpoint)](self, owner: Owner) -> Owner:
        """``resealed``, for whoever writes it anyway for another reason: where that fails now, it stays as it is."""
        try:
            return self.resealed(owner, self._data_keys.newest_version())
        except AWS_ERRORS as error:
            _logger.warning("%s is not sealed anew for now: %s", owner.id, code_of(error))
            return owner

    def _seal(self, plain: dict[str, Any], merchant_id: str, owner: str) -> bytes:
        text = json.dumps(plain, separators=(",", ":")).encode()
        if len(text) > LARGEST:
            raise CredentialsTooLarge(f"credentials take {len(text)} bytes, at most {LARGEST} fit")
        # Read each time: what is sealed after a rotation began is sealed with its version, in every process.
        version = self._data_keys.newest_version()
        return seal(text, version, self._data_keys.opened(version), merchant_id, owner)

    def _open(self, sealed: bytes, merchant_id: str, owner: str) -> dict[str, Any]:
        version = version_of(sealed)
        if version is None:
            text = self._opened_by_kms(sealed, merchant_id, owner)
        else:
            text = unseal(sealed, self._data_keys.opened(version), merchant_id, owner)
        plain: dict[str, Any] = json.loads(text)
        return plain

    def _opened_by_kms(self, sealed: bytes, merchant_id: str, owner: str) -> bytes:
        context = {"merchant": merchant_id, "owner": owner}
        answer = self._client.decrypt(CiphertextBlob=sealed, KeyId=self._key_id, EncryptionContext=context)
        return bytes(answer["Plaintext"])
