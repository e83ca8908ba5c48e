"""Publishing: events of a file onto the bus, as Avro, keyed by subject."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.catalogue import business_topic
from schemas.codec import Codec
from schemas.errors import Unencodable, UnknownSchema
from schemas.events import CloudEvent, to_headers
from services.bus import OutMessage, Sender
from services.eventfile import BadLine, read_events
from services.policy.model import Policy
from services.policy.tagging import Untaggable, tag

_AT_ONCE = 1_000
_WINDOW_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Puts events on the bus."""

    policy: Policy
    codec: Codec
    sender: Sender
    hold_back: Callable[[], None] | None = None
    """Called after every `_WINDOW_BYTES`: waits until what was sent is recorded."""

    def message(self, event: CloudEvent) -> OutMessage:
        """The event as it goes onto the bus.

        Raises:
            Untaggable: the policy could not tag it: it would only become a dead letter.
            Unencodable: its data does not fit its schema.
            UnknownSchema: its type has no schema.
        """
        topic = business_topic(event.type)
        return OutMessage(
            topic=topic.name,
            key=tag(event, self.policy).key.encode(),
            value=self.codec.encode(topic, event.data),
            headers=to_headers(event),
        )

    def send(self, messages: Iterator[OutMessage]) -> Iterator[int]:
        """Send messages, and say after each batch how many the broker has taken."""
        batch: list[OutMessage] = []
        size = held = 0
        for message in messages:
            batch.append(message)
            size += len(message.value or b"")
            full = self.hold_back is not None and size - held >= _WINDOW_BYTES
            if len(batch) >= _AT_ONCE or full:
                yield len(self.sender.send(batch))
                batch = []
            if full and self.hold_back is not None:
                self.hold_back()
                held = size
        yield len(self.sender.send(batch))

    def of_file(self, path: Path, backfill: str | None) -> Iterator[OutMessage]:
        """The messages of a file's events, in its order.

        Raises:
            BadLine: naming the first line that cannot be published.
        """
        for number, event in read_events(path):
            try:
                yield self.message(replace(event, backfill=backfill))
            except (Untaggable, Unencodable) as cause:
                raise BadLine(str(path), number, cause.key, cause.why) from cause
            except UnknownSchema as cause:
                raise BadLine(str(path), number, "type", str(cause)) from cause
