"""What must not cost more as the ledger grows: a customer's end, and finding what is due. PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, event, text

from services.deleter.claim import claim_due
from services.deleter.dispatch import lease
from services.deleter.paused_systems import PausedSystems
from services.ledger import tables
from services.ledger.recording import record
from services.operations.status import read_status
from services.storage.database import Database
from tests.contract.event_builders import arrival, invoice, reinstated, signed_up, terminated
from tests.contract.ledgers import POLICY, instant, new_ledger, record_events

JOINED, ENDED, DUE = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z", "2022-05-31T12:00:00Z"
RECORDS = 20_000
CUSTOMERS = 3_000


@pytest.fixture(scope="module")
def big(postgres: Callable[[], str]) -> Iterator[Database]:
    """One customer with 20,000 invoices, and 3,000 others with one."""
    with closing(new_ledger(postgres())) as ledger:
        for start in range(0, RECORDS, 5_000):
            batch = [
                arrival(invoice(f"i{number}", JOINED), POLICY)
                for number in range(start, start + 5_000)
            ]
            ledger.run_in_transaction(lambda c, b=batch: record(c, b, POLICY, instant(JOINED)))  # type: ignore[misc]
        for start in range(0, CUSTOMERS, 1_000):
            record_events(
                ledger,
                [
                    signed_up(f"s{number}", JOINED, f"c{number}")
                    for number in range(start, start + 1_000)
                ],
                JOINED,
            )
        with ledger.transaction() as connection:
            connection.execute(text("ANALYZE"))
        yield ledger


def count_updates(ledger: Database, table: str) -> int:
    """Return how many rows of the table PostgreSQL has updated so far."""
    with ledger.transaction() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with ledger.transaction() as connection:
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        query = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = :table"
        return int(connection.execute(text(query), {"table": table}).scalar_one())


def close_connections(ledger: Database) -> None:
    """Close every connection, so that each reports its statistics to PostgreSQL."""
    ledger.engine.dispose()


def test_the_end_of_a_customer_changes_one_clock_and_no_record(big: Database) -> None:
    """The customer's return changes one clock and no record either."""
    for change in (terminated("t1", ENDED), reinstated("r1", DUE)):
        close_connections(big)
        clocks, records = count_updates(big, "clock"), count_updates(big, "record")
        record_events(big, [change], DUE)
        close_connections(big)
        assert count_updates(big, "clock") - clocks == 1
        assert count_updates(big, "record") - records == 0


@contextmanager
def statements(ledger: Database) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that run meanwhile, with their parameters."""
    queries: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, sql: str, parameters: Any, *_: object) -> None:
        queries.append((sql, parameters))

    event.listen(ledger.engine, "before_cursor_execute", note)
    try:
        yield queries
    finally:
        event.remove(ledger.engine, "before_cursor_execute", note)


def query_plan(connection: Connection, sql: str, parameters: Any) -> list[dict[str, Any]]:
    """Return the nodes of PostgreSQL's plan for a statement, from the top."""
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", parameters).one()
    document = json.loads(plan) if isinstance(plan, str) else plan
    nodes, waiting = [], [document[0]["Plan"]]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        waiting.extend(node.get("Plans", ()))
    return nodes


def query_plans(
    ledger: Database, work: Callable[[Connection], object]
) -> list[list[dict[str, Any]]]:
    """Return the plan of every SELECT that the work ran; the work is rolled back."""
    with ledger.engine.connect() as connection, statements(ledger) as executed:
        work(connection)
        connection.rollback()
    with ledger.engine.connect() as connection:
        plans = [
            query_plan(connection, sql, values)
            for sql, values in executed
            if sql.startswith("SELECT")
        ]
        connection.rollback()
    return plans


def indexes_used(plans: list[list[dict[str, Any]]], table: str) -> set[str]:
    """Return the indexes through which a table is read."""
    return {
        node["Index Name"]
        for nodes in plans
        for node in nodes
        if "Index Name" in node and node.get("Relation Name", table) == table
    }


def tables_scanned(plans: list[list[dict[str, Any]]]) -> set[str]:
    """Return the tables that are read from end to end."""
    return {
        node["Relation Name"]
        for nodes in plans
        for node in nodes
        if node["Node Type"] == "Seq Scan"
    }


LARGE = {"event", "record", "hanging", "clock"}


def test_claims_read_the_partial_indexes(big: Database) -> None:
    """What is due is found by its instant, and no growing table is read from end to end."""
    plans = query_plans(
        big, lambda c: claim_due(c, POLICY, instant("2020-02-01T12:00:00Z"), limit=500)
    )
    assert indexes_used(plans, "record") >= {"record_due"}
    assert indexes_used(plans, "clock") >= {"clock_due"}
    assert tables_scanned(plans) & LARGE == set()


def test_a_chunk_of_a_scan_reads_its_own_records(big: Database) -> None:
    """They are found by the clock and the cursor, then by key."""

    def walk(connection: Connection) -> None:
        record(
            connection,
            [arrival(terminated("t2", "2022-06-01T12:00:00Z"), POLICY)],
            POLICY,
            instant(DUE),
        )
        claimed = claim_due(connection, POLICY, instant("2024-05-31T12:00:00Z"), limit=500)
        assert len(claimed.commands) == 1
        claimed = claim_due(connection, POLICY, instant("2024-05-31T12:00:00Z"), limit=500)
        assert len(claimed.commands) == 1

    plans = query_plans(big, walk)
    # A bitmap of events names no table.
    assert indexes_used(plans, "hanging") - {"event_pkey"} == {"hanging_pkey"}
    # 500 of 23,000 events are many enough to read them all; of a million they are not.
    assert tables_scanned(plans) & LARGE <= {"event"}


def test_a_lease_reads_only_commands_that_are_to_be_sent(big: Database) -> None:
    """They are found by the next attempt, and the settled rest is not read."""
    with commands(big) as connection:
        with statements(big) as executed:
            lease(connection, instant(DUE) + timedelta(days=1), PausedSystems(), limit=10)
        (sql, values) = next(query for query in executed if query[0].startswith("SELECT"))
        nodes = query_plan(connection, sql, values)
    assert indexes_used([nodes], "command") == {"command_next_attempt"}


def test_the_open_commands_are_counted_without_the_settled_ones(big: Database) -> None:
    """The metrics of a deleter ask every few seconds, whatever was erased in years."""
    with commands(big) as connection:
        with statements(big) as executed:
            status = read_status(connection, POLICY, instant(DUE), history=False)
        plans = [
            query_plan(connection, sql, values)
            for sql, values in executed
            if "FROM command" in sql and sql.startswith("SELECT")
        ]
    assert status.commands == {("crm", "sent"): 10}
    assert len(plans) == 4
    assert indexes_used(plans, "command") == {"command_open"}
    assert "command" not in tables_scanned(plans)


@contextmanager
def commands(ledger: Database) -> Iterator[Connection]:
    """Insert 5,000 commands, ten of which are to be sent again, until the end of the block."""
    rows = [
        {
            "command_id": UUID(int=number),
            "next_attempt_at": instant(DUE) if number % 500 == 0 else None,
            "state": "sent" if number % 500 == 0 else "acknowledged",
        }
        for number in range(5_000)
    ]
    settled = {
        "system": "crm",
        "subject": "customer:x",
        "names_subject": True,
        "action": "erase",
        "step": "erase",
        "live": False,
        "wording_id": 1,
        "epoch": 0,
        "seq": 1,
        "due_at": instant(DUE),
        "created_at": instant(DUE),
        "attempt": 1,
    }
    with ledger.engine.connect() as connection:
        connection.execute(
            tables.command.insert(),
            [{**settled, **row} for row in rows],
        )
        connection.execute(text("ANALYZE command"))
        try:
            yield connection
        finally:
            connection.rollback()
