"""Restore tombstones: an event that names a purged subject finds the ledger as if nothing were purged.

An event that was recorded and purged is a duplicate. A purged clock, and the privacy events of a purged
person, are restored before anything is recorded under them. So a hold, an objection or an end still counts,
and a purged clock does not start again as one that never ends.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, LargeBinary, Row, Select, Uuid, select, update

from schemas.errors import TermijnError
from services.crypto.base64_text import decode_base64, encode_base64
from services.crypto.tombstones import Kind, TombstoneCipher
from services.events.incoming_event import IncomingEvent, TaggedEventRow
from services.ledger import clocks, tables
from services.ledger.clocks import ClockState
from services.ledger.recording import RecordingResult
from services.ledger.subject_lock import lock_subjects
from services.policy.ids import ClockRef, old_event_id
from services.policy.model import Policy
from services.policy.tagged_event import ClockKey
from services.storage.bulk import delete_in, insert, insert_or_ignore, select_in, update_each
from services.storage.types import UtcDateTime

SINGLETON = 1
"""The key of the one row that the purge locks."""
_SUBJECT_TABLES = ("event", "act", "answer", "request_key", "correction")
"""The tables whose rows are kept of a subject; the subject's own row is merged."""

RowsByTable = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by table."""


class TombstoneKeyMismatch(TermijnError):
    """Tombstones were encrypted with another key than the configured one; nothing was recorded.

    The operator puts the right `remains.key` among the keys of every recorder and deleter. Without it
    the persons of holds, objections and ends cannot be determined.
    """

    def __init__(self, expected: str, configured: str) -> None:
        super().__init__(
            f"remains.key: the ledger's tombstones need the key {expected}, got {configured};"
            " put the key that is needed among the keys"
        )
        self.expected = expected
        self.configured = configured


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """A batch after the tombstones of its subjects and clocks were restored."""

    events: Sequence[IncomingEvent]
    """Events that are to be recorded."""
    duplicates: int = 0
    """Events that were recorded before, and purged."""
    conflicts: tuple[TaggedEventRow, ...] = ()
    """Events whose identity was recorded before with other content, and purged."""

    def combined_with(self, recorded: RecordingResult) -> RecordingResult:
        """Return the result of both parts of a batch."""
        return replace(
            recorded,
            duplicates=recorded.duplicates + self.duplicates,
            conflicts=(*recorded.conflicts, *self.conflicts),
        )


def restore_tombstones(
    connection: Connection, events: Sequence[IncomingEvent], cipher: TombstoneCipher, policy: Policy
) -> RestoreResult:
    """Restore the tombstones of all that a batch names; nothing is purged until the transaction ends.

    Raises:
        TombstoneKeyMismatch: the tombstones have another key.
    """
    row = block_purge(connection)
    if row.began_at is None:
        return RestoreResult(events=events)
    check_key(row.key_id, cipher)
    restored = _drop_purged_events(connection, events, cipher)
    keys, subjects = _names_in_batch(restored.events)
    for rows in _take_tombstones(connection, cipher, "clock", set(map(clock_name, keys))):
        _restore_clock(connection, rows, policy)
    for rows in _take_tombstones(connection, cipher, "subject", subjects):
        _restore_subject(connection, rows)
    return restored


def block_purge(connection: Connection) -> Row[Any]:
    """Block the purge until the transaction ends, and return its row."""
    column = tables.forgetting.c
    query = select(column.key_id, column.began_at).where(column.number == SINGLETON)
    return _purge_state(connection, query.with_for_update(read=True))


def bind_key(connection: Connection, cipher: TombstoneCipher) -> None:
    """Make this key the key of all tombstones, or check that it is.

    Raises:
        TombstoneKeyMismatch: the key is another.
    """
    column = tables.forgetting.c
    query = select(column.key_id).where(column.number == SINGLETON)
    check_key(_purge_state(connection, query.with_for_update()).key_id, cipher)
    connection.execute(update(tables.forgetting).values(key_id=cipher.key_id))


def check_key(key_id: str | None, cipher: TombstoneCipher) -> None:
    """Check that the tombstones have this key, if their key is known.

    Raises:
        TombstoneKeyMismatch: they have another key.
    """
    if key_id not in (None, cipher.key_id):
        raise TombstoneKeyMismatch(key_id or "", cipher.key_id)


def clock_name(clock: ClockKey | ClockState) -> str:
    """Return the name by which a clock's tombstone is found."""
    return f"{clock.clock}\0{clock.key}"


def event_reference(event_id: UUID, cipher: TombstoneCipher) -> bytes:
    """Return the keyed hash of the identity of a purged event."""
    return cipher.lookup_key("event", str(event_id))


def content_reference(event_id: UUID, content: bytes, cipher: TombstoneCipher) -> bytes:
    """Return the keyed hash of a purged event's content, which shows whether another content differs."""
    return cipher.lookup_key("content", f"{event_id}\0{content.hex()}")


def rows_to_json(rows_by_table: RowsByTable) -> str:
    """Return rows as JSON text, to be encrypted."""
    return json.dumps(
        {
            name: [
                {
                    key: _to_json_value(tables.metadata.tables[name].c[key], value)
                    for key, value in row.items()
                }
                for row in table_rows
            ]
            for name, table_rows in rows_by_table.items()
        }
    )


def _purge_state(connection: Connection, query: Select[Any]) -> Row[Any]:
    """Return the one row of the purge, which is created if it does not exist."""
    row = connection.execute(query).one_or_none()
    if row is None:
        insert_or_ignore(connection, tables.forgetting, [{"number": SINGLETON}])
        row = connection.execute(query).one()
    return row


def _drop_purged_events(
    connection: Connection, events: Sequence[IncomingEvent], cipher: TombstoneCipher
) -> RestoreResult:
    ids = {event.event_id for event in events}
    old_ids = {id(event): old_event_id(event.row.source, event.row.id) for event in events}
    id_by_reference = {
        event_reference(identity, cipher): identity for identity in ids.union(old_ids.values())
    }
    query = select(tables.forgotten_event)
    content_by_id = {
        id_by_reference[bytes(row.reference)]: bytes(row.content)
        for row in select_in(connection, query, tables.forgotten_event.c.reference, id_by_reference)
    }
    if not content_by_id:
        return RestoreResult(events=events)

    def was_purged(event: IncomingEvent, identity: UUID) -> bool:
        content = event.row.content_hash
        return content_by_id.get(identity) == content_reference(identity, content, cipher)

    duplicates, conflicts, new_events = 0, [], []
    for event in events:
        # Events purged while identities were unique over all topics are recognised by their content alone.
        if was_purged(event, event.event_id) or was_purged(event, old_ids[id(event)]):
            duplicates += 1
        elif event.event_id in content_by_id:
            conflicts.append(event.row)
        else:
            new_events.append(event)
    return RestoreResult(events=new_events, duplicates=duplicates, conflicts=tuple(conflicts))


def _names_in_batch(events: Sequence[IncomingEvent]) -> tuple[set[ClockKey], set[str]]:
    """Return the clocks, with their parents, and the subjects that a batch names."""
    refs: set[ClockRef] = {change.clock for event in events for change in event.clock_changes}
    refs |= {clock for event in events for record in event.records for clock in record.clocks}
    keys = {ref.clock for ref in refs}
    keys |= {key.parent for key in keys if key.parent}
    subjects = {record.subject for event in events for record in event.records}
    subjects |= {event.privacy_event.subject for event in events if event.privacy_event}
    return keys, subjects


def _take_tombstones(
    connection: Connection, cipher: TombstoneCipher, kind: Kind, names: Collection[str]
) -> Iterator[RowsByTable]:
    """Yield the tombstones of those names, and delete them; no other transaction can take them."""
    name_by_reference = {cipher.lookup_key(kind, name): name for name in names}
    column = tables.remains.c
    query = select(tables.remains).order_by(column.reference).with_for_update()
    rows = list(select_in(connection, query, column.reference, name_by_reference))
    delete_in(connection, tables.remains, column.reference, [row.reference for row in rows])
    for row in rows:
        yield _rows_from_json(
            cipher.decrypt(kind, name_by_reference[bytes(row.reference)], bytes(row.sealed))
        )


def _restore_clock(connection: Connection, rows: RowsByTable, policy: Policy) -> None:
    """Restore a clock; under the active policy its scan starts again, to see records that depend on it."""
    [row] = rows["clock"]
    clocks.insert_clocks(connection, [ClockState(**row).with_scan_restarted(policy)])


def _restore_subject(connection: Connection, rows: RowsByTable) -> None:
    for name in _SUBJECT_TABLES:
        insert(connection, tables.metadata.tables[name], rows[name])
    [row] = rows["subject"]
    [locked] = lock_subjects(connection, [row["subject"]], "privacy event").values()
    counts = {
        "subject": row["subject"],
        "acts": locked.acts + row["acts"],
        "seq": max(locked.seq, row["seq"]),
    }
    update_each(connection, tables.subject, [counts])


def _rows_from_json(text: str) -> RowsByTable:
    return {
        name: [
            {
                key: _from_json_value(tables.metadata.tables[name].c[key], value)
                for key, value in row.items()
            }
            for row in table_rows
        ]
        for name, table_rows in json.loads(text).items()
    }


def _to_json_value(column: Column[Any], value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(column.type, LargeBinary) and value is not None:
        return encode_base64(value)
    return str(value) if isinstance(value, UUID) else value


def _from_json_value(column: Column[Any], plain: Any) -> Any:
    if plain is None:
        return None
    if isinstance(column.type, UtcDateTime):
        return datetime.fromisoformat(plain)
    if isinstance(column.type, LargeBinary):
        return decode_base64(plain)
    return UUID(plain) if isinstance(column.type, Uuid) else plain


def rows_to_dicts(rows: Collection[Row[Any]]) -> list[Mapping[str, Any]]:
    """Return the rows as mappings by column."""
    return [dict(row._mapping) for row in rows]
