"""Check that the ledger knows everything that was sent: a restored one has lost what came after its backup.

The check reads the messages on the command topics that the ledger does not know. While it has not, the
deleter waits as for unread events: the ledger might have forgotten that an erasure is out, and a recall
would never be sent. What the check finds is recovered (`command_recovery`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from sqlalchemy import Connection

from services.deleter.command_recovery import RecoveryResult, recover_commands
from services.deleter.emission import cancel_unwanted
from services.deleter.paused_systems import SCOPE
from services.deleter.sent_messages import FoundCommand, SentMessage, commands_in
from services.deleter.transactions import DeleterTransactions
from services.kafka.topic_state import Partition
from services.ledger.messages import KnownMessage, last_sent, unknown_offsets
from services.ledger.policy_versions import list_versions
from services.storage import pause

IN_FLIGHT: Final = timedelta(seconds=120)
"""How long a message of a deleter that was cut off from the ledger may take to reach its topic.

Longer than a delivery may take (`kafka.producer`), and than a lease.
"""


class CommandTopics(Protocol):
    """Reads the messages on the command topics."""

    def end_offsets(self) -> Mapping[Partition, int]:
        """Return the end of every partition; raises if one cannot be known."""

    def read(self, offsets: Mapping[Partition, Sequence[range]]) -> Iterator[Sequence[SentMessage]]:
        """Yield the messages at these offsets that a deleter has signed, those of a partition in order."""


class RecoveryObserver(Protocol):
    """Receives what was recovered: metrics and logs."""

    def commands_recovered(self, result: RecoveryResult) -> None:
        """Commands were found on their topics of which the ledger did not know that they were sent."""


_NOT_CHECKED = "sent commands: not compared with the command topics yet"
_RECOVERED = "sent commands: some were recovered, and more may still reach their topics"
_PAUSED_BY = "termijn"


@dataclass(slots=True, kw_only=True)
class SentCommandsCheck:
    """Checks what was sent, from its start on and after each failure; instants are UTC.

    A deleter that was cut off from the ledger may still be sending. So a second check follows after
    `IN_FLIGHT`; where something was recovered, the deleter waits for it.
    """

    topics: CommandTopics
    transactions: DeleterTransactions
    observer: RecoveryObserver
    in_flight: timedelta = IN_FLIGHT
    _problem: str = field(default=_NOT_CHECKED, init=False)
    _next: datetime | None = field(default=None, init=False)
    """When the next check is due; None at once."""
    _is_second: bool = field(default=False, init=False)
    _is_over: bool = field(default=False, init=False)
    _lost_connections: int = field(default=0, init=False)

    def restart(self) -> None:
        """Check again: the ledger could not be reached, and may have been restored meanwhile."""
        self._problem, self._next, self._is_second, self._is_over = _NOT_CHECKED, None, False, False

    def is_due(self, now: datetime) -> bool:
        """Return whether a check has to be made, as it is after a clock was set back.

        A connection that was lost between two transactions is replaced without a failure.
        """
        lost = self.transactions.ledger.lost_connections
        if lost != self._lost_connections:
            self._lost_connections = lost
            self.restart()
        if self._is_over or self._next is None:
            return not self._is_over
        return not self._next - self.in_flight <= now < self._next

    def problem(self, now: datetime) -> str:
        """Check if that is due, and return why the deleter has to wait; an empty text if it has not.

        All events are recorded: else records of a command might be missing.

        Raises:
            KafkaUnavailable: the brokers do not say what was sent.
        """
        if not self.is_due(now):
            return self._problem
        result = self._recover()
        if result.commands or result.lost:
            self.observer.commands_recovered(result)
        self._problem = _RECOVERED if result.commands else ""
        self._is_over = self._is_second and not result.commands
        self._is_second = not result.commands
        self._next = now + self.in_flight
        return self._problem

    def _recover(self) -> RecoveryResult:
        """Recover what is on the topics and is not known.

        Recalls are read first: a command and its recall are recovered together.
        """
        unknown = self._unknown_offsets()
        if not unknown:
            return RecoveryResult()
        recalls = {
            UUID(command.fields["supersedes"]): command
            for messages in self.topics.read(unknown)
            for command in commands_in(messages)
            if command.fields["action"] == "recall"
        }
        result = self._recover_messages((), recalls)
        for messages in self.topics.read(unknown):
            ids = {UUID(command.fields["command_id"]) for command in commands_in(messages)}
            some = {original: recalls[original] for original in ids & recalls.keys()}
            result += self._recover_messages(messages, some)
        return result

    def _unknown_offsets(self) -> Mapping[Partition, Sequence[range]]:
        """Return the offsets of each partition at which the ledger knows no message.

        They need not be the last ones: what protects data is sent before this check.
        """
        ends = self.topics.end_offsets()
        with self.transactions.ledger.transaction() as connection:
            sent = {place: last_sent(connection, *place, end) for place, end in ends.items()}
            unknown = {
                place: unknown_offsets(connection, *place, end) for place, end in ends.items()
            }
        last = {place: message for place, message in sent.items() if message and unknown[place]}
        for place in self._made_anew(last):
            unknown[place] = [range(ends[place])]
        return {place: ranges for place, ranges in unknown.items() if ranges}

    def _made_anew(self, sent: Mapping[Partition, KnownMessage]) -> set[Partition]:
        """Return the partitions that have another message at the place of the last one that was sent.

        Their topic was deleted and created again, so that none of its messages is known.
        """
        places = {place: [range(known.offset, known.offset + 1)] for place, known in sent.items()}
        found = {
            (message.place.topic, message.place.partition): message.commands
            for messages in (self.topics.read(places) if places else ())
            for message in messages
        }
        return {
            place
            for place, commands in found.items()
            if not {UUID(command["command_id"]) for command in commands}
            & set(sent[place].command_ids)
        }

    def _recover_messages(
        self, messages: Sequence[SentMessage], recalls: Mapping[UUID, FoundCommand]
    ) -> RecoveryResult:
        def work(connection: Connection, now: datetime) -> RecoveryResult:
            policy = self.transactions.policy
            result = recover_commands(connection, messages, policy, now, recalls)
            if result.commands:
                found = [*commands_in(messages), *recalls.values()]
                _pause_if_unknown(connection, found, now)
            return result

        result = self.transactions.run(work)
        if result.commands:
            self.transactions.run(
                lambda connection, now: cancel_unwanted(
                    connection, result.commands, self.transactions.policy, now
                )
            )
        return result


def _pause_if_unknown(
    connection: Connection, commands: Iterable[FoundCommand], now: datetime
) -> None:
    """Pause the deleter if commands were sent under a policy that the ledger does not have any more.

    Under the policy that was active before, it might erase what has to be kept.
    """
    versions = {str(command.fields["policy_version"]) for command in commands}
    unknown = sorted(versions - {version.version for version in list_versions(connection)})
    if unknown:
        reason = (
            f"the ledger was restored, and commands were sent under policy {', '.join(unknown)}, which"
            " it does not have; activate that, then resume"
        )
        pause.set_pause_state(
            connection, SCOPE, "paused", operator=_PAUSED_BY, reason=reason, now=now
        )
