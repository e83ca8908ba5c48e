"""Dead letters in the ledger: parked, and then replayed or discarded by somebody with a name."""

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
    """A message that a role could not process, sealed, with the reason and where it stood."""

    role: str
    reason: str
    detail: str
    """In words, without personal data."""
    topic: str
    partition: int
    offset: int
    timestamp: datetime
    """The message's own, by Kafka."""
    at: datetime
    """When it was parked."""
    key_id: str
    sealed: bytes

    def with_payload(self, sealed: bytes) -> DeadLetter:
        """The same with the sealed message in it."""
        return replace(self, sealed=sealed)

    @property
    def dead_letter_id(self) -> UUID:
        """The same for the same message of the same role, however often it is parked."""
        parts = (self.role, self.place, self.timestamp.isoformat())
        return uuid5(_ID_NAMESPACE, "\0".join(parts))

    @property
    def place(self) -> str:
        """Where it stood; the seal opens only for it."""
        return binding_context(self.topic, self.partition, self.offset)


class DeadLetterNotFound(TermijnError):
    """There is no dead letter of that id that waits; nothing was done."""

    def __init__(self, dead_letter_id: UUID) -> None:
        super().__init__(f"no dead letter {dead_letter_id} is parked")
        self.dead_letter_id = dead_letter_id


class DeadLetterNotStored(TermijnError):
    """A message can be neither processed nor parked; the role has stopped, and nothing was lost.

    The operator reports it as a fault: what is parked is made of nothing that a message could spoil.
    """

    def __init__(self, role: str, place: str, why: str) -> None:
        super().__init__(f"{role}: {place}: could be neither processed nor parked: {why}")
        self.role = role
        self.place = place


def binding_context(topic: str, partition: int, offset: int) -> str:
    """A message's place on the bus, as seals are bound to it."""
    return f"{topic}/{partition}/{offset}"


def store(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep dead letters; keeping one twice is harmless."""
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
    """The parked dead letters, oldest first: those of the ids, or all; of one reason, or of any.

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
    """Note that a parked dead letter was `replayed` or `discarded`, by whom and why.

    Raises:
        DeadLetterNotFound: it is not parked any more.
    """
    column = tables.dead_letter.c
    result = connection.execute(
        update(tables.dead_letter)
        .where(column.dead_letter_id == letter.dead_letter_id, column.state == "parked")
        .values(state=state, sealed=b"")  # what it held is personal data, and has no use here now
    )
    if result.rowcount != 1:
        raise DeadLetterNotFound(letter.dead_letter_id)
    of_dead_letter = tables.parked_event.c.dead_letter_id == letter.dead_letter_id
    connection.execute(delete(tables.parked_event).where(of_dead_letter))
    target = f"{letter.dead_letter_id} {letter.topic}[{letter.partition}]@{letter.offset}"
    log_operator_action(
        connection, f"dead-letters {state}", target, operator=operator, reason=reason, now=now
    )
