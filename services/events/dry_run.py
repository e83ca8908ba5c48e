"""Dry run of publishing: what would happen to each event of a file, without Kafka and without a ledger.

Each event is encoded as for Kafka and then checked by the code of the tagger and the recorder. Only the
ledger knows an id that an earlier event with other content has taken; a dry run does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

from schemas import limits
from schemas.cloudevents import CloudEvent, parse_structured, to_headers
from schemas.codec import Codec
from schemas.errors import DecodingFailed, EncodingFailed, MalformedEvent, UnknownSchema
from schemas.schema_versions import SchemaSet
from schemas.topics import TAGGED, business_topic
from services.crypto.data_keys import DataKey, KeyRef
from services.crypto.field_encryption import FieldEncryptor, NoKeyHolder, check_encrypted_fields
from services.crypto.field_paths import FieldNotText
from services.events.event_file import Source, read_lines
from services.events.history import DEFAULT_BOUND
from services.events.incoming_event import IncomingEvent
from services.events.ingestion import TaggedEventReader
from services.events.refusals import TAGGING_ERRORS, rejection_reason
from services.events.tagged_message import TaggedMessage
from services.events.tagger import EventTagger
from services.kafka.record_metadata import RecordMetadata
from services.policy.ids import event_id
from services.policy.model import Policy
from services.policy.plans import compile_policy
from services.policy.tagging_error import TaggingFailed

Outcome = Literal["recorded", "duplicate", "parked", "refused"]

_FirstLines = Mapping[UUID, tuple[int, bytes]]
"""For each event id that several lines have, the line that counts, and its content hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunResult:
    """What would happen to one line of a file."""

    line: int
    """Counted from 1."""
    outcome: Outcome
    """`parked` would become a dead letter; `refused` cannot be published as the event that it describes."""
    reason: str = ""
    """The dead letter's reason, or a short reason why it cannot be published."""
    key: str = ""
    """The field or attribute with the problem."""
    why: str = ""
    event: CloudEvent | None = None
    """None where the line is not an event."""
    left_out: tuple[str, ...] = ()
    """The paths of fields that its schema does not have: they would not be published."""
    subject: str | None = None
    held_back: str | None = None
    """The import, or the group of old live events, that would hold it back until it is released."""
    holdings: tuple[Mapping[str, Any], ...] = ()
    """Its holdings as in the tagged event, each with its `subject`."""

    @property
    def is_rejected(self) -> bool:
        """Whether the event would not be recorded."""
        return self.outcome in ("parked", "refused")


class _NotPublishable(Exception):
    """The event cannot be published as the event that it describes."""

    def __init__(self, reason: str, key: str, why: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key
        self.why = why


class DryRun:
    """Checks events under one policy."""

    def __init__(
        self, policy: Policy, schemas: SchemaSet, now: datetime, bound: timedelta = DEFAULT_BOUND
    ) -> None:
        """Prepare a dry run; `now` is when the events would arrive, UTC.

        Events that are older than `now` by more than `bound` would be held back.

        Raises:
            FieldNotEncryptable: the policy encrypts a field that cannot be encrypted.
        """
        topics = {topic.name: topic for topic in map(business_topic, policy.events)}
        self._policy = policy
        self._now = now
        self._codec = Codec(schemas)
        self._tagger = EventTagger(policy=policy, codec=self._codec, topics=topics, bound=bound)
        self._reader = TaggedEventReader(compiled=compile_policy(policy), codec=self._codec)
        self._encryption: FieldEncryptor | None = None
        if any(event.encrypted for event in policy.events.values()):
            check_encrypted_fields(policy, schemas)
            self._encryption = FieldEncryptor(policy=policy, keys=_ThrowawayKeys(), now=lambda: now)

    def run_file(self, source: Source, backfill: str | None = None) -> Iterator[DryRunResult]:
        """Return what would happen to each line of a file, in order; `backfill` names the import, if any.

        Raises:
            InvalidEventLine: the file cannot be read.
        """
        firsts = self._find_first_lines(source, backfill)
        for number, text in read_lines(source):
            yield self._run_line(number, text, backfill, firsts)

    def _find_first_lines(self, source: Source, backfill: str | None) -> _FirstLines:
        """Find the line that counts of those with one event id: the first by event time, as recorded."""
        lines: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
        for number, text in read_lines(source):
            with suppress(MalformedEvent):
                event = parse_structured(text)
                lines[event.type, event.source, event.id].append(number)
        repeated = {number for numbers in lines.values() if len(numbers) > 1 for number in numbers}
        first_events: dict[UUID, tuple[datetime, int, bytes]] = {}
        for number, text in read_lines(source) if repeated else ():
            if number not in repeated:
                continue
            with suppress(_NotPublishable, *TAGGING_ERRORS):
                event = replace(parse_structured(text), backfill=backfill)
                arrival = self._run_event(event)[1].row
                candidate = (event.time, number, arrival.content_hash)
                identity = event_id(event.type, event.source, event.id)
                first_events[identity] = min(candidate, first_events.get(identity, candidate))
        return {
            identity: (number, content) for identity, (_, number, content) in first_events.items()
        }

    def _run_line(
        self, line: int, text: str, backfill: str | None, firsts: _FirstLines
    ) -> DryRunResult:
        event: CloudEvent | None = None
        try:
            event = replace(_parse_event(text), backfill=backfill)
            return self._check_event(line, event, firsts)
        except _NotPublishable as cause:
            return DryRunResult(
                line=line,
                outcome="refused",
                reason=cause.reason,
                key=cause.key,
                why=cause.why,
                event=event,
            )
        except TAGGING_ERRORS as cause:
            return DryRunResult(
                line=line,
                outcome="parked",
                reason=rejection_reason(cause)[0],
                key="data" if isinstance(cause, DecodingFailed) else cause.key,
                why=cause.why,
                event=event,
            )

    def _run_event(self, event: CloudEvent) -> tuple[TaggedMessage, IncomingEvent]:
        """Return the tagged event that the tagger would send, and what the recorder would make of it."""
        place = RecordMetadata(business_topic(event.type).name, 0, 0)
        headers = to_headers(event)
        body = self._encode_body(event)
        message = self._tagger.tag_message(place, headers, body, self._now)
        size = len(body) + len(message.key) + sum(len(name) + len(text) for name, text in headers)
        if size > limits.MAX_PUBLISHED:
            raise _NotPublishable(
                "too-large",
                "data",
                f"takes {size} bytes; at most {limits.MAX_PUBLISHED} fit into one message",
            )
        return message, self._reader.read_event(message.value)

    def _check_event(self, line: int, event: CloudEvent, firsts: _FirstLines) -> DryRunResult:
        message, incoming = self._run_event(event)
        first_line, content = firsts.get(incoming.event_id, (line, incoming.row.content_hash))
        if content != incoming.row.content_hash:
            problem = f"line {first_line} has the same identity and other content"
            raise TaggingFailed("identity-conflict", "id", problem)
        records = self._codec.decode(TAGGED, message.value)["records"]
        return DryRunResult(
            line=line,
            outcome="recorded" if first_line == line else "duplicate",
            event=event,
            left_out=self._codec.unknown_fields(business_topic(event.type), event.data),
            subject=incoming.subject,
            held_back=event.backfill or incoming.history,
            holdings=tuple(
                {"subject": record["subject"], **holding}
                for record in records
                for holding in record["holdings"]
            ),
        )

    def _encode_body(self, event: CloudEvent) -> bytes:
        """Return the value of an event's message."""
        topic = business_topic(event.type)
        if event.type not in self._policy.events:
            why = f"the policy does not define the event type {event.type!r}: no role reads {topic.name}"
            raise _NotPublishable("unknown-type", "type", why)
        try:
            if self._encryption is not None:
                [event] = self._encryption.encrypt_events([event])
            return self._codec.encode(topic, event.data)
        except (FieldNotText, NoKeyHolder) as cause:
            raise _NotPublishable("unencryptable", cause.key, cause.why) from cause
        except EncodingFailed as cause:
            raise _NotPublishable("unencodable", cause.key, cause.why) from cause
        except UnknownSchema as cause:
            raise _NotPublishable("unknown-schema", "type", str(cause)) from cause


def _parse_event(text: str) -> CloudEvent:
    try:
        return parse_structured(text)
    except MalformedEvent as cause:
        if cause.key in ("json", "data"):  # no message could contain it
            raise _NotPublishable("no-event", cause.key, cause.why) from cause
        raise


class _ThrowawayKeys:
    """Keys for a dry run, the same for the same event; nothing is ever decrypted with them."""

    def resolve_event_ids(self, events: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        return {event: event for event in events}

    def get_or_create(
        self, key_refs: Collection[KeyRef], now: datetime
    ) -> Mapping[KeyRef, DataKey]:
        return {
            (event, system): DataKey(
                key_id=event.hex, secret=sha256(event.bytes + system.encode()).digest()
            )
            for event, system in key_refs
        }
