"""References: keyed hashes in the place of what could identify somebody.

HMAC-SHA256, its first 16 bytes, over the kind of thing, a zero byte and the thing. Who has the key finds a
subject's references again; once it is destroyed nobody can tell whose they were.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from services.crypto.envelope import load_or_create_secret

KEY_FILE: Final = "evidence.key"
"""Its name, among the keys that sign and verify."""
_BYTES = 16
Kind = Literal["subject", "command", "request", "text"]


class Pseudonymizer:
    """Makes references with one key; `key_id` tells which, and gives nothing of it away."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.key_id = sha256(b"termijn reference key id" + key).hexdigest()[:16]

    def pseudonym(self, kind: Kind, identifier: str) -> bytes:
        """The reference of a thing."""
        return hmac.digest(self._key, f"{kind}\0{identifier}".encode(), "sha256")[:_BYTES]


def load_or_create_pseudonymizer(directory: Path) -> Pseudonymizer:
    """The references of the key file in a directory, which is made where there is none.

    Raises:
        InvalidKeyFile: it cannot be made, or what is there cannot be used.
    """
    return Pseudonymizer(load_or_create_secret(directory / KEY_FILE))
