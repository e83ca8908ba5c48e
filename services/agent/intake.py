"""Takes received commands into the inbox, in the transaction of their offset.

Recalls take effect here where possible: a command that was not started is never started, also when its
recall comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from services.agent.command import Command
from services.agent.inbox import Inbox, ReceivedCommand
from services.agent.inbox_entry import (
    InboxEntry,
    Intake,
    LatestCommand,
    decide_intake,
    may_have_run,
)
from services.agent.result import Result, Status
from services.policy.actions import CHANGING

_REJECTION_DETAIL = {
    "expired": "it had expired when it arrived",
    "superseded": "a later command on this subject was issued before it arrived",
}
_PARTLY_EXECUTED = "it had been carried out in part"
_RECALL_RESULTS: dict[Status | None, Result] = {
    "done": Result(status="already_done"),
    "nothing_held": Result(status="already_done"),
    "already_done": Result(status="already_done"),
    # No status of a recall means "in part"; a refused recall takes nothing back, and alerts a person.
    "partial": Result(status="refused", ground=_PARTLY_EXECUTED),
}
_RESULTS_AFTER_RECALL: dict[Status | None, Result] = {
    "already_done": Result(status="already_done"),
    "partial": Result(status="partial", detail=_PARTLY_EXECUTED),
}
"""The result of a command that comes again after its recall; any other is `recalled`."""
_RECALLED_RESULT = Result(status="recalled")


def take_commands(
    connection: Connection, inbox: Inbox, arrivals: Sequence[ReceivedCommand], now: datetime
) -> list[Intake]:
    """Take commands in, in order of arrival, and return the decision on each."""
    return [_take_command(connection, inbox, arrival, now) for arrival in arrivals]


def _take_command(
    connection: Connection, inbox: Inbox, arrival: ReceivedCommand, now: datetime
) -> Intake:
    command, group = arrival.command, inbox.group_of(arrival.command)
    entry_before = inbox.entry(connection, command.command_id)
    newest = inbox.newest(connection, group)
    judgement = decide_intake(command, entry_before, newest, now)
    sealed = inbox.encrypt_payload(arrival)
    entry = entry_before or _is_new_attempt(command, group)
    if judgement == "resend_answer":
        inbox.put(connection, replace(entry, sealed=sealed, delivered=False))
        return judgement
    entry = replace(
        entry,
        sealed=sealed,
        attempt=max(entry.attempt, command.attempt),
        issued_at=max(entry.issued_at, command.issued_at),
        valid_until=max(entry.valid_until, command.valid_until),
    )
    match judgement:
        case "in_progress":
            pass
        case "already_recalled":
            result = _RESULTS_AFTER_RECALL.get(entry.status, _RECALLED_RESULT)
            entry = inbox.complete(entry, command, result, now).ended()
        case "expired" | "superseded":
            result = Result(status="failed", detail=_REJECTION_DETAIL[judgement])
            entry = inbox.complete(entry, command, result, now)
        case "execute":
            entry = entry.accepted(max(command.not_before or now, now))
            if command.action == "recall":
                entry = _handle_recall(connection, inbox, entry, command, now)
            else:
                _supersede_earlier(connection, inbox, entry, command, now)
    inbox.put(connection, entry)
    if judgement != "expired":
        initial = LatestCommand(
            seq=command.seq, issued_at=command.issued_at, valid_until=command.valid_until
        )
        inbox.put_newest(connection, group, (newest or initial).with_command(command))
    return judgement


def _is_new_attempt(command: Command, group: str) -> InboxEntry:
    return InboxEntry(
        command_id=command.command_id,
        grp=group,
        action=command.action,
        supersedes=command.supersedes,
        seq=command.seq,
        epoch=command.epoch,
        attempt=command.attempt,
        issued_at=command.issued_at,
        valid_until=command.valid_until,
        state="waiting",
        due_at=None,
    )


def _handle_recall(
    connection: Connection, inbox: Inbox, recall: InboxEntry, command: Command, now: datetime
) -> InboxEntry:
    """Complete a recall at once, unless its command was started: then the system is asked."""
    original = command.supersedes or ""
    original_entry = inbox.entry(connection, original)
    if original_entry is None:
        # Its command may still come, from elsewhere in the log: it must not be carried out then.
        tombstone = replace(recall, command_id=original, supersedes=None, sealed=None, action="")
        inbox.put(connection, tombstone.completed("recalled", None, now))
        original_entry = tombstone
    elif may_have_run(original_entry):
        return recall
    elif original_entry.state != "settled":
        status: Status = "partial" if original_entry.status == "partial" else "recalled"
        inbox.put(
            connection, replace(original_entry.completed(status, None, now).ended(), sealed=None)
        )
    result = _RECALL_RESULTS.get(original_entry.status, _RECALLED_RESULT)
    return inbox.complete(recall, command, result, now)


def _supersede_earlier(
    connection: Connection, inbox: Inbox, new_entry: InboxEntry, command: Command, now: datetime
) -> None:
    """Complete earlier commands that were not started and that a later command replaces.

    These are the command that it supersedes, and those on the same records from an older epoch of the
    clock.
    """
    if command.action not in CHANGING:
        return
    records = {(record.type, record.source, record.id) for record in command.records}
    for entry in inbox.not_started(connection, new_entry.grp, command.seq):
        if entry.action not in CHANGING:
            continue
        earlier_command = inbox.command(entry).command
        shared = any(
            (record.type, record.source, record.id) in records for record in earlier_command.records
        )
        if command.supersedes == entry.command_id or (entry.epoch < command.epoch and shared):
            result = Result(status="failed", detail="a later command replaces it")
            inbox.put(connection, inbox.complete(entry, earlier_command, result, now))
