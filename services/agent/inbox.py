"""The agent's inbox: a database of the commands that were accepted, with their state and acknowledgement.

A command is stored in one transaction with its offset on Kafka, so it is neither lost nor stored twice.
Its payload is encrypted, and deleted once the acknowledgement is sent. Only one process uses an inbox.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from schemas import topics
from schemas.codec import Codec
from schemas.command_fields import split_commands
from services.agent import tables
from services.agent.acknowledgement import AcknowledgementBuilder
from services.agent.command import Command, parse_command
from services.agent.inbox_cipher import InboxCipher
from services.agent.inbox_entry import OPEN, InboxEntry, LatestCommand
from services.agent.result import Result
from services.crypto.base64_text import decode_base64, encode_base64
from services.crypto.envelope import AeadCipher
from services.policy.actions import CHANGING, VERIFIED
from services.storage.bulk import select_in, update_in, upsert
from services.storage.database import Database
from services.storage.gaps import OffsetGap, open_gaps
from services.storage.tables import dead_letter

_COLUMNS = tables.entry.c
_NAMES = frozenset(_COLUMNS.keys())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedCommand:
    """A command from Kafka whose signature by the controller is verified."""

    command: Command
    key: bytes | None
    """The message's key; the acknowledgement has the same."""
    value: bytes
    """A message's value with this command alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingAcknowledgement:
    """An acknowledgement that is to be sent."""

    command_id: str
    key: bytes | None
    value: bytes


class Inbox:
    """The inbox of one system."""

    def __init__(
        self, ledger: Database, cipher: AeadCipher, answers: AcknowledgementBuilder
    ) -> None:
        self.ledger = ledger
        self.answers = answers
        self._cipher = InboxCipher(system=answers.system, cipher=cipher)

    @property
    def system(self) -> str:
        """The system that the inbox belongs to."""
        return self.answers.system

    @property
    def _codec(self) -> Codec:
        return self.answers.codec

    def create_tables(self) -> None:
        """Create missing tables, and check that the inbox belongs to this system.

        Raises:
            InboxOwnerMismatch: it belongs to another system, or was encrypted with another key.
        """
        with self.ledger.transaction() as connection:
            for table in (*tables.CONSUMER_TABLES, *tables.metadata.sorted_tables):
                table.create(connection, checkfirst=True)
            self._cipher.open(connection)

    def keyed_hash(self, purpose: str, data: bytes) -> str:
        """Return a hash for one purpose, in hexadecimal, that only this inbox can compute."""
        return self._cipher.keyed_hash(purpose, data)

    def group_of(self, command: Command) -> str:
        """Return the group of a command; the commands of a group are carried out in order."""
        return self.keyed_hash("group", command.ordering_key.encode("utf-8", "surrogatepass"))

    def encrypt_payload(self, arrival: ReceivedCommand) -> bytes:
        """Return a message's key and value, encrypted for the inbox."""
        content = {"key": encode_base64(arrival.key), "value": encode_base64(arrival.value)}
        return self._cipher.encrypt(json.dumps(content).encode(), arrival.command.command_id)

    def command(self, entry: InboxEntry) -> ReceivedCommand:
        """Return the command of an entry that is not completed."""
        content = self._decrypt_payload(entry)
        value = decode_base64(content["value"]) or b""
        decoded = self._codec.decode(topics.command_topic(self.system), value)
        [fields] = split_commands(decoded)
        return ReceivedCommand(
            command=parse_command(fields), key=decode_base64(content["key"]), value=value
        )

    def complete(
        self, entry: InboxEntry, command: Command, result: Result, now: datetime
    ) -> InboxEntry:
        """Return the entry, completed with this result."""
        reported, answer = self.answers.build(command, result, now)
        return entry.completed(reported.status, answer, now)

    def entry(self, connection: Connection, command_id: str) -> InboxEntry | None:
        """Lock and return the entry of a command, until the transaction ends; None if it is not known."""
        query = select(tables.entry).where(_COLUMNS.command_id == command_id).with_for_update()
        row = connection.execute(query).one_or_none()
        return None if row is None else _entry(row)

    def entries(self, connection: Connection, ids: Collection[str]) -> list[InboxEntry]:
        """Lock and return the entries of commands that are known, in the order of their ids."""
        query = select(tables.entry).order_by(_COLUMNS.command_id).with_for_update()
        return [_entry(row) for row in select_in(connection, query, _COLUMNS.command_id, ids)]

    def put(self, connection: Connection, *entries: InboxEntry) -> None:
        """Store entries, replacing their former versions."""
        rows = [{name: getattr(entry, name) for name in _NAMES} for entry in entries]
        upsert(connection, tables.entry, rows, _NAMES - {"command_id"})

    def newest(self, connection: Connection, groups: Collection[str]) -> dict[str, LatestCommand]:
        """Return the latest accepted command of each of these groups that has one."""
        column = tables.newest.c
        return {
            row.grp: LatestCommand(
                seq=row.seq, issued_at=row.issued_at, valid_until=row.valid_until
            )
            for row in select_in(connection, select(tables.newest), column.grp, groups)
        }

    def put_newest(self, connection: Connection, newest: Mapping[str, LatestCommand]) -> None:
        """Store the latest accepted command of each group."""
        rows = [{"grp": group, **asdict(latest)} for group, latest in sorted(newest.items())]
        upsert(connection, tables.newest, rows, ("seq", "issued_at", "valid_until"))

    def not_started(self, connection: Connection, groups: Collection[str]) -> list[str]:
        """Return the ids of the commands of these groups that wait and were never started."""
        query = select(_COLUMNS.command_id).where(_COLUMNS.state == "waiting", _COLUMNS.runs == 0)
        return [row.command_id for row in select_in(connection, query, _COLUMNS.grp, groups)]

    def due_entries(self, now: datetime, busy: Collection[str], limit: int) -> list[InboxEntry]:
        """Return the entries that may run now, the oldest first, one of each group that is not busy.

        A command that was tried holds back later ones of its group until it is completed; one that waits
        for its `not_before`, or for the system, does not. A recall does not wait for others, and its
        command waits for it: also while a recall that failed may come again. Meanwhile an erasure that
        waits holds back no restriction: the person may be protected before it is decided.
        """
        earlier = tables.entry.alias()
        is_recalled = _is_recalled(_COLUMNS, now)
        lets_pass = and_(
            _COLUMNS.action == "restrict",
            earlier.c.action.in_(VERIFIED),
            _is_recalled(earlier.c, now),
        )
        held_back = exists().where(
            earlier.c.grp == _COLUMNS.grp,
            earlier.c.seq < _COLUMNS.seq,
            earlier.c.state == "waiting",
            or_(earlier.c.due_at <= now, earlier.c.tries > 0),
            ~lets_pass,
        )
        query = (
            select(tables.entry)
            .where(_is_due(now), _COLUMNS.grp.not_in(busy))
            .where(or_(_COLUMNS.action == "recall", and_(~held_back, ~is_recalled)))
            .order_by(_COLUMNS.due_at, _COLUMNS.seq, _COLUMNS.command_id)
            .limit(limit)
        )
        with self.ledger.transaction() as connection:
            entries = [_entry(row) for row in connection.execute(query)]
        return list({entry.grp: entry for entry in reversed(entries)}.values())[::-1]

    def update_open(
        self, command_id: str, changed: Callable[[InboxEntry], InboxEntry]
    ) -> InboxEntry | None:
        """Change the entry of an open command in one transaction, and return it; None if it is not open."""

        def work(connection: Connection) -> InboxEntry | None:
            entry = self.entry(connection, command_id)
            if entry is None or entry.state not in OPEN:
                return None
            after = changed(entry)
            self.put(connection, after)
            return after

        return self.ledger.run_in_transaction(work)

    def update_all_open(
        self, ids: Collection[str], changed: Callable[[InboxEntry], InboxEntry]
    ) -> list[InboxEntry]:
        """Change the entries of those commands that are open in one transaction, and return them."""

        def work(connection: Connection) -> list[InboxEntry]:
            entries = self.entries(connection, ids)
            after = [changed(entry) for entry in entries if entry.state in OPEN]
            self.put(connection, *after)
            return after

        return self.ledger.run_in_transaction(work)

    def outgoing(self, limit: int) -> list[OutgoingAcknowledgement]:
        """Return the acknowledgements that are not sent yet."""
        query = select(tables.entry).where(_COLUMNS.delivered.is_(False)).limit(limit)
        with self.ledger.transaction() as connection:
            entries = [_entry(row) for row in connection.execute(query)]
        return [
            OutgoingAcknowledgement(
                command_id=entry.command_id,
                key=decode_base64(self._decrypt_payload(entry)["key"]),
                value=entry.answer,
            )
            for entry in entries
            if entry.answer is not None
        ]

    def mark_delivered(self, answers: Sequence[OutgoingAcknowledgement]) -> None:
        """Mark acknowledgements as sent, and delete the payloads of their commands."""
        sent = {answer.command_id: answer.value for answer in answers}
        statement = update(tables.entry).values(delivered=True, sealed=None)
        with self.ledger.transaction() as connection:
            entries = self.entries(connection, sorted(sent))
            same = [entry.command_id for entry in entries if entry.answer == sent[entry.command_id]]
            update_in(connection, statement, _COLUMNS.command_id, same)

    def count_by_state(self) -> Mapping[str, int]:
        """Count the commands by state."""
        query = select(_COLUMNS.state, func.count().label("number")).group_by(_COLUMNS.state)
        with self.ledger.transaction() as connection:
            return {row.state: row.number for row in connection.execute(query)}

    def oldest_open(self) -> datetime | None:
        """Return when the oldest open command was issued, UTC."""
        query = select(func.min(_COLUMNS.issued_at)).where(_COLUMNS.state.in_(OPEN))
        with self.ledger.transaction() as connection:
            oldest_at: datetime | None = connection.execute(query).scalar_one()
            return oldest_at

    def parked(self) -> Mapping[str, int]:
        """Count the parked messages by reason."""
        column = dead_letter.c
        query = select(column.reason, func.count().label("number")).group_by(column.reason)
        with self.ledger.transaction() as connection:
            return {row.reason: row.number for row in connection.execute(query)}

    def gaps(self) -> Sequence[OffsetGap]:
        """Return the open gaps: messages that Kafka deleted before they were read."""
        with self.ledger.transaction() as connection:
            return open_gaps(connection)

    def reopen_since(self, connection: Connection, since: datetime) -> int:
        """Let commands that were carried out since an instant run again when they come again; count them.

        For a system that was restored from a backup of that instant. Recalled commands stay recalled.
        """
        changed = connection.execute(
            update(tables.entry)
            .values(state="failed")
            .where(
                _COLUMNS.state == "settled",
                _COLUMNS.status.in_(("done", "nothing_held")),
                _COLUMNS.action.in_(CHANGING),
                _COLUMNS.answered_at >= since,
            )
        )
        return int(changed.rowcount)

    def purge(self, now: datetime, keep: timedelta) -> int:
        """Delete completed commands that expired `keep` ago or earlier, and return how many.

        Until then a replayed command must be recognised; afterwards it is rejected as expired.
        """
        ended = and_(_COLUMNS.valid_until < now - keep, _COLUMNS.state.not_in(OPEN))
        with self.ledger.transaction() as connection:
            deleted = connection.execute(delete(tables.entry).where(ended, _COLUMNS.delivered))
            connection.execute(
                delete(tables.newest).where(tables.newest.c.valid_until < now - keep)
            )
        return int(deleted.rowcount)

    def _decrypt_payload(self, entry: InboxEntry) -> dict[str, str | None]:
        opened = self._cipher.decrypt(entry.sealed or b"", entry.command_id)
        content: dict[str, str | None] = json.loads(opened)
        return content


def _is_recalled(column: Any, now: datetime) -> ColumnElement[bool]:
    """Return whether the command with these columns waits for its recall."""
    recall = tables.entry.alias()
    return exists().where(
        recall.c.grp == column.grp,
        recall.c.supersedes == column.command_id,
        recall.c.action == "recall",
        or_(
            recall.c.state.in_(OPEN),
            and_(recall.c.status == "failed", recall.c.valid_until > now),
        ),
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(_COLUMNS.state.in_(OPEN), _COLUMNS.due_at <= now)


def _entry(row: Row[Any]) -> InboxEntry:
    return InboxEntry(**row._mapping)
