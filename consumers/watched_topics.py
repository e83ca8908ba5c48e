"""The topics that the watch reads, and how a message on one of them becomes an observation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.topics import Topic
from services.crypto.signing import VerifierProtocol
from services.operations.watch.sightings import (
    CommandObservation,
    observations_of_acknowledgements,
    observations_of_commands,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedTopic:
    """A topic that is watched."""

    topic: Topic
    system: str
    verifier: VerifierProtocol
    parse: Callable[[Mapping[str, Any]], list[CommandObservation]]


def watched_topics(
    commands: Mapping[str, Topic],
    acknowledgements: Mapping[str, Topic],
    commander: VerifierProtocol,
    verifiers: Mapping[str, VerifierProtocol],
) -> dict[str, WatchedTopic]:
    """Return the watched topics by name; `commands` and `acknowledgements` are topics by system."""
    command_topics = [
        WatchedTopic(topic=topic, system=system, verifier=commander, parse=observations_of_commands)
        for system, topic in commands.items()
    ]
    acknowledgement_topics = [
        WatchedTopic(
            topic=topic,
            system=system,
            verifier=verifiers[system],
            parse=observations_of_acknowledgements,
        )
        for system, topic in acknowledgements.items()
    ]
    return {watched.topic.name: watched for watched in (*command_topics, *acknowledgement_topics)}
