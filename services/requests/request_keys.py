"""Key pairs of requests: disclosures and corrections are encrypted to the key of their request.

The private key is stored encrypted in the ledger. Destroying it erases what was encrypted to it for good,
also in topics and backups. Earlier versions encrypted it with the key of dead letters, which still decrypts
those and encrypts no new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, delete, func, select, update

from schemas.errors import TermijnError
from services.crypto import jwe
from services.crypto.envelope import AeadCipher, DecryptionKeyMissing, InvalidKeyFile
from services.ledger import tables
from services.policy.ids import request_id
from services.storage.bulk import insert_or_ignore, select_in

REMEDY: Final = (
    "put that file back as TERMIJN_REQUEST_KEY_FILE,"
    " or as TERMIJN_KEY_FILE if it encrypts dead letters too"
)
"""What an operator does when a request's key was encrypted with a key that this host does not have."""


class KeyDestroyed(TermijnError):
    """The request's key is destroyed: the collected data was delivered and erased, or never came.

    Ask the person to make the request again.
    """

    def __init__(self, request: str) -> None:
        super().__init__(
            f"request {request}: its key is destroyed, nothing that was collected for it can be decrypted"
        )
        self.request = request


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKeys:
    """The key pairs of requests, stored in the ledger."""

    cipher: AeadCipher
    former_cipher: Callable[[], AeadCipher]
    """Returns the former cipher of these keys; called only for keys that it encrypted: few hosts have it.

    Raises `InvalidKeyFile` where this host does not have it.
    """

    def public(
        self, connection: Connection, requests: Iterable[tuple[str, str]], now: datetime
    ) -> Mapping[UUID, str | None]:
        """Return the public key of each (subject, request), creating missing ones; None once destroyed."""
        subject_by_id = {request_id(subject, name): subject for subject, name in requests}
        public_keys = self._read(connection, subject_by_id)
        new_rows = []
        for identity, subject in sorted(subject_by_id.items()):
            if identity in public_keys:
                continue
            key = jwe.new_key()
            new_rows.append(
                {
                    "request_id": identity,
                    "subject": subject,
                    "public": jwe.to_public(key),
                    "key_id": self.cipher.key_id,
                    "sealed": self.cipher.encrypt_bytes(key.encode(), str(identity)),
                    "made_at": now,
                }
            )
        insert_or_ignore(connection, tables.request_key, new_rows)
        # Another process may have been first: the stored key counts.
        return self._read(connection, subject_by_id) if new_rows else public_keys

    def private(self, connection: Connection, subject: str, request: str) -> str | None:
        """Return the private key of a request, or None where none was ever needed.

        Raises:
            KeyDestroyed: the key was destroyed.
            DecryptionKeyMissing: this host does not have the key that encrypted it.
            DecryptionFailed: the stored key was altered.
        """
        identity = request_id(subject, request)
        column = tables.request_key.c
        query = select(column.sealed, column.key_id).where(column.request_id == identity)
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if row.sealed is None:
            raise KeyDestroyed(request)
        return (
            self._cipher_for(row.key_id)
            .decrypt_bytes(row.sealed, str(identity), row.key_id)
            .decode()
        )

    def _cipher_for(self, key_id: str) -> AeadCipher:
        if key_id == self.cipher.key_id:
            return self.cipher
        with suppress(InvalidKeyFile):
            former = self.former_cipher()
            if former.key_id == key_id:
                return former
        raise DecryptionKeyMissing("the key of a request", key_id, REMEDY)

    def _read(
        self, connection: Connection, subject_by_id: Mapping[UUID, str]
    ) -> dict[UUID, str | None]:
        column = tables.request_key.c
        query = select(column.request_id, column.public, column.destroyed_at)
        return {
            row.request_id: row.public if row.destroyed_at is None else None
            for row in select_in(connection, query, column.request_id, subject_by_id)
        }


def destroy_request_key(connection: Connection, subject: str, request: str, now: datetime) -> int:
    """Destroy a request's key and what was encrypted to it; return the number of disclosures erased."""
    identity = request_id(subject, request)
    key, correction = tables.request_key.c, tables.correction.c
    connection.execute(
        update(tables.request_key)
        .where(key.request_id == identity, key.destroyed_at.is_(None))
        .values(sealed=None, destroyed_at=now)
    )
    connection.execute(
        update(tables.correction).where(correction.request_id == identity).values(text=None)
    )
    destroyed = connection.execute(
        delete(tables.disclosure).where(tables.disclosure.c.request_id == identity)
    )
    return destroyed.rowcount


def sealed_with(connection: Connection) -> Mapping[str, int]:
    """Count the requests whose key is not destroyed, by the id of the key that encrypts it."""
    column = tables.request_key.c
    query = select(column.key_id, func.count().label("requests")).where(column.sealed.is_not(None))
    rows = connection.execute(query.group_by(column.key_id))
    return {row.key_id: row.requests for row in rows}
