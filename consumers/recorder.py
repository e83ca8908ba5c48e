"""The recorder: writes tagged events and dead letters to the ledger, in a transaction with the offsets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.batch_application import DeadLetterObserver, park_message
from consumers.messages import build_dead_letter, extract_trace
from schemas.codec import Codec
from schemas.errors import DecodingFailed, UnknownSchema
from schemas.topics import DEAD_LETTERS, TAGGED, business_topic, event_type_from_topic
from services.crypto.envelope import AeadCipher, DecryptionFailed
from services.crypto.tombstones import TombstoneCipher
from services.events.incoming_event import IncomingEvent, TaggedEventRow
from services.events.ingestion import TaggedEventReader, decode_storable
from services.kafka.message_fields import to_bytes
from services.kafka.spans import NO_TRACER, Tracer
from services.kafka.trace_context import Trace
from services.ledger import active_policy, blind_spots
from services.ledger.blind_spots import ParkedEvent
from services.ledger.recording import RecordingResult, record_events
from services.ledger.tombstones import restore_tombstones
from services.policy.model import Policy
from services.policy.plans import compile_policy
from services.policy.tagging_error import TaggingFailed
from services.policy.untaggable_events import VisibleParts, read_visible_parts
from services.storage import dead_letters, offsets
from services.storage.database import Database, database_now
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetAdvance

ROLE: Final = "recorder"
TOPICS = (TAGGED, DEAD_LETTERS)


class RecordingObserver(DeadLetterObserver, Protocol):
    """Receives what was recorded and parked: metrics and logs."""

    def recorded(self, result: RecordingResult) -> None:
        """A batch was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderHandler:
    """Handles the batches of the recorder."""

    policy: Policy
    codec: Codec
    ledger: Database
    cipher: AeadCipher
    tombstone_cipher: TombstoneCipher
    observer: RecordingObserver
    now: Callable[[], datetime]
    tracer: Tracer = NO_TRACER
    _reader: TaggedEventReader = field(init=False)

    def __post_init__(self) -> None:
        """Create the reader, whose caches are kept from batch to batch."""
        reader = TaggedEventReader(compiled=compile_policy(self.policy), codec=self.codec)
        object.__setattr__(self, "_reader", reader)

    def handle(self, messages: Sequence[Message], advances: Sequence[OffsetAdvance]) -> None:
        """Record a batch: first compare and swap the offsets, then write the events and dead letters."""
        events: list[IncomingEvent] = []
        origin: dict[int, Message] = {}
        from_tagger: list[DeadLetter] = []
        own_letters: list[DeadLetter] = []
        parked: list[ParkedEvent] = []
        traced: list[tuple[Trace, str]] = []
        started = self.now()
        for message in messages:
            try:
                if message.topic() == DEAD_LETTERS.name:
                    from_tagger.append(self._decode_dead_letter(message))
                    parked.append(self._describe_dead_letter(from_tagger[-1]))
                else:
                    events.append(self._reader.read_event(to_bytes(message.value())))
                    origin[id(events[-1].row)] = message
                    if (trace := extract_trace(message)) is not None:
                        traced.append((trace, events[-1].row.type))
            except (DecodingFailed, TaggingFailed) as cause:
                own_letters.append(build_dead_letter(ROLE, message, cause, self.cipher, self.now()))
                parked.append(self._describe_tagged_event(own_letters[-1], message))

        def write(connection: Connection) -> tuple[RecordingResult, list[DeadLetter]]:
            offsets.advance_offsets(connection, ROLE, advances)
            now = database_now(connection)
            active_policy.require_active(connection, self.policy, now)
            restored = restore_tombstones(connection, events, self.tombstone_cipher, self.policy)
            recorded = restored.combined_with(
                record_events(connection, restored.events, self.policy, now)
            )
            conflicts = [
                self._dead_letter_for_conflict(event, origin[id(event)])
                for event in recorded.conflicts
            ]
            dead_letters.store(connection, [*from_tagger, *own_letters, *conflicts])
            parked_conflicts = map(self._describe_conflict, conflicts, recorded.conflicts)
            blind_spots.store_parked_events(
                connection, [*parked, *parked_conflicts], self.tombstone_cipher
            )
            return recorded, conflicts

        recorded, conflicts = self.ledger.run_in_transaction(write)
        self.observer.recorded(recorded)
        for trace, event_type in traced:
            self.tracer.record_span(
                "record",
                trace,
                "consumer",
                started,
                self.now(),
                {"termijn.event_type": event_type},
            )
        for letter in [*own_letters, *conflicts]:
            self.observer.dead_lettered(letter)

    def park(self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]) -> None:
        """Park a message that could not be recorded at any attempt."""

        def describe(letter: DeadLetter) -> ParkedEvent:
            return self._describe_poison(letter, message)

        letter = park_message(
            ROLE,
            self.ledger,
            self.cipher,
            message,
            cause,
            advances,
            self.now(),
            describe,
            self.tombstone_cipher,
        )
        self.observer.dead_lettered(letter)

    def _decode_dead_letter(self, message: Message) -> DeadLetter:
        return DeadLetter(**decode_storable(self.codec, DEAD_LETTERS, to_bytes(message.value())))

    def _describe_dead_letter(self, letter: DeadLetter) -> ParkedEvent:
        """Return what can be read of an event that the tagger parked."""
        topic = business_topic(event_type_from_topic(letter.topic))
        data: Mapping[str, Any] = {}
        with suppress(DecodingFailed, DecryptionFailed, UnknownSchema):
            original = self.cipher.decrypt(letter.sealed, letter.place, letter.key_id)
            data = self.codec.decode(topic, original.value)
        return _parked_event(letter, letter, read_visible_parts(topic.schema, data, self.policy))

    def _describe_tagged_event(self, letter: DeadLetter, message: Message) -> ParkedEvent:
        """Return what can be read of a tagged event that cannot be recorded."""
        with suppress(DecodingFailed):
            event = self._reader.read_row(to_bytes(message.value()))
            return _parked_event(
                letter,
                event,
                read_visible_parts(event.type, event.decision_fields, self.policy),
            )
        return _parked_event(letter, letter, VisibleParts(event_type=None))

    def _describe_conflict(self, letter: DeadLetter, event: TaggedEventRow) -> ParkedEvent:
        """Return what can be read of an event whose identity belongs to another event."""
        return _parked_event(
            letter, event, read_visible_parts(event.type, event.decision_fields, self.policy)
        )

    def _describe_poison(self, letter: DeadLetter, message: Message) -> ParkedEvent:
        """Return what can be read of a message that could not be recorded at any attempt."""
        visible_parts = VisibleParts(event_type=None)
        with suppress(Exception):  # it may fail here for the same reason
            if message.topic() == DEAD_LETTERS.name:
                visible = self._describe_dead_letter(
                    self._decode_dead_letter(message)
                ).visible_parts
            else:
                visible = self._describe_tagged_event(letter, message).visible_parts
            if visible.event_type in self.policy.events:  # else no index may take it
                visible_parts = visible
        return _parked_event(letter, letter, visible_parts)

    def _dead_letter_for_conflict(self, event: TaggedEventRow, message: Message) -> DeadLetter:
        problem = f"another event of {event.topic} has this identity and other content"
        cause = TaggingFailed("identity-conflict", "id", problem)
        return build_dead_letter(ROLE, message, cause, self.cipher, self.now())


def _parked_event(
    letter: DeadLetter, origin: DeadLetter | TaggedEventRow, visible_parts: VisibleParts
) -> ParkedEvent:
    return ParkedEvent(
        dead_letter_id=letter.dead_letter_id,
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        visible_parts=visible_parts,
    )
