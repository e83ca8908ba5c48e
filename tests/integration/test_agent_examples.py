"""The examples with a hook and a webhook, from their files, as agents on an embedded broker."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2
import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition

from schemas import catalogue
from services import bootstrap_agent
from services.agent import configuration
from services.agent.commands import Command
from services.agent.examples.webhook.mailer import Mailer, server
from services.bus import Bus, OutMessage
from services.embedded import EmbeddedBroker
from services.vault.keyfiles import DELETER, KeyDirectory
from tests.unit.agent.stage import CODEC, command, encoded

EXAMPLES = Path(configuration.__file__).parent / "examples"
PATIENCE_SECONDS = 60.0


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as made:
        yield made


class Controller:
    """Who commands one system, and reads its answers."""

    def __init__(self, broker: EmbeddedBroker, system: str, directory: Path) -> None:
        self.system = system
        topics = (catalogue.commands(system), catalogue.acknowledgements(system))
        broker.create_topics(one.name for one in topics)
        self.topic, self.answering = topics
        self.directory = directory
        self._bootstrap = broker.bootstrap
        self.bus = Bus(broker.bootstrap, broker.cluster_id)
        self.keys = KeyDirectory(path=directory / "keys")
        self.keys.make(DELETER)
        self.keys.make(system)

    def file(self, example: str, broker: EmbeddedBroker, **adapter: Any) -> Path:
        """The example's file, with this broker and these settings of its adapter."""
        shutil.copytree(EXAMPLES / example, self.directory, dirs_exist_ok=True)
        document = yaml.safe_load((EXAMPLES / example / "agent.yaml").read_text("utf-8"))
        document["bus"] |= {"bootstrap_servers": broker.bootstrap, "cluster_id": broker.cluster_id}
        [kind] = document["adapter"]
        document["adapter"][kind] |= adapter
        path = self.directory / "agent.yaml"
        path.write_text(yaml.safe_dump(document), "utf-8")
        return path

    def send(self, *commands: Command) -> None:
        signer = self.keys.signer(DELETER)
        messages = []
        for one in commands:
            key, value = (one.subject or "").encode(), encoded(replace(one, system=self.system))
            headers = signer.sign(self.topic.name, key, value, now())
            messages.append(
                OutMessage(topic=self.topic.name, key=key, value=value, headers=headers)
            )
        self.bus.sender().send(messages)

    def answers(self, count: int) -> Sequence[dict[str, Any]]:
        """The first answers, in the order of their partitions."""
        reader = Consumer({"bootstrap.servers": self._bootstrap, "group.id": "r", "log_level": 0})
        reader.assign([TopicPartition(self.answering.name, n, 0) for n in range(4)])
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found) < count:
            assert time.monotonic() < deadline, found
            for message in reader.consume(100, 0.2):
                value = message.value()
                if message.error() is None and isinstance(value, bytes):
                    found.append(CODEC.decode(self.answering, value))
        reader.close()
        return found


@contextmanager
def running(file: Path, environment: dict[str, str]) -> Iterator[None]:
    """The agent of a file, in a thread of its own; what ends it fails the test."""
    stop, ended = Event(), list[BaseException]()

    def run() -> None:
        try:
            loaded = configuration.load(file, environment)
            bootstrap_agent.run_agent(loaded, stop, log_form="json", now=now)
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
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def fresh(name: str, **further: Any) -> Command:
    at = now()
    return command(name, issued_at=at, valid_until=at + timedelta(days=7), **further)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_letters_are_erased_by_the_hook(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """And what is read again is gone; /metrics tells of it, and /readyz knows both loops."""
    letters = tmp_path / "letters"
    letters.mkdir()
    for name in ("O1", "O2"):
        (letters / f"{name}.txt").write_text("Sanne", "utf-8")
    controller = Controller(broker, "letters", tmp_path)
    file = controller.file("hook", broker, command=[sys.executable, "letters.py"])
    with file.open("a", encoding="utf-8") as more:
        more.write(f"metrics_port: {(port := free_port())}\n")
    with running(file, {"LETTERS": str(letters)}):
        controller.send(fresh("erase"), fresh("check", action="verify", verifies="erase", seq=2))
        first, second = controller.answers(2)
        at = f"http://127.0.0.1:{port}"
        metrics = httpx2.get(f"{at}/metrics", trust_env=False).text
        until(lambda: httpx2.get(f"{at}/readyz", trust_env=False).text == "ok\n")
    assert (first["status"], first["counts"]) == ("done", {"letters": 1})
    assert (second["status"], second["counts"]) == ("done", {"letters": 0})
    assert [one.name for one in letters.iterdir()] == ["O2.txt"]
    assert 'termijn_agent_answers_total{action="erase",status="done"} 1.0' in metrics
    assert "customer:C1" not in metrics


def test_the_mailer_tells_the_agent_later(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Over the callback that the file declares."""
    mailer = Mailer(b"secret", slow=True)
    mailer.recipients["O1"] = "sanne@example.org"
    service = server(mailer, 0)
    thread = Thread(target=service.serve_forever)
    thread.start()
    controller = Controller(broker, "mailer", tmp_path)
    port = free_port()
    file = controller.file(
        "webhook",
        broker,
        url=f"http://127.0.0.1:{service.server_port}/commands",
        callback={"port": port, "url": f"http://127.0.0.1:{port}/callbacks"},
    )
    try:
        with running(file, {"MAILER_SECRET": "secret"}):
            controller.send(fresh("erase"))
            until(lambda: bool(mailer.waiting))
            [request] = mailer.waiting
            answer = httpx2.post(
                request["callback"]["url"],
                json=mailer.carry_out(request["command"]),
                headers={"authorization": f"Bearer {request['callback']['token']}"},
                trust_env=False,
            )
            [told] = controller.answers(1)
    finally:
        service.shutdown()
        service.server_close()
        thread.join()
    assert answer.status_code == 200
    assert (told["status"], told["counts"]) == ("done", {"recipients": 1})
