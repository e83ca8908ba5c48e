"""The tagged event on Kafka: what follows from a business event, without its body.

It does not depend on a Kafka client: the same message always gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from schemas import limits
from schemas.cloudevents import CloudEvent, hash_event
from schemas.codec import Codec
from schemas.errors import MalformedEvent
from schemas.topics import TAGGED
from services.kafka.record_metadata import RecordMetadata
from services.policy.decision_fields import encode_decision_fields
from services.policy.model import Policy
from services.policy.retention_windows import NO_FACTS, Window, compute_window
from services.policy.tagged_event import Holding, TaggedEvent
from services.policy.tagging import tag

Headers = Sequence[tuple[str, bytes | None]]
WindowOf = Callable[[Holding], Window]
"""Returns the window of a holding that follows from the event alone."""


class TaggedMessage(NamedTuple):
    """The message of a tagged event."""

    type: str
    key: bytes
    value: bytes
    rules: tuple[str, ...]
    """The rule of each of its holdings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableParts:
    """The parts of a tagged event that differ in every message: time, content hash and decision fields."""

    time: datetime
    content_hash: bytes
    deciding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedEventBuilder:
    """Builds tagged events from events under one policy."""

    policy: Policy
    codec: Codec

    def build(
        self, event: CloudEvent, place: RecordMetadata, history: str | None = None
    ) -> TaggedMessage:
        """Return the tagged event of the event at `place`; `history` is the group that holds it back.

        Raises:
            MalformedEvent: it is too large.
            TaggingFailed: the policy cannot tag it.
        """
        tagged = tag(event, self.policy)
        variable_parts = VariableParts(
            time=event.time,
            content_hash=hash_event(event),
            deciding=encode_decision_fields(tagged.decision_fields),
        )
        value = self.value(
            event, place, tagged, variable_parts, self.window_dates(event.time), history
        )
        encoded = self.codec.encode(TAGGED, value, trusted=True)
        if (
            len(encoded) > limits.MAX_MESSAGE
        ):  # of very many subjects; what is informative can be left out
            encoded = self.codec.encode(TAGGED, {**value, "records": []}, trusted=True)
        if len(encoded) > limits.MAX_MESSAGE:
            raise MalformedEvent(
                key="data", why="its decision fields are too large for one message"
            )
        rules = tuple(holding.rule for holding in tagged.holdings)
        return TaggedMessage(event.type, tagged.message_key.encode(), encoded, rules)

    def window_dates(self, time: datetime) -> WindowOf:
        """Return a function that gives the windows of holdings of an event of that time."""
        return lambda holding: compute_window(holding, time, NO_FACTS, self.policy)

    def value(
        self,
        event: CloudEvent,
        place: RecordMetadata,
        tagged: TaggedEvent,
        variable_parts: VariableParts,
        window_of: WindowOf,
        history: str | None,
    ) -> dict[str, Any]:
        """Return the tagged event as a value of its Avro schema."""
        return {
            "source": event.source,
            "id": event.id,
            "type": event.type,
            "time": variable_parts.time,
            "content_hash": variable_parts.content_hash,
            "topic": place.topic,
            "partition": place.partition,
            "offset": place.offset,
            "policy": self.policy.policy,
            "policy_version": self.policy.version,
            "backfill": event.backfill,
            "history": history,
            "deciding": variable_parts.deciding,
            "records": self._records(tagged, window_of),
            "moves": [
                {
                    "clock": move.clock.clock,
                    "key": move.clock.key,
                    "move": move.move,
                    "date": move.date,
                    "outcome": move.outcome,
                }
                for move in tagged.clock_changes
            ],
        }

    def _records(self, tagged: TaggedEvent, window_of: WindowOf) -> list[dict[str, Any]]:
        """Return the holdings by subject with the windows that follow from the event alone; informative."""
        records: dict[str, list[dict[str, Any]]] = {}
        for holding in tagged.holdings:
            holding_window = window_of(holding)
            records.setdefault(holding.subject, []).append(
                {
                    "purpose": holding.purpose,
                    "basis": holding.basis,
                    "rule": holding.rule,
                    "systems": list(holding.systems),
                    "anchor": holding_window.anchor,
                    "anchors": [
                        {"anchor": end.anchor, "anchor_at": end.anchor_at, "ends_at": end.ends_at}
                        for end in holding_window.anchors
                    ],
                    "anchor_at": holding_window.anchor_at,
                    "not_before": holding_window.not_before,
                    "erase_by": holding_window.erase_by,
                    "due_at": {
                        system: due_at
                        for system, due_at in holding_window.due_at.items()
                        if due_at is not None
                    },
                }
            )
        return [{"subject": subject, "holdings": holdings} for subject, holdings in records.items()]
