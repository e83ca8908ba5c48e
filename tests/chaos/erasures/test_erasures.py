"""Thousands of erasures through three real systems, under every fault at once that the tests can cause."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from schemas import topics as catalogue
from schemas.codec import Codec
from schemas.schema_files import load
from services.crypto.data_keys import DataKeyStore, open_vault
from services.crypto.field_decryption import ERASED, FieldDecryptor
from services.crypto.key_directory import KeyDirectory
from services.crypto.master_keys import FileMasterKeys
from services.kafka.client import KafkaClient
from services.kafka.producer import OutgoingMessage
from tests.chaos.erasures.forger import Forger
from tests.chaos.erasures.orders import Order, canaries_in, holds, orders
from tests.chaos.erasures.systems import SYSTEMS, Systems
from tests.chaos.killing import Killer
from tests.e2e.running import Running, write_events
from tests.members import MEMBERS
from tests.servers.kafka import KafkaBroker
from tests.servers.postgres import PostgresServer

DUE = int(os.environ.get("TERMIJN_CHAOS_ERASURES", "1000"))
"""Orders to be erased, each in three systems and in the log; 2,500 make 10,000 erasures."""
POLICY = Path(__file__).parent / "shop.yaml"
ROLES = ("tagger", "recorder", "deleter", "acknowledgements")
FORGED_ANSWERS = 100
HOLDS = catalogue.business_topic("privacy.hold-placed").name
FORGERIES = {
    *("replayed", "unsigned", "altered", "a stranger's", "a system's", "for another"),
    "garbage",
    *("unsigned answer", "a stranger's answer", "another's answer", "deleter's answer"),
}
KILLS = 10
PATIENCE_SECONDS = 300 + DUE / 5
SEED = 5


def agent_or_role(chance: random.Random) -> str:
    """Choose the process to kill: an agent in seven of ten cases, else a role."""
    return chance.choice(SYSTEMS if chance.random() < 0.7 else ROLES)


@pytest.fixture
def running(
    kafka_broker: KafkaBroker, postgres_server: PostgresServer, tmp_path: Path
) -> Iterator[Running]:
    """Migrate the ledger and create uncompressed topics, whose segments the test can search."""
    directory = tmp_path / "shop"
    directory.mkdir()
    running = Running(
        directory,
        kafka_broker.bootstrap,
        postgres_server.fresh_database(),
        TERMIJN_POLICY=str(POLICY),
        TERMIJN_VAULT_URL=postgres_server.fresh_database(),
        TERMIJN_MASTER_KEYS=str(directory / "masters"),
        TERMIJN_COMMANDS_PER_HOUR="0",
        TERMIJN_SURGE_FACTOR="0",
        TERMIJN_RETRY_SECONDS="10",
    )
    assert running.run("ledger", "migrate").returncode == 0
    topics = [
        *(
            catalogue.business_topic(event_type)
            for event_type in ("orders.order-placed", "privacy.hold-placed")
        ),
        catalogue.TAGGED,
        catalogue.DEAD_LETTERS,
        *(catalogue.command_topic(system) for system in SYSTEMS),
        *(catalogue.acknowledgement_topic(system) for system in SYSTEMS),
    ]
    KafkaClient(kafka_broker.bootstrap).ensure_topics(topics)
    _uncompressed(kafka_broker, [topic.name for topic in topics])
    yield running
    running.end_all()


def _uncompressed(broker: KafkaBroker, topics: Sequence[str]) -> None:
    plain = ConfigEntry(
        "compression.type", "uncompressed", incremental_operation=AlterConfigOpType.SET
    )
    resources = [
        ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[plain]) for topic in topics
    ]
    for altered in broker.admin.incremental_alter_configs(resources).values():
        altered.result(20)


@pytest.fixture
def shop(running: Running, postgres_server: PostgresServer) -> Iterator[Systems]:
    """Put all orders into the three systems, and make the deleter's keys."""
    for arguments in (("keys", "make"), ("vault", "rotate")):
        completed = running.run(*arguments)
        assert completed.returncode == 0, completed.stderr
    vault = running.environment("TERMIJN_VAULT_URL")
    systems = Systems(running, postgres_server.fresh_database(), vault, orders(DUE))
    yield systems
    systems.close()


def decrypted_fields(running: Running) -> dict[int, set[object]]:
    """Return the personal fields of each order that a reader of the log can decrypt."""
    topic = catalogue.business_topic("orders.order-placed")
    vault = DataKeyStore(
        open_vault(running.environment("TERMIJN_VAULT_URL")),
        FileMasterKeys(directory=Path(running.environment("TERMIJN_MASTER_KEYS"))),
    )
    revealing, codec = FieldDecryptor(vault=vault), Codec(load())
    reader = Consumer({"bootstrap.servers": running.bootstrap, "group.id": "r", "log_level": 0})
    bus = KafkaClient(running.bootstrap)
    ends = bus.end_offsets([topic.name])
    reader.assign([TopicPartition(name, partition, 0) for name, partition in ends])
    values: dict[int, set[object]] = {}
    remaining = sum(ends.values())
    while remaining:
        for message in reader.consume(500, 1.0):
            key, value = message.key(), message.value()
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)
            data = revealing.decrypt(topic.schema, key.decode(), codec.decode(topic, value))
            personal = {data[name] for name in ("consumer_name", "consumer_email", "remarks")}
            personal |= {data["payment"]["iban"], data["delivery_address"]["street"]}
            personal |= {line["product"] for line in data["lines"]}
            values[int(data["order_id"].removeprefix("O"))] = personal
            remaining -= 1
    reader.close()
    vault.database.close()
    return values


def count_erasures(running: Running, state: str) -> int:
    """Count the erasures of orders in a state, summed over the systems."""
    return running.count(
        f"{MEMBERS} m JOIN command c USING (command_id)",
        f"c.action = 'erase' AND c.state = '{state}'",
    )


def published(running: Running, all_orders: Sequence[Order]) -> None:
    """Publish the holds, then the orders; wait until they are recorded; find canaries nowhere else."""
    for events in (holds(all_orders), (order.event() for order in all_orders)):
        file = write_events(running.directory / "events.jsonl", events)
        completed = running.history(file)
        assert completed.returncode == 0, completed.stderr
        file.unlink()


def forged_answers_are_parked(running: Running, forger: Forger, erasures: int) -> None:
    """Every erasure is commanded, and no forged acknowledgement closes one.

    Garbage that could be a hold on anyone blocks what has not left, until an operator discards it.
    """
    garbage = OutgoingMessage(topic=HOLDS, key=b"consumer:P0", value=b"\xc3\x01CNRY-999999-dead")
    forger.send([("garbage", garbage)])
    running.until("the garbage is parked", lambda: running.count("dead_letter") == 1)
    [[letter]] = running.query("SELECT dead_letter_id FROM dead_letter")
    completed = running.run("dead-letters", "discard", str(letter), "--reason", "no hold")
    assert completed.returncode == 0, completed.stderr
    running.until(
        "every erasure is commanded",
        lambda: count_erasures(running, "sent") == erasures,
        PATIENCE_SECONDS,
    )
    commands = forger.look()
    while len(commands) < FORGED_ANSWERS:
        commands += forger.look()
    for command in commands[:FORGED_ANSWERS]:
        forger.send(forger.answers(command))
    running.until(
        "the forged answers are parked",
        lambda: running.count("dead_letter") == sum(forger.sent.values()),
    )
    assert count_erasures(running, "sent") == erasures


def restored(running: Running, shop: Systems, since: datetime) -> None:
    """Restore the CRM from its backup; what it erased since then must be commanded again."""
    shop.restore_crm()
    repeated = running.run(
        *("commands", "resend", "--system", "crm", "--since", since.isoformat()),
        *("--reason", "restored"),
    )
    assert repeated.returncode == 0, repeated.stderr


def evidence_is_sealed(running: Running) -> None:
    """Wait until the evidence contains everything that happened, under a signed head."""
    running.until(
        "the evidence is sealed",
        lambda: (
            not running.count("evidence_pending")
            and running.query("SELECT max(number) FROM evidence")
            == running.query("SELECT max(number) FROM evidence_head")
        ),
        PATIENCE_SECONDS,
    )


def evidence_proves_itself(running: Running, count_erasures: int) -> None:
    """Verify an export without ledger or bus; an altered byte and a truncated end are detected."""
    file = running.directory / "evidence.jsonl"
    exported = running.run("evidence", "export", str(file))
    assert exported.returncode == 0, exported.stderr
    trusted = ("--keys", str(running.data / "keys"))
    verified = running.run("evidence", "verify", str(file), *trusted)
    assert verified.returncode == 0, verified.stderr
    content = file.read_bytes()
    entries = [json.loads(line).get("entry", {}) for line in content.splitlines()]
    commanded = [entry["commands"] for entry in entries if entry.get("kind") == "commanded"]
    assert sum(commanded) == count_erasures
    altered = running.directory / "altered.jsonl"
    place = random.Random(SEED).randrange(len(content))
    flipped = bytes([content[place] ^ 1])
    altered.write_bytes(content[:place] + flipped + content[place + 1 :])
    assert running.run("evidence", "verify", str(altered), *trusted).returncode == 1
    head = running.directory / "head.json"
    head.write_text(running.run("evidence", "head").stdout, "utf-8")
    head_option = ("--head", str(head))
    assert running.run("evidence", "verify", str(file), *trusted, *head_option).returncode == 0
    lines = content.splitlines(keepends=True)
    cut = running.directory / "cut.jsonl"
    cut.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert running.run("evidence", "verify", str(cut), *trusted, *head_option).returncode == 1


@pytest.mark.chaos
@pytest.mark.timeout(900 + DUE)
def test_all_due_data_is_erased_and_all_other_data_is_kept(
    running: Running, shop: Systems, kafka_broker: KafkaBroker, postgres_server: PostgresServer
) -> None:
    """Agents and roles are killed, commands and answers forged, and a system restored from a backup."""
    all_orders = orders(DUE)
    kept_orders = [order for order in all_orders if order.must_stay]
    standing = {order.name for order in kept_orders}
    erasures = (len(all_orders) - len(kept_orders)) * len(SYSTEMS)
    running.start(*ROLES)
    published(running, all_orders)
    shop.back_up_crm()
    backed_up_at = running.query("SELECT now()")[0][0]
    forger = Forger(
        running.bootstrap, KeyDirectory(path=running.data / "keys"), SYSTEMS, kept_orders
    )
    forged_answers_are_parked(running, forger, erasures)
    for system in SYSTEMS:
        shop.start(system)
    killer = Killer(
        running,
        SEED,
        choose=agent_or_role,
        restart=lambda name: (shop.start if name in SYSTEMS else running.start)(name),
        pause=(1.0, 4.0),
    )
    with killer, forger:
        proven = lambda: count_erasures(running, "erased") == erasures  # noqa: E731
        running.until("every erasure is proven", proven, PATIENCE_SECONDS)
        assert shop.remaining_names() == dict.fromkeys(SYSTEMS, standing)
        restored(running, shop, backed_up_at)
        running.until("it is proven again", proven, PATIENCE_SECONDS)
    assert shop.remaining_names() == dict.fromkeys(SYSTEMS, standing)
    assert killer.kills >= KILLS
    assert set(forger.sent) == FORGERIES
    evidence_is_sealed(running)
    for name in list(running.processes):
        running.end(name)

    evidence_proves_itself(running, running.count("command"))
    shop.settle_files()  # the broker's segments stand as they are
    numbers = {order.number for order in kept_orders}
    assert canaries_in(postgres_server.data).keys() == numbers
    assert canaries_in(running.directory).keys() == numbers
    segments = [path for path in kafka_broker.data.iterdir() if not path.name.startswith(HOLDS)]
    assert canaries_in(*segments) == {}
    read = decrypted_fields(running)
    assert read.keys() == {order.number for order in all_orders}
    assert {number for number, fields in read.items() if ERASED not in fields} == numbers
    assert {number for number, fields in read.items() if fields != {ERASED}} == numbers
