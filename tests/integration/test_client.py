"""The Kafka client against a real Kafka."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient

from services.app.cli.main import termijn
from services.app.wiring.required_topics import required_topics
from services.kafka.client import KafkaClient
from services.kafka.errors import DeliveryFailed, KafkaUnavailable
from services.kafka.producer import OutgoingMessage
from services.policy import loader
from tests.patience import Patience
from tests.servers.kafka import KafkaCluster


def test_a_created_topic_is_visible_to_other_processes_too(fresh_kafka: KafkaCluster) -> None:
    """Several roles start at once on an empty broker, and each waits until it can read all topics."""
    commands = list(required_topics(loader.load()).commands.values())

    def start(_: int) -> set[str]:
        bus = KafkaClient(fresh_kafka.bootstrap)
        bus.ensure_topics(commands)
        return {topic for topic, _ in bus.list_partitions([topic.name for topic in commands])}

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(start, range(4))) == [{topic.name for topic in commands}] * 4


def test_a_short_timeout_fails_fast(fresh_kafka: KafkaCluster) -> None:
    """A missing topic, or one without a leader, fails fast, so that publishing heads does not block."""
    sender = KafkaClient(fresh_kafka.bootstrap).open_producer(2.0)
    patience = Patience(15)
    with pytest.raises(DeliveryFailed, match=r"retention\.evidence-heads\.v1: not delivered"):
        sender.send([OutgoingMessage(topic="retention.evidence-heads.v1", key=None, value=b"x")])
    assert not patience.is_over


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a broker show new topics only from its fourth answer on."""
    make, show = AdminClient.create_topics, AdminClient.list_topics
    looks: dict[str, int] = {}

    def create_topics(self: AdminClient, new: Any, **fields: Any) -> Any:
        looks.update({topic.topic: 3 for topic in new})
        return make(self, new, **fields)

    def list_topics(self: AdminClient, *args: Any, **fields: Any) -> Any:
        listed = show(self, *args, **fields)
        for name, remaining in list(looks.items()):
            looks[name] = remaining - 1
            if remaining > 0:
                listed.topics.pop(name, None)
        return listed

    monkeypatch.setattr(AdminClient, "create_topics", create_topics)
    monkeypatch.setattr(AdminClient, "list_topics", list_topics)


@pytest.mark.usefixtures("late")
def test_applied_topics_are_visible_to_the_next_process(
    fresh_kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`termijn topics apply` ends only when the brokers show what it made."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", fresh_kafka.bootstrap)
    run = CliRunner().invoke
    applied = run(termijn, ["topics", "apply"])
    assert applied.exit_code == 0, applied.output
    assert "retention.tagged.v1 has 6 new partitions, " in applied.output
    outcome = run(termijn, ["doctor", "--json"])
    missing = [
        line
        for line in map(json.loads, outcome.stdout.splitlines())
        if line["result"] == "does not exist"
    ]
    assert missing == []
    checked = run(termijn, ["topics", "check", "--json"])
    assert [
        line for line in map(json.loads, checked.stdout.splitlines()) if not line["there"]
    ] == []
    assert checked.exit_code == 0, checked.output


def test_a_missing_topic_is_named(
    fresh_kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that skipped a missing topic would never read the events published there."""
    monkeypatch.setattr("services.kafka.client._CALL_SECONDS", 1.0)
    with pytest.raises(
        KafkaUnavailable, match=r"find topic orders\.v9: the broker does not show it"
    ):
        KafkaClient(fresh_kafka.bootstrap).list_partitions(["orders.v9"])
