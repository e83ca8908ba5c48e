"""An order on a real Kafka is crypto-shredded by agents: earlier copies of the log are unreadable too."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import insert, select

from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import business_topic
from services.crypto.data_keys import data_key
from services.crypto.field_decryption import ERASED
from services.crypto.master_keys import MasterKeyNotFound
from tests.e2e.running import Running, structured, write_events
from tests.patience import Patience
from tests.servers.kafka import KafkaBroker
from tests.unit.crypto.stage import Vault, document, order

TOPIC = business_topic("orders.order-placed")
CODEC = Codec(load())
OLD, YOUNG = "2020-03-15T13:00:00Z", "2026-03-15T13:00:00Z"
SEEN = "website-7f3a"
"""A text in an unencrypted field, which a search of the segments must find."""


@pytest.fixture
def encrypting(
    kafka_broker: KafkaBroker, postgres: Callable[[], str], tmp_path: Path
) -> Iterator[Running]:
    """A migrated ledger, and a policy that encrypts orders."""
    directory = tmp_path / "running"
    directory.mkdir()
    policy = directory / "policy.yaml"
    policy.write_text(yaml.safe_dump(document(), sort_keys=False), "utf-8")
    running = Running(
        directory,
        kafka_broker.bootstrap,
        postgres(),
        TERMIJN_POLICY=str(policy),
        TERMIJN_VAULT_URL=postgres(),
    )
    for arguments in (("ledger", "migrate"), ("vault", "rotate")):
        completed = running.run(*arguments)
        assert completed.returncode == 0, completed.stderr
    yield running
    running.end_all()


def agent(running: Running, system: str, vault_url: str) -> str:
    """The configuration of the agent of one group; its keys are trusted."""
    keys = running.data / "keys"
    for arguments in (("make", system), ("trust", system, str(keys / f"{system}.jwks"))):
        completed = running.run("keys", *arguments)
        assert completed.returncode == 0, completed.stderr
    file = {
        "system": system,
        "bus": {"bootstrap_servers": running.bootstrap},
        "keys": str(keys),
        "inbox": {"url": f"sqlite:///{running.directory}/{system}.sqlite", "key_file": "inbox.key"},
        "adapter": {"vault": {"url": vault_url}},
    }
    path = running.directory / f"{system}.yaml"
    path.write_text(yaml.safe_dump(file), "utf-8")
    return str(path)


def values(bootstrap: str) -> list[dict[str, Any]]:
    """Return every order of a broker, decoded, by its number."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "log_level": 0})
    reader.assign([TopicPartition(TOPIC.name, n, 0) for n in range(TOPIC.partitions)])
    values: list[dict[str, Any]] = []
    patience = Patience(60)
    while len(values) < 2 and not patience.is_over:
        for message in reader.consume(10, 0.5):
            value = message.value()
            if message.error() is None and isinstance(value, bytes):
                values.append(CODEC.decode(TOPIC, value))
    reader.close()
    return sorted(values, key=lambda event: str(event["order_id"]))


def read(vault: Vault, value: dict[str, Any]) -> dict[str, Any]:
    """Return one order as a reader with access to the vault gets it."""
    return vault.reveal(replace(order(), data=value))


def rows(vault: Vault) -> list[dict[str, Any]]:
    """Return a dump of the vault."""
    with vault.keys.database.transaction() as connection:
        return [dict(row) for row in connection.execute(select(data_key)).mappings()]


def restored(dump: list[dict[str, Any]], masters: Path) -> Vault:
    """Return a vault restored from a dump."""
    vault = Vault("sqlite://", masters)
    with vault.keys.database.transaction() as connection:
        connection.execute(insert(data_key), dump)
    return vault


def segments(directory: Path) -> bytes:
    """Return every byte of every segment."""
    return b"".join(path.read_bytes() for path in directory.glob("*/*.log"))


def published(running: Running) -> None:
    """Publish two orders and wait until they are recorded; nothing is commanded yet."""
    running.start("tagger", "recorder")
    events = [
        order("O1", time=OLD, placed_through=SEEN),
        order("O2", time=YOUNG, placed_through=SEEN),
    ]
    file = write_events(running.directory / "orders.jsonl", map(structured, events))
    completed = running.history(file)
    assert completed.returncode == 0, completed.stderr


def shredded(running: Running) -> None:
    """Run the deleter and an agent for each group until everything due is proven."""
    running.start("deleter", "acknowledgements")
    running.until("the deleter has keys", (running.data / "keys" / "deleter.jwks").exists)
    for system in ("bus", "bus-books"):
        file = agent(running, system, running.environment("TERMIJN_VAULT_URL"))
        running.start("agent", options=("--config", file))
        running.processes[f"agent of {system}"] = running.processes.pop("agent")
    running.until(
        "the shredding is proven",
        lambda: running.count("command", "system = 'bus' AND state = 'erased'") == 1,
        90,
    )
    erasures = "system LIKE 'bus%' AND action = 'erase'"
    assert running.query(f"SELECT system FROM command WHERE {erasures}") == [("bus",)]
    running.end_all()


def broker_of(backup: Path, directory: Path) -> KafkaBroker:
    """Yield a broker restored from a backup of another broker's directory."""
    directory.mkdir()
    broker = KafkaBroker(directory)
    shutil.rmtree(directory / "data")
    shutil.copytree(backup, directory / "data")
    broker.start()
    return broker


def test_shredded_fields_are_unreadable_in_older_copies(
    encrypting: Running, kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    """The order of 2020 loses its two-year data and keeps its seven-year data; that of 2026 is complete."""
    published(encrypting)
    masters = encrypting.data / "master-keys"
    vault = Vault(encrypting.environment("TERMIJN_VAULT_URL"), masters)
    assert read(vault, values(encrypting.bootstrap)[0]) == {
        **order("O1", placed_through=SEEN).data,
        "received_at": None,
        "lines": [{"discount": None, "amount": None, **line} for line in order("O1").data["lines"]],
    }
    dump = rows(vault)
    shutil.copytree(masters, tmp_path / "masters-before")
    shutil.copytree(tmp_path / "data", tmp_path / "backup")

    shredded(encrypting)
    assert "canary" not in "".join(
        path.read_text("utf-8", "replace") for path in encrypting.directory.glob("*.log")
    )

    content = segments(tmp_path / "backup")
    assert SEEN.encode() in content
    assert b"canary" not in content
    kafka_broker.kill()
    second = broker_of(tmp_path / "backup", tmp_path / "second")
    try:
        copied = values(second.bootstrap)
    finally:
        second.kill()
    old, young = (read(vault, value) for value in copied)
    assert (old["consumer_name"], old["payment"]["iban"], old["remarks"]) == (ERASED,) * 3
    assert [line["product"] for line in old["lines"]] == [ERASED, ERASED]
    assert (old["order_id"], old["amount"]) == ("O1", "12.50 canary-amount-O1")
    assert old["payment"]["transaction_id"] == "canary-transaction-O1"
    assert young["consumer_name"] == "canary-name-O2"

    before = restored(dump, tmp_path / "masters-before")
    assert read(before, copied[0])["consumer_name"] == "canary-name-O1"  # so the rotation matters
    [generation] = vault.masters.list_versions()
    assert encrypting.run("vault", "rotate").returncode == 0
    long_ago = time.time() - 3600
    os.utime(masters / "0002.key", (long_ago, long_ago))
    assert encrypting.run("vault", "destroy", generation.master).returncode == 0
    for value in copied:
        with pytest.raises(MasterKeyNotFound):
            read(restored(dump, masters), value)
    assert read(vault, copied[0])["amount"] == "12.50 canary-amount-O1"
