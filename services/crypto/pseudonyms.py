"""Pseudonyms: keyed hashes that replace identifiers in the evidence.

A pseudonym is the first 16 bytes of HMAC-SHA256 over the kind of identifier, a zero byte and the
identifier. With the key a subject's pseudonyms can be found again; once it is destroyed they cannot be
attributed to anyone.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from services.crypto.envelope import load_or_create_secret

KEY_FILE: Final = "evidence.key"
"""The name of its key file, in the key directory."""
_BYTES = 16
_BLOCK = 64
"""The block size of SHA-256."""
Kind = Literal["subject", "command", "request", "text"]


class Pseudonymizer:
    """Computes pseudonyms with one key; `key_id` identifies the key without revealing it."""

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _BLOCK else sha256(key).digest()).ljust(_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))
        self.key_id = sha256(b"termijn reference key id" + key).hexdigest()[:16]

    def pseudonym(self, kind: Kind, identifier: str) -> bytes:
        """Return the pseudonym of an identifier, 16 bytes.

        HMAC is computed as RFC 2104 defines it, with the key's part done once: each command needs two, and
        `hmac` takes more than twice as long.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{kind}\0{identifier}".encode())
        outer.update(inner.digest())
        return outer.digest()[:_BYTES]


def load_or_create_pseudonymizer(directory: Path) -> Pseudonymizer:
    """Return the pseudonymizer of a directory's key file, which is created if it does not exist.

    Raises:
        InvalidKeyFile: the file cannot be created, or cannot be used.
    """
    return Pseudonymizer(load_or_create_secret(directory / KEY_FILE))
