"""`termijn watch` as processes, on a real Kafka: open commands of each system, even after kills."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas import topics
from services.agent.command import Command
from services.crypto.key_directory import DELETER, KeyDirectory
from services.crypto.keyring import Keyring, new_key
from services.crypto.signing import Signer, SignerProtocol
from services.kafka.client import KafkaClient
from services.kafka.producer import OutgoingMessage
from tests.batches import encode_acknowledgements
from tests.patience import Patience
from tests.servers.kafka import KafkaCluster
from tests.unit.agent.environment import CODEC, command, encoded

CANARY = "canary5d1e"
PATIENCE_SECONDS = 110.0
LOOPBACK = "0100007F"


class Watching:
    """A controller, systems that acknowledge, and watches."""

    def __init__(self, directory: Path, kafka: KafkaCluster) -> None:
        self.directory = directory
        self.bus = KafkaClient(kafka.bootstrap)
        self.keys = KeyDirectory(path=directory / "keys")
        self.keys.create(DELETER)
        for system in ("crm", "psp"):
            self.keys.create(system)
            self.keys.trust(system, self.keys.public(system)())
            self.bus.ensure_topics(
                [topics.command_topic(system), topics.acknowledgement_topic(system)]
            )
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "TERMIJN_KEYS": str(self.keys.path),
            "TERMIJN_DATA": str(directory / "data"),
        }
        self._sender = self.bus.open_producer()
        self.ports: dict[str, int] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            self.ports[name] = server.getsockname()[1]
        environment = {**self._environment, "TERMIJN_METRICS_PORT": str(self.ports[name])}
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "services.app.cli", "watch"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end(self, name: str, *, kill: bool = False) -> int:
        process = self.processes.pop(name)
        (process.kill if kill else process.terminate)()
        return process.wait(30)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text("utf-8", "replace")

    def put(self, *commands: Command, signer: SignerProtocol | None = None) -> None:
        by = signer or self.keys.signer(DELETER)
        self._send(
            *(
                (topics.command_topic(command.system), command, encoded(command), by)
                for command in commands
            )
        )

    def answer(
        self, *commands: Command, status: str = "done", signer: SignerProtocol | None = None
    ) -> None:
        self._send(
            *(
                (
                    topics.acknowledgement_topic(command.system),
                    command,
                    _answer(command, status),
                    signer or self.keys.signer(command.system),
                )
                for command in commands
            )
        )

    def _send(self, *what: tuple[topics.Topic, Command, bytes, SignerProtocol]) -> None:
        messages = []
        for topic, outgoing, value, signer in what:
            key = str(outgoing.subject).encode()
            headers = signer.sign(topic.name, key, value, now())
            messages.append(
                OutgoingMessage(topic=topic.name, key=key, value=value, headers=headers)
            )
        self._sender.send(messages)

    def fetch(self, name: str, path: str = "/systems") -> Any:
        url = f"http://127.0.0.1:{self.ports[name]}{path}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            body: bytes = answer.read()
        return json.loads(body) if path.startswith("/systems") else body.decode()

    def all(self, system: str, what: str) -> float:
        """Return the sum over all watches, since each has a part."""
        return sum(self.fetch(name)["systems"][system][what] or 0 for name in self.processes)

    def until(self, what: str, true: Callable[[], bool]) -> None:
        patience = Patience(PATIENCE_SECONDS)
        while True:
            try:
                if true():
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError, KeyError):
                pass
            ended = any(process.poll() is not None for process in self.processes.values())
            if ended or patience.is_over:
                logs = {name: self.log(name)[-2000:] for name in self.processes}
                raise AssertionError(f"not in time: {what}\n{logs}")
            time.sleep(0.2)

    def commit_as_processed(self, *committed: topics.Topic) -> None:
        """Commit the ends of topics for the watch, as Faust does for events that it has cancelled."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._environment["KAFKA_BOOTSTRAP_SERVERS"],
                "group.id": "termijn-watch",
            }
        )
        partitions = [
            TopicPartition(topic.name, partition)
            for topic in committed
            for partition in range(topic.partitions)
        ]
        offsets = [
            TopicPartition(each.topic, each.partition, consumer.get_watermark_offsets(each)[1])
            for each in partitions
        ]
        consumer.commit(offsets=offsets, asynchronous=False)
        consumer.close()


def now() -> datetime:
    return datetime.now(UTC)


def erase(number: int, system: str = "crm") -> Command:
    at = now()
    return replace(
        command(f"{system}/{number}"),
        system=system,
        subject=f"customer:{CANARY}-{number}",
        issued_at=at,
        valid_until=at + timedelta(days=7),
    )


def _answer(command: Command, status: str) -> bytes:
    value = {
        "acknowledgement_id": str(uuid4()),
        "command_id": command.command_id,
        "system": command.system,
        "attempt": command.attempt,
        "status": status,
        "counts": {},
        "ground": None,
        "detail": None,
        "at": command.issued_at + timedelta(seconds=2),
        "disclosure": None,
    }
    return encode_acknowledgements(CODEC, command.system, value)


def listening(pid: int) -> set[str]:
    """Return the addresses, in hexadecimal, on which a process listens."""
    inodes = {
        os.readlink(path).removeprefix("socket:[").removesuffix("]")
        for path in Path(f"/proc/{pid}/fd").iterdir()
        if os.readlink(path).startswith("socket:[")
    }
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text("ascii").splitlines()[1:]
    ]
    return {line[1].partition(":")[0] for line in lines if line[3] == "0A" and line[9] in inodes}


@pytest.fixture
def watching(fresh_kafka: KafkaCluster, tmp_path: Path) -> Iterator[Watching]:
    watching = Watching(tmp_path, fresh_kafka)
    yield watching
    for name in list(watching.processes):
        watching.end(name, kill=True)


def test_the_watch_shows_outstanding_commands_and_their_answers(watching: Watching) -> None:
    """Of ten commands six are done, one refused, one failed; foreign acknowledgements settle none."""
    watching.start("one")
    commands = [erase(number) for number in range(10)]
    watching.put(*commands, erase(1, "psp"))
    watching.put(commands[0])  # repeated
    watching.answer(*commands[:6])
    watching.answer(commands[6], status="refused")
    watching.answer(commands[7], status="failed")
    mine = new_key()
    watching.answer(commands[8], signer=Signer(lambda: Keyring((mine,))))
    watching.answer(commands[9], signer=watching.keys.signer("psp"))
    watching.until(
        "all is seen",
        lambda: (
            watching.fetch("one")["systems"]["crm"]["outstanding"] == 3
            and 'unreadable_total{reason="unknown-key",system="crm"} 2'
            in watching.fetch("one", "/metrics")
        ),
    )
    assert watching.fetch("one", "/readyz") == "ok\n"
    summary = watching.fetch("one", "/systems/crm")["systems"]["crm"]
    summary.pop("oldest_outstanding_seconds")
    assert summary == {
        "outstanding": 3,
        "outstanding_by_action": {"erase": 3},
        "failing": 1,
        "commands_per_second": round(10 / 300, 6),
        "answers_per_second": round(7 / 300, 6),
        "mean_answer_seconds": 2.0,
        "refused": 1,
        "failed": 1,
    }
    assert watching.fetch("one")["systems"]["psp"]["outstanding"] == 1
    with pytest.raises(urllib.error.HTTPError):
        watching.fetch("one", "/systems/nobody")
    assert listening(watching.processes["one"].pid) == {LOOPBACK}
    assert watching.end("one") == 0, watching.log("one")
    assert CANARY not in watching.log("one")


def test_a_watch_reads_again_what_may_not_have_counted(watching: Watching) -> None:
    """Answers that were committed as processed, and were not, count after the next start."""
    watching.start("one")
    commands = [erase(number) for number in range(10)]
    watching.put(*commands)
    watching.until("all is seen", lambda: watching.all("crm", "outstanding") == 10)
    assert watching.end("one") == 0, watching.log("one")
    watching.answer(*commands[:4])
    watching.commit_as_processed(topics.acknowledgement_topic("crm"))
    watching.start("one")
    watching.until("the answers count", lambda: watching.all("crm", "outstanding") == 6)
    assert watching.fetch("one")["systems"]["crm"]["commands_per_second"] == round(10 / 300, 6)


def test_a_killed_watch_is_replaced_and_nothing_counts_twice(watching: Watching) -> None:
    """Two watches share the partitions; the one that is left or returns knows everything that was seen."""
    commands = [erase(number) for number in range(60)]
    watching.start("one")
    watching.start("two")
    watching.until(
        "they share the parts",
        lambda: all(0 < len(watching.fetch(name)["partitions"]) < 6 for name in ("one", "two")),
    )
    watching.put(*commands[:40])
    watching.answer(*commands[:30])
    watching.until(
        "all is seen",
        lambda: (
            watching.all("crm", "outstanding") == 10
            and watching.all("crm", "answers_per_second") >= round(30 / 300, 6) - 2e-6
        ),
    )
    watching.end("two", kill=True)
    watching.put(*commands[40:])
    watching.answer(*commands[30:50])
    watching.until(
        "the other stands in",
        lambda: (
            watching.fetch("one")["partitions"] == [0, 1, 2, 3, 4, 5]
            and watching.all("crm", "outstanding") == 10
        ),
    )
    assert watching.end("one") == 0, watching.log("one")
    watching.start("one")
    watching.until("it is back", lambda: watching.fetch("one")["partitions"] == [0, 1, 2, 3, 4, 5])
    watching.answer(*commands[50:])
    watching.until("all is answered", lambda: watching.all("crm", "outstanding") == 0)
    summary = watching.fetch("one")["systems"]["crm"]
    assert summary["commands_per_second"] == round(60 / 300, 6)
    assert summary["answers_per_second"] == round(60 / 300, 6)
    assert summary["mean_answer_seconds"] == 2.0
