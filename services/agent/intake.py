"""Takes received commands into the inbox, in the transaction of their offset.

Recalls take effect here where possible: a command that was not started is never started, also when its
recall comes first.
"""

from __future__ import annotations

from collections import defaultdict
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
    """Take commands in, in order of arrival, and return the decision on each.

    The inbox is read and locked once, and written once, after the last command.
    """
    intake = _CommandIntake(connection, inbox, arrivals, now)
    decisions = [intake.take(arrival) for arrival in arrivals]
    intake.write()
    return decisions


class _CommandIntake:
    """Commands that are being taken in, and the entries of the inbox as changed so far."""

    def __init__(
        self,
        connection: Connection,
        inbox: Inbox,
        arrivals: Sequence[ReceivedCommand],
        now: datetime,
    ) -> None:
        self._connection = connection
        self._inbox = inbox
        self._now = now
        commands = [arrival.command for arrival in arrivals]
        self._groups = {command.command_id: inbox.group_of(command) for command in commands}
        ids = {*self._groups, *(command.supersedes for command in commands if command.supersedes)}
        ids |= {*inbox.not_started(connection, set(self._groups.values()))}
        # All are locked in one order, as the executor locks them.
        self._entries = {
            entry.command_id: entry for entry in inbox.entries(connection, sorted(ids))
        }
        self._changed: dict[str, None] = {}
        self._newest = inbox.newest(connection, set(self._groups.values()))
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)
        for entry in self._entries.values():
            self._note(entry)

    def take(self, arrival: ReceivedCommand) -> Intake:
        """Take one command in, and return the decision on it."""
        command, group = arrival.command, self._groups[arrival.command.command_id]
        entry_before = self._entries.get(command.command_id)
        newest = self._newest.get(group)
        judgement = decide_intake(command, entry_before, newest, self._now)
        sealed = self._inbox.encrypt_payload(arrival)
        entry = entry_before or _new_entry(command, group)
        if judgement == "resend_answer":
            self._put(replace(entry, sealed=sealed, delivered=False))
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
                entry = self._inbox.complete(entry, command, result, self._now).ended()
            case "expired" | "superseded":
                result = Result(status="failed", detail=_REJECTION_DETAIL[judgement])
                entry = self._inbox.complete(entry, command, result, self._now)
            case "execute":
                entry = entry.accepted(max(command.not_before or self._now, self._now))
                if command.action == "recall":
                    entry = self._handle_recall(entry, command)
                else:
                    self._supersede_earlier(entry, command)
        self._put(entry)
        if judgement != "expired":
            initial = LatestCommand(
                seq=command.seq, issued_at=command.issued_at, valid_until=command.valid_until
            )
            self._newest[group] = (newest or initial).with_command(command)
        return judgement

    def write(self) -> None:
        """Write every entry that has changed."""
        self._inbox.put(self._connection, *(self._entries[id] for id in sorted(self._changed)))
        self._inbox.put_newest(self._connection, self._newest)

    def _put(self, entry: InboxEntry) -> None:
        self._entries[entry.command_id] = entry
        self._changed[entry.command_id] = None
        self._note(entry)

    def _note(self, entry: InboxEntry) -> None:
        """Note whether a command waits and was never started."""
        waiting = self._waiting[entry.grp]
        if entry.state == "waiting" and entry.runs == 0:
            waiting.add(entry.command_id)
        else:
            waiting.discard(entry.command_id)

    def _handle_recall(self, recall: InboxEntry, command: Command) -> InboxEntry:
        """Complete a recall at once, unless its command was started: then the system is asked."""
        original = command.supersedes or ""
        original_entry = self._entries.get(original)
        if original_entry is None:
            # Its command may still come, from elsewhere in the log: it must not be carried out then.
            tombstone = replace(
                recall, command_id=original, supersedes=None, sealed=None, action=""
            )
            self._put(tombstone.completed("recalled", None, self._now))
            original_entry = tombstone
        elif may_have_run(original_entry):
            return recall
        elif original_entry.state != "settled":
            status: Status = "partial" if original_entry.status == "partial" else "recalled"
            completed = original_entry.completed(status, None, self._now).ended()
            self._put(replace(completed, sealed=None))
        result = _RECALL_RESULTS.get(original_entry.status, _RECALLED_RESULT)
        return self._inbox.complete(recall, command, result, self._now)

    def _supersede_earlier(self, new_entry: InboxEntry, command: Command) -> None:
        """Complete earlier commands that were not started and that a later command replaces.

        These are the command that it supersedes, and those on the same records from an older epoch of the
        clock.
        """
        if command.action not in CHANGING:
            return
        records = {(record.type, record.source, record.id) for record in command.records}
        waiting = [self._entries[id] for id in sorted(self._waiting[new_entry.grp])]
        for entry in waiting:
            if entry.action not in CHANGING or entry.seq >= command.seq:
                continue
            earlier_command = self._inbox.command(entry).command
            shared = any(
                (record.type, record.source, record.id) in records
                for record in earlier_command.records
            )
            if command.supersedes == entry.command_id or (entry.epoch < command.epoch and shared):
                result = Result(status="failed", detail="a later command replaces it")
                self._put(self._inbox.complete(entry, earlier_command, result, self._now))


def _new_entry(command: Command, group: str) -> InboxEntry:
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
