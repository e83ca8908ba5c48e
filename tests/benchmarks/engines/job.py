"""The job that every peer does, and its arguments: the topics to read and the topic to write.

It is done in one of two ways: by the tagger's own function, which uses the result of an event again for
those with the same fields, or plainly, as a user of the peer would write it: decode the event, read the
policy, compute the windows, encode.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self, get_args

from schemas.cloudevents import from_headers
from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import business_topic
from services.events.history import history_group
from services.events.tagged_message import Headers, TaggedEventBuilder, TaggedMessage
from services.events.tagger import EventTagger
from services.kafka.record_metadata import RecordMetadata
from services.policy.loader import load as load_policy
from services.policy.sources import check_source
from services.policy.tagging import check_arrival

Way = Literal["shared", "plain"]
"""How the job is done: by the tagger's own function, or plainly."""
WAYS: Final[tuple[Way, ...]] = get_args(Way)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a peer."""

    tags: EventTagger
    tag: Callable[[RecordMetadata, Headers, bytes | None, datetime], TaggedMessage]
    bootstrap: str
    group: str
    sink: str
    """The topic that it writes to."""

    @classmethod
    def from_arguments(cls) -> Self:
        """Return the job that the command line names: way, broker, group and sink."""
        way, bootstrap, group, sink = sys.argv[1:]
        policy = load_policy()
        topics = {topic.name: topic for topic in map(business_topic, policy.events)}
        tags = EventTagger(policy=policy, codec=Codec(load()), topics=topics)
        tag = tags.tag_message if way == "shared" else PlainTagger(tags).tag_message
        return cls(tags=tags, tag=tag, bootstrap=bootstrap, group=group, sink=sink)

    @property
    def sources(self) -> list[str]:
        """Return the topics that it reads."""
        return list(self.tags.topics)

    def passed(
        self, place: RecordMetadata, headers: Sequence[tuple[str, Any]], body: bytes | None
    ) -> TaggedMessage:
        """Return the messages that the tagger would publish."""
        return self.tag(place, headers, body, datetime.now(UTC))


class PlainTagger:
    """Makes the same tagged events, each from its own event alone."""

    def __init__(self, tags: EventTagger) -> None:
        """Use the policy, the schemas and the topics of a tagger."""
        self._tags = tags
        self._builder = TaggedEventBuilder(policy=tags.policy, codec=tags.codec)

    def tag_message(
        self, place: RecordMetadata, headers: Headers, body: bytes | None, arrived_at: datetime
    ) -> TaggedMessage:
        """Return the message that the tagger would publish for one that arrived at an instant, UTC."""
        tags = self._tags
        event = from_headers(headers, tags.codec.decode(tags.topics[place.topic], body))
        check_source(event, tags.policy)
        check_arrival(event.time, arrived_at)
        history = history_group(event.type, event.time, arrived_at, tags.bound)
        return self._builder.build(event, place, history)
