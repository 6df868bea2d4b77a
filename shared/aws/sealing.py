"""How something is sealed with a version of the data key: AES-256-GCM, bound to whose it is.

A sealed text is ``MAGIC``, the key's version (4 bytes, big-endian), a random nonce (12 bytes), ciphertext and tag (16).
What does not begin with ``MAGIC`` was sealed by KMS itself, as everything once was.
"""

import secrets
from typing import Final

MAGIC: Final = b"\xc5\xcb\x0e\x01"
"""No ciphertext of KMS begins so; its last byte is the format's number."""
_VERSION_BYTES = 4
_NONCE_BYTES = 12
_HEAD = len(MAGIC) + _VERSION_BYTES
_SHORTEST = _HEAD + _NONCE_BYTES + 16


class SealBroken(Exception):
    """It was not sealed so, for this owner, with this key: changed, cut, or somebody else's. Never temporary."""


def seal(text: bytes, version: int, key: bytes, merchant_id: str, owner: str) -> bytes:
    """Seal ``text`` with the 32 bytes of ``key``, which is this version of the data key."""
    # Loaded at need: not every process that can open something does.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head = MAGIC + version.to_bytes(_VERSION_BYTES)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return head + nonce + AESGCM(key).encrypt(nonce, text, _bound_to(head, merchant_id, owner))


def version_of(sealed: bytes) -> int | None:
    """The version of the data key that opens it; None where only KMS itself does. Raises SealBroken."""
    if not sealed.startswith(MAGIC):
        return None
    if len(sealed) < _SHORTEST:
        raise SealBroken
    return int.from_bytes(sealed[len(MAGIC) : _HEAD])


def unseal(sealed: bytes, key: bytes, merchant_id: str, owner: str) -> bytes:
    """What ``seal`` was given. Raises SealBroken."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head, nonce, rest = sealed[:_HEAD], sealed[_HEAD : _HEAD + _NONCE_BYTES], sealed[_HEAD + _NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, rest, _bound_to(head, merchant_id, owner))
    except InvalidTag:
        raise SealBroken from None


def _bound_to(head: bytes, merchant_id: str, owner: str) -> bytes:
    """Format, key version, merchant and owner, each with its length before it: no two are written alike."""
    parts = (head, merchant_id.encode(), owner.encode())
    return b"".join(len(part).to_bytes(4) + part for part in parts)
