"""Kafka's topics and schemas as an AsyncAPI 3 document. Pure.

It takes Termijn's side: Termijn receives business events and acknowledgements, and sends the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from schemas.cloudevents import CONTENT_TYPE
from schemas.schema_versions import SchemaSet
from schemas.topics import Topic
from services.crypto.signing import KEY_ID, SIGNATURE
from services.kafka.trace_context import TRACEPARENT, TRACESTATE

DOCUMENT = Path("asyncapi.yaml")
_HEADER = "# Written by `termijn deploy write` from schemas/.\n"
_AVRO = "application/vnd.apache.avro;version=1.9.0"
_SYSTEM = "{system}"

Action = Literal["send", "receive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """The topics of one kind; the topics of all systems are one channel with a parameter."""

    topic: Topic
    actions: tuple[Action, ...]
    description: str
    systems: tuple[str, ...] = ()
    """The systems with a topic each; empty for a single topic."""
    headers: Literal["event", "signed", "none"] = "none"


def files(channels: Iterable[Channel], schemas: SchemaSet, version: str) -> Mapping[Path, str]:
    """Return the text of every file, by its path below the directory that they are written to."""
    document = asyncapi_document(list(channels), schemas, version)
    return {DOCUMENT: _HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)}


def asyncapi_document(
    channels: Sequence[Channel], schemas: SchemaSet, version: str
) -> dict[str, Any]:
    """Return the AsyncAPI document."""
    names = sorted({channel.topic.schema for channel in channels})
    headers = {channel.topic.schema: channel.headers for channel in channels}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Termijn",
            "version": version,
            "description": "Business events come in, commands go out to the systems, answers come back."
            " A message's value is Avro: single-object encoding, or the Confluent wire format where a"
            " schema registry is configured.",
            "license": {"name": "Apache 2.0"},
        },
        "defaultContentType": CONTENT_TYPE.decode(),
        "channels": {channel.topic.name: _channel(channel) for channel in channels},
        "operations": {
            f"{action}.{channel.topic.name}".replace(_SYSTEM, "system"): _operation(action, channel)
            for channel in channels
            for action in channel.actions
        },
        "components": {
            "messages": {
                name: {
                    "name": name,
                    "headers": _headers(headers[name]),
                    "payload": {
                        "schemaFormat": _AVRO,
                        "schema": schemas.newest(name).definition,
                    },
                }
                for name in names
            }
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    name = channel.topic.schema
    document: dict[str, Any] = {
        "address": channel.topic.name,
        "description": f"{channel.description} Key: {channel.topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }
    if channel.systems:
        document["parameters"] = {
            "system": {
                "enum": list(channel.systems),
                "description": "The system's name in the policy.",
            }
        }
    document["bindings"] = {
        "kafka": {
            "partitions": channel.topic.partitions,
            "topicConfiguration": dict(_configuration(channel.topic)),
            "bindingVersion": "0.5.0",
        }
    }
    return document


def _configuration(topic: Topic) -> Iterator[tuple[str, Any]]:
    yield "cleanup.policy", [topic.cleanup]
    yield "retention.ms", -1 if topic.retention_ms is None else topic.retention_ms


def _operation(action: Action, channel: Channel) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel.topic.name}"},
        "summary": channel.description,
    }


def _headers(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a message's headers; all are UTF-8, except for signatures."""
    trace = {
        TRACEPARENT: {"type": "string", "description": "W3C Trace Context."},
        TRACESTATE: {"type": "string", "description": "W3C Trace Context."},
    }
    if kind == "event":
        attributes = {
            "ce_specversion": {"const": "1.0"},
            "ce_id": {"type": "string"},
            "ce_source": {"type": "string"},
            "ce_type": {"type": "string", "description": "The event type."},
            "ce_time": {
                "type": "string",
                "format": "date-time",
                "description": "When it happened, RFC 3339.",
            },
        }
        optional = {"ce_termijnbackfill": {"type": "string", "description": "An import's name."}}
        return {
            "type": "object",
            "properties": {**attributes, **optional, **trace},
            "required": list(attributes),
        }
    if kind == "signed":
        signed = {
            KEY_ID: {"type": "string", "description": "The thumbprint of the key (RFC 7638)."},
            SIGNATURE: {"type": "string", "description": "Ed25519, 64 bytes: see Signatures."},
        }
        return {
            "type": "object",
            "properties": {**signed, **trace},
            "required": list(signed),
        }
    return {"type": "object", "properties": trace}
