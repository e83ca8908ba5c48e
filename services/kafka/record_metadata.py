"""Where a message is on Kafka. This module does not import a Kafka client."""

from __future__ import annotations

from typing import NamedTuple


class RecordMetadata(NamedTuple):
    """Topic, partition and offset of a message."""

    topic: str
    partition: int
    offset: int
