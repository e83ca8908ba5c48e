"""The records that a command is about, and whether the clocks that it depends on have changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, Self
from uuid import UUID

from sqlalchemy import Connection, or_, select

from services.ledger import tables
from services.ledger.command_draft import CommandDraft
from services.ledger.rows import RecordRow
from services.policy.actions import ABOUT_COMMANDS
from services.policy.model import Policy
from services.policy.tagged_event import TaggedEvent
from services.storage.bulk import select_in


class ReferencingCommand(Protocol):
    """A command that may be about another command's records."""

    @property
    def command_id(self) -> UUID:
        """Its own id."""

    @property
    def action(self) -> str:
        """What the system has to do, such as `erase`."""

    @property
    def supersedes(self) -> UUID | None:
        """The command that it recalls, verifies or repeats."""


class UnlockedCommand(NamedTuple):
    """The columns of a command by which the facts about it are found; they never change."""

    command_id: UUID
    action: str
    supersedes: UUID | None
    subject: str


class MemberRecord(NamedTuple):
    """A record of a command, with the columns that decide about it."""

    command_id: UUID
    record_id: UUID
    step: str
    event_id: UUID
    subject: str
    backfill: str | None


class KnownCommand(NamedTuple):
    """What a claim knows of a command that it wrote; it never changes afterwards."""

    command: UnlockedCommand
    records: list[MemberRecord]
    """Its records, in the order of their ids."""
    depends_on_clocks: bool


class Claimed(NamedTuple):
    """What a claim knows of the commands that it wrote, so that it is not read again to send them."""

    commands: Mapping[UUID, KnownCommand]
    events: Mapping[UUID, TaggedEvent]
    """The events of their records by id, tagged under the policy of the claim."""
    policy: Policy | None

    @classmethod
    def from_drafts(
        cls,
        commands: Iterable[UUID],
        drafts: Iterable[CommandDraft],
        records: Mapping[UUID, RecordRow],
        events: Mapping[UUID, TaggedEvent],
        policy: Policy,
    ) -> Self:
        """Return what is known of commands from their drafts; no import holds back their records."""
        known = {}
        for command_id, draft in zip(commands, drafts, strict=True):
            rows = [records[record] for record in draft.records]
            known[command_id] = KnownCommand(
                UnlockedCommand(command_id, draft.action, draft.supersedes, draft.subject),
                [
                    MemberRecord(
                        command_id, row.record_id, draft.step, row.event_id, row.subject, None
                    )
                    for row in rows
                ],
                bool(draft.epochs),
            )
        return cls(known, events, policy)


NOTHING_CLAIMED: Final = Claimed({}, {}, None)


def referenced_command(command: ReferencingCommand) -> UUID:
    """Return the command whose records a command names: itself, or the one that it recalls or verifies."""
    if command.action in ABOUT_COMMANDS and command.supersedes is not None:
        return command.supersedes
    return command.command_id


def read_commands(
    connection: Connection, commands: Collection[UUID], known: Mapping[UUID, KnownCommand]
) -> tuple[list[UnlockedCommand], Mapping[UUID, Sequence[MemberRecord]]]:
    """Return what never changes about commands, and the records that they name, without a lock.

    The records are by the command whose records they are. What is `known` is not read.
    """
    column = tables.command.c
    query = select(*(column[name] for name in UnlockedCommand._fields))
    others = [command for command in commands if command not in known]
    rows = select_in(connection, query, column.command_id, others)
    read = list(map(UnlockedCommand._make, rows))
    records = load_records(connection, {referenced_command(row) for row in read})
    claimed = [known[command] for command in commands if command in known]
    records.update((item.command.command_id, item.records) for item in claimed)
    return [*read, *(item.command for item in claimed)], records


def load_records(
    connection: Connection, commands: Collection[UUID]
) -> defaultdict[UUID, list[MemberRecord]]:
    """Return the records of each command, in the order of their ids."""
    member, record = tables.member.c, tables.record.c
    query = (
        select(
            *(member.command_id, member.record_id, member.step),
            *(record.event_id, record.subject, record.backfill),
        )
        .join(tables.record, record.record_id == member.record_id)
        .order_by(member.command_id, member.record_id)
    )
    records: defaultdict[UUID, list[MemberRecord]] = defaultdict(list)
    for row in select_in(connection, query, member.command_id, commands):
        records[row.command_id].append(MemberRecord._make(row))
    return records


def with_changed_clocks(connection: Connection, commands: Collection[UUID]) -> set[UUID]:
    """Return the commands that depend on a clock which has changed since, or is held back by an import."""
    column = tables.command_clock.c
    query = (
        select(column.command_id)
        .join(tables.clock, tables.clock.c.clock_id == column.clock_id)
        .where(or_(tables.clock.c.epoch != column.epoch, tables.clock.c.backfill.is_not(None)))
    )
    return {row.command_id for row in select_in(connection, query, column.command_id, commands)}
