"""From business event to acknowledged erasure, on real Kafka and PostgreSQL, every role a process."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Message, TopicPartition

from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import acknowledgement_topic, business_topic, command_topic
from services.crypto.key_directory import KeyDirectory
from services.crypto.signing import SignatureInvalid
from services.events.sample_events import sample_events
from services.kafka.client import KafkaClient
from services.kafka.message_fields import headers, to_bytes
from services.kafka.producer import OutgoingMessage
from services.policy.loader import load as load_policy
from tests.batches import decode_commands, encode_acknowledgements
from tests.e2e.running import ROLES, Running, business_event, identities, write_events
from tests.servers.kafka import KafkaCluster

ORDER = {"customer_id": "C1", "amount": "12.50", "payment": {"method": "ideal"}}
EVENTS = [
    business_event(
        "order-1",
        "orders.order-placed",
        "2020-03-15T13:00:00Z",
        **ORDER,
        order_id="O1",
        consumer_id="K1",
    ),
    business_event(
        "order-2",
        "orders.order-placed",
        "2026-03-15T13:00:00Z",
        **ORDER,
        order_id="O2",
        consumer_id="K2",
    ),
    business_event(
        "engaged",
        "suppliers.supplier-engaged",
        "2024-02-01T09:00:00Z",
        supplier_id="S1",
        contact_id="P1",
    ),
    business_event(
        "changed",
        "suppliers.contact-person-changed",
        "2025-02-01T09:00:00Z",
        supplier_id="S1",
        former_contact_id="P1",
        contact_id="P2",
    ),
]


_TOLD = "SELECT system FROM command WHERE attempt > 0 AND action <> 'verify'"


def held_rows(running: Running, system: str) -> set[tuple[str, str]]:
    """Return the events and subjects whose data a simulated system really has."""
    with sqlite3.connect(running.data / "systems" / f"{system}.sqlite") as store:
        return set(store.execute("SELECT id, subject FROM held").fetchall())


def test_due_data_is_erased_and_other_data_is_kept(running: Running) -> None:
    """The terms of order-1 (D4, 2022) and of contact P1 (R2) are over; everything else must be kept."""
    running.start(*ROLES, "sample-systems")
    completed = running.history(write_events(running.directory / "e.jsonl", EVENTS))
    assert completed.returncode == 0, completed.stderr
    running.until(
        "three systems have proven it, and a controller has answered",
        lambda: (
            running.count("command", "state = 'erased'") == 3
            and running.count("command", "state = 'acknowledged' AND system = 'psp'") == 1
        ),
    )
    assert held_rows(running, "orders") == {("order-2", "consumer:K2")}
    assert held_rows(running, "psp") == {("order-2", "consumer:K2")}
    assert held_rows(running, "procurement") == {("changed", "supplier:P2")}
    assert held_rows(running, "accounting") == {
        ("order-1", "consumer:K1"),
        ("order-2", "consumer:K2"),
    }
    research = held_rows(running, "research")
    assert ("order-2", "consumer:K2") in research
    assert ("order-1", "consumer:K1") not in research
    assert len(research) == 2  # order-1 is there under a pseudonym
    actions = running.query(
        "SELECT system, action, rules FROM command JOIN wording USING (wording_id)"
        " WHERE action <> 'verify' ORDER BY system"
    )
    assert [(system, action, json.loads(rules)) for system, action, rules in actions] == [
        ("orders", "erase", ["D4"]),
        ("procurement", "erase", ["R2"]),
        ("psp", "erase", ["D4"]),
        ("research", "pseudonymise", ["R4"]),
    ]


def test_a_forged_answer_closes_nothing(running: Running, fresh_kafka: KafkaCluster) -> None:
    """An unsigned or wrongly signed acknowledgement is not believed, and the real one still counts."""
    running.start(*ROLES)
    file = write_events(running.directory / "e.jsonl", EVENTS)
    assert running.history(file).returncode == 0
    running.until("all are out", lambda: running.count("command", "state = 'sent'") == 4)
    keys = KeyDirectory(path=running.data / "keys")
    for system in ("orders", "psp"):
        keys.trust(system, keys.create(system))
    bus, codec, topic = (
        KafkaClient(fresh_kafka.bootstrap),
        Codec(load()),
        acknowledgement_topic("orders"),
    )
    ((command,),) = running.query("SELECT command_id FROM command WHERE system = 'orders'")
    answer = {
        "acknowledgement_id": "forged",
        "command_id": str(command),
        "system": "orders",
        "attempt": 1,
        "status": "done",
        "counts": {"rows": 1},
        "ground": None,
        "detail": None,
        "at": datetime.now(UTC),
    }
    value = encode_acknowledgements(codec, "orders", answer)
    stolen = keys.signer("psp").sign(topic.name, b"k", value, datetime.now(UTC))
    bus.open_producer().send(
        [
            OutgoingMessage(topic=topic.name, key=b"k", value=value),
            OutgoingMessage(topic=topic.name, key=b"k", value=value, headers=stolen),
        ]
    )
    running.until(
        "both are parked",
        lambda: running.count("dead_letter", "reason = 'unverifiable' AND state = 'parked'") == 2,
    )
    assert running.query("SELECT state FROM command WHERE system = 'orders'") == [("sent",)]
    running.start("sample-systems")
    running.until("the real ones count", lambda: running.count("command", "state = 'erased'") == 3)
    assert running.count("dead_letter") == 2


def test_commands_are_signed_for_their_topic(running: Running, fresh_kafka: KafkaCluster) -> None:
    """Public keys alone verify a command on its own topic, and refuse it on another topic."""
    running.start(*ROLES)
    file = write_events(running.directory / "e.jsonl", EVENTS)
    assert running.history(file).returncode == 0
    running.until("psp was told", lambda: running.count("message", "topic LIKE '%psp%'") >= 1)
    topic = command_topic("psp")
    consumer = KafkaClient(fresh_kafka.bootstrap).open_consumer("a-system")
    consumer.assign([TopicPartition(topic.name, number, 0) for number in range(topic.partitions)])
    polled: list[Message] = []
    while not polled:
        polled = [
            polled_message
            for polled_message in consumer.consume(1, 1.0)
            if polled_message.error() is None
        ]
    [message] = polled
    consumer.close()
    key, value = to_bytes(message.key()), to_bytes(message.value())
    verifier = KeyDirectory(path=running.data / "keys").verifier()
    now = datetime.now(UTC)
    assert len(verifier.verify(topic.name, key, value, headers(message), now)) == 43
    with pytest.raises(SignatureInvalid, match="forged"):
        verifier.verify(command_topic("crm").name, key, value, headers(message), now)


def test_every_sample_event_is_recorded_once(running: Running) -> None:
    """Events of all processes, published twice, are each recorded once, and nothing is parked."""
    events = list(sample_events(load_policy(), datetime.now(UTC), seed=5, companies=20))
    file = write_events(running.directory / "e.jsonl", [*events, *events[::7]])
    running.start("tagger", "recorder")
    assert running.run("publish", "--wait", str(file)).returncode == 0
    assert set(running.query("SELECT source, id FROM event")) == identities(events)
    assert running.count("dead_letter") == 0


def test_another_kafka_client_reads_the_commands(
    running: Running, fresh_kafka: KafkaCluster, kcat: Path
) -> None:
    """kcat sees the lane as key, Termijn's framing, and the headers that schemas/README.md names."""
    running.start(*ROLES, "sample-systems")
    file = write_events(running.directory / "e.jsonl", EVENTS)
    assert running.history(file).returncode == 0
    running.until("psp was told", lambda: running.count("message", "topic LIKE '%psp%'") >= 1)

    def read(topic: str, form: str) -> bytes:
        return subprocess.run(
            [
                str(kcat),
                "-C",
                "-b",
                fresh_kafka.bootstrap,
                "-t",
                topic,
                "-e",
                "-q",
                "-c",
                "1",
                "-f",
                form,
            ],
            capture_output=True,
            check=True,
            timeout=600,
        ).stdout

    psp = command_topic("psp")
    assert read(psp.name, "%k") == b"13"
    [value] = decode_commands(Codec(load()), "psp", read(psp.name, "%s"))
    assert value["action"] == "erase"
    assert value["subject"] == "consumer:K1"
    assert value["rules"] == ["D4"]
    assert [record["id"] for record in value["records"]] == ["order-1"]
    assert value["records"][0]["keys"] == {"order_id": "O1", "consumer_id": "K1"}
    headers = read(business_topic("suppliers.contact-person-changed").name, "%h").decode()
    assert dict(pair.split("=", 1) for pair in headers.split(",")) == {
        "ce_specversion": "1.0",
        "ce_id": "changed",
        "ce_source": "urn:test",
        "ce_type": "suppliers.contact-person-changed",
        "ce_time": "2025-02-01T09:00:00Z",
        "ce_termijnbackfill": "import-1",
        "content-type": "application/avro",
    }


def test_an_import_waits_for_its_release(running: Running) -> None:
    """History is recorded and forecast, but nothing leaves before a named operator releases it."""
    running.start(*ROLES, "sample-systems")
    file = write_events(running.directory / "e.jsonl", EVENTS)
    completed = running.run("publish", "--backfill", "--name", "history", str(file))
    assert completed.returncode == 0, completed.stderr
    forecast = running.run_json("backfill", "forecast", "history")
    assert {
        (backfill["system"], backfill["rule"], backfill["action"], backfill["records"])
        for backfill in forecast
    } == {
        ("orders", "D4", "erase", 1),
        ("psp", "D4", "erase", 1),
        ("procurement", "R2", "erase", 1),
        ("research", "R4", "pseudonymise", 1),
    }
    assert running.count("command") == 0
    assert running.run("backfill", "release", "history").returncode == 0
    running.until("all four are out", lambda: len(running.query(_TOLD)) == 4)
    assert running.query("SELECT operator, action, target FROM operator_action") == [
        ("tester", "backfill release", "history")
    ]


def test_the_cap_stops_the_deleter_until_it_is_resumed(
    fresh_kafka: KafkaCluster, postgres: object, tmp_path: Path
) -> None:
    """With two commands an hour, the other two wait for an operator."""
    assert callable(postgres)
    running = Running(tmp_path, fresh_kafka.bootstrap, postgres(), TERMIJN_COMMANDS_PER_HOUR="2")
    try:
        assert running.run("ledger", "migrate").returncode == 0
        running.start(*ROLES)
        file = write_events(tmp_path / "e.jsonl", EVENTS)
        assert running.history(file).returncode == 0
        running.until(
            "the deleter has stopped", lambda: running.count("control", "state = 'paused'") == 1
        )
        assert running.count("command", "attempt > 0") == 2
        resumed = running.run("resume", "deleter", "--reason", "looked at, all is well")
        assert resumed.returncode == 0, resumed.stderr
        running.until("the rest is out", lambda: running.count("command", "attempt > 0") == 4)
    finally:
        running.end_all()


@pytest.mark.parametrize("silent", ["tagger", "recorder"])
def test_nothing_is_claimed_while_an_event_is_unread(running: Running, silent: str) -> None:
    """An unread reinstatement must not be overtaken, so the deleter waits until it has caught up."""
    others = [role for role in ROLES if role != silent]
    ended = [
        business_event(
            "up", "customers.customer-signed-up", "2020-01-01T00:00:00Z", customer_id="C9"
        ),
        business_event(
            "end", "customers.customer-terminated", "2021-01-01T00:00:00Z", customer_id="C9"
        ),
    ]
    back = [
        business_event(
            "back", "customers.customer-reinstated", "2021-06-01T00:00:00Z", customer_id="C9"
        )
    ]
    running.start("tagger", "recorder")
    first = write_events(running.directory / "1.jsonl", ended)
    assert running.history(first).returncode == 0
    running.end(silent)
    second = write_events(running.directory / "2.jsonl", back)
    assert running.run("publish", str(second)).returncode == 0
    running.end(next(role for role in ("tagger", "recorder") if role != silent))
    running.start(*others)
    running.until(
        "the deleter says so", lambda: "waiting for unread events" in running.log("deleter")
    )
    assert running.count("command") == 0
    running.start(silent)
    running.until("the customer is back", lambda: running.count("event", "id = 'back'") == 1)
    running.until("the walk is over", lambda: running.count("clock", "next_due <= now()") == 0)
    assert running.count("command") == 0
