"""Arriving: the bytes of a tagged event, off the bus, become what recording takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.catalogue import TAGGED, Topic
from schemas.codec import Codec
from schemas.errors import Undecodable
from services.ledger.recording import Arrival, from_deciding_json
from services.policy.model import Policy
from services.policy.tagging import Value, tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Reads tagged events under one policy."""

    policy: Policy
    codec: Codec

    def of(self, payload: bytes | None) -> Arrival:
        """The arrival in the value of a message.

        Raises:
            Undecodable: it is no tagged event, or holds what no database keeps.
            Untaggable: its deciding fields do not fit the policy; the tagger's may be another.
        """
        value = decoded(self.codec, TAGGED, payload)
        arrival = Arrival(
            source=value["source"],
            id=value["id"],
            type=value["type"],
            time=value["time"],
            content_hash=value["content_hash"],
            deciding=_deciding(value["deciding"]),
            topic=value["topic"],
            partition=value["partition"],
            offset=value["offset"],
            backfill=value["backfill"],
        )
        tag(arrival, self.policy)
        return arrival


def decoded(codec: Codec, topic: Topic, payload: bytes | None) -> Mapping[str, Any]:
    """The value of one of our own topics, as a database can keep it.

    Raises:
        Undecodable: it is none, or a text of it has a null character, which PostgreSQL keeps nowhere.
    """
    value = codec.decode(topic, payload)
    for name, one in value.items():
        if isinstance(one, str) and "\0" in one:
            raise Undecodable(why=f"{name} holds a null character", topic=topic.name)
    return value


def _deciding(text: str) -> dict[str, Value]:
    try:
        return from_deciding_json(text)
    except (ValueError, AttributeError, RecursionError) as cause:
        raise Undecodable(why="deciding is no JSON object", topic=TAGGED.name) from cause
