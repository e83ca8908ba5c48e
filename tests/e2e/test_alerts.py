"""Real faults on real Kafka and PostgreSQL: a real Prometheus alerts, and the runbooks fix them.

All on one running system; each fault is fixed before the next. The rules are those of the repository,
600 times faster.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from schemas.cloudevents import format_rfc3339
from schemas.topics import TAGGED, acknowledgement_topic, business_topic
from services.operations.monitoring.files import BOARDS
from tests.e2e.running import ROLES, business_event, write_events
from tests.e2e.watched import Labels, Watched
from tests.servers.kafka import KafkaBroker

NOW = datetime.now(UTC).replace(microsecond=0)
DISCONNECTED = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
"""Makes every role connect again, and read the settings of the database."""
NAMES = re.compile(r"\b(consumer|customer|subject):|\b[CKOT]\d|[0-9a-f]{8}-[0-9a-f]{4}")
"""A pattern of the persons, records and ids in these tests."""


def order(number: int, at: datetime | str, **fields: Any) -> dict[str, Any]:
    """Return an order of a consumer who has no other."""
    return business_event(
        f"order-{number}",
        "orders.order-placed",
        at if isinstance(at, str) else format_rfc3339(at),
        order_id=f"O{number}",
        customer_id="C1",
        consumer_id=f"K{number}",
        amount=fields.pop("amount", "12.50"),
        payment={"method": "ideal"},
    )


def verified_request(consumer: str, days: int, right: str = "access") -> list[dict[str, Any]]:
    """Return a request of so many days ago, by a person whose identity was verified at once."""
    at = NOW - timedelta(days=days)
    about = {"subject": f"consumer:{consumer}", "request_id": f"Q-{consumer}"}
    return [
        business_event(
            f"asked-{consumer}",
            "privacy.request-received",
            format_rfc3339(at),
            right=right,
            **about,
        ),
        business_event(
            f"known-{consumer}",
            "privacy.identity-verified",
            format_rfc3339(at + timedelta(minutes=1)),
            **about,
        ),
    ]


def customer(name: str) -> list[dict[str, Any]]:
    """Return a customer who left so long ago that the whole term of R1 is over."""
    return [
        business_event(f"{what}-{name}", f"customers.customer-{what}", at, customer_id=name)
        for what, at in (
            ("signed-up", "2019-01-01T00:00:00Z"),
            ("terminated", "2021-01-01T00:00:00Z"),
        )
    ]


@pytest.fixture(scope="module")
def data_faults(watched: Watched) -> Sequence[tuple[str, Labels]]:
    """Everything that is wrong with data, with the alerts that must fire.

    A silent printer, a lease partner whose agent cannot reach it, requests near and past their time
    limits, an open ticket, and messages that cannot be read or that contradict each other.
    """
    watched.begin_agent("lease")
    watched.running.start("sample-systems", options=("--silent", "printer", "--silent", "lease"))
    ticket = {"ticket_id": "T1", "customer_id": "C1", "consumer_ids": ["K9"]}
    watched.publish(
        order(1, "2022-02-01T00:00:00Z"),
        order(2, NOW - timedelta(days=3)),
        *customer("C2"),
        *verified_request("K2", 1, "erasure"),
        *verified_request("K3", 27),
        *verified_request("K4", 40, "portability"),
        business_event("opened", "helpdesk.ticket-opened", "2025-01-01T00:00:00Z", **ticket),
    )
    watched.publish(order(2, NOW - timedelta(days=3), amount="99.00"), wait=False)
    junk(
        watched.broker,
        business_topic("orders.order-placed").name,
        acknowledgement_topic("crm").name,
    )
    watched.assert_firing(("TermijnUnverifiable", {"system": "crm"}))  # it clears automatically
    return [
        ("TermijnSystemSilent", {"system": "printer"}),
        ("TermijnOverdue", {"system": "printer"}),
        ("TermijnRequestNearLimit", {"right": "access"}),
        ("TermijnRequestNearLimit", {"right": "portability"}),
        ("TermijnRequestLate", {}),
        ("TermijnClockOpenTooLong", {"clock": "ticket"}),
        ("TermijnDeadLetters", {"reason": "undecodable"}),
        ("TermijnIdentityConflict", {}),
    ]


def test_every_panel_has_data(watched: Watched, data_faults: Sequence[tuple[str, Labels]]) -> None:
    """Every query returns data, and every rule can be evaluated."""
    watched.assert_firing(*data_faults)

    def empty() -> set[str]:
        return {
            panel.title
            for board in BOARDS
            for panel in board.panels
            for query in panel.queries
            if not watched.prometheus.query(query.expr)
        }

    watched.running.until("proofs are among it", lambda: not empty(), 60)
    assert watched.prometheus.rule_errors() == []


def test_the_metrics_of_a_role_are_well_formed_and_name_no_person(
    watched: Watched, data_faults: Sequence[tuple[str, Labels]], promtool: Path
) -> None:
    """Prometheus' own check accepts every role's metrics, and no label has a person, a record or an id."""
    for role in ROLES:
        text = watched.metrics(role)
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, ""), role
        labels = {
            value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            for value in sample.labels.values()
        }
        assert not [label for label in labels if NAMES.search(label)], role


def test_faults_of_data_raise_alerts_and_are_fixed(
    watched: Watched, data_faults: Sequence[tuple[str, Labels]]
) -> None:
    """Each alert clears once the printer answers, requests are handed over and dead letters discarded."""
    running = watched.running
    watched.assert_firing(*data_faults)

    running.end("sample-systems")
    running.start("sample-systems")
    ticket = {"ticket_id": "T1", "customer_id": "C1"}
    resolved = business_event(
        "resolved", "helpdesk.ticket-resolved", "2025-02-01T00:00:00Z", **ticket
    )
    file = write_events(running.directory / "resolved.jsonl", [resolved])
    watched.fix("TermijnClockOpenTooLong", EVENTS=str(file.with_suffix("")))
    for who, alert in (("K3", "TermijnRequestNearLimit"), ("K4", "TermijnRequestLate")):
        words = {"SUBJECT": f"consumer:{who}", "REQUEST": f"Q-{who}"}
        watched.fix(alert, DIRECTORY=str(running.directory / who), **words)
    for letter in running.run_json("dead-letters", "list"):
        watched.fix("TermijnDeadLetters", ID=letter["id"], TEXT="nothing of it counts")
    watched.assert_cleared(("TermijnUnverifiable", {}), *data_faults)


def test_faults_of_roles_raise_alerts_and_are_fixed(watched: Watched) -> None:
    """A recorder is stopped, and messages that it had not read are lost meanwhile."""
    running = watched.running
    running.end("recorder", kill=True)
    watched.publish(*(order(number, NOW) for number in range(100, 140)), wait=False)
    down = ("TermijnRoleDown", {"job": "termijn-recorder"})
    watched.assert_firing(down, ("TermijnDeleterBlind", {}))
    for partition in range(TAGGED.partitions):
        watched.broker.delete_records(TAGGED.name, partition, -1)
    watched.fix("TermijnRoleDown", ROLE="recorder")
    assert running.processes.pop("recorder").wait(60) != 0
    watched.assert_firing(("TermijnGap", {}))

    for gap in running.run_json("gaps", "list"):
        watched.fix(
            "TermijnGap",
            ROLE=gap["role"],
            TOPIC=gap["topic"],
            PARTITION=str(gap["partition"]),
            TEXT="published again",
        )
    watched.fix("TermijnRoleDown", ROLE="recorder")
    watched.assert_cleared(down, ("TermijnDeleterBlind", {}), ("TermijnGap", {}))


def test_delayed_work_raises_alerts(watched: Watched) -> None:
    """Alerts show work that a pause or a missing release delays.

    A paused tagger lags and stops the deleter's claims; an order of 2022 arrives live, and waits until
    it is released; a paused deleter leaves unclaimed what is due.
    """
    running = watched.running
    assert running.run("pause", "tagger", "--reason", "a look at it").returncode == 0
    watched.assert_firing(("TermijnStopped", {}))
    watched.publish(order(200, "2022-02-01T00:00:00Z"), wait=False)
    watched.assert_firing(("TermijnLag", {"role": "tagger"}), ("TermijnDeleterBlind", {}))
    assert running.run("pause", "deleter", "--reason", "a look at it").returncode == 0
    watched.fix("TermijnLag", ROLE="tagger", TEXT="looked at")
    old = ("TermijnHistoryWaits", {"type": "orders.order-placed"})
    watched.assert_firing(old)
    groups = {
        system["which"]
        for system in running.run_json("status")
        if system["what"] == "history waits"
    }
    [group] = [group for group in groups if group.endswith("/orders.order-placed")]
    watched.fix("TermijnHistoryWaits", GROUP=group, TEXT="looked at")
    watched.assert_cleared(old)
    watched.assert_firing(("TermijnDueUnclaimed", {}))
    watched.fix("TermijnDueUnclaimed", TEXT="looked at")
    watched.assert_firing(
        ("TermijnPunctualityBurnsFast", {}), ("TermijnPunctualityBurnsSlowly", {})
    )
    watched.assert_cleared(
        ("TermijnStopped", {}),
        ("TermijnLag", {}),
        ("TermijnDeleterBlind", {}),
        ("TermijnDueUnclaimed", {}),
        ("TermijnPunctualityBurnsFast", {}),
    )


def test_a_wrong_clock_raises_an_alert(watched: Watched) -> None:
    """The database's clock goes back five seconds, and nothing is commanded until it is right again."""
    database = watched.running.query("SELECT current_database()")[0][0]
    watched.running.execute(
        "CREATE SCHEMA wrong",
        "GRANT USAGE ON SCHEMA wrong TO PUBLIC",  # else no role of Termijn would search it
        "CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE"
        " AS $$ SELECT pg_catalog.clock_timestamp() - interval '5 s' $$",
        f"ALTER DATABASE {database} SET search_path = wrong, pg_catalog, public",
        DISCONNECTED,
    )
    watched.assert_firing(("TermijnClockDisagreement", {"job": "termijn-deleter"}))
    watched.assert_firing(("TermijnRoleNotReady", {"role": "deleter"}))
    watched.running.execute(f"ALTER DATABASE {database} RESET search_path", DISCONNECTED)
    watched.assert_cleared(("TermijnClockDisagreement", {}), ("TermijnRoleNotReady", {}))


@pytest.mark.chaos
def test_a_killed_broker_and_missing_events_raise_alerts(watched: Watched) -> None:
    """Every role runs without any work; and while no service publishes, nothing is tagged."""
    watched.broker.kill()
    away = [("TermijnRoleNotReady", {"role": role}) for role in ROLES]
    watched.assert_firing(*away, seconds=90)
    watched.broker.start()
    watched.assert_cleared(*away, seconds=90)
    watched.assert_firing(("TermijnNothingTagged", {}))
    watched.publish(order(300, NOW))
    watched.assert_cleared(("TermijnNothingTagged", {}))


def junk(broker: KafkaBroker, *topics: str) -> None:
    """Return messages that no role can read."""
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for topic in topics:
        producer.produce(topic, key=b"somebody", value=b"junk")
    assert producer.flush(30) == 0
