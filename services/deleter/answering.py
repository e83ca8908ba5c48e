"""Answering: the bytes of an acknowledgement, off the bus, become an answer."""

from __future__ import annotations

from uuid import UUID

from schemas.catalogue import Topic
from schemas.codec import Codec
from schemas.errors import Undecodable
from services.deleter.settling import Answer


def answer_of(codec: Codec, topic: Topic, system: str, payload: bytes | None) -> Answer:
    """The answer in the value of a message on one system's topic.

    Raises:
        Undecodable: it is no acknowledgement, or not that system's.
    """
    value = codec.decode(topic, payload)
    if value["system"] != system:
        why = f"answers for {value['system']} on the topic of {system}"
        raise Undecodable(why=why, topic=topic.name)
    try:
        command_id = UUID(value["command_id"])
    except ValueError as cause:
        raise Undecodable(why="command_id is no UUID", topic=topic.name) from cause
    return Answer(
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
