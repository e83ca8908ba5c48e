"""The one lock of each data subject: transactions that decide about a person's data wait for each other."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sqlalchemy import Connection, select

from services.ledger import tables
from services.ledger.rows import SUBJECT_COLUMNS, SubjectRow
from services.storage.bulk import insert_or_ignore, select_in

LockPurpose = Literal["privacy event", "command", "record"]
"""What a subject is locked for.

Storing a privacy event takes the lock alone. Writing commands shares it only with recording events;
recording shares it with commands and with other recorders. So records that a recorder has not committed yet
are seen by a transaction that stores a privacy event, or that recorder sees the privacy event itself.
"""


def lock_subjects(
    connection: Connection, subjects: Collection[str], purpose: LockPurpose
) -> dict[str, SubjectRow]:
    """Take the lock of each subject, in order; it is held until the transaction ends."""
    ordered = sorted(set(subjects))
    insert_or_ignore(connection, tables.subject, [{"subject": subject} for subject in ordered])
    column = tables.subject.c.subject
    query = select(*SUBJECT_COLUMNS).order_by(column)
    # FOR UPDATE, FOR NO KEY UPDATE or FOR KEY SHARE
    query = query.with_for_update(key_share=purpose != "privacy event", read=purpose == "record")
    rows = map(SubjectRow._make, select_in(connection, query, column, ordered))
    return {row.subject: row for row in rows}
