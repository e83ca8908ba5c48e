"""A record whose command the database refuses at every claim is not lost, and the failure is reported.

No value that an event can have is known to do that: what reaches a claim is within the limits that are
checked on arrival (`schemas.limits`). So the fault is injected here, by a constraint on one subject's
commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.deleter.deleter import Deleter
from services.kafka.error_classification import RETRYABLE_ERRORS, classify_error
from services.ledger import tables
from services.storage.database import Database
from tests.contract.event_builders import event
from tests.contract.ledgers import POLICY, FakeBus, record_events, select_rows
from tests.contract.null_observer import NullObserver

GIVEN = "2020-03-15T13:00:00Z"


@contextmanager
def refusing_commands(ledger: Database, subject: str) -> Iterator[None]:
    """Have the database refuse every command about this subject."""
    if ledger.is_sqlite:
        create_trigger = (
            f"CREATE TRIGGER refuses BEFORE INSERT ON command WHEN NEW.subject = '{subject}'"
            " BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        drop_trigger = "DROP TRIGGER refuses"
    else:
        create_trigger = (
            f"ALTER TABLE command ADD CONSTRAINT refuses CHECK (subject <> '{subject}')"
        )
        drop_trigger = "ALTER TABLE command DROP CONSTRAINT refuses"
    with ledger.transaction() as connection:
        connection.execute(text(create_trigger))
    try:
        yield
    finally:
        with ledger.transaction() as connection:
            connection.execute(text(drop_trigger))


def build_deleter(ledger: Database, bus: FakeBus) -> Deleter:
    return Deleter(
        ledger=ledger,
        publisher=bus,
        catch_up_check=NullObserver(),
        policy=POLICY,
        observer=NullObserver(),
        now=lambda: datetime.now(UTC),
    )


def test_protective_commands_are_sent_while_claims_fail(ledger: Database) -> None:
    """A person's restriction must not wait until the database accepts claims again."""
    now = datetime.now(UTC)
    checked, raised = (now - timedelta(days=10)).isoformat(), (now - timedelta(hours=1)).isoformat()
    objection = {"subject": "customer:9", "purpose": "credit_check", "objection_id": "B1"}
    events = [
        event("f1", "website.feedback-given", GIVEN, feedback_id="f1", visitor_id="1"),
        event("e1", "credit.check-performed", checked, check_id="1", customer_id="9"),
        event("b1", "privacy.objection-raised", raised, **objection),
    ]
    record_events(ledger, events, now)
    bus = FakeBus()
    with refusing_commands(ledger, "visitor:1"):
        with pytest.raises(IntegrityError):
            build_deleter(ledger, bus).run_once()
        assert {(command.system, command.value["action"]) for command in bus.sent} == {
            ("crm", "restrict"),
            ("credit-bureau", "restrict"),
        }


def test_a_command_that_the_database_refuses_stops_claims_with_an_error(ledger: Database) -> None:
    """Every round's claim fails as a whole and is reported; once the cause is fixed, all leave."""
    feedbacks = [
        event(f"f{n}", "website.feedback-given", GIVEN, feedback_id=f"f{n}", visitor_id=str(n))
        for n in range(3)
    ]
    record_events(ledger, feedbacks, GIVEN)
    due = {row.record_id: row.next_due for row in select_rows(ledger, tables.record)}
    bus = FakeBus()
    deleter = build_deleter(ledger, bus)
    with refusing_commands(ledger, "visitor:1"):
        for _ in range(2):
            with pytest.raises(RETRYABLE_ERRORS) as refused:
                deleter.run_once()
            assert isinstance(refused.value, IntegrityError)
            assert classify_error(refused.value) == "poison"
        assert bus.sent == []
        assert select_rows(ledger, tables.command) == []
        assert {row.record_id: row.next_due for row in select_rows(ledger, tables.record)} == due
    deleter.run_once()
    assert sorted(str(command.value["subject"]) for command in bus.sent) == [
        "visitor:0",
        "visitor:1",
        "visitor:2",
    ]
