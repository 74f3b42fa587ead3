"""Tokens and sealed originals, made of one secret: who has it not can neither make the one nor open the other."""

import base64
import hmac
import secrets
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from functions.ports.personal import PersonalDataError

LEAST_BYTES: Final = 32
_TOKEN_BYTES = 10  # 16 characters of base32
_ID_BYTES = 4
_NONCE_BYTES = 12


class Key:
    """What one secret makes: tokens with one key that is derived from it, seals with another. It prints as its id.

    Args:
        secret: At least 32 bytes that nobody can guess.

    Raises:
        PersonalDataError: It is shorter.
    """

    __slots__ = ("_seal", "_tokens", "id")

    def __init__(self, secret: bytes) -> None:
        if len(secret) < LEAST_BYTES:
            raise PersonalDataError(
                f"the key of personal data has {len(secret)} bytes, at least {LEAST_BYTES} are needed: make one with "
                "`openssl rand -hex 32`"
            )
        self._tokens = _derived(secret, b"token", 32)
        self._seal = AESGCM(_derived(secret, b"seal", 32))
        self.id = _derived(secret, b"id", _ID_BYTES)

    def __repr__(self) -> str:
        return f"<key {self.id.hex()}>"

    def token(self, tenant: str, kind: str, value: str) -> str:
        """The same for the same value of the same tenant, and only for that."""
        parts = (part.encode("utf-8", "surrogatepass") for part in (tenant, kind, value))
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        mac = hmac.digest(self._tokens, message, sha256)[:_TOKEN_BYTES]
        return f"[{kind}-{base64.b32encode(mac).decode().lower()}]"

    def sealed(self, original: str, *, tenant: str, token: str) -> bytes:
        """The original, encrypted: id of the key, nonce, ciphertext. It opens only under this tenant and token."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        data = original.encode("utf-8", "surrogatepass")
        return self.id + nonce + self._seal.encrypt(nonce, data, _bound(tenant, token))

    def opened(self, sealed: bytes, *, tenant: str, token: str) -> str | None:
        """The original; None where another key, another tenant or another token sealed it, or it was changed."""
        key, nonce, data = sealed[:_ID_BYTES], sealed[_ID_BYTES:][:_NONCE_BYTES], sealed[_ID_BYTES + _NONCE_BYTES :]
        if key != self.id:
            return None
        try:
            return self._seal.decrypt(nonce, data, _bound(tenant, token)).decode("utf-8", "surrogatepass")
        except (InvalidTag, ValueError):
            return None


def _derived(secret: bytes, label: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=b"troupe personal data: " + label).derive(secret)


def _bound(tenant: str, token: str) -> bytes:
    return f"{tenant}\0{token}".encode("utf-8", "surrogatepass")
