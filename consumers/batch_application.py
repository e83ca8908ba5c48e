"""Applying a batch: all at once, and where one message of it can never be applied, by halves.

The halves keep the order of the log, and each moves the positions past its own messages: what was applied
is never read again, and what was not is never passed over.
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
    """What a role does with a batch."""

    def handle(self, messages: Sequence[Message], advances: Sequence[OffsetAdvance]) -> None:
        """Do all of it, and move the positions with it; or raise, and nothing of it counts."""

    def park(self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]) -> None:
        """Park one message that can never be applied, and move the positions with it."""


def apply_batch(
    handler: BatchHandler,
    messages: Sequence[Message],
    advances: Sequence[OffsetAdvance],
    wait_before_retry: Callable[[], None],
) -> None:
    """Let the work apply a batch; a message that fails by itself at every attempt is parked.

    Raises:
        Whatever passes by itself, or ends the role; what was applied by then counts.
    """
    moving = _BatchOffsets(advances)
    last = len(messages) - 1

    def some(part: Sequence[_Numbered]) -> None:
        ends_here = not part or part[-1][0] == last
        moved = moving.advances_past([message for _, message in part], all_of_it=ends_here)
        handler.handle([message for _, message in part], moved)
        moving.mark_applied(moved)

    def alone(numbered: _Numbered, cause: Exception) -> None:
        number, message = numbered
        moved = moving.advances_past([message], all_of_it=number == last)
        handler.park(message, cause, moved)
        moving.mark_applied(moved)

    BatchBisection(pause=wait_before_retry).process(list(enumerate(messages)), some, alone)


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
    """Park one message in the ledger, sealed, in one transaction with the positions.

    Where it may be an event, `seen` says what can be seen of it: it may have forbidden an erasure.

    Raises:
        DeadLetterNotStored: that fails too, and will again: the role stops.
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
    except Exception as failed:
        if classify_error(failed) in ("poison", "suspect"):
            raise dead_letters.DeadLetterNotStored(
                role, letter.place, describe_without_values(failed)
            ) from failed
        raise
    return letter


class _BatchOffsets:
    """How far each log has been applied within a batch."""

    def __init__(self, advances: Sequence[OffsetAdvance]) -> None:
        self._whole = {(one.log.topic, one.log.partition): one for one in advances}
        self._at = {place: one.expected for place, one in self._whole.items()}

    def advances_past(self, messages: Sequence[Message], *, all_of_it: bool) -> list[OffsetAdvance]:
        """The advances past these messages; with `all_of_it` also past what follows them."""
        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            place = (str(message.topic()), int(message.partition() or 0))
            ends[place] = int(message.offset() or 0) + 1
        if all_of_it:
            ends |= {place: one.next for place, one in self._whole.items()}
        return [
            OffsetAdvance(log=self._whole[place].log, expected=self._at[place], next=end)
            for place, end in ends.items()
            if place in self._whole and end != self._at[place]
        ]

    def mark_applied(self, moved: Sequence[OffsetAdvance]) -> None:
        """These advances are in the ledger."""
        for one in moved:
            self._at[one.log.topic, one.log.partition] = one.next
