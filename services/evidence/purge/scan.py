"""Scans the ledger for things that may be purged, a page of each kind at a time, and purges them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select, update

from services.crypto.tombstones import TombstoneCipher
from services.evidence.purge.base import ProofTerm, PurgeTarget
from services.evidence.purge.clocks import ClockPurge
from services.evidence.purge.commands import CommandPurge
from services.evidence.purge.events import EventPurge
from services.evidence.purge.messages import MessagePurge
from services.evidence.purge.subjects import SubjectPurge
from services.ledger import tables
from services.ledger.tombstones import bind_key, block_purge
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry
from services.storage.bulk import upsert
from services.storage.gaps import open_gaps

PURGE_TARGETS: Sequence[PurgeTarget] = (
    *(EventPurge(), ClockPurge(), SubjectPurge()),
    *(CommandPurge(), MessagePurge()),
)
KINDS = tuple(target.name for target in PURGE_TARGETS)
"""The kinds of things that are purged, each by itself."""

PagesByKind = Mapping[str, Sequence[str]]
"""By kind, the keys of a page in which something may be purged."""


def is_purge_safe(connection: Connection, terms: ProofTerm) -> bool:
    """Return whether the ledger is complete: no open gap, and no evidence that is still queued."""
    if open_gaps(connection):
        return False
    column = tables.evidence_pending.c
    query = select(column.at).order_by(column.pending_id).limit(1)
    oldest = connection.execute(query).scalar_one_or_none()
    return oldest is None or not terms.is_over(oldest)


def next_pages(connection: Connection, terms: ProofTerm, limit: int) -> tuple[PagesByKind, bool]:
    """Return the next page of each kind that has something to purge, and whether there was any page.

    A page with nothing to purge is passed; another stays until it is purged. A kind that is scanned to its
    end waits for the others, then all start again. No one may purge meanwhile: the position of a scan is
    stored in the ledger, and would name what was just purged.
    """
    block_purge(connection)
    cursors = {row.sweep: row for row in connection.execute(select(tables.forgetting_cursor))}
    pages: dict[str, Sequence[str]] = {}
    finished = []
    for sweep in PURGE_TARGETS:
        cursor = cursors.get(sweep.name)
        if cursor and cursor.done:
            finished.append(sweep.name)
            continue
        keys = sweep.next_keys(connection, cursor.cursor if cursor else None, limit)
        if keys and sweep.eligible(connection, keys, terms):
            pages[sweep.name] = keys
            continue
        row = {"sweep": sweep.name, "cursor": keys[-1] if keys else None, "done": not keys}
        upsert(connection, tables.forgetting_cursor, [row], ("cursor", "done"))
        finished += [sweep.name] if not keys else []
    if len(finished) == len(PURGE_TARGETS):
        connection.execute(update(tables.forgetting_cursor).values(cursor=None, done=False))
        return {}, False
    return pages, True


def purge(
    connection: Connection, pages: PagesByKind, terms: ProofTerm, cipher: TombstoneCipher
) -> Mapping[str, int]:
    """Purge what may still be purged of these pages, in the caller's transaction; return counts by kind.

    Recorders wait until the transaction ends. The evidence records the counts, without names.

    Raises:
        TombstoneKeyMismatch: the tombstones were encrypted with another key.
    """
    bind_key(connection, cipher)
    counts: Counter[str] = Counter()
    for sweep in PURGE_TARGETS:
        things = sweep.eligible(connection, pages.get(sweep.name, ()), terms)
        if things:
            sweep.purge(connection, things, terms, cipher)
            counts[sweep.name] = len(things)
    if counts:
        column = tables.forgetting.c
        began = update(tables.forgetting).where(column.began_at.is_(None))
        connection.execute(began.values(began_at=terms.now))
        audit_outbox.enqueue(
            connection, [AuditEntry(terms.now, "forgotten", {"counts": dict(counts)})]
        )
    return counts
