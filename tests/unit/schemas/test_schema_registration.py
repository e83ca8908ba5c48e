"""Which requests registering sends to a registry, and in which order."""

from __future__ import annotations

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from schemas.codec import Codec
from schemas.registry import Registry
from schemas.schema_files import load
from schemas.topics import business_topic
from services.kafka import schema_registration

ORDERS = business_topic("orders.order-placed")
SCHEMAS = load()


class Noting(Registry):
    """A registry that keeps what it was asked; some take a level only for what they know."""

    def __init__(self, *, levels_first: bool) -> None:
        super().__init__(SchemaRegistryClient.new_client({"url": "mock://x"}))
        self._levels_first = levels_first
        self.asked: list[str] = []

    def register(self, topic: str, text: str) -> int:
        self.asked.append("version 2" if "placed_through" in text else "version 1")
        return super().register(topic, text)

    def set_compatibility(self, topic: str, level: str) -> bool:
        taken = self._levels_first or bool(self.asked)
        if taken:
            self.asked.append(f"{topic} {level}")
        return taken


@pytest.mark.parametrize(
    ("levels_first", "asked"),
    [
        (True, ["orders.order-placed.v1 FULL_TRANSITIVE", "version 1", "version 2"]),
        (False, ["version 1", "version 2", "orders.order-placed.v1 FULL_TRANSITIVE"]),
    ],
)
def test_the_compatibility_level_is_set_before_registering(
    levels_first: bool, asked: list[str]
) -> None:
    """The registry then checks Termijn's own versions too, oldest first."""
    registry = Noting(levels_first=levels_first)
    assert schema_registration.register_schemas(ORDERS, Codec(SCHEMAS, registry), registry) == 2
    assert registry.asked == asked
