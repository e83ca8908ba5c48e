"""The servers of the tests, started when the first test asks for one.

A server that is missing skips its tests with the reason; under TERMIJN_REQUIRE_ALL=1 it fails them.
KAFKA_BOOTSTRAP_SERVERS puts the `kafka` tests on another cluster, which must hold no topics.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

from tests.effort import CHAOS
from tests.samples import built
from tests.servers.kafka import KafkaBroker, KafkaCluster
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerMissing, executable
from tests.servers.prometheus import PrometheusServer
from tests.servers.registry import RegistryServer
from tests.servers.secured import SecuredBroker

_MARKERS = {
    "kafka": "kafka",
    "kafka_broker": "kafka",
    "modules_broker": "kafka",
    "secured_broker": "kafka",
    "postgres": "postgres",
    "postgres_server": "postgres",
}
settings.register_profile("chaos", CHAOS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers that it uses, so that `-m "not kafka"` misses none."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if marker := _MARKERS.get(fixture):
                item.add_marker(marker)


@contextmanager
def _skips_without_server() -> Iterator[None]:
    try:
        yield
    except ServerMissing as missing:
        if os.environ.get("TERMIJN_REQUIRE_ALL") == "1":
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """The cluster that all tests share; take `fresh_kafka` unless topics may be left over."""
    if bootstrap := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        cluster = KafkaCluster(bootstrap)
        if topics := cluster.topics():
            # Tests delete every topic that they find; never somebody else's.
            pytest.fail(f"KAFKA_BOOTSTRAP_SERVERS has topics: {sorted(topics)}", pytrace=False)
        yield cluster
        cluster.clear()
        return
    with _skips_without_server():
        broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def fresh_kafka(kafka: KafkaCluster) -> KafkaCluster:
    """The shared cluster, without any topic."""
    kafka.clear()
    return kafka


@pytest.fixture
def kafka_broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker for this test alone, which may kill, freeze and restart it."""
    with _skips_without_server():
        broker = KafkaBroker(tmp_path)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="module")
def modules_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker for the tests of one module alone, which may do the same."""
    with _skips_without_server():
        broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="module")
def secured_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker for the tests of one module alone, which clients reach over TLS, as users."""
    with _skips_without_server():
        broker = SecuredBroker(tmp_path_factory.mktemp("kafka"), datetime.now(UTC))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def _shared_postgres() -> Iterator[PostgresServer]:
    with _skips_without_server():
        server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres(_shared_postgres: PostgresServer) -> Callable[[], str]:
    """Makes an empty database at each call; the answer is its `postgresql+psycopg://` URL."""
    return _shared_postgres.fresh_database


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL for this test alone, which may kill and restart it."""
    with _skips_without_server():
        server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def schema_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A schema registry for the tests of one module, empty at first."""
    with _skips_without_server():
        server = RegistryServer(tmp_path_factory.mktemp("registry"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A Prometheus for the tests of one module, which start it with their configuration."""
    with _skips_without_server():
        server = PrometheusServer(tmp_path_factory.mktemp("prometheus"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program that checks Prometheus rules and runs their unit tests."""
    with _skips_without_server():
        return Path(executable("promtool", package="prometheus"))


@pytest.fixture(scope="session")
def kcat() -> Path:
    """Return kcat, a Kafka client that shares no code with Termijn."""
    with _skips_without_server():
        return Path(executable("kcat", package="kcat"))


@pytest.fixture(scope="session")
def java_sample() -> Path:
    """The sample in Java, compiled."""
    with _skips_without_server():
        return built("java")


@pytest.fixture(scope="session")
def node_sample() -> Path:
    """The sample in Node, with what it needs."""
    with _skips_without_server():
        return built("node")
