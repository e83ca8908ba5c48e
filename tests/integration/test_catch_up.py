"""The catch-up check on a real Kafka never counts as read what a broker does not show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from consumers.assigned_partitions import OffsetsLost
from services.app.cli import publish as publishing
from services.app.cli.main import termijn
from services.kafka.client import KafkaClient
from services.ledger.catch_up import KafkaCatchUpCheck
from services.storage.database import Database
from tests.contract.ledgers import new_ledger
from tests.e2e.running import business_event, write_events
from tests.integration.pipelines import StoringHandler, accept, publish, running, seen, until
from tests.servers.kafka import KafkaBroker, KafkaCluster

EVENTS, TAGGED = "orders.order-placed.v1", "retention.tagged.v1"
HOLD = business_event(
    "h",
    "privacy.hold-placed",
    "2026-01-01T09:00:00Z",
    hold_id="H1",
    subject="customer:C1",
    ground="legal_claim",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Database]:
    """An empty ledger."""
    with closing(new_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as ledger:
        seen.metadata.create_all(ledger.engine)
        yield ledger


def sight(kafka: KafkaCluster, ledger: Database, patience: float = 0.1) -> KafkaCatchUpCheck:
    """Return the deleter's check, of one topic of each kind; `patience` in seconds."""
    bus = KafkaClient(kafka.bootstrap)
    return KafkaCatchUpCheck(
        ledger=ledger,
        bus=bus,
        cluster_id=bus.cluster_id,
        business=[EVENTS],
        tagged=[TAGGED],
        sleep=time.sleep,
        timeout=timedelta(seconds=patience),
    )


@pytest.fixture
def stalls(kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Freeze the broker at the next request for ends, for longer than the request waits.

    librdkafka then returns -1001 for each partition, and no error.
    """
    stalled: list[KafkaBroker] = []
    ask = AdminClient.list_offsets

    def list_offsets(self: AdminClient, wanted: Any, **fields: Any) -> Mapping[Any, Any]:
        if not stalled:
            return ask(self, wanted, **fields)
        stalled.pop().suspend()
        try:
            answers = ask(self, wanted, **{**fields, "request_timeout": 0.4})
            wait(answers.values())
        finally:
            kafka_broker.resume()
        return answers

    monkeypatch.setattr(AdminClient, "list_offsets", list_offsets)
    return lambda: stalled.append(kafka_broker)


def test_an_unknown_end_of_a_log_does_not_count_as_read(
    kafka_broker: KafkaBroker, ledger: Database, stalls: Callable[[], None]
) -> None:
    """The three events may be holds: an unknown end of the log must not count as reached."""
    kafka_broker.create_topics({EVENTS: 2, TAGGED: 1})
    publish(kafka_broker, 3, partition=1, topic=EVENTS)
    looking = sight(kafka_broker, ledger, patience=5)
    stalls()
    assert looking.lagging_partitions() == [f"tagger: {EVENTS}[1]"]


def test_publishing_waits_for_what_it_sent_whatever_the_broker_reports(
    kafka_broker: KafkaBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stalls: Callable[[], None],
) -> None:
    """No role runs, so nothing is recorded, and `publish --wait` must not report that it is."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_broker.bootstrap)
    monkeypatch.setenv("TERMIJN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(publishing, "_CATCH_UP_TIMEOUT", timedelta(seconds=3))
    run = CliRunner().invoke
    assert run(termijn, ["ledger", "migrate"]).exit_code == 0
    events = write_events(tmp_path / "e.jsonl", [HOLD])
    stalls()
    outcome = run(termijn, ["publish", "--wait", str(events)])
    assert outcome.exit_code == 1
    assert "not recorded in time: tagger: privacy.hold-placed.v1[" in outcome.output


def test_a_partition_that_is_added_is_seen_at_once_and_read_soon(
    fresh_kafka: KafkaCluster, ledger: Database
) -> None:
    """It may contain a hold from the first moment, and the running roles must read it without a restart."""
    fresh_kafka.create_topics({EVENTS: 1, TAGGED: 1})
    publish(fresh_kafka, 2, topic=TAGGED)
    looking = sight(fresh_kafka, ledger)
    with running(fresh_kafka, ledger, StoringHandler(ledger=ledger), topics=(TAGGED,)):
        until(lambda: looking.lagging_partitions() == [])
        added = fresh_kafka.admin.create_partitions([NewPartitions(TAGGED, 2)])
        added[TAGGED].result(10)
        until(lambda: len(fresh_kafka.admin.list_topics(timeout=60).topics[TAGGED].partitions) == 2)
        publish(fresh_kafka, 3, partition=1, topic=TAGGED)
        assert looking.lagging_partitions() == [f"recorder: {TAGGED}[1]"]
        until(lambda: looking.lagging_partitions() == [], "the role did not read what was added")


def test_a_partition_that_went_with_its_topic_waits_to_be_accepted(
    fresh_kafka: KafkaCluster, ledger: Database
) -> None:
    """No role is assigned a partition that the new topic lacks; its loss must be reported all the same."""
    fresh_kafka.create_topics({EVENTS: 1, TAGGED: 2})
    publish(fresh_kafka, 2, topic=TAGGED)
    publish(fresh_kafka, 3, partition=1, topic=TAGGED)
    looking = sight(fresh_kafka, ledger)
    with running(fresh_kafka, ledger, StoringHandler(ledger=ledger), topics=(TAGGED,)):
        until(lambda: looking.lagging_partitions() == [])
    fresh_kafka.delete_topics([TAGGED])
    fresh_kafka.create_topics({TAGGED: 1})
    odd = "its log is not the one that was read before"
    assert looking.lagging_partitions() == [
        f"recorder: {TAGGED}[0]: {odd}",
        f"recorder: {TAGGED}[1]: {odd}",
    ]
    for partition in (0, 1):
        with running(fresh_kafka, ledger, StoringHandler(ledger=ledger), topics=(TAGGED,)) as loop:
            assert isinstance(loop.end(), OffsetsLost)
        assert accept(ledger, partition) == 0
    with running(fresh_kafka, ledger, StoringHandler(ledger=ledger), topics=(TAGGED,)) as loop:
        until(lambda: looking.lagging_partitions() == [] and bool(loop.observer.lags))
    assert loop.end() is None
