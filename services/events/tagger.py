"""Create the tagged event of a business message, reusing the result for events with the same fields.

The fast path by the encoded plan of a shape and the slow path give the same bytes. The plan is encoded at
the first event of its shape, and it is used only if it gives the same bytes for that event.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from schemas.cloudevents import CloudEvent, from_headers, hash_content
from schemas.codec import Codec
from schemas.errors import MalformedEvent
from schemas.topics import TAGGED, Topic
from services.events import encoded_plan
from services.events.encoded_plan import EncodedPlan, FastPathMessage
from services.events.history import DEFAULT_BOUND, history_group
from services.events.tagged_message import Headers, TaggedEventBuilder, TaggedMessage, VariableParts
from services.kafka.record_metadata import RecordMetadata
from services.policy.conditions import rules_of
from services.policy.model import Policy
from services.policy.plans import CompiledPolicy, compile_policy
from services.policy.retention_windows import Window
from services.policy.rule_ends import anchor_instant
from services.policy.sources import admits_source, check_source
from services.policy.tagged_event import Holding
from services.policy.tagging import MAX_AHEAD, check_arrival

_MAX_PLANS = 1_000
# Visible ASCII is the same in the tagged event as in the header.
_is_plain_ascii = re.compile(rb"[!-~]{1,512}").fullmatch
_parse_plain_time = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(?!000000)\d{6})?Z").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTagger:
    """Makes tagged events from business messages."""

    policy: Policy
    codec: Codec
    topics: Mapping[str, Topic]
    """The business topics by name; a topic's schema is its event type."""
    bound: timedelta = DEFAULT_BOUND
    """A live event that is older than its arrival by more than this is held back."""
    _plans_by_topic: dict[str, _TypePlans] = field(default_factory=dict, init=False)

    def tag_message(
        self,
        place: RecordMetadata,
        headers: Headers,
        body: bytes | None,
        arrived_at: datetime,
        taken_at: datetime | None = None,
    ) -> TaggedMessage:
        """Return the tagged event of a message that arrived at an instant, UTC.

        `taken_at`, by default the same, decides whether an event is old. A publisher may influence
        `arrived_at`, but not `taken_at`.

        Raises:
            DecodingFailed: its body does not fit its topic's schema.
            MalformedEvent: its headers are not those of an event of this topic's type.
            TaggingFailed: the policy cannot tag it, its source may not publish it, or its time is ahead.
        """
        topic = self.topics[place.topic]
        data = self.codec.decode(topic, body)
        plans = self._plans_by_topic.get(place.topic) or self._plans_for(topic)
        taken_at = taken_at or arrived_at
        plain = plans.fast_path_message(headers, data, arrived_at, taken_at, self.bound)
        if plain is not None and (encoded := plans.encoded.get(plain.key)) is not None:
            return plans.fill(encoded, plain, place, data)
        event = from_headers(headers, data)
        if event.type != topic.schema:
            raise MalformedEvent(key="ce_type", why=f"is not the type of {topic.name}")
        check_source(event, self.policy)
        check_arrival(event.time, arrived_at)
        history = history_group(event.type, event.time, taken_at, self.bound)
        tagged_message = plans.builder.build(event, place, history)
        if plain is not None and plain.key not in plans.encoded:
            plans.encode_plan(plain, event, place, tagged_message, history)
        return tagged_message

    def _plans_for(self, topic: Topic) -> _TypePlans:
        builder = TaggedEventBuilder(policy=self.policy, codec=self.codec)
        plans = _TypePlans(type=topic.schema, builder=builder)
        self._plans_by_topic[topic.name] = plans
        return plans


class _TypePlans:
    """The encoded plans of the events of one type."""

    def __init__(self, type: str, builder: TaggedEventBuilder) -> None:
        self._type = type
        self._name = type.encode()
        self.builder = builder
        self.encoded: dict[object, EncodedPlan | None] = {}
        """By `FastPathMessage.key`; None for events that always take the slow path."""
        policy = builder.policy
        kind = policy.events.get(type)
        self._compiled: CompiledPolicy = compile_policy(policy)
        self._restricted_kind = kind if kind and kind.sources else None
        parts = [
            part
            for holding in (kind.holdings if kind else ())
            for name in rules_of(holding, policy)
            for part in policy.rules[name].parts
        ]
        anchors = [part.anchor for part in parts]
        self._book_year = next((at for at in anchors if at.kind == "book-year"), None)
        self._has_dates = kind is not None and any(
            field.type == "date" for field in kind.fields.values()
        )
        self._years: dict[datetime, tuple[datetime, datetime]] = {}

    def fast_path_message(
        self,
        headers: Headers,
        data: Mapping[str, Any],
        arrived: datetime,
        taken_at: datetime,
        bound: timedelta,
    ) -> FastPathMessage | None:
        """Return the message for the fast path; None where only the slow path can check it."""
        by_name = dict(headers)
        id, source, at = by_name.get("ce_id"), by_name.get("ce_source"), by_name.get("ce_time")
        if (
            by_name.get("ce_type") != self._name
            or by_name.get("ce_specversion") != b"1.0"
            or not (id and source and at)
            or not (_is_plain_ascii(id) and _is_plain_ascii(source) and _parse_plain_time(at))
            or (self._restricted_kind and not admits_source(self._restricted_kind, source.decode()))
        ):
            return None
        time_text = at.decode()
        try:
            time = datetime.fromisoformat(time_text)
        except ValueError:
            return None
        shaped = self._compiled.find_shape(self._type, data, time)
        if shaped is None or time > arrived + MAX_AHEAD:
            return None
        shape, identifiers = shaped
        year = self._book_year_end(time) if self._book_year else None
        history = history_group(self._type, time, taken_at, bound)
        key = (shape, by_name.get("ce_termijnbackfill"), year, history)
        return FastPathMessage(source, id, time_text, time, key, identifiers)

    def fill(
        self,
        encoded: EncodedPlan,
        plain: FastPathMessage,
        place: RecordMetadata,
        data: Mapping[str, Any],
    ) -> TaggedMessage:
        """Return the tagged event of a fast path message by its encoded plan."""
        instants: list[datetime] = []
        for holding in encoded.fixed_holdings:
            instants += _instants(self.builder.window_dates(plain.time)(holding))
        key, value = encoded.fill(
            plain,
            hash_content(self._type, plain.time_text, data),
            place.partition,
            place.offset,
            instants,
        )
        return TaggedMessage(self._type, key, value, encoded.rules)

    def encode_plan(
        self,
        plain: FastPathMessage,
        event: CloudEvent,
        place: RecordMetadata,
        tagged_message: TaggedMessage,
        history: str | None,
    ) -> None:
        """Keep the encoded plan of an event's shape, if it gives the same for it as the slow path."""
        if len(self.encoded) >= _MAX_PLANS:
            self.encoded.clear()
        if self._has_dates:
            self.encoded[plain.key] = None
            return
        encoded = self._encode(event, place.topic, history)
        fits = self.fill(encoded, plain, place, event.data) == tagged_message
        self.encoded[plain.key] = encoded if fits else None

    def _encode(self, event: CloudEvent, topic: str, history: str | None) -> EncodedPlan:
        """Return the encoded plan of an event's shape: placeholders stand for what differs."""
        sample = replace(
            event,
            source=encoded_plan.SOURCE,
            id=encoded_plan.ID,
            data=self._compiled.with_placeholders(event.type, event.data),
        )
        tagged = self._compiled.tag(sample)
        variable_parts = VariableParts(
            time=encoded_plan.TIME, content_hash=encoded_plan.HASH, deciding=encoded_plan.DECIDING
        )
        place = RecordMetadata(topic, encoded_plan.PARTITION, encoded_plan.OFFSET)
        with_own_dates: dict[tuple[str, tuple[str, ...]], tuple[Holding, Window]] = {}
        unused = iter(encoded_plan.INSTANTS)
        actual_window = self.builder.window_dates(event.time)
        rules = self.builder.policy.rules

        def window_of(holding: Holding) -> Window:
            kinds = {part.anchor.kind for part in rules[holding.rule].parts}
            if kinds in ({"clock"}, {"book-year"}):
                return actual_window(holding)
            key = (holding.rule, holding.systems)
            if key not in with_own_dates:
                with_own_dates[key] = holding, _with_placeholders(actual_window(holding), unused)
            return with_own_dates[key][1]

        value = self.builder.value(sample, place, tagged, variable_parts, window_of, history)
        return EncodedPlan(
            self.builder.codec.encode(TAGGED, value, trusted=True),
            tagged,
            [holding for holding, _ in with_own_dates.values()],
        )

    def _book_year_end(self, time: datetime) -> datetime:
        """Return the end of the book year of an instant, UTC.

        Book years are contiguous, so an instant between two of one year is in that year as well.
        """
        for end, (earliest, latest) in self._years.items():
            if earliest <= time <= latest:
                return end
        assert self._book_year is not None
        end = anchor_instant(self._book_year, time, self.builder.policy)
        earliest, latest = self._years.get(end, (time, time))
        self._years[end] = min(earliest, time), max(latest, time)
        return end


def _instants(window: Window) -> Iterator[datetime]:
    """Return the instants of a window, always in the same order."""
    of_anchors = (at for anchor in window.anchors for at in (anchor.anchor_at, anchor.ends_at))
    own = (window.anchor_at, window.not_before, window.erase_by, *window.due_at.values())
    for at in (*own, *of_anchors):
        if at is not None:
            yield at


def _with_placeholders(window: Window, free: Iterator[datetime]) -> Window:
    """Return the window with a placeholder for each of its instants."""

    def stand_in(at: datetime | None) -> datetime | None:
        return None if at is None else next(free, None)  # too many: then the plan does not fit

    return replace(
        window,
        anchor_at=stand_in(window.anchor_at),
        not_before=stand_in(window.not_before),
        erase_by=stand_in(window.erase_by),
        due_at={system: stand_in(at) for system, at in window.due_at.items()},
        anchors=tuple(
            anchor._replace(anchor_at=stand_in(anchor.anchor_at), ends_at=stand_in(anchor.ends_at))
            for anchor in window.anchors
        ),
    )
