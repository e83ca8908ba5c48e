"""Stores what systems disclose and what a request corrects, encrypted to the request's key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from services.crypto.jwe import encrypt
from services.deleter.acknowledgement import Acknowledgement
from services.ledger import tables
from services.policy.ids import request_id
from services.requests.request_keys import RequestKeys
from services.storage.bulk import insert_or_ignore, select_in, upsert


def store_disclosures(
    connection: Connection, answers: Sequence[Acknowledgement], now: datetime
) -> None:
    """Store the disclosures of acknowledgements; the last one of a command counts.

    A disclosure that was not asked for, or comes after delivery, is not stored.
    """
    disclosures = {answer.command_id: answer.disclosure for answer in answers if answer.disclosure}
    column = tables.command.c
    query = select(column.command_id, column.subject, column.request).where(
        column.action == "disclose", column.request.is_not(None)
    )
    request_ids = {
        row.command_id: request_id(row.subject, row.request)
        for row in select_in(connection, query, column.command_id, disclosures)
    }
    key = tables.request_key.c
    open_ = select(key.request_id).where(key.destroyed_at.is_(None)).with_for_update(read=True)
    usable = {
        row.request_id
        for row in select_in(connection, open_, key.request_id, {*request_ids.values()})
    }
    rows = [
        {
            "command_id": command,
            "request_id": request,
            "text": disclosures[command],
            "received_at": now,
        }
        for command, request in sorted(request_ids.items())
        if request in usable
    ]
    upsert(connection, tables.disclosure, rows, ("text", "received_at"))


def store_corrections(
    connection: Connection,
    keys: RequestKeys,
    subject: str,
    request: str,
    corrections: Mapping[str, str],
    now: datetime,
) -> None:
    """Store the corrections of a request for rectification; what was stored first is not changed."""
    identity = request_id(subject, request)
    public = keys.public(connection, [(subject, request)], now)[identity]
    text = encrypt(corrections, public, request) if corrections and public else None
    row = {
        "request_id": identity,
        "fields": json.dumps(sorted(corrections)),
        "text": text,
        "noted_at": now,
    }
    insert_or_ignore(connection, tables.correction, [row])
