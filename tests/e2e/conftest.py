"""The roles on real Kafka and PostgreSQL, ended with each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.servers.kafka import KafkaCluster
from tests.e2e.running import Running


@pytest.fixture
def running(
    fresh_kafka: KafkaCluster, postgres: Callable[[], str], tmp_path: Path
) -> Iterator[Running]:
    """A migrated ledger and no role yet."""
    made = Running(tmp_path, fresh_kafka.bootstrap, postgres())
    migrated = made.run("ledger", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    yield made
    made.end_all()
