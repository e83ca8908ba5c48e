"""Every right of a data subject on real Kafka and PostgreSQL, with systems of different behaviour.

The PSP acknowledges late, the lease partner only a repeated command, the credit agency refuses, and the
printer never acknowledges.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.cloudevents import format_rfc3339
from tests.e2e.running import ROLES, Running, business_event, write_events
from tests.servers.kafka import KafkaBroker

NOW = datetime.now(UTC).replace(microsecond=0)
ORDERED = NOW - timedelta(hours=3)
ASKED = NOW - timedelta(hours=2)
VERIFIED = NOW - timedelta(hours=1)
Event = dict[str, Any]


def order(consumer: str) -> Event:
    return business_event(
        f"order-{consumer}",
        "orders.order-placed",
        format_rfc3339(ORDERED),
        order_id=f"O-{consumer}",
        customer_id="C9",
        consumer_id=consumer,
        amount="12.50",
        payment={"method": "ideal"},
        consumer_name=f"CANARY {consumer}",
    )


def request(subject: str, right: str, asked: datetime = ASKED, **fields: Any) -> Event:
    return business_event(
        f"asked-{subject}",
        "privacy.request-received",
        format_rfc3339(asked),
        subject=subject,
        request_id=f"Q-{subject}",
        right=right,
        **fields,
    )


def identity(subject: str) -> Event:
    return business_event(
        f"verified-{subject}",
        "privacy.identity-verified",
        format_rfc3339(VERIFIED),
        subject=subject,
        request_id=f"Q-{subject}",
    )


def customer(name: str) -> list[Event]:
    return [
        business_event(
            f"signed-{name}",
            "customers.customer-signed-up",
            format_rfc3339(ORDERED),
            customer_id=name,
        ),
        business_event(
            f"credit-{name}",
            "credit.check-performed",
            format_rfc3339(ORDERED),
            check_id=f"K-{name}",
            customer_id=name,
        ),
    ]


def requests(running: Running) -> dict[str, dict[str, Any]]:
    return {
        request["subject"]: request for request in running.run_json("requests", "list", "--all")
    }


def answered(running: Running) -> dict[str, dict[str, Any]]:
    """Return Termijn's answers, by subject."""
    rows = running.query("SELECT subject, event_type, data FROM answer")
    return {
        subject: {"type": event_type.removeprefix("privacy."), **json.loads(data)}
        for subject, event_type, data in rows
    }


def deliver(running: Running, subject: str, name: str, *options: str) -> Path:
    """Hand a package over, and return its directory."""
    directory = running.directory / name
    completed = running.run(
        *("requests", "deliver", subject, f"Q-{subject}", "--to", str(directory), *options)
    )
    assert completed.returncode == 0, completed.stderr
    return directory


def in_ledger(running: Running, text: str) -> list[str]:
    """Return the tables that contain a text unencrypted."""
    tables = [
        name
        for (name,) in running.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
    ]
    return [
        name for name in tables if running.count(f'"{name}" AS one', f"one::text LIKE '%{text}%'")
    ]


def until_answered(running: Running, subject: str) -> dict[str, Any]:
    """Wait for the answer to a subject's request."""
    running.until(f"{subject} is answered", lambda: subject in answered(running), 90)
    return answered(running)[subject]


def until_ready(running: Running, subject: str) -> None:
    """Wait until all data for a subject's package is collected."""
    running.until(
        f"the data of {subject} is collected",
        lambda: requests(running)[subject]["state"] == "ready",
        90,
    )


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
    modules_broker: KafkaBroker,
    postgres: Callable[[], str],
) -> Iterator[Running]:
    """All roles and simulated systems, among them a silent printer, with every kind of request recorded."""
    running = Running(tmp_path_factory.mktemp("requests"), modules_broker.bootstrap, postgres())
    events = [
        *(order(f"K{number}") for number in range(1, 6)),
        *customer("C1"),
        request("consumer:K1", "access"),
        identity("consumer:K1"),
        request("consumer:K2", "erasure"),
        identity("consumer:K2"),
        request("consumer:K3", "rectification", corrections={"consumer_name": "CANARY Jansen"}),
        identity("consumer:K3"),
        request("consumer:K4", "restriction"),
        identity("consumer:K4"),
        request("consumer:K5", "erasure", NOW - timedelta(days=60)),
        request("customer:C1", "access"),
        identity("customer:C1"),
        business_event(
            "applied",
            "recruitment.application-received",
            format_rfc3339(ORDERED),
            application_id="A1",
            applicant_id="P1",
            keep_consent=False,
            name="CANARY P1",
        ),
        request("applicant:P1", "portability"),
        identity("applicant:P1"),
    ]
    try:
        migrated = running.run("ledger", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        running.start(*ROLES)
        running.start("sample-systems", options=("--silent", "printer"))
        completed = running.history(write_events(running.directory / "all.jsonl", events))
        assert completed.returncode == 0, completed.stderr
        yield running
    finally:
        running.end_all()


def test_erasure_names_what_is_erased_and_what_is_kept(running: Running) -> None:
    """The law requires the books, so the request is only partly granted."""
    answer = until_answered(running, "consumer:K2")
    assert (answer["type"], answer["outcome"]) == ("request-answered", "partly")
    assert set(answer["done"]) >= {"orders", "psp", "research"}
    assert "accounting" in answer["kept"]
    assert answer["pending"] == []


def test_rectification_reaches_every_system(running: Running) -> None:
    answer = until_answered(running, "consumer:K3")
    assert (answer["type"], answer["outcome"]) == ("request-answered", "granted")
    assert set(answer["done"]) >= {"accounting", "orders", "psp", "research"}
    store = sqlite3.connect(running.data / "systems" / "orders.sqlite")
    (body,) = store.execute("SELECT body FROM held WHERE id = 'order-K3'").fetchone()
    store.close()
    assert json.loads(body)["consumer_name"] == "CANARY Jansen"


def test_a_request_without_identity_is_refused(running: Running) -> None:
    """The request is two months old, and the identity was never verified (GDPR 12(6))."""
    answer = until_answered(running, "consumer:K5")
    assert (answer["type"], answer.get("outcome")) == ("request-refused", None)
    assert requests(running)["consumer:K5"]["state"] == "refused"


def test_an_access_package_is_delivered_and_its_key_destroyed(running: Running) -> None:
    """Until then, no data that the systems disclosed is unencrypted in the ledger."""
    until_ready(running, "consumer:K1")
    assert in_ledger(running, "CANARY") == []
    package = deliver(running, "consumer:K1", "package")
    data = json.loads((package / "data.json").read_text("utf-8"))
    systems = {
        record["system"] for record in data["records"] if record["type"] == "orders.order-placed"
    }
    assert systems == {"accounting", "orders", "psp", "research"}
    assert "CANARY K1" in (package / "answer.html").read_text("utf-8")
    assert running.count("request_key", "subject = 'consumer:K1' AND sealed IS NOT NULL") == 0
    until_answered(running, "consumer:K1")


def test_portability_delivers_the_data_that_the_person_gave(running: Running) -> None:
    until_ready(running, "applicant:P1")
    package = deliver(running, "applicant:P1", "taken")
    records = json.loads((package / "data.json").read_text("utf-8"))["records"]
    assert {(record["system"], record["type"], record["data"]["name"]) for record in records} == {
        ("recruitment", "recruitment.application-received", "CANARY P1"),
        ("mail", "recruitment.application-received", "CANARY P1"),
    }


def test_restriction_is_lifted_in_every_system(running: Running) -> None:
    """The event that lifts it may arrive at any time (GDPR 18(3))."""
    answer = until_answered(running, "consumer:K4")
    assert (answer["type"], answer["outcome"]) == ("request-answered", "granted")
    free = business_event(
        "free",
        "privacy.restriction-lifted",
        format_rfc3339(NOW),
        subject="consumer:K4",
        request_id="Q-consumer:K4",
    )
    lifted = running.run("publish", str(write_events(running.directory / "free.jsonl", [free])))
    assert lifted.returncode == 0, lifted.stderr
    restricted = running.count("command", "subject = 'consumer:K4' AND action = 'restrict'")
    running.until(
        "each restriction of K4 is lifted",
        lambda: (
            running.count(
                "command", "subject = 'consumer:K4' AND action = 'lift' AND state = 'acknowledged'"
            )
            == restricted
            > 0
        ),
    )


def test_access_names_the_systems_that_refuse_or_are_silent(running: Running) -> None:
    """The credit agency refuses, the lease partner needs a repetition, and the printer is silent."""
    running.until(
        "the credit agency has refused and the lease partner was commanded again",
        lambda: (
            running.query(
                "SELECT system, state FROM command WHERE action = 'disclose' AND subject = 'customer:C1'"
                " AND system IN ('credit-bureau', 'lease', 'psp', 'printer') ORDER BY system"
            )
            == [
                ("credit-bureau", "refused"),
                ("lease", "acknowledged"),
                ("printer", "sent"),
                ("psp", "acknowledged"),
            ]
        ),
    )
    assert running.count("disclosure") > 0
    delivery = ("requests", "deliver", "customer:C1", "Q-customer:C1", "--language", "en", "--to")
    early = running.run(*delivery, str(running.directory / "early"))
    assert (early.returncode, "printer" in early.stderr) == (1, True)
    assert not (running.directory / "early").exists()
    late = deliver(running, "customer:C1", "late", "--language", "en", "--incomplete")
    letter = (late / "letter.txt").read_text("utf-8")
    assert "- Printers of menus and other print: told to, not confirmed yet" in letter
    assert "- External credit agency: refused: own legal obligation" in letter


def test_each_answer_is_published_once(running: Running) -> None:
    """An answer is an ordinary event, and is recorded as one."""
    for subject in ("consumer:K2", "consumer:K3", "consumer:K4", "consumer:K5"):
        until_answered(running, subject)
    running.until(
        "each answer is recorded",
        lambda: running.count("event", "source = '/termijn/rights'") == len(answered(running)) >= 4,
    )


def test_no_log_contains_personal_data(running: Running) -> None:
    for role in (*ROLES, "sample-systems"):
        assert "CANARY" not in running.log(role)
