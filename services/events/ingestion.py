"""Decode tagged events from Kafka, and find what each becomes in the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas import limits
from schemas.codec import Codec
from schemas.errors import DecodingFailed
from schemas.topics import TAGGED, Topic
from services.events.incoming_event import IncomingEvent, TaggedEventRow, build_incoming_event
from services.policy.plans import CompiledPolicy
from services.policy.sources import check_source
from services.policy.tagged_event import DecisionValue

# The fields after it in a tagged event are informative: windows follow from the active policy alone.
_LAST_DECODED_FIELD = "deciding"
_IDENTIFIERS = ("source", "id", "type", "topic", "backfill")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedEventReader:
    """Reads tagged events under one policy."""

    compiled: CompiledPolicy
    codec: Codec

    def read_event(self, payload: bytes | None) -> IncomingEvent:
        """Return what the tagged event in a message's value becomes in the ledger.

        Raises:
            DecodingFailed: it is not a tagged event, or has a text that not every database can store.
            TaggingFailed: its source or decision fields do not fit the policy, which may differ from the
                tagger's.
        """
        arrival = self.read_row(payload)
        check_source(arrival, self.compiled.policy)
        return build_incoming_event(arrival, self.compiled)

    def read_row(self, payload: bytes | None) -> TaggedEventRow:
        """Return the tagged event in a message's value, without looking at the policy.

        Raises:
            DecodingFailed: it is not a tagged event, or has a text that not every database can store.
        """
        value = self.codec.decode_prefix(TAGGED, payload, _LAST_DECODED_FIELD)
        _check_texts(value, TAGGED)
        for name in _IDENTIFIERS:
            if (text := value[name]) is not None and (why := limits.identifier_problem(text)):
                raise DecodingFailed(why=f"{name} {why}", topic=TAGGED.name)
        return TaggedEventRow(
            source=value["source"],
            id=value["id"],
            type=value["type"],
            time=value["time"],
            content_hash=value["content_hash"],
            decision_fields=_parse_decision_fields(value["deciding"]),
            topic=value["topic"],
            partition=value["partition"],
            offset=value["offset"],
            backfill=value["backfill"],
            history=value["history"],
        )


def decode_storable(codec: Codec, topic: Topic, payload: bytes | None) -> Mapping[str, Any]:
    """Return the value of a message on one of Termijn's own topics, for storing in a database.

    Raises:
        DecodingFailed: it does not fit, or has a null character in a text, which PostgreSQL cannot store.
    """
    value = codec.decode(topic, payload)
    _check_texts(value, topic)
    return value


def _check_texts(value: Mapping[str, Any], topic: Topic) -> None:
    for name, field in value.items():
        if field.__class__ is str and "\0" in field:
            raise DecodingFailed(why=f"{name} holds a null character", topic=topic.name)


def _parse_decision_fields(text: str) -> dict[str, DecisionValue]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise DecodingFailed(why="deciding is not JSON", topic=TAGGED.name) from cause
    if not isinstance(fields, dict):
        raise DecodingFailed(why="deciding is not a JSON object", topic=TAGGED.name)
    return fields
