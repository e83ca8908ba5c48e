"""Remains: what stays of whom the ledger has forgotten, for whoever brings the name again and nobody else.

A reference is a keyed hash of the name. What is sealed opens with a key made from that key and the name
itself: the ledger and its key file together do not say whose it is, nor what it says.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from services.crypto.envelope import AeadCipher, load_or_create_secret

KEY_FILE: Final = "remains.key"
"""Its name, among the keys that sign and verify."""
_BYTES = 16
Kind = Literal["event", "content", "subject", "clock"]


class TombstoneCipher:
    """Refers, seals and opens with one key; `key_id` tells which, and gives nothing of it away."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.key_id = sha256(b"termijn remains key id" + key).hexdigest()[:16]

    def lookup_key(self, kind: Kind, name: str) -> bytes:
        """The reference of a name, 16 bytes."""
        return self._derive("refers", kind, name)[:_BYTES]

    def encrypt(self, kind: Kind, name: str, text: str) -> bytes:
        """Seal what remains of a name."""
        return AeadCipher(self._derive("opens", kind, name)).encrypt_bytes(text.encode(), kind)

    def decrypt(self, kind: Kind, name: str, sealed: bytes) -> str:
        """What remains of a name.

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
    """The remains of the key file in a directory, which is made where there is none.

    Raises:
        InvalidKeyFile: it cannot be made, or what is there cannot be used.
    """
    return TombstoneCipher(load_or_create_secret(directory / KEY_FILE))
