"""The job that every peer does, and its arguments: the topics to read and the topic to write."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import business_topic
from services.events.tagged_message import TaggedMessage
from services.events.tagger import EventTagger
from services.kafka.record_metadata import RecordMetadata
from services.policy.loader import load as load_policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a peer."""

    tags: EventTagger
    bootstrap: str
    group: str
    sink: str
    """The topic that it writes to."""

    @classmethod
    def from_arguments(cls) -> Self:
        """Return the job that the command line names: broker, group and sink."""
        bootstrap, group, sink = sys.argv[1:]
        policy = load_policy()
        topics = {topic.name: topic for topic in map(business_topic, policy.events)}
        tags = EventTagger(policy=policy, codec=Codec(load()), topics=topics)
        return cls(tags=tags, bootstrap=bootstrap, group=group, sink=sink)

    @property
    def sources(self) -> list[str]:
        """Return the topics that it reads."""
        return list(self.tags.topics)

    def passed(
        self, place: RecordMetadata, headers: Sequence[tuple[str, Any]], body: bytes | None
    ) -> TaggedMessage:
        """Return the messages that the tagger would publish."""
        return self.tags.tag_message(place, headers, body, datetime.now(UTC))
