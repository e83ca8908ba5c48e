"""An operator may retry a refusal that is not final; a hold's list names who did not stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.deleter.acknowledgement import Status
from services.ledger import active_policy, tables
from services.storage.database import Database, open_database
from tests.contract.event_builders import invoice, order, reinstated, terminated
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    find_command,
    record_events,
    select_rows,
    send_due,
)
from tests.unit.cli.conftest import Call
from tests.unit.cli.test_operating import privacy_event

BY_ME = ("--operator", "night-shift", "--reason", "mended")
JOINED, ENDED, BACK = "2010-01-01T12:00:00Z", "2010-06-01T12:00:00Z", "2011-01-01T12:00:00Z"
DUE = "2012-05-31T12:00:00Z"


@pytest.fixture
def ledger(termijn: Call) -> Iterator[Database]:
    """Return a ledger that the commands are configured for, under the shipped policy."""
    assert termijn("ledger", "migrate").code == 0
    with closing(open_database(f"sqlite:///{Path.cwd() / '.termijn' / 'ledger.sqlite'}")) as opened:
        opened.run_in_transaction(
            lambda connection: active_policy.require_active(connection, POLICY, datetime.now(UTC))
        )
        yield opened


@pytest.fixture
def refused(ledger: Database) -> dict[str, UUID]:
    """Return an order's erasures, refused by `orders` (a processor) and by `psp` (a controller)."""
    record_events(ledger, [order("o1", JOINED)], JOINED)
    claim_all(ledger, DUE)
    send_due(ledger, FakeBus(), DUE)
    commands = {system: find_command(ledger, system=system) for system in ("orders", "psp")}
    for command_id in commands.values():
        acknowledge(ledger, command_id, "refused", datetime.now(UTC))
    return commands


def next_attempt(ledger: Database, identity: UUID) -> Any:
    (row,) = select_rows(ledger, tables.command, command_id=identity)
    return row.next_attempt_at


def test_a_refused_command_is_sent_again_at_once(
    termijn: Call, ledger: Database, refused: dict[str, UUID]
) -> None:
    """Before its daily retry, by a named operator, and recorded."""
    assert next_attempt(ledger, refused["orders"]) > datetime.now(UTC)
    retried = termijn("commands", "retry", refused["orders"], *BY_ME)
    assert (retried.out, retried.err) == (f"will be sent again: {refused['orders']}\n", "")
    bus = FakeBus()
    send_due(ledger, bus, datetime.now(UTC))
    assert str(refused["orders"]) in [command.value["command_id"] for command in bus.sent]
    [row] = select_rows(ledger, tables.operator_action)
    assert (row.operator, row.action, row.target, row.reason) == (
        "night-shift",
        "commands retry",
        str(refused["orders"]),
        "mended",
    )


def test_all_refused_commands_of_a_system_are_sent_again_at_once(
    termijn: Call, ledger: Database, refused: dict[str, UUID]
) -> None:
    """A command that a controller refused is not sent again."""
    assert termijn("commands", "retry", "--system", "orders", *BY_ME).out == (
        "orders: 1 commands will be sent again\n"
    )
    assert termijn("commands", "retry", "--system", "psp", *BY_ME).out == (
        "psp: 0 commands will be sent again\n"
    )
    assert next_attempt(ledger, refused["orders"]) <= datetime.now(UTC)
    assert next_attempt(ledger, refused["psp"]) is None


def test_a_controllers_refusal_is_final(
    termijn: Call, ledger: Database, refused: dict[str, UUID]
) -> None:
    """One line states this, and nothing is recorded."""
    outcome = termijn("commands", "retry", refused["psp"], *BY_ME)
    assert (outcome.code, outcome.err) == (
        1,
        f"termijn: command {refused['psp']}: psp is a controller, and its refusal is final\n",
    )
    assert select_rows(ledger, tables.operator_action) == []


def test_the_policy_is_the_one_that_is_active_as_commands_are_retried(
    termijn: Call,
    ledger: Database,
    refused: dict[str, UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another is activated after the command has started: under that one `psp` is a processor."""
    systems = {**POLICY.systems, "psp": replace(POLICY.systems["psp"], role="processor")}
    changed = replace(POLICY, version="next", systems=systems)
    run = Database.run_in_transaction

    def activate_before(self: Database, work: Any) -> Any:
        monkeypatch.setattr(Database, "run_in_transaction", run)
        activate = partial(active_policy.activate, policy=changed, now=datetime.now(UTC))
        self.run_in_transaction(activate)
        return self.run_in_transaction(work)

    monkeypatch.setattr(Database, "run_in_transaction", activate_before)
    assert termijn("commands", "retry", refused["psp"], *BY_ME).err == ""
    assert next_attempt(ledger, refused["psp"]) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("00000000-0000-4000-8000-000000000001",), "does not exist"),
        (("--system", "cmr"), "'cmr'"),
        ((), "give either COMMAND or --system SYSTEM"),
    ],
)
def test_a_retry_that_is_not_possible_is_one_line(
    termijn: Call, ledger: Database, arguments: tuple[str, ...], what: str
) -> None:
    """The refused retry leaves no entry in the log."""
    outcome = termijn("commands", "retry", *arguments, *BY_ME)
    assert outcome.code != 0
    assert what in outcome.err
    assert select_rows(ledger, tables.operator_action) == []


def test_a_completed_command_is_not_sent_again(
    termijn: Call, ledger: Database, refused: dict[str, UUID]
) -> None:
    """There is nothing to do."""
    acknowledge(ledger, refused["orders"], "done", datetime.now(UTC))
    outcome = termijn("commands", "retry", refused["orders"], *BY_ME)
    assert outcome.code == 1
    assert "must be sent or refused to be sent again, got acknowledged" in outcome.err


@pytest.mark.parametrize(
    ("status", "too_late"),
    [
        ("refused", ["crm"]),
        ("failed", ["crm"]),
        ("nothing_held", ["crm"]),
        ("already_done", ["crm"]),
        ("recalled", []),
        ("done", []),
        (None, []),
    ],
)
def test_a_hold_is_too_late_for_a_system_that_does_not_report_that_it_stopped(
    termijn: Call, ledger: Database, status: Status | None, too_late: list[str]
) -> None:
    """It may have erased, or may still do so; a system that has not answered yet has time."""
    record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], DUE)
    claim_all(ledger, DUE)
    send_due(ledger, FakeBus(), DUE)
    hold = privacy_event("h1", "hold-placed", BACK, hold_id="H1", ground="legal_claim")
    record_events(ledger, [hold, reinstated("r1", BACK)], DUE)
    send_due(ledger, FakeBus(), DUE)
    if status is not None:
        acknowledge(ledger, find_command(ledger, action="recall"), status, DUE)
    [line] = termijn("holds", "list", "--json").rows
    assert line["too_late_for"] == too_late
