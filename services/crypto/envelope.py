"""Envelope: encryption of stored messages, which contain personal data, by AES-256-GCM."""

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

from schemas.errors import PlacedError, TermijnError
from services.crypto.base64_text import decode_base64, encode_base64
from services.storage.files import is_open_to_all, write_whole_file

_KEY_BYTES = 32
_NONCE_BYTES = 12


class InvalidKeyFile(PlacedError):
    """The key file is missing, unreadable, or holds no key; nothing was encrypted or decrypted.

    The operator restores the right file; without it nothing that it encrypted can be decrypted.
    """


class DecryptionFailed(TermijnError):
    """A ciphertext cannot be decrypted: it was encrypted with another key, or altered."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"cannot be decrypted: it was encrypted with another key than {key_id}, or altered"
        )
        self.key_id = key_id


class DecryptionKeyMissing(DecryptionFailed):
    """A ciphertext was made with a key that this machine does not have; nothing of it was decrypted.

    The operator restores the file with that key; what was encrypted with it waits meanwhile.
    """

    def __init__(self, subject: str, key_id: str, remedy: str) -> None:
        TermijnError.__init__(
            self, f"{subject}: encrypted with the key {key_id}, which is not here; {remedy}"
        )
        self.key_id = key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalMessage:
    """A message as it was received from Kafka."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    arrived: datetime | None = None
    """When it arrived, UTC; None if nothing depends on that."""


class AeadCipher:
    """Encrypts and decrypts with one key; `key_id` identifies the key without revealing it."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.key_id = sha256(b"termijn key id" + key).hexdigest()[:16]

    def encrypt(self, message: OriginalMessage, context: str) -> bytes:
        """Encrypt a message, bound to its `context` (topic, partition and offset)."""
        content = {
            "key": encode_base64(message.key),
            "value": encode_base64(message.value),
            "headers": [[name, encode_base64(value)] for name, value in message.headers],
            "arrived": message.arrived.isoformat() if message.arrived else None,
        }
        return self.encrypt_bytes(json.dumps(content).encode(), context)

    def decrypt(self, sealed: bytes, context: str, key_id: str) -> OriginalMessage:
        """Return the message of a ciphertext.

        Raises:
            DecryptionFailed: the key or the context is another, or the bytes were altered.
        """
        try:
            content = json.loads(self.decrypt_bytes(sealed, context, key_id))
        except ValueError as cause:
            raise DecryptionFailed(key_id) from cause
        arrived = content.get("arrived")  # old ciphertexts have none
        return OriginalMessage(
            key=decode_base64(content["key"]),
            value=decode_base64(content["value"]),
            headers=[(name, decode_base64(value)) for name, value in content["headers"]],
            arrived=datetime.fromisoformat(arrived) if arrived else None,
        )

    def encrypt_bytes(self, secret: bytes, context: str) -> bytes:
        """Encrypt bytes, bound to a context; the nonce comes first."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, context.encode())

    def decrypt_bytes(self, sealed: bytes, context: str, key_id: str) -> bytes:
        """Return the bytes of a ciphertext. Raises `DecryptionFailed` as `decrypt` does."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, context.encode())
        except (InvalidTag, ValueError) as cause:
            raise DecryptionFailed(key_id) from cause


def read_key(path: Path) -> AeadCipher:
    """Return the cipher of a key file.

    Raises:
        InvalidKeyFile: the file is missing, holds no key, or other users of this machine may read it.
    """
    return AeadCipher(_read_secret(path))


def load_or_create_key(path: Path) -> AeadCipher:
    """Return the cipher of a key file, which is created with mode 0600 if it does not exist.

    Raises:
        InvalidKeyFile: the file cannot be created, or cannot be used.
    """
    return AeadCipher(load_or_create_secret(path))


def load_or_create_secret(path: Path) -> bytes:
    """Return the 32 bytes of a key file, which is created with mode 0600 if it does not exist.

    It is written whole or not at all; processes that create it at once all use the first one's key.

    Raises:
        InvalidKeyFile: the file cannot be created, or cannot be used.
    """
    try:
        if not path.exists():
            key = encode_base64(os.urandom(_KEY_BYTES))
            write_whole_file(path, key, private=True, exclusive=True)
    except UnicodeEncodeError as cause:
        raise InvalidKeyFile(path, "cannot be created: its name is not UTF-8") from cause
    except OSError as cause:
        raise InvalidKeyFile(path, f"cannot be created: {cause}") from cause
    return _read_secret(path)


def _read_secret(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        key = base64.b64decode(path.read_text("ascii").strip(), validate=True)
    except (OSError, ValueError) as cause:
        raise InvalidKeyFile(path, f"cannot be read: {cause}") from cause
    if len(key) != _KEY_BYTES:
        raise InvalidKeyFile(
            path, f"is not a key of {_KEY_BYTES} bytes in base64; restore the right file"
        )
    if is_open_to_all(mode):
        raise InvalidKeyFile(
            path, "can be accessed by every user of this machine; give it mode 0600"
        )
    return key
