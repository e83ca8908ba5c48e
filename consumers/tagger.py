"""The tagger: adds purposes and retention windows to business events, and leaves out their data.

It has no state: tagging is a pure function of event and policy. An event that cannot be tagged is parked,
encrypted, with the reason. If parking fails the batch is read again, and nothing is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.batch_application import DeadLetterObserver, park_message
from consumers.messages import arrival_time, build_dead_letter, is_dated, trusted_arrival_time
from schemas import limits
from schemas.codec import Codec
from schemas.errors import DecodingFailed, MalformedEvent
from schemas.topics import DEAD_LETTERS, TAGGED, event_type_from_topic
from services.crypto.envelope import AeadCipher
from services.events.tagged_message import Headers, TaggedMessage
from services.events.tagger import EventTagger
from services.kafka.message_fields import headers, to_bytes
from services.kafka.producer import BulkProducer, KafkaProducer, OutgoingMessage
from services.kafka.record_metadata import RecordMetadata
from services.kafka.spans import NO_TRACER, Tracer
from services.kafka.trace_context import Trace, extract
from services.ledger import active_policy, blind_spots
from services.ledger.blind_spots import ParkedEvent
from services.policy.tagging_error import TaggingFailed
from services.policy.untaggable_events import VisibleParts
from services.storage import dead_letters, offsets
from services.storage.database import Database
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetAdvance

ROLE: Final = "tagger"


class TaggingObserver(DeadLetterObserver, Protocol):
    """Receives what was tagged and parked: metrics and logs."""

    def tagged(self, event_type: str, rules: Sequence[str], events: int, at: datetime) -> None:
        """Events of this type were tagged, each with a holding for each of the rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggerHandler:
    """Handles the batches of the tagger."""

    tagger: EventTagger
    codec: Codec
    forwarder: BulkProducer
    sender: KafkaProducer
    """Sends dead letters and traced events: only its messages have headers."""
    cipher: AeadCipher
    ledger: Database
    observer: TaggingObserver
    now: Callable[[], datetime]
    database_now: Callable[[], datetime] | None = None
    """The database's clock, for messages that the broker does not date; without it `now` is used."""
    tracer: Tracer = NO_TRACER

    def handle(self, messages: Sequence[Message], advances: Sequence[OffsetAdvance]) -> None:
        """Tag a batch, wait until the broker has acknowledged all of it, and advance the offsets.

        Raises:
            PolicyMismatch: another policy has become the active one. What was published after that may mean
                something else under the tagger's own, so nothing of the batch is sent.
        """
        self.ledger.run_in_transaction(
            lambda connection: active_policy.is_active(connection, self.tagger.policy)
        )
        now, read_at = self.now(), self._read_at(messages)
        counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        forwarded: list[tuple[bytes, bytes]] = []
        traced: list[tuple[Trace, TaggedMessage]] = []
        parked: list[DeadLetter] = []
        for message in messages:
            place = RecordMetadata(
                str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
            )
            message_headers: Headers = []
            try:
                message_headers = headers(message)
                arrived_at = trusted_arrival_time(message, message_headers, read_at, self.cipher)
                tagged_message = self.tagger.tag_message(
                    place,
                    message_headers,
                    to_bytes(message.value()),
                    arrival_time(message, now),
                    arrived_at,
                )
            except (DecodingFailed, MalformedEvent, TaggingFailed) as cause:
                arrived_at = trusted_arrival_time(message, message_headers, read_at, self.cipher)
                parked.append(build_dead_letter(ROLE, message, cause, self.cipher, now, arrived_at))
            else:
                if (trace := extract(message_headers)) is None:
                    forwarded.append((tagged_message.key, tagged_message.value))
                else:
                    traced.append((trace, tagged_message))
                counts[tagged_message.type, tagged_message.rules] += 1
        self.forwarder.send(TAGGED.name, forwarded)
        self.sender.send(
            [self._with_trace(trace, tagged_message, now) for trace, tagged_message in traced]
        )
        large = [letter for letter in parked if len(letter.sealed) > limits.MAX_MESSAGE]
        self.sender.send(
            [self._encode_dead_letter(letter) for letter in parked if letter not in large]
        )

        def write(connection: Connection) -> None:
            offsets.advance_offsets(connection, ROLE, advances)
            dead_letters.store(connection, large)  # Kafka would reject them at every attempt
            blind_spots.store_parked_events(connection, list(map(_parked_event, large)), None)

        self.ledger.run_in_transaction(write)
        for (event_type, rules), events in counts.items():
            self.observer.tagged(event_type, rules, events, now)
        for letter in parked:
            self.observer.dead_lettered(letter)

    def _read_at(self, messages: Sequence[Message]) -> datetime:
        """Return when these messages were read."""
        if all(map(is_dated, messages)):
            return self.now()  # the broker dated all of them
        return (self.database_now or self.now)()

    def park(self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]) -> None:
        """Park an event that could not be tagged or sent at any attempt, in the ledger and not on Kafka."""
        now = self.now()
        letter = park_message(
            ROLE, self.ledger, self.cipher, message, cause, advances, now, _parked_event
        )
        self.observer.dead_lettered(letter)

    def _with_trace(
        self, trace: Trace, message: TaggedMessage, started: datetime
    ) -> OutgoingMessage:
        """Return the message of a traced event, which continues its trace."""
        span = self.tracer.record_span(
            "tag", trace, "consumer", started, self.now(), {"termijn.event_type": message.type}
        )
        return OutgoingMessage(
            topic=TAGGED.name, key=message.key, value=message.value, headers=span.headers
        )

    def _encode_dead_letter(self, letter: DeadLetter) -> OutgoingMessage:
        value = {
            "reason": letter.reason,
            "detail": letter.detail,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "timestamp": letter.timestamp,
            "role": letter.role,
            "at": letter.at,
            "key_id": letter.key_id,
            "sealed": letter.sealed,
        }
        return OutgoingMessage(
            topic=DEAD_LETTERS.name,
            key=letter.place.encode(),
            value=self.codec.encode(DEAD_LETTERS, value, trusted=True),
        )


def _parked_event(letter: DeadLetter) -> ParkedEvent:
    """Return only the type of an event that is parked here: the recorder alone has the key for more."""
    return ParkedEvent(
        dead_letter_id=letter.dead_letter_id,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        visible_parts=VisibleParts(event_type=event_type_from_topic(letter.topic)),
    )
