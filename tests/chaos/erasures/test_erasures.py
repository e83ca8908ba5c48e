"""Thousands of erasures through three real systems, while everything that can go wrong does."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from schemas import catalogue
from services.bus import Bus
from services.servers.kafka import KafkaBroker
from services.servers.postgres import PostgresServer
from services.vault.keyfiles import KeyDirectory
from tests.chaos.erasures.forger import Forger
from tests.chaos.erasures.orders import canaries_in, holds, orders
from tests.chaos.erasures.systems import SYSTEMS, Systems
from tests.e2e.running import Running, write_events

DUE = int(os.environ.get("TERMIJN_CHAOS_ERASURES", "3334"))
"""Orders to be erased, each in three systems."""
POLICY = Path(__file__).parent / "shop.yaml"
ROLES = ("tagger", "recorder", "deleter", "acknowledgements")
FORGED_ANSWERS = 100
FORGERIES = {
    *("replayed", "unsigned", "altered", "a stranger's", "a system's", "for another"),
    *("unsigned answer", "a stranger's answer", "another's answer", "deleter's answer"),
}
KILLS = 10
PATIENCE_SECONDS = 120 + DUE / 10
SEED = 5


class Killer(threading.Thread):
    """Kills an agent or a role every now and then, and starts it again."""

    def __init__(self, running: Running, systems: Systems) -> None:
        super().__init__(daemon=True)
        self._running = running
        self._systems = systems
        self._random = random.Random(SEED)
        self._enough = threading.Event()
        self.kills = 0

    def run(self) -> None:
        """Kill until told that it is enough."""
        while not self._enough.wait(self._random.uniform(1.0, 4.0)):
            if self._random.random() < 0.7:
                system = self._random.choice(SYSTEMS)
                self._running.end(system, kill=True)
                self._systems.start(system)
            else:
                role = self._random.choice(ROLES)
                self._running.end(role, kill=True)
                self._running.start(role)
            self.kills += 1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join()


@pytest.fixture
def running(
    kafka_broker: KafkaBroker, postgres_server: PostgresServer, tmp_path: Path
) -> Iterator[Running]:
    """A migrated ledger, and topics of which the segments can be read as they are."""
    directory = tmp_path / "shop"
    directory.mkdir()
    made = Running(
        directory,
        kafka_broker.bootstrap,
        postgres_server.fresh_database(),
        TERMIJN_POLICY=str(POLICY),
        TERMIJN_COMMANDS_PER_HOUR="0",
        TERMIJN_RETRY_SECONDS="10",
    )
    assert made.run("ledger", "migrate").returncode == 0
    topics = [
        *(catalogue.business_topic(one) for one in ("orders.order-placed", "privacy.hold-placed")),
        catalogue.TAGGED,
        catalogue.DEAD_LETTERS,
        *(catalogue.commands(one) for one in SYSTEMS),
        *(catalogue.acknowledgements(one) for one in SYSTEMS),
    ]
    Bus(kafka_broker.bootstrap).ensure(topics)
    _uncompressed(kafka_broker, [one.name for one in topics])
    yield made
    made.end_all()


def _uncompressed(broker: KafkaBroker, topics: Sequence[str]) -> None:
    plain = ConfigEntry(
        "compression.type", "uncompressed", incremental_operation=AlterConfigOpType.SET
    )
    resources = [
        ConfigResource(ResourceType.TOPIC, one, incremental_configs=[plain]) for one in topics
    ]
    for altered in broker.admin.incremental_alter_configs(resources).values():
        altered.result(20)


@pytest.fixture
def shop(running: Running, postgres_server: PostgresServer) -> Iterator[Systems]:
    """The three systems with all orders in them, and the deleter's keys made."""
    assert running.run("keys", "make").returncode == 0
    made = Systems(running, postgres_server.fresh_database(), orders(DUE))
    yield made
    made.close()


def erased(running: Running) -> int:
    """How many orders are proven erased, counted in each system."""
    return running.count(
        "member m JOIN command c USING (command_id)", "c.action = 'erase' AND c.state = 'erased'"
    )


@pytest.mark.chaos
@pytest.mark.timeout(600 + DUE)
def test_nothing_personal_is_left_and_nothing_is_gone_that_should_stand(
    running: Running, shop: Systems, kafka_broker: KafkaBroker, postgres_server: PostgresServer
) -> None:
    """Agents and roles killed, commands and answers forged, a system restored: see the README."""
    all_orders = orders(DUE)
    stands = [one for one in all_orders if one.stands]
    due = len(all_orders) - len(stands)
    running.start(*ROLES)
    forger = Forger(running.bootstrap, KeyDirectory(path=running.data / "keys"), SYSTEMS, stands)
    published = write_events(running.directory / "holds.jsonl", holds(all_orders))
    assert running.run("publish", "--wait", str(published)).returncode == 0
    published = write_events(
        running.directory / "orders.jsonl", [one.event() for one in all_orders]
    )
    assert running.run("publish", "--wait", str(published)).returncode == 0
    published.unlink()
    shop.back_up_crm()
    started = running.query("SELECT now()")[0][0]

    running.until(
        "every erasure is commanded",
        lambda: (
            running.count(
                "member m JOIN command c USING (command_id)",
                "c.action = 'erase' AND c.state = 'sent'",
            )
            == due * len(SYSTEMS)
        ),
        PATIENCE_SECONDS,
    )
    seen = forger.look()
    while len(seen) < FORGED_ANSWERS:
        seen += forger.look()
    for one in seen[:FORGED_ANSWERS]:
        forger.send(forger.answers(one))
    running.until(
        "the forged answers are parked",
        lambda: (
            running.count("dead_letter", "reason = 'unverifiable'") == sum(forger.sent.values())
        ),
    )
    assert running.count("command", "action = 'erase' AND state <> 'sent'") == 0

    for system in SYSTEMS:
        shop.start(system)
    gone = {one.name for one in all_orders} - {one.name for one in stands}
    standing = {one.name for one in stands}
    with Killer(running, shop) as killer, forger:
        running.until(
            "every erasure is proven",
            lambda: erased(running) == due * len(SYSTEMS),
            PATIENCE_SECONDS,
        )
        assert shop.left() == dict.fromkeys(SYSTEMS, standing)
        shop.restore_crm()
        assert shop.left()["crm"] == standing | gone
        repeated = running.run(
            *("commands", "repeat", "--system", "crm", "--since", started.isoformat()),
            *("--reason", "restored"),
        )
        assert repeated.returncode == 0, repeated.stderr
        running.until(
            "the CRM is as it was, and that is proven",
            lambda: erased(running) == due * len(SYSTEMS),
            PATIENCE_SECONDS,
        )
    assert shop.left() == dict.fromkeys(SYSTEMS, standing)
    assert killer.kills >= KILLS
    assert set(forger.sent) == FORGERIES
    for name in list(running.processes):
        running.end(name)

    shop.settle_files()
    numbers = {one.number for one in stands}
    found = canaries_in(postgres_server.data)
    assert found.keys() == numbers
    found = canaries_in(running.directory)
    assert found.keys() == numbers
    segments = [one for one in kafka_broker.data.iterdir() if one.name.startswith("retention.")]
    assert canaries_in(*segments) == {}
