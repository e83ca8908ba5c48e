"""Answering: the bytes of an acknowledgement, off the bus, become an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from schemas import limits
from schemas.codec import Codec
from schemas.errors import DecodingFailed
from schemas.topics import Topic
from services.deleter.settlement import Acknowledgement


def decode_acknowledgement(
    codec: Codec, topic: Topic, system: str, payload: bytes | None
) -> Acknowledgement:
    """The answer in the value of a message on one system's topic.

    Raises:
        DecodingFailed: it is no acknowledgement, or not that system's.
    """
    value = codec.decode(topic, payload)
    if value["system"] != system:
        why = f"answers for {value['system']} on the topic of {system}"
        raise DecodingFailed(why=why, topic=topic.name)
    try:
        command_id = UUID(value["command_id"])
    except ValueError as cause:
        raise DecodingFailed(why="command_id is no UUID", topic=topic.name) from cause
    if beyond := _beyond_limits(value):
        raise DecodingFailed(why=beyond, topic=topic.name)
    return Acknowledgement(
        acknowledgement_id=value["acknowledgement_id"],
        command_id=command_id,
        system=system,
        attempt=value["attempt"],
        status=value["status"],
        counts=value["counts"],
        ground=value["ground"],
        at=value["at"],
        disclosure=value["disclosure"],
    )


def _beyond_limits(value: Mapping[str, Any]) -> str | None:
    """What of an acknowledgement is beyond a limit; nothing where all is within."""
    counts: Mapping[str, int] = value["counts"]
    ground, disclosure = value["ground"] or "", value["disclosure"] or ""
    found = [
        ("acknowledgement_id", limits.identifier_problem(value["acknowledgement_id"])),
        ("ground", limits.line_problem(ground)),
        ("counts", limits.count_problem(counts, limits.MAX_COUNTS)),
        *(("counts", limits.identifier_problem(name)) for name in counts),
        ("disclosure", None if disclosure.isascii() else "is no JWE"),
        ("disclosure", limits.control_character_problem(disclosure)),
    ]
    return next((f"{name} {why}" for name, why in found if why), None)
