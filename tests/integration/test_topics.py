"""`termijn topics` against a real Kafka: what it reports is compared with the broker."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from services.app.cli.main import termijn
from services.kafka.topic_admin import TopicAdmin
from services.kafka.topic_checks import TopicState
from tests.servers.kafka import KafkaCluster

ORDERS = "orders.order-placed.v1"
DAY = 86_400_000


@pytest.fixture
def cluster(fresh_kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch) -> KafkaCluster:
    """A cluster with one topic: the broker's own segment time of a week, kept without limit."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", fresh_kafka.bootstrap)
    fresh_kafka.create_topics({ORDERS: 6}, {"retention.ms": "-1"})
    return fresh_kafka


def run_topics(*words: str) -> Result:
    """Return what `termijn topics` prints."""
    return CliRunner().invoke(termijn, ["topics", *words])


def orders(cluster: KafkaCluster) -> TopicState:
    """Return the topic of orders as the broker has it."""
    return TopicAdmin(admin=cluster.admin).describe_topics([ORDERS])[ORDERS]


def test_wrong_topics_are_found_and_fixed(cluster: KafkaCluster) -> None:
    """Missing topics are made and settings set, after which there is nothing to do."""
    before = run_topics("check", "--json")
    rows = {row["topic"]: row for row in map(json.loads, before.stdout.splitlines())}
    assert before.exit_code == 1
    assert rows[ORDERS]["findings"] == [
        "records stay without limit, and D4 ends after 730.0 days",
        "senders set the time of a message, so an old event could be taken for a new one",
    ]
    assert rows[ORDERS]["settings"]["segment.ms"] == str(7 * DAY)
    assert "consumer_name" in rows[ORDERS]["needs_encryption"]
    assert rows["retention.dead-letters.v1"]["findings"] == ["does not exist"]

    assert run_topics("apply", "--dry-run").exit_code == 0
    assert orders(cluster).settings["retention.ms"] == "-1"

    outcome = run_topics("apply")
    assert (
        f"{ORDERS} has retention.ms={7 * DAY}, segment.ms={DAY},"
        " message.timestamp.type=LogAppendTime"
    ) in outcome.stdout.splitlines()
    assert orders(cluster).settings["retention.ms"] == str(7 * DAY)
    assert orders(cluster).settings["message.timestamp.type"] == "LogAppendTime"
    assert run_topics("check").exit_code == 0
    assert run_topics("check", "--strict").exit_code == 1
    assert run_topics("apply").stdout == "nothing to do\n"
