"""An attacker who may write to every topic but has no trusted key: replays, alters and invents messages."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

from confluent_kafka import Consumer, Message, TopicPartition

from schemas import topics
from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import Topic
from services.crypto.key_directory import DELETER, KeyDirectory
from services.crypto.keyring import Keyring, new_key
from services.crypto.signing import Signer, SignerProtocol
from services.kafka.client import KafkaClient
from services.kafka.producer import Headers, OutgoingMessage
from tests.batches import decode_commands, encode_acknowledgements, encode_commands
from tests.chaos.erasures.orders import Order

SEED = 11
_CODEC = Codec(load())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedCommand:
    """A command that the forger read from the bus."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


class Forger(threading.Thread):
    """Reads every command, and for some sends forgeries that must be neither obeyed nor believed."""

    def __init__(
        self, bootstrap: str, keys: KeyDirectory, systems: tuple[str, ...], kept_orders: list[Order]
    ) -> None:
        super().__init__(daemon=True)
        self._bus = KafkaClient(bootstrap)
        self._sender = self._bus.open_producer()
        self._keys = keys
        self._systems = systems
        self._kept_orders = kept_orders
        self._random = random.Random(SEED)
        mine = new_key()
        self._stranger: SignerProtocol = Signer(lambda: Keyring((mine,)))
        self._enough = threading.Event()
        self._reader = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "forger", "log_level": 0}
        )
        self._reader.assign(
            [
                TopicPartition(topic.name, partition, 0)
                for topic in map(topics.command_topic, systems)
                for partition in range(topic.partitions)
            ]
        )
        self.sent: Counter[str] = Counter()

    def run(self) -> None:
        """Forge messages until the `with` block ends."""
        while not self._enough.is_set():
            for command in self.look():
                if self._random.random() < 0.05:
                    self.send([self._random.choice(self.commands(command))])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join()
        self._reader.close()

    def look(self) -> list[ReceivedCommand]:
        """Return the commands that arrived since the last call."""
        return [
            _read_command(message)
            for message in self._reader.consume(500, 0.2)
            if message.error() is None
        ]

    def commands(self, command: ReceivedCommand) -> list[tuple[str, OutgoingMessage]]:
        """Return forgeries of a command: an exact replay, and erasures of an order that must be kept."""
        topic = topics.command_topic(_system(command))
        value = self._random.choice(decode_commands(_CODEC, _system(command), command.value))
        aimed = self._aimed(value)
        forged = encode_commands(_CODEC, aimed)
        key = str(aimed["subject"]).encode()
        other = topics.command_topic(
            self._random.choice([system for system in self._systems if system != value["system"]])
        )
        return [
            ("replayed", _message(topic, command.key, command.value, command.headers)),
            ("unsigned", _message(topic, key, forged, ())),
            ("altered", _message(topic, key, forged, command.headers)),
            ("a stranger's", self._signed(topic, key, forged, self._stranger)),
            ("a system's", self._signed(topic, key, forged, self._keys.signer(value["system"]))),
            ("for another", _message(other, command.key, command.value, command.headers)),
        ]

    def answers(self, seen: ReceivedCommand) -> list[tuple[str, OutgoingMessage]]:
        """Return acknowledgements with the status `done` that the command's system did not send."""
        system = _system(seen)
        command = self._random.choice(decode_commands(_CODEC, system, seen.value))
        topic = topics.acknowledgement_topic(system)
        value = encode_acknowledgements(_CODEC, system, _done(command))
        other = self._random.choice(
            [candidate for candidate in self._systems if candidate != system]
        )
        return [
            ("unsigned answer", _message(topic, seen.key, value, ())),
            ("a stranger's answer", self._signed(topic, seen.key, value, self._stranger)),
            ("another's answer", self._signed(topic, seen.key, value, self._keys.signer(other))),
            ("deleter's answer", self._signed(topic, seen.key, value, self._keys.signer(DELETER))),
        ]

    def _aimed(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the command under another id, for an order that must be kept."""
        victim = self._random.choice(self._kept_orders)
        record = {
            **command["records"][0],
            "id": victim.event_id,
            "keys": {"order_id": victim.name, "customer_id": "C1", "consumer_id": victim.person},
        }
        return {
            **command,
            "command_id": str(uuid4()),
            "subject": f"consumer:{victim.person}",
            "action": "erase",
            "records": [record],
            "verifies": None,
            "seq": command["seq"] + 1000,
        }

    @staticmethod
    def _signed(topic: Topic, key: bytes, value: bytes, signer: SignerProtocol) -> OutgoingMessage:
        headers = signer.sign(topic.name, key, value, datetime.now(UTC))
        return _message(topic, key, value, headers)

    def send(self, messages: list[tuple[str, OutgoingMessage]]) -> None:
        """Send the forged messages."""
        self._sender.send([message for _, message in messages])
        self.sent.update(kind for kind, _ in messages)


def _read_command(message: Message) -> ReceivedCommand:
    key, value = message.key(), message.value()
    assert isinstance(key, bytes)
    assert isinstance(value, bytes)
    headers: Any = message.headers() or ()  # one of the forger's own has none
    return ReceivedCommand(topic=str(message.topic()), key=key, value=value, headers=headers)


def _message(topic: Topic, key: bytes, value: bytes, headers: Headers) -> OutgoingMessage:
    return OutgoingMessage(topic=topic.name, key=key, value=value, headers=headers)


def _system(command: ReceivedCommand) -> str:
    return command.topic.removeprefix("retention.commands.").removesuffix(".v1")


def _done(command: dict[str, Any]) -> dict[str, Any]:
    return {
        "acknowledgement_id": str(uuid4()),
        "command_id": command["command_id"],
        "system": command["system"],
        "attempt": command["attempt"],
        "status": "done",
        "counts": {"orders": len(command["records"])},
        "ground": None,
        "detail": None,
        "at": datetime.now(UTC),
        "disclosure": None,
    }
