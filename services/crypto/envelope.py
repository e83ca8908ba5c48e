"""Sealing: what is parked is personal data, and lies encrypted wherever it lies (AES-256-GCM)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import TermijnError
from services.crypto.base64_text import decode_base64, encode_base64
from services.storage.files import write_whole_file

_KEY_BYTES = 32
_NONCE_BYTES = 12
_OTHERS_MASK = 0o007


class InvalidKeyFile(TermijnError):
    """The key file is missing, unreadable, or holds no key; nothing was sealed or opened.

    The operator puts the right file back; without it what it sealed cannot be opened.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class DecryptionFailed(TermijnError):
    """Something sealed does not open: it was sealed with another key, or altered."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"sealed with the key {key_id}, or altered since: it does not open")
        self.key_id = key_id


class DecryptionKeyMissing(DecryptionFailed):
    """Something was sealed with a key that this machine does not have; nothing of it was opened.

    The operator puts the file with that key back; what was sealed with it waits meanwhile.
    """

    def __init__(self, what: str, key_id: str, mend: str) -> None:
        TermijnError.__init__(self, f"{what}: sealed with the key {key_id}, not here; {mend}")
        self.key_id = key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalMessage:
    """A message as it came."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    arrived: datetime | None = None
    """When it did, UTC; where that decides something."""


class AeadCipher:
    """Seals and opens with one key; `key_id` tells which, and gives nothing of it away."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.key_id = sha256(b"termijn key id" + key).hexdigest()[:16]

    def encrypt(self, message: OriginalMessage, context: str) -> bytes:
        """Seal a message; it opens only as what stood at `place` (topic, partition and offset)."""
        content = {
            "key": encode_base64(message.key),
            "value": encode_base64(message.value),
            "headers": [[name, encode_base64(value)] for name, value in message.headers],
            "arrived": message.arrived.isoformat() if message.arrived else None,
        }
        return self.encrypt_bytes(json.dumps(content).encode(), context)

    def decrypt(self, sealed: bytes, context: str, key_id: str) -> OriginalMessage:
        """The message that was sealed.

        Raises:
            DecryptionFailed: this is not the key, or not the place, or the bytes were altered.
        """
        try:
            content = json.loads(self.decrypt_bytes(sealed, context, key_id))
        except ValueError as cause:
            raise DecryptionFailed(key_id) from cause
        arrived = content.get("arrived")  # what was sealed before it was noted has none
        return OriginalMessage(
            key=decode_base64(content["key"]),
            value=decode_base64(content["value"]),
            headers=[(name, decode_base64(value)) for name, value in content["headers"]],
            arrived=datetime.fromisoformat(arrived) if arrived else None,
        )

    def encrypt_bytes(self, secret: bytes, context: str) -> bytes:
        """Seal bytes; they open only as what belongs at `place`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, context.encode())

    def decrypt_bytes(self, sealed: bytes, context: str, key_id: str) -> bytes:
        """The bytes that were sealed. Raises as `open` does."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, context.encode())
        except (InvalidTag, ValueError) as cause:
            raise DecryptionFailed(key_id) from cause


def read_key(path: Path) -> AeadCipher:
    """The seal of a key file.

    Raises:
        InvalidKeyFile: there is none, it holds no key, or everybody on this machine may use it.
    """
    return AeadCipher(_read_secret(path))


def load_or_create_key(path: Path) -> AeadCipher:
    """The seal of a key file, which is made, for its owner only, where there is none.

    Raises:
        InvalidKeyFile: it cannot be made, or what is there cannot be used.
    """
    return AeadCipher(load_or_create_secret(path))


def load_or_create_secret(path: Path) -> bytes:
    """The 32 bytes of a key file, which is made, for its owner only, where there is none.

    It is there whole or not at all; of several processes that make it at once, all use the first one's.

    Raises:
        InvalidKeyFile: it cannot be made, or what is there cannot be used.
    """
    try:
        if not path.exists():
            key = encode_base64(os.urandom(_KEY_BYTES))
            write_whole_file(path, key, private=True, exclusive=True)
    except OSError as cause:
        raise InvalidKeyFile(path, f"cannot be made: {cause}") from cause
    return _read_secret(path)


def _read_secret(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        key = base64.b64decode(path.read_text("ascii").strip(), validate=True)
    except (OSError, ValueError) as cause:
        raise InvalidKeyFile(path, f"cannot be read: {cause}") from cause
    if len(key) != _KEY_BYTES:
        raise InvalidKeyFile(path, f"holds no key of {_KEY_BYTES} bytes in base64")
    if mode & _OTHERS_MASK:
        raise InvalidKeyFile(path, "is open to everybody on this machine; give it mode 0600")
    return key
