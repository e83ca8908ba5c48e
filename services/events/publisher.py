"""Publish the events of a file to Kafka, as Avro, with the data subject as key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from schemas import limits
from schemas.cloudevents import CloudEvent, to_headers
from schemas.codec import Codec
from schemas.errors import EncodingFailed, MalformedEvent, UnknownSchema
from schemas.topics import business_topic
from services.crypto.field_encryption import FieldEncryptor, NoKeyHolder
from services.crypto.field_paths import FieldNotText
from services.events.event_file import InvalidEventLine, Source, read_events
from services.kafka.producer import OutgoingMessage
from services.kafka.record_metadata import RecordMetadata
from services.policy.model import Policy
from services.policy.plans import compile_policy
from services.policy.sources import check_source
from services.policy.tagging_error import TaggingFailed

_BATCH_SIZE = 1_000
_BATCH_BYTES = 512 * 1024


class MessageSender(Protocol):
    """Sends messages to Kafka."""

    def send(self, messages: Sequence[OutgoingMessage]) -> Sequence[RecordMetadata]:
        """Send all, and return the offset of each once the broker has acknowledged every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Checks, encrypts and encodes events, and sends them."""

    policy: Policy
    codec: Codec
    sender: MessageSender
    encryption: FieldEncryptor | None = None
    """Encrypts the fields that the policy names; None where it names none."""
    leave_out_unknown: bool = False
    """Whether a field that the schema does not have is left out; else its line is refused."""
    wait_until_recorded: Callable[[], None] | None = None
    """Waits until all that was sent is recorded; called after every `_BATCH_BYTES`."""

    def build_message(self, event: CloudEvent) -> OutgoingMessage:
        """Return the message of an event.

        Raises:
            TaggingFailed: the policy cannot tag it, so it would only become a dead letter.
            EncodingFailed: its data does not fit its schema.
            UnknownSchema: its type has no schema.
            FieldNotText, NoKeyHolder: a field of it cannot be encrypted.
        """
        if self.encryption is not None:
            [event] = self.encryption.encrypt_events([event])
        return self._build_message(event)

    def _build_message(self, event: CloudEvent) -> OutgoingMessage:
        topic = business_topic(event.type)
        check_source(event, self.policy)
        message = OutgoingMessage(
            topic=topic.name,
            key=compile_policy(self.policy).tag(event).message_key.encode(),
            value=self.codec.encode(topic, event.data),
            headers=to_headers(event),
        )
        if (size := message.size) > limits.MAX_PUBLISHED:
            why = f"takes {size} bytes; at most {limits.MAX_PUBLISHED} fit into one message"
            raise EncodingFailed(schema=event.type, key="data", why=why)
        return message

    def send_batches(
        self, messages: Iterator[OutgoingMessage]
    ) -> Iterator[Sequence[RecordMetadata]]:
        """Send messages, and return after each batch the offset of each message."""
        batch: list[OutgoingMessage] = []
        size = recorded_size = 0
        for message in messages:
            batch.append(message)
            size += len(message.value or b"")
            full = self.wait_until_recorded is not None and size - recorded_size >= _BATCH_BYTES
            if len(batch) >= _BATCH_SIZE or full:
                yield self.sender.send(batch)
                batch = []
            if full and self.wait_until_recorded is not None:
                self.wait_until_recorded()
                recorded_size = size
        yield self.sender.send(batch)

    def messages_from_file(self, source: Source, backfill: str | None) -> Iterator[OutgoingMessage]:
        """Return the messages of a file's events, in its order.

        Raises:
            InvalidEventLine: a line cannot be published; the error names the first.
            MalformedEvent: the name of the import is not valid.
        """
        if backfill is not None and (why := limits.identifier_problem(backfill)):
            raise MalformedEvent(key="backfill", why=why)
        lines = read_events(source)
        while part := list(islice(lines, _BATCH_SIZE)):
            for number, event in part:
                with _naming_line(source, number):
                    if self.encryption is not None:
                        self.encryption.key_holders(event)
            events = [replace(event, backfill=backfill) for _, event in part]
            if self.encryption is not None:
                events = self.encryption.encrypt_events(events)
            for (number, _), event in zip(part, events, strict=True):
                with _naming_line(source, number):
                    message = self._build_message(event)
                    self._check_no_unknown_field(event)
                yield message

    def _check_no_unknown_field(self, event: CloudEvent) -> None:
        """Refuse unknown fields: a typing error in an optional one could change whose event it is."""
        unknown = self.codec.unknown_fields(business_topic(event.type), event.data)
        if unknown and not self.leave_out_unknown:
            raise EncodingFailed(
                schema=event.type, key=unknown[0], why=unknown_field_problem(event.type)
            )


def unknown_field_problem(event_type: str) -> str:
    """Return the problem of a field that the schema does not have, and what to do."""
    return f"is not a field of {event_type}; fix its name, or leave it out (--leave-out)"


@contextmanager
def _naming_line(source: Source, number: int) -> Iterator[None]:
    try:
        yield
    except (TaggingFailed, EncodingFailed, FieldNotText, NoKeyHolder) as cause:
        raise InvalidEventLine(str(source), number, cause.key, cause.why) from cause
    except UnknownSchema as cause:
        raise InvalidEventLine(str(source), number, "type", str(cause)) from cause
