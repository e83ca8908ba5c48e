"""Apply a batch of messages: all at once, or in halves if one of them can never be applied.

The halves keep the order of the log, and each advances the offsets past its own messages. So a message that
was applied is never read again, and a message that was not applied is never skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.messages import Unprocessed, build_dead_letter
from services.crypto.envelope import AeadCipher
from services.crypto.tombstones import TombstoneCipher
from services.kafka.batch_bisection import BatchBisection
from services.kafka.error_classification import classify_error, describe_without_values
from services.ledger import blind_spots
from services.ledger.blind_spots import ParkedEvent
from services.storage import dead_letters, offsets
from services.storage.database import Database
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetAdvance

_Numbered = tuple[int, Message]


class BatchHandler(Protocol):
    """Handles batches of messages for a role."""

    def handle(self, messages: Sequence[Message], advances: Sequence[OffsetAdvance]) -> None:
        """Apply the whole batch and advance the offsets; or raise, and nothing is applied."""

    def park(self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]) -> None:
        """Park one message that can never be applied, and advance the offsets past it."""


class DeadLetterObserver(Protocol):
    """Receives the messages that a role parked: metrics and logs."""

    def dead_lettered(self, letter: DeadLetter) -> None:
        """A message could not be used, and is parked."""


def apply_batch(
    handler: BatchHandler,
    messages: Sequence[Message],
    advances: Sequence[OffsetAdvance],
    wait_before_retry: Callable[[], None],
) -> None:
    """Let the handler apply a batch; a message that alone fails at every attempt is parked.

    Raises:
        Exception: a temporary or fatal error of the handler; messages applied before it stay applied.
    """
    batch_offsets = _BatchOffsets(advances)
    last = len(messages) - 1

    def apply_part(part: Sequence[_Numbered]) -> None:
        is_last = not part or part[-1][0] == last
        new_advances = batch_offsets.advances_past(
            [message for _, message in part], to_batch_end=is_last
        )
        handler.handle([message for _, message in part], new_advances)
        batch_offsets.mark_applied(new_advances)

    def set_aside(numbered: _Numbered, cause: Exception) -> None:
        number, message = numbered
        new_advances = batch_offsets.advances_past([message], to_batch_end=number == last)
        handler.park(message, cause, new_advances)
        batch_offsets.mark_applied(new_advances)

    BatchBisection(pause=wait_before_retry).process(
        list(enumerate(messages)), apply_part, set_aside
    )


def park_message(
    role: str,
    ledger: Database,
    cipher: AeadCipher,
    message: Message,
    cause: Exception,
    advances: Sequence[OffsetAdvance],
    now: datetime,
    describe: Callable[[DeadLetter], ParkedEvent] | None = None,
    tombstone_cipher: TombstoneCipher | None = None,
) -> DeadLetter:
    """Park one message in the ledger, encrypted, in one transaction with the offsets.

    If it may be an event, `describe` returns what can be read of it, since it may forbid an erasure.

    Raises:
        DeadLetterNotStored: parking fails permanently as well; the role stops.
    """
    letter = build_dead_letter(
        role, message, Unprocessed(describe_without_values(cause)), cipher, now
    )
    parked = [describe(letter)] if describe else []

    def write(connection: Connection) -> None:
        offsets.advance_offsets(connection, role, advances)
        dead_letters.store(connection, [letter])
        blind_spots.store_parked_events(connection, parked, tombstone_cipher)

    try:
        ledger.run_in_transaction(write)
    except Exception as error:
        if classify_error(error) in ("poison", "suspect"):
            raise dead_letters.DeadLetterNotStored(
                role, letter.place, describe_without_values(error)
            ) from error
        raise
    return letter


class _BatchOffsets:
    """How far each partition has been applied within a batch."""

    def __init__(self, advances: Sequence[OffsetAdvance]) -> None:
        self._batch_advances = {
            (advance.log.topic, advance.log.partition): advance for advance in advances
        }
        self._applied_until = {
            place: advance.expected for place, advance in self._batch_advances.items()
        }

    def advances_past(
        self, messages: Sequence[Message], *, to_batch_end: bool
    ) -> list[OffsetAdvance]:
        """Return the advances past these messages; with `to_batch_end` to the end of the batch."""
        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            place = (str(message.topic()), int(message.partition() or 0))
            ends[place] = int(message.offset() or 0) + 1
        if to_batch_end:
            ends |= {place: advance.next for place, advance in self._batch_advances.items()}
        return [
            OffsetAdvance(
                log=self._batch_advances[place].log, expected=self._applied_until[place], next=end
            )
            for place, end in ends.items()
            if place in self._batch_advances and end != self._applied_until[place]
        ]

    def mark_applied(self, advances: Sequence[OffsetAdvance]) -> None:
        """Note that these advances are in the ledger."""
        for advance in advances:
            self._applied_until[advance.log.topic, advance.log.partition] = advance.next
