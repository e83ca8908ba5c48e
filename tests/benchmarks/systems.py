"""Systems that acknowledge every command at once, in a thread of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from confluent_kafka import TopicPartition

from schemas import topics
from schemas.codec import Codec
from schemas.command_fields import split_commands
from services.crypto.signing import Signer
from services.kafka.client import KafkaClient
from services.kafka.producer import OutgoingMessage
from tests.benchmarks import deleter_driver

_BATCH = 5_000


class AcknowledgingSystems:
    """Systems that acknowledge every command with `done`, and find nothing when they read again."""

    def __init__(self, codec: Codec, bus: KafkaClient, signers: Mapping[str, Signer]) -> None:
        """Prepare to acknowledge; `signers` has the signer of each system by its name."""
        self._codec = codec
        self._bus = bus
        self._signers = signers
        self._systems = {topics.command_topic(name).name: name for name in signers}
        self._stop = Event()
        self._thread = Thread(target=self._acknowledge, daemon=True)
        self.records = 0
        """How many records the commands had, verifications apart."""
        self.commands = 0
        self.messages = 0

    def __enter__(self) -> AcknowledgingSystems:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _acknowledge(self) -> None:
        sender = self._bus.open_producer()
        with closing(self._bus.open_consumer("benchmark-systems")) as consumer:
            consumer.assign(
                [
                    TopicPartition(name, number, 0)
                    for name, system in self._systems.items()
                    for number in range(topics.command_topic(system).partitions)
                ]
            )
            while not self._stop.is_set():
                out = [
                    self._make_message(str(message.topic()), message.key(), message.value())
                    for message in consumer.consume(_BATCH, 0.2)
                    if message.error() is None
                ]
                if out:
                    sender.send(out)

    def _make_message(self, topic: str, key: object, value: object) -> OutgoingMessage:
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        system = self._systems[topic]
        batch = self._codec.decode(topics.command_topic(system), value)
        commands = split_commands(batch)
        if batch["action"] != "verify":
            self.records += sum(len(command["records"]) for command in commands)
            self.commands += len(commands)
            self.messages += 1
        answers = topics.acknowledgement_topic(system)
        acknowledgements = [_make_acknowledgement(command) for command in commands]
        encoded = self._codec.encode(
            answers,
            {
                "acknowledgement_id": str(uuid4()),
                "system": system,
                "acknowledgements": acknowledgements,
            },
            trusted=True,
        )
        return OutgoingMessage(
            topic=answers.name,
            key=key,
            value=encoded,
            headers=self._signers[system].sign(
                answers.name, key, encoded, deleter_driver.current_time()
            ),
        )


def _make_acknowledgement(command: Mapping[str, Any]) -> dict[str, object]:
    """Return an acknowledgement; after an erasure the system has read again, as an agent does."""
    is_erasure = command["action"] in ("erase", "pseudonymise")
    return {
        "command_id": command["command_id"],
        "attempt": command["attempt"],
        "status": "done",
        "counts": {"rows": 0 if command["action"] == "verify" else 1},
        "ground": None,
        "detail": None,
        "at": datetime.now(UTC),
        "checked": {"records": len(command["records"]), "found": {"rows": 0}}
        if is_erasure
        else None,
    }
