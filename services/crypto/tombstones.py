"""Tombstones: what the ledger keeps of a subject after the purge, encrypted under the subject's name.

A lookup key is a keyed hash of the name. A tombstone is encrypted with a key derived from the key file and
the name itself: the ledger and its key file together reveal neither whose it is nor what it contains.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from services.crypto.envelope import AeadCipher, load_or_create_secret

KEY_FILE: Final = "remains.key"
"""The name of its key file, in the key directory."""
_BYTES = 16
Kind = Literal["event", "content", "subject", "clock"]


class TombstoneCipher:
    """Encrypts and finds tombstones with one key; `key_id` identifies the key without revealing it."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.key_id = sha256(b"termijn remains key id" + key).hexdigest()[:16]

    def lookup_key(self, kind: Kind, name: str) -> bytes:
        """Return the lookup key of a name, 16 bytes."""
        return self._derive("refers", kind, name)[:_BYTES]

    def encrypt(self, kind: Kind, name: str, text: str) -> bytes:
        """Encrypt the tombstone of a name."""
        return AeadCipher(self._derive("opens", kind, name)).encrypt_bytes(text.encode(), kind)

    def decrypt(self, kind: Kind, name: str, sealed: bytes) -> str:
        """Return the decrypted tombstone of a name.

        Raises:
            DecryptionFailed: it is of another name, or was altered.
        """
        return (
            AeadCipher(self._derive("opens", kind, name))
            .decrypt_bytes(sealed, kind, self.key_id)
            .decode()
        )

    def _derive(self, use: str, kind: Kind, name: str) -> bytes:
        return hmac.digest(self._key, f"{use}\0{kind}\0{name}".encode(), "sha256")


def load_or_create_tombstone_cipher(directory: Path) -> TombstoneCipher:
    """Return the tombstone cipher of a directory's key file, which is created if it does not exist.

    Raises:
        InvalidKeyFile: the file cannot be created, or cannot be used.
    """
    return TombstoneCipher(load_or_create_secret(directory / KEY_FILE))
