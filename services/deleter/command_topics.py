"""Reads the command topics: what deleters have sent, as far as their signatures show it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Final
from uuid import UUID

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from schemas.codec import Codec
from schemas.command_fields import split_commands
from schemas.errors import DecodingFailed, MalformedEvent
from schemas.topics import Topic
from services.crypto.signing import SignatureInvalid, VerifierProtocol
from services.deleter.message import Fields
from services.deleter.sent_messages import SentMessage
from services.kafka.client import KafkaClient
from services.kafka.errors import KafkaUnavailable
from services.kafka.message_fields import headers, to_bytes
from services.kafka.record_metadata import RecordMetadata
from services.kafka.topic_state import Partition

_BATCH: Final = 20
"""Messages that are decoded at a time; each may have 500 commands."""
_POLL_SECONDS = 0.2
_SILENCE_SECONDS = 15.0
"""How long a partition may deliver nothing before its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaCommandTopics:
    """Reads the command topics of the policy's systems."""

    bus: KafkaClient
    codec: Codec
    topics: Collection[Topic]
    verifier: VerifierProtocol
    """Verifies that a message is a deleter's."""
    group: str
    """The consumer group; none is joined."""
    unreadable: Callable[[RecordMetadata, str], None]
    """Called with the place of a message that no deleter has signed, or that cannot be read, and why."""

    def end_offsets(self) -> Mapping[Partition, int]:
        """Return the end of every partition.

        Raises:
            KafkaUnavailable: one of them cannot be known.
        """
        return self.bus.end_offsets([topic.name for topic in self.topics])

    def read(self, offsets: Mapping[Partition, Sequence[range]]) -> Iterator[Sequence[SentMessage]]:
        """Yield the messages at these offsets, those of a partition in order; deleted ones are left out.

        Raises:
            KafkaUnavailable: a message that is there was not delivered.
        """
        consumer = self.bus.open_consumer(self.group)
        try:
            starts = {place: _first_offset(consumer, place) for place in offsets}
            remaining = {
                place: [range(max(part.start, starts[place]), part.stop) for part in ranges]
                for place, ranges in offsets.items()
            }
            while any(remaining.values()):
                parts = {place: ranges.pop(0) for place, ranges in remaining.items() if ranges}
                yield from self._read_parts(
                    consumer, {place: part for place, part in parts.items() if part}
                )
        finally:
            consumer.close()

    def _read_parts(
        self, consumer: Consumer, parts: Mapping[Partition, range]
    ) -> Iterator[Sequence[SentMessage]]:
        """Yield the messages of one range of each partition."""
        waiting = {place: part.start for place, part in parts.items()}
        consumer.assign([TopicPartition(*place, start) for place, start in waiting.items()])
        heard_at = monotonic()
        while waiting:
            batch = []
            for message in consumer.consume(_BATCH, _POLL_SECONDS):
                place, offset = _place_of(message)
                if message.error() or place not in waiting or offset >= parts[place].stop:
                    continue
                if offset != waiting[place]:
                    name = f"{place[0]}[{place[1]}]"
                    raise KafkaUnavailable(f"read {name}", f"offset {waiting[place]} was skipped")
                batch.append(message)
                waiting[place] += 1
                if waiting[place] == parts[place].stop:
                    del waiting[place]
            if waiting and monotonic() - heard_at > _SILENCE_SECONDS:
                topic, partition = next(iter(waiting))
                raise KafkaUnavailable(f"read {topic}[{partition}]", "no response in time")
            yield list(self._decode(batch))
            heard_at = monotonic() if batch else heard_at  # the caller may have taken long

    def _decode(self, messages: Sequence[Message]) -> Iterator[SentMessage]:
        topics = {topic.name: topic for topic in self.topics}
        for message in messages:
            (topic, partition), offset = _place_of(message)
            metadata = RecordMetadata(topic=topic, partition=partition, offset=offset)
            key, value = to_bytes(message.key()), to_bytes(message.value())
            try:
                fields = self.codec.decode(topics[topic], value)
                self.verifier.verify(topic, key, value, headers(message), _issued_at(fields))
                commands = split_commands(fields)
                _check_ids(commands)
            except (DecodingFailed, SignatureInvalid, MalformedEvent) as cause:
                self.unreadable(metadata, str(cause))
                continue
            yield SentMessage(place=metadata, commands=commands)


def _check_ids(commands: Sequence[Fields]) -> None:
    """Raise `MalformedEvent` where an id is none: where nothing is signed, anybody may have sent it."""
    try:
        for command in commands:
            UUID(command["command_id"])
            UUID(command["supersedes"] or command["command_id"])
    except ValueError as cause:
        raise MalformedEvent(key="commands", why="an id is not a UUID") from cause


def _issued_at(fields: Mapping[str, object]) -> datetime:
    """Return when a message was issued: its key must have been valid then, and need not be now."""
    issued_at = fields["issued_at"]
    assert isinstance(issued_at, datetime)
    return issued_at


def _first_offset(consumer: Consumer, place: Partition) -> int:
    """Return the first offset that the partition still has.

    Raises:
        KafkaUnavailable: its leader did not respond.
    """
    watermarks = consumer.get_watermark_offsets(TopicPartition(*place), timeout=_SILENCE_SECONDS)
    if watermarks is None:
        raise KafkaUnavailable(f"find the start of {place[0]}[{place[1]}]", "no response in time")
    return int(watermarks[0])


def _place_of(message: Message) -> tuple[Partition, int]:
    """Return partition and offset of a message.

    Raises:
        KafkaUnavailable: it is an error and not a message.
    """
    error, partition, offset = message.error(), message.partition(), message.offset()
    place = (str(message.topic()), -1 if partition is None else partition)
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaUnavailable(f"read {place[0]}[{place[1]}]", error.str())
    return place, -1 if offset is None else offset
