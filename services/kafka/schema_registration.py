"""Registering: the schemas of a topic, and what every later change of them must be."""

from __future__ import annotations

from schemas.codec import Codec
from schemas.registry import Registry
from schemas.topics import Topic

COMPATIBILITY = "FULL_TRANSITIVE"
"""Both ways and with every version: the log holds old values, and publishers are deployed before and
after readers. It is what `schemas.compatibility` holds our own versions to."""


def register_schemas(topic: Topic, codec: Codec, registry: Registry) -> int:
    """Register every version of a topic's schema under `COMPATIBILITY`; the answer is the newest's id.

    The level comes first where the registry lets it: then it also judges what is registered now.

    Raises:
        UnknownSchema: the topic has no schema.
        IncompatibleSchema: a version is not compatible with what is registered.
        RegistryUnavailable: the registry did not answer.
    """
    is_set = registry.set_compatibility(topic.name, COMPATIBILITY)
    newest = codec.register(topic)
    if not is_set:
        registry.set_compatibility(topic.name, COMPATIBILITY)
    return newest
