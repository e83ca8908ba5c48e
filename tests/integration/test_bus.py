"""The bus against a real Kafka."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from services.bootstrap import topics
from services.bus import Bus, BusUnavailable
from services.policy import loader
from services.servers.kafka import KafkaCluster


def test_what_is_made_is_shown_even_to_who_did_not_make_it(fresh_kafka: KafkaCluster) -> None:
    """Several roles start at once on an empty broker; each goes on only when it can read all."""
    commands = list(topics(loader.load()).commands.values())

    def start(_: int) -> set[str]:
        bus = Bus(fresh_kafka.bootstrap)
        bus.ensure(commands)
        return {topic for topic, _ in bus.partitions([one.name for one in commands])}

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(start, range(4))) == [{one.name for one in commands}] * 4


def test_a_topic_that_nobody_makes_is_named(
    fresh_kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever would pass over it would never read what is published there."""
    monkeypatch.setattr("services.bus._CALL_SECONDS", 1.0)
    with pytest.raises(BusUnavailable, match=r"find topic orders\.v9: the broker does not show it"):
        Bus(fresh_kafka.bootstrap).partitions(["orders.v9"])
