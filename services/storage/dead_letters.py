"""Dead letters: messages that could not be processed, parked until an operator replays or discards them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import Connection, delete, select, update

from schemas.errors import TermijnError
from services.storage import tables
from services.storage.bulk import insert_or_ignore
from services.storage.operator_log import log_operator_action

_ID_NAMESPACE = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c05")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that a role could not process: encrypted, with the reason and its place on the topic."""

    role: str
    reason: str
    detail: str
    """A description without personal data."""
    topic: str
    partition: int
    offset: int
    timestamp: datetime
    """The message's Kafka timestamp, UTC."""
    at: datetime
    """When it was parked, UTC."""
    key_id: str
    sealed: bytes

    def with_payload(self, sealed: bytes) -> DeadLetter:
        """Return this dead letter with the encrypted message in it."""
        return replace(self, sealed=sealed)

    @property
    def dead_letter_id(self) -> UUID:
        """Its id, which is the same each time the same message of the same role is parked."""
        parts = (self.role, self.place, self.timestamp.isoformat())
        return uuid5(_ID_NAMESPACE, "\0".join(parts))

    @property
    def place(self) -> str:
        """The message's topic, partition and offset; the encryption is bound to it."""
        return binding_context(self.topic, self.partition, self.offset)


class DeadLetterNotFound(TermijnError):
    """No dead letter of that id is parked; nothing was done."""

    def __init__(self, dead_letter_id: UUID) -> None:
        super().__init__(
            f"dead letter {dead_letter_id}: is not parked; see `termijn dead-letters list`"
        )
        self.dead_letter_id = dead_letter_id


class DeadLetterNotStored(TermijnError):
    """A message can be neither processed nor parked; the role has stopped, and nothing was lost.

    The operator reports it as a bug: no message should be able to prevent its own parking.
    """

    def __init__(self, role: str, place: str, reason: str) -> None:
        super().__init__(f"{role}: {place}: could be neither processed nor parked: {reason}")
        self.role = role
        self.place = place


def binding_context(topic: str, partition: int, offset: int) -> str:
    """Return a message's place on Kafka as text, to which its encryption is bound."""
    return f"{topic}/{partition}/{offset}"


def store(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Store dead letters; storing one twice changes nothing."""
    rows = [
        {
            "dead_letter_id": letter.dead_letter_id,
            "role": letter.role,
            "reason": letter.reason,
            "detail": letter.detail,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "timestamp": letter.timestamp,
            "at": letter.at,
            "key_id": letter.key_id,
            "sealed": letter.sealed,
            "state": "parked",
        }
        for letter in letters
    ]
    insert_or_ignore(
        connection, tables.dead_letter, sorted(rows, key=lambda row: str(row["dead_letter_id"]))
    )


def list_parked(
    connection: Connection, ids: Collection[UUID] = (), *, reason: str | None = None
) -> Sequence[DeadLetter]:
    """Return the parked dead letters, oldest first, optionally only some ids or one reason.

    Raises:
        DeadLetterNotFound: one of the ids is not parked.
    """
    column = tables.dead_letter.c
    query = select(tables.dead_letter).where(column.state == "parked").order_by(column.at)
    if ids:
        query = query.where(column.dead_letter_id.in_(ids))
    if reason:
        query = query.where(column.reason == reason)
    rows = {row.dead_letter_id: row for row in connection.execute(query)}
    for dead_letter_id in ids:
        if dead_letter_id not in rows:
            raise DeadLetterNotFound(dead_letter_id)
    return [
        DeadLetter(
            role=row.role,
            reason=row.reason,
            detail=row.detail,
            topic=row.topic,
            partition=row.partition,
            offset=row.offset,
            timestamp=row.timestamp,
            at=row.at,
            key_id=row.key_id,
            sealed=bytes(row.sealed),
        )
        for row in rows.values()
    ]


def close(
    connection: Connection,
    letter: DeadLetter,
    state: str,
    *,
    operator: str,
    reason: str,
    now: datetime,
) -> None:
    """Mark a parked dead letter as `replayed` or `discarded`, and log by whom and why.

    Raises:
        DeadLetterNotFound: it is not parked any more.
    """
    column = tables.dead_letter.c
    result = connection.execute(
        update(tables.dead_letter)
        .where(column.dead_letter_id == letter.dead_letter_id, column.state == "parked")
        .values(state=state, sealed=b"")  # the message is personal data and is not needed any more
    )
    if result.rowcount != 1:
        raise DeadLetterNotFound(letter.dead_letter_id)
    of_dead_letter = tables.parked_event.c.dead_letter_id == letter.dead_letter_id
    connection.execute(delete(tables.parked_event).where(of_dead_letter))
    target = f"{letter.dead_letter_id} {letter.topic}[{letter.partition}]@{letter.offset}"
    log_operator_action(
        connection, f"dead-letters {state}", target, operator=operator, reason=reason, now=now
    )
