"""The inbox: what has been taken in, carried out and answered; it outlives every crash.

A command is taken in with its position on the bus in one transaction, so it is neither lost nor taken
twice. Whom it is about lies sealed, and goes when the answer is out. One process works on an inbox.
"""

from __future__ import annotations

import base64
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
from services.agent import tables
from services.agent.acknowledgement import AcknowledgementBuilder
from services.agent.command import Command, parse_command
from services.agent.inbox_cipher import InboxCipher
from services.agent.inbox_entry import OPEN, InboxEntry, LatestCommand
from services.agent.result import Result
from services.crypto.envelope import AeadCipher
from services.policy.actions import CHANGING
from services.storage import offsets
from services.storage.bulk import upsert
from services.storage.database import Database
from services.storage.offsets import OffsetGap
from services.storage.tables import dead_letter

_COLUMN = tables.entry.c


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedCommand:
    """A command that has arrived and is proven to come from the controller."""

    command: Command
    key: bytes | None
    """The message's key; the answer has it too."""
    value: bytes
    """As it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingAcknowledgement:
    """An answer that is to be sent."""

    command_id: str
    key: bytes | None
    value: bytes


class Inbox:
    """The inbox of one system."""

    def __init__(self, ledger: Database, seal: AeadCipher, answers: AcknowledgementBuilder) -> None:
        self.ledger = ledger
        self.answers = answers
        self._cipher = InboxCipher(system=answers.system, cipher=seal)

    @property
    def system(self) -> str:
        """Whose inbox it is."""
        return self.answers.system

    @property
    def _codec(self) -> Codec:
        return self.answers.codec

    def create_tables(self) -> None:
        """Make the tables that are not there, and make sure that this is the system's own inbox.

        Raises:
            InboxOwnerMismatch: it is not, or was sealed with another key.
        """
        with self.ledger.transaction() as connection:
            for table in (*tables.CONSUMER_TABLES, *tables.metadata.sorted_tables):
                table.create(connection, checkfirst=True)
            self._cipher.open(connection)

    def keyed_hash(self, purpose: str, data: bytes) -> str:
        """Return a hash for one purpose, in hexadecimal, that only this inbox can compute."""
        return self._cipher.keyed_hash(purpose, data)

    def ordering_key(self, key: bytes | None) -> str:
        """Whose commands keep their order: those of one message key."""
        return self.keyed_hash("group", key or b"")

    def encrypt_payload(self, arrival: ReceivedCommand) -> bytes:
        """A message's key and value as they lie in the inbox."""
        content = {"key": _text(arrival.key), "value": _text(arrival.value)}
        return self._cipher.encrypt(json.dumps(content).encode(), arrival.command.command_id)

    def command(self, entry: InboxEntry) -> ReceivedCommand:
        """The command of an entry that is not answered."""
        content = self._unsealed(entry)
        value = _bytes(content["value"]) or b""
        decoded = self._codec.decode(topics.command_topic(self.system), value)
        return ReceivedCommand(
            command=parse_command(decoded), key=_bytes(content["key"]), value=value
        )

    def complete(
        self, entry: InboxEntry, command: Command, result: Result, now: datetime
    ) -> InboxEntry:
        """The entry with that result as its answer."""
        reported, answer = self.answers.build(command, result, now)
        return entry.completed(reported.status, answer, now)

    # What is in it

    def entry(self, connection: Connection, command_id: str) -> InboxEntry | None:
        """What is known of a command; nobody else changes it until the transaction ends."""
        query = select(tables.entry).where(_COLUMN.command_id == command_id).with_for_update()
        row = connection.execute(query).one_or_none()
        return None if row is None else _entry(row)

    def put(self, connection: Connection, *entries: InboxEntry) -> None:
        """Keep entries as they are now."""
        rows = [asdict(entry) for entry in entries]
        changing = {column.name for column in _COLUMN} - {"command_id"}
        upsert(connection, tables.entry, rows, changing)

    def newest(self, connection: Connection, group: str) -> LatestCommand | None:
        """The newest command of a group that was taken in."""
        query = select(tables.newest).where(tables.newest.c.grp == group)
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return LatestCommand(seq=row.seq, issued_at=row.issued_at, valid_until=row.valid_until)

    def put_newest(self, connection: Connection, group: str, newest: LatestCommand) -> None:
        """Keep which command of a group is the newest."""
        row = {"grp": group, **asdict(newest)}
        upsert(connection, tables.newest, [row], ("seq", "issued_at", "valid_until"))

    def not_started(self, connection: Connection, group: str, before: int) -> list[InboxEntry]:
        """The commands of a group with a lower `seq` that nobody has begun to carry out."""
        query = select(tables.entry).where(
            _COLUMN.grp == group,
            _COLUMN.seq < before,
            _COLUMN.state == "waiting",
            _COLUMN.runs == 0,
        )
        return [_entry(row) for row in connection.execute(query.with_for_update())]

    def due_entries(self, now: datetime, busy: Collection[str], limit: int) -> list[InboxEntry]:
        """What may be carried out now, the oldest first, one of each group that is not busy.

        What has been tried holds back the later ones of its group until it is answered; what waits for
        its `not_before`, or for the system itself, does not. A recall waits for nobody.
        """
        earlier = tables.entry.alias()
        held_back = exists().where(
            earlier.c.grp == _COLUMN.grp,
            earlier.c.seq < _COLUMN.seq,
            earlier.c.state == "waiting",
            or_(earlier.c.due_at <= now, earlier.c.tries > 0),
        )
        query = (
            select(tables.entry)
            .where(_due(now), _COLUMN.grp.not_in(busy))
            .where(or_(_COLUMN.action == "recall", ~held_back))
            .order_by(_COLUMN.due_at, _COLUMN.seq, _COLUMN.command_id)
            .limit(limit)
        )
        with self.ledger.transaction() as connection:
            entries = [_entry(row) for row in connection.execute(query)]
        return list({entry.grp: entry for entry in reversed(entries)}.values())[::-1]

    def update_open(
        self, command_id: str, changed: Callable[[InboxEntry], InboxEntry]
    ) -> InboxEntry | None:
        """Change what is known of a command that is open, in one transaction; nothing if it is not."""

        def work(connection: Connection) -> InboxEntry | None:
            entry = self.entry(connection, command_id)
            if entry is None or entry.state not in OPEN:
                return None
            after = changed(entry)
            self.put(connection, after)
            return after

        return self.ledger.run_in_transaction(work)

    def outgoing(self, limit: int) -> list[OutgoingAcknowledgement]:
        """Answers that are not out yet."""
        query = select(tables.entry).where(_COLUMN.delivered.is_(False)).limit(limit)
        with self.ledger.transaction() as connection:
            entries = [_entry(row) for row in connection.execute(query)]
        return [
            OutgoingAcknowledgement(
                command_id=entry.command_id,
                key=_bytes(self._unsealed(entry)["key"]),
                value=entry.answer,
            )
            for entry in entries
            if entry.answer is not None
        ]

    def mark_delivered(self, answers: Sequence[OutgoingAcknowledgement]) -> None:
        """These answers are out: whom they were about is forgotten."""
        statement = update(tables.entry).values(delivered=True, sealed=None)
        with self.ledger.transaction() as connection:
            for answer in answers:
                same = and_(_COLUMN.command_id == answer.command_id, _COLUMN.answer == answer.value)
                connection.execute(statement.where(same))

    def count_by_state(self) -> Mapping[str, int]:
        """How many commands are in each state."""
        query = select(_COLUMN.state, func.count().label("number")).group_by(_COLUMN.state)
        with self.ledger.transaction() as connection:
            return {row.state: row.number for row in connection.execute(query)}

    def oldest_open(self) -> datetime | None:
        """When the oldest command that is not answered was issued, UTC."""
        query = select(func.min(_COLUMN.issued_at)).where(_COLUMN.state.in_(OPEN))
        with self.ledger.transaction() as connection:
            oldest_at: datetime | None = connection.execute(query).scalar_one()
            return oldest_at

    def parked(self) -> Mapping[str, int]:
        """How many messages lie parked, by reason."""
        column = dead_letter.c
        query = select(column.reason, func.count().label("number")).group_by(column.reason)
        with self.ledger.transaction() as connection:
            return {row.reason: row.number for row in connection.execute(query)}

    def gaps(self) -> Sequence[OffsetGap]:
        """Stretches of the log that were lost unread, and wait to be accepted."""
        with self.ledger.transaction() as connection:
            return offsets.open_gaps(connection)

    def reopen_since(self, connection: Connection, since: datetime) -> int:
        """Let what was carried out since an instant be carried out anew when it is repeated; how much.

        For a system that was restored from a backup of that instant. What was recalled stays recalled.
        """
        changed = connection.execute(
            update(tables.entry)
            .values(state="failed")
            .where(
                _COLUMN.state == "settled",
                _COLUMN.status.in_(("done", "nothing_held")),
                _COLUMN.action.in_(CHANGING),
                _COLUMN.answered_at >= since,
            )
        )
        return int(changed.rowcount)

    def purge(self, now: datetime, keep: timedelta) -> int:
        """Forget what was answered and has been invalid for so long; how many commands that were.

        Before that a replayed command must find that it was answered; after it it has expired.
        """
        ended = and_(_COLUMN.valid_until < now - keep, _COLUMN.state.not_in(OPEN))
        with self.ledger.transaction() as connection:
            gone = connection.execute(delete(tables.entry).where(ended, _COLUMN.delivered))
            connection.execute(
                delete(tables.newest).where(tables.newest.c.valid_until < now - keep)
            )
        return int(gone.rowcount)

    def _unsealed(self, entry: InboxEntry) -> dict[str, str | None]:
        opened = self._cipher.decrypt(entry.sealed or b"", entry.command_id)
        content: dict[str, str | None] = json.loads(opened)
        return content


def _due(now: datetime) -> ColumnElement[bool]:
    return and_(_COLUMN.state.in_(OPEN), _COLUMN.due_at <= now)


def _entry(row: Row[Any]) -> InboxEntry:
    return InboxEntry(**row._mapping)


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
