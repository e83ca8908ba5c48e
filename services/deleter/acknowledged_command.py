"""A command that is acknowledged: the columns that acknowledgements read and change."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Column, Connection, Select, select

from services.ledger import state_changes, tables
from services.ledger.command_state import (
    CARRIED_OUT,
    RELEASED,
    SETTLED,
    CommandEvent,
    State,
    next_state,
)
from services.ledger.messages import insert_unconfirmed_messages
from services.ledger.rows import COMMAND_COLUMNS, command_rows
from services.policy.actions import ABOUT_COMMANDS
from services.storage.bulk import select_in, update_each


class AcknowledgedCommand(NamedTuple):
    """A command that is acknowledged, or that is recalled, verified or superseded by such a one."""

    command_id: UUID
    system: str
    action: str
    supersedes: UUID | None
    state: State
    created_at: datetime
    first_sent_at: datetime | None
    next_attempt_at: datetime | None
    settled_at: datetime | None
    escalated_at: datetime | None
    outcome: str | None
    follow_up_at: datetime | None
    acknowledged_at: datetime | None
    ground: str | None
    restored_at: datetime | None
    message_id: int | None
    item: int | None
    record_id: UUID | None
    """Its record, if it names only one."""

    def after(
        self, event: CommandEvent, now: datetime, outcome: str | None = None
    ) -> AcknowledgedCommand:
        """Return the command as an event leaves it; a settled command keeps its outcome.

        Raises:
            IllegalTransition: the event cannot happen in its state.
        """
        state = next_state(self.state, event)
        if state == self.state and (outcome is None or state in SETTLED):
            return self
        changes = state_changes.columns_for_state(state, now)
        if outcome is not None:
            changes["outcome"] = outcome
        if state == "acknowledged":
            changes["acknowledged_at"] = now
        return self._replace(**changes)

    def frees_records(self, before: AcknowledgedCommand) -> bool:
        """Return whether its records are free for another command, and were not before.

        A transfer that was carried out although it had to be recalled may have been cut short: it is done
        again at the end that the data then has.
        """
        if self.state in RELEASED:
            return before.state not in RELEASED
        was_recalled = before.state == "recalling" and self.outcome == "already_done"
        return was_recalled and self.action == "transfer" and self.state in CARRIED_OUT

    def needs_planning(self, before: AcknowledgedCommand) -> bool:
        """Return whether something may have to follow for its records, as it was carried out.

        After a transfer they may be erased. Purposes may have to be lifted or restricted again after a
        lift, and after a restriction that was carried out although it had to be recalled. After such a
        notice that of the end which is true may have to be given again.
        """
        was_carried_out = self.state in CARRIED_OUT and before.state not in CARRIED_OUT
        return was_carried_out and (
            self.action in ("lift", "transfer")
            or (self.action in ("restrict", "notify") and before.state == "recalling")
        )

    @property
    def changed_values(self) -> tuple[object, ...]:
        """The values of the columns that acknowledgements change, `CHANGED_COLUMNS`."""
        return _changed_values(self)


CHANGED_COLUMNS: Final = (
    *("state", "next_attempt_at", "settled_at"),
    *("escalated_at", "outcome", "follow_up_at", "acknowledged_at", "ground"),
)
_changed_values = attrgetter(*CHANGED_COLUMNS)
_COLUMNS: Final = tuple(tables.command.c[name] for name in AcknowledgedCommand._fields)
"""The columns that are read of a command."""


def load_acknowledged_commands(
    connection: Connection, ids: Collection[UUID], now: datetime
) -> dict[UUID, AcknowledgedCommand]:
    """Lock and return commands, those that they recall or verify, and the recalls of all of these.

    A command that is answered before its delivery was confirmed gets a message of its own.
    """
    column = tables.command.c
    query = select(*_COLUMNS).order_by(column.command_id).with_for_update()
    commands = _select_commands(connection, query, column.command_id, ids)
    commands |= _add_messages(connection, commands.values(), now)
    recalling = {item.command_id for item in commands.values() if item.state == "recalling"}
    referenced = {item.supersedes for item in commands.values() if item.action in ABOUT_COMMANDS}
    originals = {original for original in referenced if original and original not in commands}
    found = _select_commands(connection, query, column.command_id, originals)
    recalling |= {id for id, original in found.items() if original.state == "recalling"}
    commands |= found
    recalls = query.where(column.action == "recall")
    return commands | _select_commands(connection, recalls, column.supersedes, recalling)


def _add_messages(
    connection: Connection, commands: Iterable[AcknowledgedCommand], now: datetime
) -> dict[UUID, AcknowledgedCommand]:
    """Return, with a message each, the commands that may have been sent and have no message."""
    without = {
        command.command_id: command
        for command in commands
        if command.message_id is None and command.state in ("sending", "recalling")
    }
    query = select(*COMMAND_COLUMNS)
    rows = command_rows(
        connection, select_in(connection, query, tables.command.c.command_id, without)
    )
    items = insert_unconfirmed_messages(connection, rows, now)
    update_each(
        connection,
        tables.command,
        [{"command_id": command_id, **item._asdict()} for command_id, item in items.items()],
    )
    return {
        command_id: without[command_id]._replace(**item._asdict())
        for command_id, item in items.items()
    }


def _select_commands(
    connection: Connection, query: Select[Any], column: Column[Any], values: Collection[UUID]
) -> dict[UUID, AcknowledgedCommand]:
    rows = select_in(connection, query, column, values)
    return {row[0]: AcknowledgedCommand._make(row) for row in rows}
