"""The ledger purges a person's data, with every role a process on real Kafka and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from services.ledger import tables
from tests.e2e.running import ROLES, Running, business_event, write_events
from tests.servers.kafka import KafkaCluster

GONE = [
    business_event(
        "e1", "customers.customer-signed-up", "2019-01-01T00:00:00Z", customer_id="K-77"
    ),
    business_event(
        "e2", "customers.customer-terminated", "2021-01-01T00:00:00Z", customer_id="K-77"
    ),
]
STAYS = business_event(
    "e3", "customers.customer-signed-up", "2019-01-01T00:00:00Z", customer_id="K-78"
)
LATE = business_event(
    "e4", "billing.invoice-issued", "2020-06-01T00:00:00Z", invoice_id="i1", customer_id="K-77"
)


@pytest.fixture
def running(
    fresh_kafka: KafkaCluster, postgres: Callable[[], str], tmp_path: Path
) -> Iterator[Running]:
    """All roles under the shipped policy, with a term of proof of a second."""
    running = Running(tmp_path, fresh_kafka.bootstrap, postgres())
    policy = files("services.policy").joinpath("optimum_pos.yaml").read_text("utf-8")
    shortened = policy.replace("proof:\n  term: P5Y", "proof:\n  term: PT1S")
    assert shortened != policy
    (tmp_path / "policy.yaml").write_text(shortened, "utf-8")
    running.setting("TERMIJN_POLICY", str(tmp_path / "policy.yaml"))
    assert running.run("ledger", "migrate").returncode == 0
    running.start(*ROLES, "sample-systems")
    yield running
    running.end_all()


def test_a_purged_ledger_still_decides_correctly(running: Running) -> None:
    """No table names the customer, and a repeated event and a late one are still decided correctly."""
    publish(running, *GONE, STAYS)
    proven = "action = 'erase' AND (state = 'erased' OR system = 'psp' AND state = 'acknowledged')"
    running.until("all is proven", lambda: running.count("command", proven) == 6)
    running.end("deleter")  # at its start it scans at once, and not within the hour
    running.start("deleter")
    running.until("all is forgotten", lambda: not named(running, "K-77"))
    assert named(running, "K-78")
    publish(running, GONE[1], LATE)
    running.until(
        "the late invoice is erased where R1 had it",
        lambda: running.count("command", "system = 'crm' AND state = 'erased'") == 1,
    )
    [(seq, subject)] = running.query("SELECT seq, subject FROM command WHERE action = 'erase'")
    assert (seq, subject) == (12, "customer:K-77")
    assert running.count("event", "id = 'e2'") == 0
    assert running.count("dead_letter") == 0


def publish(running: Running, *events: dict[str, object]) -> None:
    file = write_events(running.directory / "events.jsonl", events)
    assert running.history(file).returncode == 0


def named(running: Running, name: str) -> bool:
    """Return whether any row of any table contains a text."""
    return any(
        running.count(table.name, f"\"{table.name}\"::text LIKE '%{name}%'")
        for table in tables.metadata.sorted_tables
    )
