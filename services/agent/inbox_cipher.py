"""Encrypts what an inbox holds about people, and proves that the inbox belongs to this system."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from schemas.errors import TermijnError
from services.agent import tables
from services.crypto.envelope import AeadCipher

_SECRET_BYTES = 32


class InboxOwnerMismatch(TermijnError):
    """The inbox belongs to another system, or its key is gone; the agent has not started.

    The operator configures the inbox and the key file that belong together.
    """

    def __init__(self, system: str, problem: str) -> None:
        super().__init__(
            f"inbox: must be that of {system} with its key, got another: {problem};"
            " configure the inbox and the key file that belong together"
        )
        self.system = system


@dataclass(slots=True, kw_only=True)
class InboxCipher:
    """The key of an inbox and, once it is opened, the secret that is stored in it."""

    system: str
    cipher: AeadCipher
    _secret: bytes = field(default=b"", init=False, repr=False)

    def open(self, connection: Connection) -> None:
        """Read the inbox's secret, or create it in an inbox that has no owner yet.

        Raises:
            InboxOwnerMismatch: the inbox is another system's, or was encrypted with another key.
        """
        owner = connection.execute(select(tables.owner)).one_or_none()
        if owner is None:
            self._secret = os.urandom(_SECRET_BYTES)
            row = {
                "system": self.system,
                "key_id": self.cipher.key_id,
                "secret": self.cipher.encrypt_bytes(self._secret, self.system),
            }
            connection.execute(tables.owner.insert(), [row])
            return
        if owner.system != self.system:
            raise InboxOwnerMismatch(self.system, f"it belongs to {owner.system}")
        if owner.key_id != self.cipher.key_id:
            raise InboxOwnerMismatch(self.system, f"it was encrypted with the key {owner.key_id}")
        self._secret = self.cipher.decrypt_bytes(owner.secret, self.system, owner.key_id)

    def keyed_hash(self, purpose: str, data: bytes) -> str:
        """Return a hash for one purpose, in hexadecimal, that only this inbox can compute."""
        return hmac.digest(self._secret, purpose.encode() + b"\0" + data, "sha256").hex()

    def encrypt(self, content: bytes, command_id: str) -> bytes:
        """Encrypt what is stored of a command."""
        return self.cipher.encrypt_bytes(content, command_id)

    def decrypt(self, encrypted: bytes, command_id: str) -> bytes:
        """Return what was encrypted for this command."""
        return self.cipher.decrypt_bytes(encrypted, command_id, self.cipher.key_id)
