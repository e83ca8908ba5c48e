"""A real Apache Kafka: one KRaft node on loopback, or any cluster that is given."""

from __future__ import annotations

import base64
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.patience import Patience
from tests.servers.processes import (
    ServerFailed,
    ServerMissing,
    ServerProcess,
    executable,
    free_ports,
)

_PROJECT = Path(__file__).resolve().parents[2]
JARS = _PROJECT / ".cache" / "kafka"
_LOGGING = _PROJECT / "deploy" / "test-servers" / "kafka-log4j2.xml"
_PATIENCE_SECONDS = 60.0
_CALL_SECONDS = 60.0
_CONFIGURATION = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}{listeners}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=16777216
log.segment.delete.delay.ms=1000
num.io.threads=4
num.network.threads=2
{further}"""


class KafkaCluster:
    """A cluster reachable at `bootstrap`, and the changes that a test makes to it from outside."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    @cached_property
    def admin(self) -> AdminClient:
        """Return an admin client, for calls that this class does not offer."""
        return AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "log_level": 0,
                "reconnect.backoff.max.ms": 200,
            }
        )

    @property
    def cluster_id(self) -> str:
        """Return the id that the cluster was formatted with."""
        return str(self.admin.list_topics(timeout=_CALL_SECONDS).cluster_id)

    def topic_id(self, topic: str) -> str:
        """Return the id that the cluster gave this topic; a recreated topic has another id."""
        described = self.admin.describe_topics(
            TopicCollection([topic]), request_timeout=_CALL_SECONDS
        )
        return str(described[topic].result(_CALL_SECONDS).topic_id)

    def topics(self) -> frozenset[str]:
        """Return the names of all topics except Kafka's internal ones."""
        listed = self.admin.list_topics(timeout=_CALL_SECONDS).topics
        return frozenset(name for name in listed if not name.startswith("__"))

    def create_topics(
        self, partitions: Mapping[str, int], configuration: Mapping[str, str] | None = None
    ) -> None:
        """Create topics by name and number of partitions; return when the cluster lists them."""
        new = [
            NewTopic(name, count, config=dict(configuration or {}))
            for name, count in partitions.items()
        ]
        for future in self.admin.create_topics(new).values():
            future.result(_CALL_SECONDS)
        _until(lambda: partitions.keys() <= self.topics(), "created topics stayed unlisted")

    def delete_topics(self, names: Iterable[str]) -> None:
        """Delete topics with their data; return when the cluster lists them no longer."""
        doomed = sorted(names)
        if doomed:
            for future in self.admin.delete_topics(doomed).values():
                future.result(_CALL_SECONDS)
            _until(lambda: self.topics().isdisjoint(doomed), "deleted topics stayed listed")

    def clear(self) -> None:
        """Delete every topic."""
        self.delete_topics(self.topics())

    def delete_records(self, topic: str, partition: int, before: int) -> int:
        """Delete all records before an offset, as retention does; return the new low watermark."""
        where = TopicPartition(topic, partition, before)
        future = self.admin.delete_records([where])[where]
        return int(future.result(_CALL_SECONDS).low_watermark)


class KafkaBroker(KafkaCluster):
    """A broker started by the tests; it keeps its port and its data over `kill` and `start`."""

    def __init__(
        self,
        directory: Path,
        *,
        heap: str = "512m",
        listeners: Sequence[str] = (),
        further: str = "",
    ) -> None:
        """Format a data directory with a new cluster id; `start` starts the broker.

        `listeners` are additional listeners, as NAME://host:port; `further` lines are added to the
        broker's configuration.

        Raises:
            ServerMissing: Java or Kafka's jars are not installed.
        """
        if not (JARS / "pom.xml").exists():
            raise ServerMissing("Apache Kafka is not in .cache/kafka; run `make servers`")
        java = executable("java", package="openjdk-17-jre-headless")
        broker, controller = free_ports(2)
        super().__init__(f"127.0.0.1:{broker}")
        self.log = directory / "broker.log"
        self.data = directory / "data"
        self._configuration = directory / "broker.properties"
        self._configuration.write_text(
            _CONFIGURATION.format(
                broker=broker,
                controller=controller,
                data=self.data,
                listeners="".join(f",{listener}" for listener in listeners),
                further=further,
            )
        )
        self._java = [
            java,
            f"-Xmx{heap}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",  # starts sooner, and a test's broker does not live long
            f"-Dlog4j2.configurationFile={_LOGGING}",
            "-cp",
            f"{JARS}/*",
        ]
        self._process: ServerProcess | None = None
        self._format()

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # A leading hyphen would read as an option.
        cluster = cluster.replace("-", "A", 1) if cluster.startswith("-") else cluster
        with self.log.open("ab") as output:
            subprocess.run(
                [
                    *self._java,
                    "kafka.tools.StorageTool",
                    "format",
                    "--cluster-id",
                    cluster,
                    "--config",
                    str(self._configuration),
                ],
                check=True,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> None:
        """Start the broker, also after `stop` or `kill`; return when it answers.

        Raises:
            ServerFailed: the broker ended, or did not answer within a minute.
        """
        self._process = ServerProcess(
            [*self._java, "kafka.Kafka", str(self._configuration)],
            log=self.log,
            farewell=signal.SIGKILL,
        )
        patience = Patience(_PATIENCE_SECONDS)
        while not self._answers():
            if not self._process.alive:
                raise ServerFailed("Kafka ended", self.log)
            if patience.is_over:
                raise ServerFailed(f"Kafka was silent for {_PATIENCE_SECONDS:.0f} s", self.log)
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return bool(self.admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    @property
    def pid(self) -> int | None:
        """Return the process id of the started broker."""
        return None if self._process is None else self._process.pid

    def stop(self) -> None:
        """Shut the broker down cleanly (SIGTERM)."""
        if self._process is not None:
            self._process.end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the broker at once (SIGKILL): nothing is flushed and no client is notified."""
        if self._process is not None:
            self._process.end(signal.SIGKILL)

    def suspend(self) -> None:
        """Suspend the broker with open connections (SIGSTOP) until `resume`."""
        if self._process is not None:
            self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the broker after `suspend` (SIGCONT)."""
        if self._process is not None:
            self._process.send(signal.SIGCONT)


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    patience = Patience(_CALL_SECONDS)
    while not condition():
        if patience.is_over:
            raise TimeoutError(otherwise)
        time.sleep(0.01)
