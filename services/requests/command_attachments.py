"""Attachments of commands that serve a request: the key to encrypt to, or the corrections.

A `disclose` carries the public key that the system encrypts its disclosure to. A `rectify` carries the
corrections, encrypted to the system's own key; for a system without a key it names the fields only, and the
system asks the controller for the values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from services.crypto.jwe import decrypt, encrypt
from services.ledger import tables
from services.ledger.rows import CommandRow
from services.policy.ids import request_id
from services.requests.request_keys import RequestKeys
from services.storage.bulk import select_in
from services.storage.database import database_now


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAttachments:
    """Reads the attachments of commands from the ledger."""

    keys: RequestKeys
    key_of: Callable[[str], str | None]
    """Returns the public encryption key of a system, as JWK text, or None."""

    def for_commands(
        self, connection: Connection, rows: Sequence[CommandRow]
    ) -> Mapping[UUID, Mapping[str, Any] | None]:
        """Return the attachments by command; a `rectify` is left out until its corrections are stored."""
        attachments: dict[UUID, Mapping[str, Any] | None] = {}
        disclosures = [row for row in rows if row.action == "disclose"]
        if disclosures:
            pairs = {(row.subject, _request_of(row)) for row in disclosures}
            public = self.keys.public(connection, pairs, database_now(connection))
            for row in disclosures:
                public_key = public[request_id(row.subject, _request_of(row))]
                attachments[row.command_id] = {"disclose_to": public_key} if public_key else None
        attachments |= self._corrections(
            connection, [row for row in rows if row.action == "rectify"]
        )
        return attachments

    def _corrections(
        self, connection: Connection, rows: Sequence[CommandRow]
    ) -> dict[UUID, Mapping[str, Any] | None]:
        column = tables.correction.c
        ids = {request_id(row.subject, _request_of(row)) for row in rows}
        corrections = {
            row.request_id: row
            for row in select_in(connection, select(tables.correction), column.request_id, ids)
        }
        return {
            row.command_id: self._correction(
                connection, row, corrections.get(request_id(row.subject, _request_of(row)))
            )
            for row in rows
        }

    def _correction(
        self, connection: Connection, row: CommandRow, corrections: Row[Any] | None
    ) -> Mapping[str, Any] | None:
        if corrections is None:
            return None
        fields = {"corrected_fields": json.loads(corrections.fields)}
        public_key = self.key_of(row.system)
        if not (public_key and corrections.text):
            return fields  # no need to decrypt a key then
        private = self.keys.private(connection, row.subject, _request_of(row))
        if not private:
            return fields
        values = decrypt(corrections.text, private, _request_of(row))
        return {**fields, "corrections": encrypt(values, public_key, str(row.command_id))}


def _request_of(row: CommandRow) -> str:
    assert row.request is not None, "only commands that serve a request have attachments"
    return row.request
