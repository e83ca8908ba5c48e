"""A controller that commands one system and reads its acknowledgements, and that system's agent."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import yaml
from confluent_kafka import Consumer, TopicPartition

from schemas import topics as catalogue
from services.agent import config
from services.agent.command import Command
from services.app.wiring import agent
from services.crypto.key_directory import DELETER, KeyDirectory
from services.kafka.client import KafkaClient
from services.kafka.embedded_broker import EmbeddedBroker
from services.kafka.producer import OutgoingMessage
from tests.batches import decode_acknowledgements
from tests.patience import Patience
from tests.unit.agent.environment import CODEC, command, encoded

PATIENCE_SECONDS = 120.0


def now() -> datetime:
    return datetime.now(UTC)


class Controller:
    """Commands one system, and reads its acknowledgements."""

    def __init__(self, broker: EmbeddedBroker, system: str, directory: Path) -> None:
        self.system = system
        topics = (catalogue.command_topic(system), catalogue.acknowledgement_topic(system))
        broker.create_topics(topic.name for topic in topics)
        self.topic, self.answering = topics
        self.directory = directory
        self._bootstrap = broker.bootstrap
        self.bus = KafkaClient(broker.bootstrap, broker.cluster_id)
        self.keys = KeyDirectory(path=directory / "keys")
        self.keys.create(DELETER)
        self.keys.create(system)

    def file(self, example: Path, broker: EmbeddedBroker, **adapter: Any) -> Path:
        """Write the example's file into a directory, with this broker and these adapter settings."""
        shutil.copytree(example, self.directory, dirs_exist_ok=True)
        document = yaml.safe_load((example / "agent.yaml").read_text("utf-8"))
        document["bus"] |= {"bootstrap_servers": broker.bootstrap, "cluster_id": broker.cluster_id}
        [kind] = document["adapter"]
        document["adapter"][kind] |= adapter
        path = self.directory / "agent.yaml"
        path.write_text(yaml.safe_dump(document), "utf-8")
        return path

    def send(self, *commands: Command) -> None:
        signer = self.keys.signer(DELETER)
        messages = []
        for outgoing in commands:
            key, value = (
                (outgoing.subject or "").encode(),
                encoded(replace(outgoing, system=self.system)),
            )
            headers = signer.sign(self.topic.name, key, value, now())
            messages.append(
                OutgoingMessage(topic=self.topic.name, key=key, value=value, headers=headers)
            )
        self.bus.open_producer().send(messages)

    def answers(self, count: int) -> Sequence[dict[str, Any]]:
        """Return the first acknowledgements, in the order of their partitions."""
        reader = Consumer({"bootstrap.servers": self._bootstrap, "group.id": "r", "log_level": 0})
        reader.assign([TopicPartition(self.answering.name, n, 0) for n in range(4)])
        answers: list[dict[str, Any]] = []
        patience = Patience(PATIENCE_SECONDS)
        while len(answers) < count:
            assert not patience.is_over, answers
            for message in reader.consume(100, 0.2):
                value = message.value()
                if message.error() is None and isinstance(value, bytes):
                    answers += decode_acknowledgements(CODEC, self.system, value)
        reader.close()
        return answers


@contextmanager
def running(file: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run the agent of a file in a thread of its own; an error of the agent fails the test."""
    stop, ended = Event(), list[BaseException]()

    def run() -> None:
        try:
            loaded = config.load(file, environment)
            agent.run_agent(loaded, stop, log_format="json", now=now)
        except BaseException as cause:
            ended.append(cause)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert ended == []


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


def fresh(name: str, **further: Any) -> Command:
    at = now()
    return command(name, issued_at=at, valid_until=at + timedelta(days=7), **further)


def until(condition: Callable[[], bool]) -> None:
    patience = Patience(PATIENCE_SECONDS)
    while not condition():
        assert not patience.is_over
        time.sleep(0.05)
