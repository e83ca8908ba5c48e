"""Commands that restrict or lift purposes because of their terms, not because of a person's own decision.

A restriction is in force from the acknowledgement of its command to that of a later lift of one of its
purposes; what is still to be restricted then is restricted again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Connection, select, update

from services.ledger import tables
from services.ledger.command_state import CARRIED_OUT, State
from services.policy.obligation import KEYLESS_SUFFIX, purposes_key
from services.storage.bulk import select_in, update_in


class PurposeCommand(NamedTuple):
    """A command that restricts or lifts purposes of a record because of their terms."""

    command_id: UUID
    record_id: UUID
    system: str
    step: str
    action: str
    purposes: tuple[str, ...]
    seq: int
    state: State

    @property
    def is_carried_out(self) -> bool:
        """Whether its system has acknowledged it."""
        return self.state in CARRIED_OUT

    @property
    def is_keyless(self) -> bool:
        """Whether it leaves out keys that several subjects claim."""
        return self.step.endswith(KEYLESS_SUFFIX)


def load_purpose_commands(
    connection: Connection, records: Collection[UUID]
) -> Mapping[UUID, Sequence[PurposeCommand]]:
    """Return, by record, the commands that restrict or lift purposes because of their terms."""
    member, command = tables.member.c, tables.command.c
    query = (
        select(command.command_id, member.record_id, member.system, member.step)
        .add_columns(command.action, tables.wording.c.purposes, command.seq, command.state)
        .join(tables.command, command.command_id == member.command_id)
        .join(tables.wording, tables.wording.c.wording_id == command.wording_id)
        .where(member.live, command.action.in_(("restrict", "lift")))
        .order_by(command.seq)
    )
    by_record: defaultdict[UUID, list[PurposeCommand]] = defaultdict(list)
    for row in select_in(connection, query, member.record_id, records):
        item = PurposeCommand(**{**row._mapping, "purposes": tuple(json.loads(row.purposes))})
        if item.step.removesuffix(KEYLESS_SUFFIX) == purposes_key(item.action, item.purposes):
            by_record[item.record_id].append(item)
    return by_record


class MemberCommand(Protocol):
    """A command as it concerns one record."""

    @property
    def command_id(self) -> UUID:
        """The command."""

    @property
    def record_id(self) -> UUID:
        """The record."""

    @property
    def system(self) -> str:
        """The system that does it."""

    @property
    def step(self) -> str:
        """The key of the obligation that it meets."""


def members(commands: Iterable[MemberCommand]) -> Set[tuple[UUID, UUID]]:
    """Return the command and the record of each."""
    return {(command.command_id, command.record_id) for command in commands}


def steps(commands: Iterable[MemberCommand]) -> Set[tuple[str, str]]:
    """Return the system and the step of each."""
    return {(command.system, command.step) for command in commands}


def release_members(connection: Connection, members: Collection[tuple[UUID, UUID]]) -> None:
    """Free records (the second id) of commands (the first), so that their steps can be commanded again."""
    set_live(connection, members, live=False)


def set_live(connection: Connection, members: Collection[tuple[UUID, UUID]], *, live: bool) -> None:
    """Set whether commands (the first id) do their step to records (the second)."""
    by_command: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for command_id, record_id in sorted(members):
        by_command[command_id].append(record_id)
    for command_id, records in by_command.items():
        for table in (tables.command, tables.command_record):
            change = update(table).where(table.c.command_id == command_id).values(live=live)
            update_in(connection, change, table.c.record_id, records)


def restricted_subjects(connection: Connection, clocks: Collection[UUID]) -> set[str]:
    """Return the subjects of restrictions that were carried out and depend on one of these clocks."""
    command, depends = tables.command.c, tables.command_clock.c
    query = (
        select(command.subject)
        .distinct()
        .join(tables.command_clock, depends.command_id == command.command_id)
        .where(command.action == "restrict", command.state.in_(CARRIED_OUT))
    )
    return {row.subject for row in select_in(connection, query, depends.clock_id, clocks)}
