"""Seals merchants' credentials with the stage's KMS key, each bound to its owner by the encryption context."""

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shared.domain.instants import from_ms, to_ms
from shared.domain.merchant import (
    Endpoint,
    EndpointCredentials,
    SigningSecret,
    Source,
    SourceCredentials,
)

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient

LARGEST = 4096
"""Bytes KMS encrypts directly."""


class CredentialsTooLarge(ValueError):
    """The credentials do not fit into one KMS call (4,096 bytes in all)."""


class CredentialCipher:
    """Encrypts and decrypts credentials. A ciphertext is decrypted once per process."""

    def __init__(self, client: "KMSClient", key_id: str) -> None:
        """``key_id`` is the stage's key for credentials."""
        self._client = client
        self._key_id = key_id
        self._opened = lru_cache(maxsize=512)(self._open)

    def seal_source(self, source_id: str, merchant_id: str, credentials: SourceCredentials) -> bytes:
        """The ciphertext of a source's credentials. Raises CredentialsTooLarge."""
        plain = {
            "secrets": list(credentials.secrets),
            "public_key": credentials.public_key,
            "api": dict(credentials.api),
            "url_token": credentials.url_token,
        }
        return self._seal(plain, merchant_id, source_id)

    def source(self, source: Source) -> SourceCredentials:
        """A source's credentials in the clear."""
        if source.sealed is None:
            return SourceCredentials()
        plain = self._opened(source.sealed, source.merchant_id, source.id)
        return SourceCredentials(
            tuple(plain["secrets"]), plain["public_key"], dict(plain["api"]), plain.get("url_token")
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

    def _seal(self, plain: dict[str, Any], merchant_id: str, owner: str) -> bytes:
        text = json.dumps(plain, separators=(",", ":")).encode()
        if len(text) > LARGEST:
            raise CredentialsTooLarge(f"credentials take {len(text)} bytes, at most {LARGEST} fit")
        context = {"merchant": merchant_id, "owner": owner}
        sealed = self._client.encrypt(KeyId=self._key_id, Plaintext=text, EncryptionContext=context)
        return bytes(sealed["CiphertextBlob"])

    def _open(self, sealed: bytes, merchant_id: str, owner: str) -> dict[str, Any]:
        context = {"merchant": merchant_id, "owner": owner}
        opened = self._client.decrypt(CiphertextBlob=sealed, KeyId=self._key_id, EncryptionContext=context)
        plain: dict[str, Any] = json.loads(opened["Plaintext"])
        return plain
