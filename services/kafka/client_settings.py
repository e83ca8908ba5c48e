"""The settings of librdkafka's consumers and producers, besides how the brokers are reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.kafka.producer import DELIVERY_SECONDS

_PREFETCH_KIB = 1_024
"""How much a consumer prefetches: a backlog must not fill memory, and more is not faster."""
_FETCH_BYTES = 262_144
"""How much one fetch requests of a partition; a larger message comes alone."""
_REFRESH_MS = 5_000
"""How soon a role learns of added partitions; until they are read the deleter waits for catch-up."""

CONSUMER_SETTINGS: Final[Mapping[str, Any]] = {
    "auto.offset.reset": "error",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "partition.assignment.strategy": "range",
    "session.timeout.ms": 10_000,
    "topic.metadata.refresh.interval.ms": _REFRESH_MS,
    "fetch.wait.max.ms": 50,
    "queued.max.messages.kbytes": _PREFETCH_KIB,
    "fetch.message.max.bytes": _FETCH_BYTES,
}
"""A consumer reads from assigned offsets only, and commits none to Kafka."""

PRODUCER_SETTINGS: Final[Mapping[str, Any]] = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 5,
    "compression.type": "lz4",
    "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
}
"""A producer waits for every in-sync replica."""
