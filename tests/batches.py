"""Messages with commands and acknowledgements, as other programs than Termijn would write and read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemas import topics
from schemas.codec import Codec
from services.deleter.acknowledgement import Acknowledgement, AcknowledgementMessage

_COMMON = {
    *("system", "action", "categories", "rules", "purposes", "policy_version", "article"),
    *("reason", "verifies", "valid_until", "issued_at"),
}


def encode_commands(codec: Codec, *commands: Mapping[str, Any]) -> bytes:
    """Return one message with these commands, which are alike in the fields that they share."""
    first = commands[0]
    batch = {name: value for name, value in first.items() if name in _COMMON}
    own = [{name: command[name] for name in command.keys() - _COMMON} for command in commands]
    topic = topics.command_topic(first["system"])
    return codec.encode(topic, {**batch, "commands": own}, trusted=True)


def decode_commands(codec: Codec, system: str, message: bytes) -> list[dict[str, Any]]:
    """Return the commands of a message, each with the fields that they share."""
    batch = codec.decode(topics.command_topic(system), message)
    commands: Sequence[dict[str, Any]] = batch.pop("commands")
    return [{**batch, **command} for command in commands]


def encode_acknowledgements(
    codec: Codec, system: str, *acknowledgements: Mapping[str, Any], owner: str | None = None
) -> bytes:
    """Return one message of a system, or in its name on the topic of the `owner`.

    It has the id of the first of them.
    """
    batch = {
        "acknowledgement_id": acknowledgements[0]["acknowledgement_id"],
        "system": system,
        "acknowledgements": acknowledgements,
    }
    return codec.encode(topics.acknowledgement_topic(owner or system), batch, trusted=True)


def decode_acknowledgements(codec: Codec, system: str, message: bytes) -> list[dict[str, Any]]:
    """Return the acknowledgements of a message, each with what they share."""
    batch = codec.decode(topics.acknowledgement_topic(system), message)
    acknowledgements: Sequence[dict[str, Any]] = batch.pop("acknowledgements")
    return [{**batch, **item} for item in acknowledgements]


def message_of(acknowledgement: Acknowledgement, name: str) -> AcknowledgementMessage:
    """Return a message with this acknowledgement alone, under an id."""
    return AcknowledgementMessage(
        acknowledgement_id=name,
        system=acknowledgement.system,
        acknowledgements=(acknowledgement,),
    )
