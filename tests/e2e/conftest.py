"""Fixtures that run the roles on real Kafka and PostgreSQL, and end them with each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.running import Running
from tests.e2e.watched import Watched
from tests.servers.kafka import KafkaBroker, KafkaCluster
from tests.servers.prometheus import PrometheusServer

POLICY = Path(__file__).parents[2] / "services" / "policy" / "optimum_pos.yaml"


@pytest.fixture
def running(
    fresh_kafka: KafkaCluster, postgres: Callable[[], str], tmp_path: Path
) -> Iterator[Running]:
    """A migrated ledger and no role yet."""
    running = Running(tmp_path, fresh_kafka.bootstrap, postgres())
    migrated = running.run("ledger", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    yield running
    running.end_all()


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory,
    modules_broker: KafkaBroker,
    prometheus: PrometheusServer,
    postgres: Callable[[], str],
) -> Iterator[Watched]:
    """All roles with Prometheus; the printer must acknowledge within two seconds."""
    directory = tmp_path_factory.mktemp("watched")
    policy = directory / "policy.yaml"
    text = POLICY.read_text("utf-8")
    printer = "owner: printer, role: processor, acknowledge_within: PT72H"
    assert printer in text
    policy.write_text(text.replace(printer, printer.replace("PT72H", "PT2S")), "utf-8")
    running = Running(
        directory,
        modules_broker.bootstrap,
        postgres(),
        TERMIJN_POLICY=str(policy),
        TERMIJN_RETRY_SECONDS="1",
        TERMIJN_RETRY_CAP_SECONDS="2",
        TERMIJN_REQUESTS_INTERVAL_SECONDS="1",
        TERMIJN_METRICS_INTERVAL_SECONDS="1",
    )
    watched_roles = Watched(running=running, broker=modules_broker, prometheus=prometheus)
    try:
        assert running.run("ledger", "migrate").returncode == 0
        watched_roles.begin()
        yield watched_roles
    finally:
        running.end_all()
