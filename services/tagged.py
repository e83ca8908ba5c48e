"""The tagged event as it goes on the bus: a business message in, key and value of its tag out.

A pure function of the message and the policy, without any client of the bus: whatever reads and writes
around it, the same message gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from json import JSONEncoder
from typing import Any, NamedTuple

from schemas.catalogue import TAGGED, Topic
from schemas.codec import Codec
from schemas.errors import MalformedEvent
from schemas.events import CloudEvent, content_hash, from_headers
from services.policy.model import Policy
from services.policy.tagging import Tagged, Untaggable, tag
from services.policy.windows import EVENT_ALONE, window

_AHEAD = timedelta(days=1)
LARGEST = 900_000
"""Bytes; a broker takes a megabyte unless it is told otherwise, frame and key included."""
_DECIDING = JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class Place(NamedTuple):
    """Where a message stands on the bus."""

    topic: str
    partition: int
    offset: int


class Passed(NamedTuple):
    """What the tagger passes on of one event."""

    type: str
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """Makes tagged events out of business messages."""

    policy: Policy
    codec: Codec
    topics: Mapping[str, Topic]
    """The business topics by name; the event type is the topic's schema."""

    def of(
        self,
        place: Place,
        headers: Sequence[tuple[str, bytes | None]],
        body: bytes | None,
        arrived: datetime,
    ) -> Passed:
        """The tagged event of a message that arrived at an instant, UTC.

        Raises:
            Undecodable: its body is no value of its topic's schema.
            MalformedEvent: its headers are no event's, or not of this topic's type.
            Untaggable: the policy cannot tag it, or it is from the future.
        """
        topic = self.topics[place.topic]
        event = from_headers(headers, self.codec.decode(topic, body))
        if event.type != topic.schema:
            raise MalformedEvent(key="ce_type", why=f"is not the type of {topic.name}")
        if event.time > arrived + _AHEAD:
            why = f"{event.time.isoformat()} is more than a day ahead of its arrival"
            raise Untaggable("impossible-time", "time", why)
        tagged = tag(event, self.policy)
        return Passed(event.type, tagged.key.encode(), self._value(place, event, tagged))

    def _value(self, place: Place, event: CloudEvent, tagged: Tagged) -> bytes:
        value = {
            "source": event.source,
            "id": event.id,
            "type": event.type,
            "time": event.time,
            "content_hash": content_hash(event),
            "topic": place.topic,
            "partition": place.partition,
            "offset": place.offset,
            "policy": self.policy.policy,
            "policy_version": self.policy.version,
            "backfill": event.backfill,
            "deciding": _DECIDING.encode(tagged.deciding),
            "records": list(_records(tagged, self.policy)),
            "moves": [
                {"clock": move.clock.clock, "key": move.clock.key, "move": move.move}
                for move in tagged.moves
            ],
        }
        encoded = self.codec.encode(TAGGED, value, own=True)
        if len(encoded) > LARGEST:  # of very many subjects; what is informative can be left out
            encoded = self.codec.encode(TAGGED, {**value, "records": []}, own=True)
        if len(encoded) > LARGEST:
            raise MalformedEvent(
                key="data", why="its deciding fields are too large for one message"
            )
        return encoded


def _records(tagged: Tagged, policy: Policy) -> Iterator[dict[str, Any]]:
    """The holdings with their windows as far as the event alone tells them: informative."""
    for subject in tagged.subjects:
        holdings = []
        for holding in tagged.holdings:
            if holding.subject != subject:
                continue
            view = window(holding, tagged.time, EVENT_ALONE, policy)
            holdings.append(
                {
                    "purpose": holding.purpose,
                    "basis": holding.basis,
                    "rule": holding.rule,
                    "systems": list(holding.systems),
                    "anchor": str(policy.rules[holding.rule].anchor),
                    "anchor_at": view.anchor_at,
                    "not_before": view.not_before,
                    "erase_by": view.erase_by,
                    "due_at": {one: at for one, at in view.due_at.items() if at is not None},
                }
            )
        yield {"subject": subject, "holdings": holdings}
