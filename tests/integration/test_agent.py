"""`termijn agent` as a process, on a real Kafka and beside a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import Engine, create_engine, text

from schemas import topics
from services.agent import config
from services.agent.command import Command, CommandRecord
from services.crypto import jwe
from services.crypto.key_directory import DELETER, KeyDirectory
from services.crypto.keyring import Keyring, new_key
from services.crypto.signing import Signer, SignerProtocol
from services.kafka.client import KafkaClient
from services.kafka.producer import KafkaProducer, OutgoingMessage
from tests.batches import decode_acknowledgements
from tests.patience import Patience
from tests.servers.kafka import KafkaCluster
from tests.unit.agent.environment import CODEC, command, command_id, encoded

EXAMPLE = Path(config.__file__).parent / "examples" / "crm"
TOPIC = topics.command_topic("crm")
ANSWERS = topics.acknowledgement_topic("crm")
CANARY = "canary7f3a"
SUBJECTS = 40
ORDERS = 4
KILLS = (10, 40, 70)
"""After so many answers the agent is killed."""
TERMIJN = (sys.executable, "-m", "services.app.cli")


def now() -> datetime:
    return datetime.now(UTC)


class Crm:
    """The CRM of the example, with an agent beside it and a controller that commands it."""

    def __init__(self, directory: Path, kafka: KafkaCluster, url: str) -> None:
        self.directory = directory
        self.bus = KafkaClient(kafka.bootstrap)
        self.bus.ensure_topics([TOPIC, ANSWERS])
        self.controller = KeyDirectory(path=directory / "controller")
        self.controller.create(DELETER)
        self.keys = KeyDirectory(path=directory / "keys")
        self.keys.create("crm")
        self.keys.add_encryption("crm")
        self.controller.trust("crm", self.keys.public("crm")())
        shutil.copy(self.controller.public(DELETER).path, self.keys.path)
        self.sender: KafkaProducer = self.bus.open_producer()
        self.signer = self.controller.signer(DELETER)
        self.engine: Engine = create_engine(url)
        file = yaml.safe_load((EXAMPLE / "agent.yaml").read_text("utf-8"))
        file["bus"]["bootstrap_servers"] = kafka.bootstrap
        file["inbox"]["url"] = f"sqlite:///{directory}/inbox.sqlite"
        file["limits"] = {"at_once": 4, "per_second": 30, "burst": 10}
        (directory / "agent.yaml").write_text(yaml.safe_dump(file, sort_keys=False), "utf-8")
        self._environment = {**os.environ, "CRM_DATABASE_URL": url, "CRM_PSEUDONYM_KEY": "k"}
        self.process: subprocess.Popen[bytes] | None = None
        kafka_reader = {"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "log_level": 0}
        self._reader = Consumer(kafka_reader)
        self._reader.assign([TopicPartition(ANSWERS.name, n, 0) for n in range(ANSWERS.partitions)])
        self.answers: list[dict[str, Any]] = []

    def start(self) -> None:
        with (self.directory / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*TERMIJN, "agent", "--config", str(self.directory / "agent.yaml")],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end(self, *, kill: bool = False) -> int:
        assert self.process is not None
        (self.process.kill if kill else self.process.terminate)()
        return self.process.wait(30)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(kill=True)
        self._reader.close()
        self.engine.dispose()

    def send(self, *commands: Command, signer: SignerProtocol | None = None) -> None:
        self.put(*(self.message(command, signer or self.signer) for command in commands))

    def message(
        self, command: Command, signer: SignerProtocol, topic: str = TOPIC.name
    ) -> OutgoingMessage:
        key, value = (command.subject or "").encode(), encoded(command)
        headers = signer.sign(topic, key, value, now())
        return OutgoingMessage(topic=TOPIC.name, key=key, value=value, headers=headers)

    def put(self, *messages: OutgoingMessage) -> None:
        self.sender.send(messages)

    def read(self) -> None:
        """Read the acknowledgements so far; each must be signed by the CRM."""
        verifier = self.controller.system_verifier("crm")
        for message in self._reader.consume(500, 0.2):
            if message.error() is None:
                key, value = message.key(), message.value()
                assert isinstance(key, bytes)
                assert isinstance(value, bytes)
                headers: Any = message.headers()
                verifier.verify(ANSWERS.name, key, value, headers, now())
                self.answers += decode_acknowledgements(CODEC, "crm", value)

    def until(self, commands: set[str], seconds: float = 90) -> dict[str, dict[str, Any]]:
        """Wait for acknowledgements of these commands, and return the last of each."""
        patience = Patience(seconds)
        while True:
            self.read()
            answers = {answer["command_id"]: answer for answer in self.answers}
            if commands <= answers.keys():
                return answers
            assert not patience.is_over, self.log()
            assert self.process is None or self.process.poll() is None, self.log()

    def until_answered(self, commands: int) -> None:
        """Wait until so many commands are acknowledged."""
        while len({answer["command_id"] for answer in self.answers}) < commands:
            self.read()
            assert self.process is not None
            assert self.process.poll() is None, self.log()

    def log(self) -> str:
        return (self.directory / "agent.log").read_text("utf-8", "replace")[-3000:]

    def status(self) -> dict[str, Any]:
        completed = subprocess.run(
            [*TERMIJN, "agent", "status", "--json", "--config", self.directory / "agent.yaml"],
            env=self._environment,
            capture_output=True,
            check=True,
        )
        document: dict[str, Any] = yaml.safe_load(completed.stdout)
        return document


@pytest.fixture
def crm(fresh_kafka: KafkaCluster, postgres: Callable[[], str], tmp_path: Path) -> Iterator[Crm]:
    agent = Crm(tmp_path, fresh_kafka, postgres())
    with agent.engine.begin() as connection:
        for statement in (EXAMPLE / "schema.sql").read_text("utf-8").split(";"):
            if statement.strip():
                connection.execute(text(statement))
        number = 0
        for subject in range(SUBJECTS):
            for order in range(ORDERS):
                number += 1
                row = {
                    "id": number,
                    "no": f"{CANARY}-{subject}-{order}",
                    "customer": f"C{subject}",
                    "event": f"e-{CANARY}-{subject}-{order}",
                }
                connection.execute(
                    text(
                        "INSERT INTO orders (id, order_no, customer_no, event_source, event_id, amount)"
                        " VALUES (:id, :no, :customer, '/shop', :event, 1)"
                    ),
                    row,
                )
    yield agent
    agent.close()


def order(subject: int, number: int) -> CommandRecord:
    name = f"{CANARY}-{subject}-{number}"
    return CommandRecord(
        source="/shop", id=f"e-{name}", type="orders.order-placed", keys={"order_id": name}
    )


def erase(subject: int, number: int, **further: Any) -> Command:
    """Return a command to erase one order."""
    at = now()
    fields = {
        "records": (order(subject, number),),
        "seq": number + 1,
        "issued_at": at,
        "valid_until": at + timedelta(days=7),
        "subject": f"customer:{CANARY}-{subject}",
    }
    return command(f"{subject}/{number}", **{**fields, **further})


def remaining_orders(crm: Crm) -> set[str]:
    with crm.engine.connect() as connection:
        return set(connection.execute(text("SELECT order_no FROM orders")).scalars())


def test_a_killed_agent_carries_out_each_signed_command_once(crm: Crm) -> None:
    """The last order of each customer is kept, although senders without the right command its erasure."""
    erasures = [erase(s, n) for n in range(ORDERS - 1) for s in range(SUBJECTS)]
    stranger = Signer(lambda: Keyring((mine,)))
    mine = new_key()
    last = [erase(s, ORDERS - 1) for s in range(6)]
    honest = [crm.message(command, crm.signer) for command in last]
    expired = erase(7, ORDERS - 1, valid_until=now() - timedelta(seconds=1))
    crm.start()
    crm.send(*erasures)
    crm.put(
        replace(honest[0], headers=()),
        replace(honest[1], value=encoded(erase(1, ORDERS - 1, seq=99))),
        crm.message(last[2], stranger),
        crm.message(last[3], crm.signer, topic=topics.command_topic("psp").name),
        crm.message(replace(last[4], system="psp"), crm.signer),
        replace(honest[5], key=b"customer:another"),
    )
    crm.send(expired)
    for answers in KILLS:
        crm.until_answered(answers)
        crm.end(kill=True)
        crm.start()
    crm.send(*erasures[:50])  # replayed
    answered = crm.until({command.command_id for command in (*erasures, expired)})
    assert {answered[command.command_id]["status"] for command in erasures} == {"done"}
    assert {answered[command.command_id]["counts"]["orders"] for command in erasures} == {1}
    assert answered[expired.command_id]["status"] == "failed"
    assert remaining_orders(crm) == {f"{CANARY}-{s}-{ORDERS - 1}" for s in range(SUBJECTS)}
    given = {(answer["command_id"], answer["status"], answer["at"]) for answer in crm.answers}
    assert len(given) == len({answer["command_id"] for answer in crm.answers})
    assert crm.end() == 0, crm.log()
    assert crm.status()["parked"] == {"misaddressed": 1, "unverifiable": 5}
    assert CANARY not in crm.log()
    inbox_bytes = b"".join(path.read_bytes() for path in crm.directory.glob("inbox.sqlite*"))
    assert inbox_bytes
    assert CANARY.encode() not in inbox_bytes


def test_rights_and_proof_go_through_the_same_agent(crm: Crm) -> None:
    """Disclosures and corrections can be read only by their recipient."""
    crm.start()
    request = jwe.new_key()
    disclose = erase(1, 0, action="disclose", disclose_to=jwe.to_public(request), seq=1)
    disclose = replace(disclose, command_id=command_id("tell"), request="R1")
    to = crm.controller.system("crm")().encryption_key(now())
    assert to is not None
    right = replace(erase(1, 0, action="rectify", seq=2), command_id=command_id("right"))
    right = replace(
        right,
        corrections=jwe.encrypt({"delivery_name": "S. de Vries"}, to, right.command_id),
    )
    again = replace(disclose, command_id=command_id("again"), seq=3)
    gone = erase(1, 0, seq=4)
    check = replace(
        erase(1, 0, seq=5, action="verify", verifies="erase"), command_id=command_id("check")
    )
    crm.send(disclose, right, again, gone, check)
    answers = crm.until({command.command_id for command in (disclose, right, again, gone, check)})
    disclosures = [
        jwe.decrypt(answers[command.command_id]["disclosure"], request, command.command_id)
        for command in (disclose, again)
    ]
    assert [command["system"] for command in disclosures] == ["crm", "crm"]
    assert [command["records"][0]["data"]["recipient"] for command in disclosures] == [
        None,
        "S. de Vries",
    ]
    assert disclosures[0]["records"][0]["id"] == f"e-{CANARY}-1-0"
    assert answers[check.command_id]["counts"] == {"order_lines": 0, "orders": 0}
    assert crm.end() == 0
    assert "S. de Vries" not in crm.log()
