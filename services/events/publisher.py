"""Publishing: events of a file onto the bus, as Avro, keyed by subject."""

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
from services.kafka.client import OutgoingMessage, RecordMetadata
from services.policy.model import Policy
from services.policy.sources import check_source
from services.policy.tagging import TaggingFailed, tag

_AT_ONCE = 1_000
_BATCH_BYTES = 512 * 1024


class Sends(Protocol):
    """Where events go."""

    def send(self, messages: Sequence[OutgoingMessage]) -> Sequence[RecordMetadata]:
        """Send all, and return where each stands once the broker has taken every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Puts events on the bus."""

    policy: Policy
    codec: Codec
    sender: Sends
    encryption: FieldEncryptor | None = None
    """What encrypts the fields that the policy names; nothing where it names none."""
    leaves_out: bool = False
    """Whether a field that the schema does not know is left out; else its line is refused."""
    hold_back: Callable[[], None] | None = None
    """Called after every `_BATCH_BYTES`: waits until what was sent is recorded."""

    def message(self, event: CloudEvent) -> OutgoingMessage:
        """The event as it goes onto the bus.

        Raises:
            TaggingFailed: the policy could not tag it: it would only become a dead letter.
            EncodingFailed: its data does not fit its schema.
            UnknownSchema: its type has no schema.
            FieldNotText, NoKeyHolder: a field of it cannot be encrypted.
        """
        if self.encryption is not None:
            [event] = self.encryption.encrypt_events([event])
        return self._message(event)

    def _message(self, event: CloudEvent) -> OutgoingMessage:
        topic = business_topic(event.type)
        check_source(event, self.policy)
        message = OutgoingMessage(
            topic=topic.name,
            key=tag(event, self.policy).key.encode(),
            value=self.codec.encode(topic, event.data),
            headers=to_headers(event),
        )
        if (size := message.size) > limits.PUBLISHED:
            why = f"{size} bytes are too many for one message"
            raise EncodingFailed(schema=event.type, key="data", why=why)
        return message

    def send(self, messages: Iterator[OutgoingMessage]) -> Iterator[Sequence[RecordMetadata]]:
        """Send messages, and say after each batch where the brokers have put them."""
        batch: list[OutgoingMessage] = []
        size = held = 0
        for message in messages:
            batch.append(message)
            size += len(message.value or b"")
            full = self.hold_back is not None and size - held >= _BATCH_BYTES
            if len(batch) >= _AT_ONCE or full:
                yield self.sender.send(batch)
                batch = []
            if full and self.hold_back is not None:
                self.hold_back()
                held = size
        yield self.sender.send(batch)

    def of_file(self, source: Source, backfill: str | None) -> Iterator[OutgoingMessage]:
        """The messages of a file's events, in its order.

        Raises:
            InvalidEventLine: naming the first line that cannot be published.
            MalformedEvent: no import can be called so.
        """
        if backfill is not None and (why := limits.identifier(backfill)):
            raise MalformedEvent(key="backfill", why=why)
        lines = read_events(source)
        while part := list(islice(lines, _AT_ONCE)):
            for number, event in part:
                with _at(source, number):
                    if self.encryption is not None:
                        self.encryption.key_holders(event)
            events = [replace(event, backfill=backfill) for _, event in part]
            if self.encryption is not None:
                events = self.encryption.encrypt_events(events)
            for (number, _), event in zip(part, events, strict=True):
                with _at(source, number):
                    message = self._message(event)
                    self._check_known(event)
                yield message

    def _check_known(self, event: CloudEvent) -> None:
        """A typing error in an optional field would change whose event it is, or until when it counts."""
        unknown = self.codec.left_out(business_topic(event.type), event.data)
        if unknown and not self.leaves_out:
            raise EncodingFailed(schema=event.type, key=unknown[0], why=not_known(event.type))


def not_known(event_type: str) -> str:
    """What is wrong with a field that the schema does not know, and what to do."""
    return f"is no field of {event_type}; mend its name, or leave it out (--leave-out)"


@contextmanager
def _at(source: Source, number: int) -> Iterator[None]:
    try:
        yield
    except (TaggingFailed, EncodingFailed, FieldNotText, NoKeyHolder) as cause:
        raise InvalidEventLine(str(source), number, cause.key, cause.why) from cause
    except UnknownSchema as cause:
        raise InvalidEventLine(str(source), number, "type", str(cause)) from cause
