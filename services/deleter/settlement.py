"""Apply acknowledgements of systems: each changes the state of its command, and its message is stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, delete, select, update

from services.deleter.acknowledged_command import (
    CHANGED_COLUMNS,
    AcknowledgedCommand,
    load_acknowledged_commands,
)
from services.deleter.acknowledgement import (
    Acknowledgement,
    AcknowledgementMessage,
    ReusedAcknowledgement,
    Status,
    UnknownCommand,
    UnusableAcknowledgement,
)
from services.deleter.second_reading import RandomSample, apply_second_reading, count_records
from services.deleter.stored_acknowledgement import audit_body, hash_content, to_row
from services.ledger import state_changes, tables
from services.ledger.command_state import (
    CARRIED_OUT,
    RESTORED,
    CommandEvent,
    IllegalTransition,
    State,
)
from services.ledger.step_log import StepLog
from services.policy.actions import VERIFIED
from services.policy.model import Policy
from services.storage.bulk import insert, select_in, update_each, update_in

RETRY_AFTER_REFUSAL: Final = timedelta(days=1)
"""How long after a refusal a system that may not refuse is sent the command again."""
_REMEMBERED: Final = timedelta(days=60)
"""How long a message is recognised when it comes again; Kafka keeps it for two weeks."""
_RECALL_EVENTS: Final[Mapping[Status, CommandEvent]] = {
    "recalled": "done",
    "done": "done",
    "already_done": "already_done",
}
"""The statuses that end a recall. No other status confirms it: a system may report `nothing_held` about
data that it has erased."""


class AcknowledgementResult(NamedTuple):
    """The changes made by an acknowledgement."""

    state: State
    """The new state of its command."""
    is_unexpected: bool
    """Whether the system reports that it held nothing, although the ledger has records."""
    repeated: bool
    """Whether the same message was applied before."""
    reopened: bool = False
    """Whether data that was acknowledged as erased was still there: its erasure is commanded again."""
    duration: timedelta | None = None
    """If it settled the command: the time since that was first sent."""
    verified_after: timedelta | None = None
    """If it verifies an erasure: the time since that was commanded."""


AppliedMessage = list[AcknowledgementResult | UnusableAcknowledgement]
"""What became of the acknowledgements of a message, in their order."""


def apply_acknowledgement(
    connection: Connection, message: AcknowledgementMessage, policy: Policy, now: datetime
) -> AcknowledgementResult:
    """Apply a message with one acknowledgement that arrived at `now`, UTC.

    Raises:
        UnknownCommand: the system has no such command.
        ReusedAcknowledgement: the system has given its id to another message.
        IllegalTransition: this status is not possible in the command's state.
    """
    [[result]] = apply_acknowledgements(connection, [message], policy, now)
    if not isinstance(result, AcknowledgementResult):
        raise result
    return result


def apply_acknowledgements(
    connection: Connection,
    messages: Sequence[AcknowledgementMessage],
    policy: Policy,
    now: datetime,
) -> list[AppliedMessage]:
    """Apply the acknowledgements of messages in their order; the results are as if each were applied alone.

    The commands are read and locked once, and written once, after the last acknowledgement. An
    acknowledgement that cannot be applied changes nothing, and its error is in its place in the result.
    """
    batch = _AcknowledgementBatch(connection, messages, policy, now)
    results = [batch.apply_message(message) for message in messages]
    batch.write()
    return results


class _AcknowledgementBatch:
    """Acknowledgements that are being applied, and their commands as changed so far."""

    def __init__(
        self,
        connection: Connection,
        messages: Sequence[AcknowledgementMessage],
        policy: Policy,
        now: datetime,
    ) -> None:
        acknowledgements = [item for message in messages for item in message.acknowledgements]
        self._connection = connection
        self._policy = policy
        self._now = now
        self._before = load_acknowledged_commands(
            connection, {acknowledgement.command_id for acknowledgement in acknowledgements}, now
        )
        self._commands = dict(self._before)
        self._recalls: defaultdict[UUID, list[UUID]] = defaultdict(list)
        for command in self._before.values():
            if command.action == "recall" and command.supersedes:
                self._recalls[command.supersedes].append(command.command_id)
        column = tables.acknowledgement.c.acknowledgement_id
        ids = {message.acknowledgement_id for message in messages}
        self._known_content = {
            (row.system, row.acknowledgement_id): row.content
            for row in select_in(connection, select(tables.acknowledgement), column, ids)
        }
        self._record_counts = count_records(connection, self._before.values(), acknowledgements)
        self._sample = RandomSample(policy.verify_one_in)
        self._message_rows: list[dict[str, object]] = []
        self._log = StepLog()

    def apply_message(self, message: AcknowledgementMessage) -> AppliedMessage:
        """Apply the acknowledgements of one message, unless the same message was applied before.

        One that could not be applied whole is parked, and is applied again when it is replayed.
        """
        key, content = (message.system, message.acknowledgement_id), hash_content(message)
        is_repeated = key in self._known_content
        if is_repeated and self._known_content[key] != content:
            return [ReusedAcknowledgement(message.system) for _ in message.acknowledgements]
        results: AppliedMessage = []
        for acknowledgement in message.acknowledgements:
            try:
                results.append(self._apply(acknowledgement, is_repeated=is_repeated))
            except (UnknownCommand, IllegalTransition) as cause:
                results.append(cause)
        is_whole = all(isinstance(result, AcknowledgementResult) for result in results)
        if is_whole and not message.problems and not is_repeated:
            self._known_content[key] = content
            self._message_rows.append(to_row(message, content, self._now))
        return results

    def _apply(
        self, acknowledgement: Acknowledgement, *, is_repeated: bool
    ) -> AcknowledgementResult:
        """Apply one acknowledgement; if that raises, everything is as before.

        1. Find its command.
        2. Change the command's state, and those of related commands: its recalls, or the command that it
           recalls or verifies. A second reading in the acknowledgement proves or contradicts an erasure.
        3. Schedule the verification or repetition that has to follow.
        4. Store the changes for the evidence.

        Raises:
            UnknownCommand: the system has no such command.
            IllegalTransition: this status is not possible in the command's state.
        """
        # Step 1: find its command.
        command = self._commands.get(acknowledgement.command_id)
        if command is None or command.system != acknowledgement.system:
            raise UnknownCommand(acknowledgement.command_id, acknowledgement.system)
        if is_repeated:
            return AcknowledgementResult(state=command.state, is_unexpected=False, repeated=True)
        # Step 2: change states.
        changed_command = command.after(
            _event_of(command, acknowledgement), self._now, outcome=acknowledgement.status
        )
        is_acknowledged_now = changed_command.state == "acknowledged" != command.state
        if acknowledgement.status == "refused" and acknowledgement.ground:
            changed_command = changed_command._replace(ground=acknowledgement.ground)
        if changed_command.state == "refused" != command.state:
            changed_command = self._apply_refusal(changed_command)
        changed = [changed_command]
        if command.state == "recalling" and changed_command.state != "recalling":
            changed += self._end_recalls(command.command_id)
        if command.action == "recall" and command.supersedes:
            changed = self._apply_recall(changed_command, command.supersedes, acknowledgement)
        reopened, verified_after = False, None
        if (
            command.action == "verify"
            and command.supersedes
            and changed_command.state == "acknowledged"
        ):
            original = self._apply_verification(command, acknowledgement)
            reopened = original.state == "reopened" != self._commands[original.command_id].state
            changed.append(original)
            if original.state == "erased" != self._commands[original.command_id].state:
                verified_after = self._now - original.created_at
        if is_acknowledged_now and command.action in VERIFIED and command.restored_at is None:
            changed[0] = apply_second_reading(
                changed_command,
                acknowledgement,
                self._policy,
                1 if command.record_id else self._record_counts.get(command.command_id, 0),
                self._sample,
                self._now,
            )
            reopened = changed[0].state == "reopened"
            verified_after = (
                self._now - command.created_at if changed[0].state == "erased" else None
            )
        # Step 3: schedule a verification or repetition.
        changed = [
            self._schedule_follow_up(self._without_proof_if_restored(item)) for item in changed
        ]
        changed_command, *other_commands = changed
        # Step 4: store the changes.
        self._log.add(
            "answered",
            changed_command,
            changed_command.state,
            audit_body(acknowledgement),
            acknowledgement.at,
        )
        for other_command in other_commands:
            if other_command.state != self._commands[other_command.command_id].state:
                self._log.add("state", other_command, other_command.state, {})
        for item in changed:
            self._commands[item.command_id] = item
        is_settled = changed_command.settled_at is not None and command.settled_at is None
        return AcknowledgementResult(
            state=changed_command.state,
            is_unexpected=acknowledgement.status == "nothing_held" and command.action != "verify",
            repeated=False,
            reopened=reopened,
            duration=self._now - changed_command.first_sent_at
            if is_settled and changed_command.first_sent_at
            else None,
            verified_after=verified_after,
        )

    def write(self) -> None:
        """Write the messages and every command that has changed, and forget messages of long ago."""
        received_at = tables.acknowledgement.c.received_at
        self._connection.execute(
            delete(tables.acknowledgement).where(received_at < self._now - _REMEMBERED)
        )
        insert(self._connection, tables.acknowledgement, self._message_rows)
        self._log.enqueue(self._connection, self._now)
        commands = sorted(self._before.items(), key=lambda item: item[0].int)
        pairs = [(before, self._commands[command_id]) for command_id, before in commands]
        self._update([after for before, after in pairs if after != before])
        released = [after for before, after in pairs if after.frees_records(before)]
        state_changes.release_records(
            self._connection, [command.command_id for command in released]
        )
        planned_again = [after for before, after in pairs if after.needs_planning(before)]
        recalled = [command for command in released if command.state == "recalled"]
        for command in (*recalled, *planned_again):
            state_changes.schedule_rescan(self._connection, command.command_id, self._now)

    def _update(self, changed: Sequence[AcknowledgedCommand]) -> None:
        """Update commands; those whose columns get the same values are updated together."""
        alike: defaultdict[tuple[object, ...], list[UUID]] = defaultdict(list)
        for command in changed:
            alike[command.changed_values].append(command.command_id)
        rows = []
        for values, ids in alike.items():
            columns = dict(zip(CHANGED_COLUMNS, values, strict=True))
            if len(ids) == 1:
                rows.append({"command_id": ids[0], **columns})
            else:
                statement = update(tables.command).values(columns)
                update_in(self._connection, statement, tables.command.c.command_id, ids)
        update_each(self._connection, tables.command, rows)

    def _end_recalls(self, original: UUID) -> list[AcknowledgedCommand]:
        """Return, as ended, the recalls of a command that was acknowledged: nothing is left to recall."""
        recalls = [self._commands[recall] for recall in self._recalls[original]]
        return [
            recall.after("clock_changed" if recall.state == "unsent" else "done", self._now)
            for recall in recalls
        ]

    def _apply_refusal(self, refused: AcknowledgedCommand) -> AcknowledgedCommand:
        """Escalate a refusal and repeat the command later, unless a controller refused: that is final."""
        if self._policy.systems[refused.system].role == "controller":
            return refused
        retry_at = self._now + RETRY_AFTER_REFUSAL
        return refused._replace(escalated_at=self._now, settled_at=None, next_attempt_at=retry_at)

    def _apply_recall(
        self, recall: AcknowledgedCommand, original: UUID, acknowledgement: Acknowledgement
    ) -> list[AcknowledgedCommand]:
        """Return a recall, and the recalled command if that changes; a refused recall escalates both."""
        command = self._commands.get(original)
        if command is None:  # it was given up, and is purged
            return [recall]
        if acknowledgement.status in _RECALL_EVENTS:
            event: CommandEvent = (
                "already_done" if acknowledgement.status == "already_done" else "recalled"
            )
            return [recall, command.after(event, self._now, outcome=event)]
        if acknowledgement.status != "refused" or command.state != "recalling":
            return [recall]
        return [
            item._replace(escalated_at=item.escalated_at or self._now) for item in (recall, command)
        ]

    def _apply_verification(
        self, verification: AcknowledgedCommand, acknowledgement: Acknowledgement
    ) -> AcknowledgedCommand:
        """Return the verified command; the result of its first verification stays."""
        assert verification.supersedes is not None
        original = self._commands.get(verification.supersedes)
        if original is None:
            raise UnknownCommand(verification.supersedes, verification.system)
        is_present = acknowledgement.status == "done" and any(acknowledgement.counts.values())
        return original.after("still_present" if is_present else "proven", self._now)

    def _without_proof_if_restored(self, command: AcknowledgedCommand) -> AcknowledgedCommand:
        """Return a command that is to be repeated, if its system was restored while it was out.

        It may have been carried out before: then the backup has undone it.
        """
        before = self._commands[command.command_id].state
        is_carried_out_now = command.state in CARRIED_OUT and before not in CARRIED_OUT
        if command.restored_at is None or not is_carried_out_now:
            return command
        again = command.after("restored", self._now)
        return again._replace(outcome=RESTORED, follow_up_at=self._now)

    def _schedule_follow_up(self, command: AcknowledgedCommand) -> AcknowledgedCommand:
        """Return a command with its follow-up scheduled: a verification, a repetition, or nothing."""
        if (
            command.action not in VERIFIED
            or command.state == self._commands[command.command_id].state
        ):
            return command
        if command.state == "reopened":
            return command._replace(follow_up_at=self._now)
        if command.state != "acknowledged":
            return command
        system = self._policy.systems[command.system]
        if system.role != "controller" and system.reread == "attested":
            return command.after("attested_only", self._now)
        if system.verify_delay is None:
            return command
        return command._replace(follow_up_at=self._now + system.verify_delay)


def _event_of(command: AcknowledgedCommand, acknowledgement: Acknowledgement) -> CommandEvent:
    """Return the event that an acknowledgement is for its command.

    A verification without counts proves nothing, and is sent again.

    Raises:
        IllegalTransition: this status is not possible for a verification.
    """
    if command.action == "recall":
        return _RECALL_EVENTS.get(acknowledgement.status, "failed")
    if command.action != "verify":
        return acknowledgement.status
    if acknowledgement.status in ("recalled", "already_done"):
        raise IllegalTransition(command.state, acknowledgement.status)
    return (
        "partial"
        if acknowledgement.status == "done" and not acknowledgement.counts
        else acknowledgement.status
    )
