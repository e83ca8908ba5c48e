"""Registration of a topic's schemas, and of the compatibility that every later version must have."""

from __future__ import annotations

from schemas.codec import Codec
from schemas.registry import Registry
from schemas.topics import Topic

COMPATIBILITY = "FULL_TRANSITIVE"
"""Both ways and with every version: the log holds old values, and publishers are deployed before and
after readers. `schemas.compatibility` checks Termijn's own versions by the same rule."""


def register_schemas(topic: Topic, codec: Codec, registry: Registry) -> int:
    """Register every version of a topic's schema under `COMPATIBILITY`; return the newest's id.

    The level is set first where the registry allows it: then it applies to these versions too.

    Raises:
        UnknownSchema: the topic has no schema.
        IncompatibleSchema: a version is not compatible with what is registered.
        RegistryUnavailable: the registry did not respond.
    """
    is_set = registry.set_compatibility(topic.name, COMPATIBILITY)
    newest = codec.register(topic)
    if not is_set:
        registry.set_compatibility(topic.name, COMPATIBILITY)
    return newest
