"""Recovery of commands that the ledger has lost: it was restored from a backup, or from a copy that lagged.

Such commands are on the command topics only. They come back into the outbox as sent. What facts and
policy do not require is recalled at once; about the others the next dispatch decides, as about any
repetition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import Connection, select

from services.deleter.lost_commands import find_records, lock_facts, lost_command, restore_command
from services.deleter.sent_messages import FoundCommand, SentMessage, commands_in
from services.ledger import state_changes, tables
from services.ledger.command_draft import CommandDraft
from services.ledger.command_state import NOT_CARRIED_OUT
from services.ledger.lost_commands import (
    find_needless,
    insert_lost_commands,
    take_steps,
)
from services.ledger.messages import insert_recovered_messages
from services.ledger.outbox import cancel_or_recall
from services.ledger.rows import (
    COMMAND_COLUMNS,
    CommandRow,
    command_rows,
)
from services.policy.actions import CHANGING, ENDING
from services.policy.model import Policy
from services.storage.bulk import select_in

_RECOVERED = frozenset({*CHANGING, *ENDING})
"""The actions that a recall must still reach, or that would be done twice."""
_NEVER_SENT = ("unsent", "cancelled")
"""The states of commands that were never sent, as far as the ledger knows."""
_SENT = tuple(state for state in NOT_CARRIED_OUT if state not in _NEVER_SENT)
_NO_RECALLS: Mapping[UUID, FoundCommand] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryResult:
    """The commands that came back, and how many could not, since the ledger does not have their records."""

    commands: frozenset[UUID] = frozenset()
    lost: int = 0

    def __add__(self, other: RecoveryResult) -> RecoveryResult:
        """Return both together."""
        return RecoveryResult(commands=self.commands | other.commands, lost=self.lost + other.lost)


def recover_commands(
    connection: Connection,
    messages: Sequence[SentMessage],
    policy: Policy,
    now: datetime,
    recalls: Mapping[UUID, FoundCommand] = _NO_RECALLS,
) -> RecoveryResult:
    """Bring back the commands in messages of which the ledger does not know that they were sent.

    Everything that could be recorded is recorded. `recalls` has the last recall of each command, by that
    command; they may be in other messages. Verifications and disclosures are not brought
    back: what is still required is commanded again. `now` is UTC.

    1. Find out which commands are missing, and read their records.
    2. Lock clocks, then subjects, then commands, each in order.
    3. Write the missing commands as they were before they were sent.
    4. Mark those as sent, and others that the ledger has as unsent or cancelled.
    5. Write the recalls.
    6. Recall the missing commands that others do again: what follows later would recall only those.
    """
    # Step 1: find out what is missing.
    found = _last_attempts(commands_in(messages))
    ids = {*found, *recalls, *(UUID(recall.fields["command_id"]) for recall in recalls.values())}
    known = _load_commands(connection, ids)
    missing = {id: command for id, command in found.items() if id not in known}
    records = find_records(connection, missing)
    # Step 2: lock the facts and the commands.
    facts = lock_facts(connection, records, {row.subject for row in known.values()}, policy, now)
    known = _load_commands(connection, ids, lock=True)
    # Step 3: write what is missing.
    drafts = [
        restore_command(id, missing[id].fields, rows, facts, policy) for id, rows in records.items()
    ]
    insert_lost_commands(connection, drafts, now)
    known |= _load_commands(connection, records)
    # Step 4: mark what was sent.
    sent = {id: found[id] for id, row in known.items() if id in found and row.state in _NEVER_SENT}
    _mark_sent(connection, [known[id] for id in sent], sent, now)
    take_steps(connection, {id for id in sent if known[id].state == "cancelled"})
    # Step 5: write the recalls.
    known |= _load_commands(connection, sent)
    recalled = _restore_recalls(connection, recalls, known, now)
    # Step 6: recall what others do again.
    needless = _load_commands(connection, find_needless(connection, records)).values()
    rows = [row for row in needless if row.state == "sent"]
    cancel_or_recall(connection, rows, policy, now)
    return RecoveryResult(commands=frozenset({*sent, *recalled}), lost=len(missing) - len(records))


def _last_attempts(commands: Iterable[FoundCommand]) -> dict[UUID, FoundCommand]:
    """Return the last attempt of each command that is brought back, by its id."""
    last: dict[UUID, FoundCommand] = {}
    for command in commands:
        if command.fields["action"] not in _RECOVERED:
            continue
        id = UUID(command.fields["command_id"])
        if id not in last or last[id].fields["attempt"] < command.fields["attempt"]:
            last[id] = command
    return last


def _load_commands(
    connection: Connection, ids: Collection[UUID], *, lock: bool = False
) -> dict[UUID, CommandRow]:
    column = tables.command.c.command_id
    query = select(*COMMAND_COLUMNS).order_by(column)
    if lock:
        query = query.with_for_update()
    return {
        row.command_id: row
        for row in command_rows(connection, select_in(connection, query, column, ids))
    }


def _mark_sent(
    connection: Connection,
    rows: Sequence[CommandRow],
    found: Mapping[UUID, FoundCommand],
    now: datetime,
) -> None:
    """Mark commands as sent at the attempt that was found, and let their next attempt be due at once."""
    fields = {row.command_id: found[row.command_id].fields for row in rows}
    items = insert_recovered_messages(
        connection,
        [row._replace(attempt=fields[row.command_id]["attempt"]) for row in rows],
        [found[row.command_id].place for row in rows],
        now,
    )
    alike: defaultdict[tuple[int, datetime], list[CommandRow]] = defaultdict(list)
    for row in rows:
        alike[fields[row.command_id]["attempt"], fields[row.command_id]["issued_at"]].append(row)
    for (attempt, issued_at), group in alike.items():
        changes = {
            "attempt": attempt,
            "first_sent_at": issued_at,
            "next_attempt_at": now,
            "settled_at": None,
        }
        state_changes.transition(connection, group, "found_sent", now, items, **changes)


def _restore_recalls(
    connection: Connection,
    recalls: Mapping[UUID, FoundCommand],
    known: Mapping[UUID, CommandRow],
    now: datetime,
) -> Collection[UUID]:
    """Write the recalls of commands that were sent and are not settled, as sent; return their ids.

    One of a command that the ledger has as unsent waits for the message in which that was sent.
    """
    found: dict[UUID, FoundCommand] = {}
    originals: list[CommandRow] = []
    lost = []
    for id, recall in recalls.items():
        recall_id, original = UUID(recall.fields["command_id"]), known.get(id)
        if recall_id in known or original is None or original.state not in _SENT:
            continue
        draft = CommandDraft.referring_to(
            original,
            action="recall",
            reason=recall.fields["reason"],
            due_at=original.due_at,
            erase_by=original.erase_by,
        )
        originals.append(original)
        lost.append(lost_command(recall_id, draft, recall.fields))
        found[recall_id] = recall
    state_changes.transition(connection, originals, "clock_changed", now)
    insert_lost_commands(connection, lost, now)
    _mark_sent(connection, list(_load_commands(connection, found).values()), found, now)
    return found.keys()
