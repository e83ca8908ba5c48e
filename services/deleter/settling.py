"""Settling: what the systems answer. Each answer is kept; the command's state follows from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, and_, or_, select, update

from schemas.errors import TermijnError
from services.ledger import journal, tables
from services.ledger.rows import insert
from services.ledger.states import Happening, State
from services.policy.calendar import period
from services.policy.model import Policy

Status = Literal["done", "nothing_held", "partial", "refused", "failed", "recalled", "already_done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An acknowledgement; `at` is when the system answered, UTC."""

    acknowledgement_id: str
    command_id: UUID
    system: str
    attempt: int
    status: Status
    counts: Mapping[str, int]
    ground: str | None
    at: datetime


class UnknownCommand(TermijnError):
    """A system acknowledged a command that it was never sent; the answer is parked as a dead letter.

    The operator looks for a system that mixes up topics, or for a ledger restored from a backup.
    """

    def __init__(self, command_id: UUID, system: str | None = None) -> None:
        where = f" of {system}" if system else ""
        super().__init__(f"there is no command {command_id}{where}")
        self.command_id = command_id
        self.system = system


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What an answer came to."""

    state: State
    suspicious: bool
    """The system says that it held nothing, where the ledger knows records."""
    repeated: bool
    """The same acknowledgement was here before."""


def settle(connection: Connection, answer: Answer, policy: Policy, now: datetime) -> Settled:
    """Take an answer into the journal.

    Raises:
        UnknownCommand: there is no such command for that system.
        IllegalTransition: the command cannot be answered so.
    """
    column = tables.command.c
    command = connection.execute(
        select(tables.command).where(column.command_id == answer.command_id).with_for_update()
    ).one_or_none()
    if command is None or command.system != answer.system:
        raise UnknownCommand(answer.command_id, answer.system)
    known = connection.execute(
        select(tables.acknowledgement.c.command_id).where(
            tables.acknowledgement.c.acknowledgement_id == answer.acknowledgement_id
        )
    ).first()
    if known:
        return Settled(state=command.state, suspicious=False, repeated=True)
    is_recall = command.action == "recall"
    happening: Happening = answer.status
    if is_recall and answer.status == "recalled":
        happening = "done"  # the recall itself is done; what it took back is `recalled`
    [state] = journal.transition(connection, [command], happening, now, outcome=answer.status)
    insert(connection, tables.acknowledgement, [_row(answer, now)])
    if state == "refused" and policy.systems[answer.system].role != "controller":
        _escalate(connection, command.command_id, now)
    if command.state == "recalling" and state != "recalling":
        _end_recall(connection, command.command_id, now)
    if is_recall and state in ("acknowledged", "refused"):
        _recalled(connection, command.supersedes, answer, now)
    if state == "recalled" and command.state != "recalled":
        journal.look_again(connection, command.command_id, now)
    return Settled(state=state, suspicious=answer.status == "nothing_held", repeated=False)


def escalate(connection: Connection, policy: Policy, now: datetime) -> list[tuple[str, UUID]]:
    """Mark the commands whose system has been silent for longer than it may, and name them."""
    column = tables.command.c
    silent = [
        and_(
            column.system == name,
            column.first_sent_at <= now - period(system.acknowledge_within).exact,
        )
        for name, system in policy.systems.items()
    ]
    query = (
        select(column.system, column.command_id)
        .where(column.state.in_(("sent", "sending", "recalling")))
        .where(column.escalated_at.is_(None), or_(*silent))
        .with_for_update(skip_locked=True)
    )
    found = [(row.system, row.command_id) for row in connection.execute(query)]
    for _, command_id in found:
        _escalate(connection, command_id, now)
    return found


def close(connection: Connection, command_id: UUID, now: datetime) -> State:
    """Give a command up: an operator answers for it from now on.

    Raises:
        UnknownCommand: there is no such command.
        IllegalTransition: it is settled already.
    """
    command = connection.execute(
        select(tables.command).where(tables.command.c.command_id == command_id).with_for_update()
    ).one_or_none()
    if command is None:
        raise UnknownCommand(command_id)
    [state] = journal.transition(connection, [command], "close", now, outcome="closed")
    return state


def _recalled(connection: Connection, original: UUID, answer: Answer, now: datetime) -> None:
    command = connection.execute(
        select(tables.command).where(tables.command.c.command_id == original).with_for_update()
    ).one()
    happening: Status = "already_done" if answer.status == "already_done" else "recalled"
    [state] = journal.transition(connection, [command], happening, now, outcome=happening)
    if state == "recalled" and command.state != "recalled":
        journal.look_again(connection, original, now)


def _end_recall(connection: Connection, original: UUID, now: datetime) -> None:
    """The command itself was answered: its recall has nothing left to take back."""
    column = tables.command.c
    query = select(tables.command).where(column.supersedes == original, column.action == "recall")
    for row in connection.execute(query.with_for_update()).all():
        over: Happening = "stale" if row.state == "unsent" else "done"
        journal.transition(connection, [row], over, now)


def _escalate(connection: Connection, command_id: UUID, now: datetime) -> None:
    connection.execute(
        update(tables.command)
        .where(tables.command.c.command_id == command_id)
        .values(escalated_at=now)
    )


def _row(answer: Answer, now: datetime) -> dict[str, object]:
    return {
        "acknowledgement_id": answer.acknowledgement_id,
        "command_id": answer.command_id,
        "system": answer.system,
        "attempt": answer.attempt,
        "status": answer.status,
        "counts": json.dumps(dict(answer.counts)),
        "ground": answer.ground,
        "at": answer.at,
        "received_at": now,
    }
