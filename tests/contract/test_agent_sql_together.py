"""Many commands in one transaction of the system's PostgreSQL: each has its own outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.agent.command import Command, CommandRecord
from services.agent.result import Result, RetryLater
from tests.contract.test_agent_sql import (
    EXAMPLE,
    NAMES,
    Crm,
    create_tables,
    customer_row,
    open_crm,
    order,
    order_row,
    signed_up,
    ticket,
    ticket_row,
)
from tests.effort import examples
from tests.unit.agent.environment import command

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def crm(request: pytest.FixtureRequest) -> Iterator[Crm]:
    """The example's CRM."""
    fresh: Callable[[], str] = request.getfixturevalue("postgres")
    url = fresh()
    create_tables(url)
    with ExitStack() as stack:
        adapter = open_crm(url, EXAMPLE / "agent.yaml", stack)
        yield Crm(engine=adapter.engine, adapter=adapter, noted=[])


def erasures(*records: Sequence[CommandRecord], **further: Any) -> list[Command]:
    """Return a command for the records of each person."""
    return [
        command(f"c{number}", subject=f"customer:C{number}", records=tuple(group), **further)
        for number, group in enumerate(records, 1)
    ]


def execute(crm: Crm, *commands: Command, **further: Any) -> list[Result]:
    """Have the adapter carry the commands out together; none may have to wait."""
    results = []
    tasks = [crm.task(message, **further) for message in commands]
    for result in crm.adapter.execute_together(tasks, lambda _: None):
        assert isinstance(result, Result), result
        results.append(result)
    return results


def test_each_command_has_its_own_counts(crm: Crm) -> None:
    """The second person has two orders, the third none."""
    crm.fill(
        orders=[
            order_row("O1", "C1"),
            order_row("O2", "C2"),
            order_row("O3", "C2"),
            order_row("O4"),
        ],
        order_lines=[
            {"order_no": number, "product": "ring"} for number in ("O1", "O3", "O3", "O4")
        ],
    )
    first, second, third = execute(
        crm, *erasures([order("O1")], [order("O2"), order("O3")], [order("O9")])
    )
    assert (first.status, first.counts) == ("done", {"order_lines": 1, "orders": 1})
    assert (second.status, second.counts) == ("done", {"order_lines": 2, "orders": 2})
    assert (third.status, third.counts) == ("nothing_held", {"order_lines": 0, "orders": 0})
    assert crm.column("orders", "order_no") == ["O4"]
    assert crm.column("order_lines", "order_no") == ["O4"]


def test_tables_are_changed_in_the_declared_order(crm: Crm) -> None:
    """The first person has no line, the second has; lines go before the orders that they refer to."""
    crm.fill(
        orders=[order_row("O1"), order_row("O2")],
        order_lines=[{"order_no": "O2", "product": "ring"}],
        tickets=[ticket_row("T1")],
    )
    results = execute(crm, *erasures([ticket("T1")], [order("O1"), order("O2")]))
    assert [result.status for result in results] == ["done", "done"]
    assert crm.column("order_lines", "order_no") == []


def test_each_done_erasure_reports_what_was_read_again(crm: Crm) -> None:
    """The reading goes by the other way; the third's order is there under another number."""
    crm.fill(orders=[order_row("O1"), order_row("O2"), order_row("O3")])
    with crm.engine.begin() as connection:
        connection.execute(text("UPDATE orders SET event_id = 'e-O1' WHERE order_no = 'O3'"))
    first, second = execute(crm, *erasures([order("O1")], [order("O2")]))
    assert first.checked == {"order_lines": 0, "orders": 1}
    assert second.checked == {"order_lines": 0, "orders": 0}


def test_the_counts_of_all_are_saved_before_any_row_is_erased(crm: Crm) -> None:
    """One call saves them, without the persons of whom nothing was found."""
    crm.fill(orders=[order_row("O1"), order_row("O2")])
    commands = erasures([order("O1")], [order("O2")], [order("O9")])
    saved: list[Mapping[str, Mapping[str, int]]] = []

    def save(counts: Mapping[str, Mapping[str, int]]) -> None:
        assert crm.column("orders", "order_no") == ["O1", "O2"]
        saved.append(counts)

    crm.adapter.execute_together([crm.task(message) for message in commands], save)
    assert saved == [
        {commands[n].command_id: {"order_lines": 0, "orders": 1} for n in (0, 1)},
    ]


def test_a_run_that_was_cut_short_after_its_commit_reports_what_it_erased(crm: Crm) -> None:
    """The counts that were saved are its counts; another person's are not touched by that."""
    crm.fill(orders=[order_row("O2")])
    first, second = erasures([order("O1")], [order("O2")])
    tasks = [
        crm.task(first, checkpoint={"order_lines": 3, "orders": 1}),
        crm.task(second),
    ]
    results = crm.adapter.execute_together(tasks, lambda _: None)
    assert [result.counts for result in results if isinstance(result, Result)] == [
        {"order_lines": 3, "orders": 1},
        {"order_lines": 0, "orders": 1},
    ]


def test_a_command_that_the_database_refuses_leaves_the_others_done(crm: Crm) -> None:
    """Lines that are not declared refer to the second's order; the other four are erased."""
    crm.fill(
        orders=[order_row(f"O{n}") for n in range(1, 6)],
        order_lines=[{"order_no": "O2", "product": "ring"}],
    )
    bounds = tuple(table for table in crm.adapter.bounds if table.name == "orders")
    adapter = replace(crm.adapter, bounds=bounds)
    commands = erasures(*([order(f"O{n}")] for n in range(1, 6)))
    results = adapter.execute_together([crm.task(message) for message in commands], lambda _: None)
    assert [result.status for result in results if isinstance(result, Result)] == [
        *("done", "failed", "done", "done", "done")
    ]
    assert crm.column("orders", "order_no") == ["O2"]


def test_commands_wait_together_while_the_database_cannot_be_asked(crm: Crm) -> None:
    """A lock that another program holds ends the statement; nothing is erased, and all come again."""
    crm.fill(orders=[order_row("O1"), order_row("O2")])
    with crm.engine.connect() as other, other.begin():
        other.execute(text("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"))
        patient = crm.engine.execution_options()
        with patient.connect() as connection:
            connection.execute(text("SELECT 1"))
        tasks = [crm.task(message) for message in erasures([order("O1")], [order("O2")])]
        results = _with_lock_timeout(crm, tasks)
    assert all(isinstance(result, RetryLater) for result in results)
    assert crm.column("orders", "order_no") == ["O1", "O2"]


def _with_lock_timeout(crm: Crm, tasks: Sequence[Any]) -> Sequence[Result | RetryLater]:
    with crm.engine.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE \"{name}\" SET lock_timeout = '50ms'"))
    crm.engine.dispose()
    try:
        return crm.adapter.execute_together(tasks, lambda _: None)
    finally:
        with crm.engine.begin() as connection:
            connection.execute(text(f'ALTER DATABASE "{name}" RESET lock_timeout'))
        crm.engine.dispose()


def test_rows_that_stay_are_replaced_or_marked(crm: Crm) -> None:
    """Tickets keep their minutes; a restriction marks the rows of each customer."""
    crm.fill(tickets=[ticket_row("T1"), ticket_row("T2")], customers=[customer_row("C1")])
    assert [r.status for r in execute(crm, *erasures([ticket("T1")], [ticket("T2")]))] == [
        "done",
        "done",
    ]
    assert crm.column("tickets", "question") == [None, None]
    assert crm.column("tickets", "minutes") == [7, 7]
    results = execute(crm, *erasures([signed_up("C1")], [signed_up("C2")], action="restrict"))
    assert [result.status for result in results] == ["done", "nothing_held"]
    assert crm.column("customers", "restricted") == [True]
    execute(crm, *erasures([signed_up("C1")], [signed_up("C2")], action="lift"))
    assert crm.column("customers", "restricted") == [False]


def test_verifications_count_what_is_left_of_each(crm: Crm) -> None:
    """Both read by the other way."""
    crm.fill(orders=[order_row("O1")])
    commands = erasures([order("O1")], [order("O2")], action="verify", verifies="erase")
    first, second = execute(crm, *commands)
    assert first.counts == {"order_lines": 0, "orders": 1}
    assert second.counts == {"order_lines": 0, "orders": 0}


def test_a_record_that_no_table_is_declared_for_fails_alone(crm: Crm) -> None:
    """What the other command names is erased."""
    crm.fill(orders=[order_row("O1")])
    unknown = CommandRecord(source="/x", id="x", type="no.table", keys={})
    first, second = execute(crm, *erasures([unknown], [order("O1")]))
    assert (first.status, second.status) == ("failed", "done")


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    held=st.lists(
        st.sampled_from(NAMES) | st.text(min_size=1, max_size=4), unique=True, max_size=8
    ),
    asked=st.lists(
        st.lists(st.sampled_from(NAMES) | st.text(min_size=1, max_size=4), max_size=3),
        min_size=2,
        max_size=5,
    ),
)
def test_exactly_the_named_rows_are_erased_and_counted(
    crm: Crm, held: list[str], asked: list[list[str]]
) -> None:
    """This holds for every set of stored rows and every commands; no two are about one order."""
    usable = [number for number in held if "\0" not in number]
    crm.fill(orders=[order_row(number) for number in usable])
    own: list[list[str]] = []
    for numbers in asked:
        taken = {number for others in own for number in others}
        own.append([number for number in numbers if number not in taken] or ["nowhere"])
    results = execute(crm, *erasures(*([order(number) for number in numbers] for numbers in own)))
    assert [result.counts["orders"] for result in results] == [
        len(set(numbers) & set(usable)) for numbers in own
    ]
    gone = {number for numbers in own for number in numbers}
    assert crm.column("orders", "order_no") == [number for number in usable if number not in gone]


def test_notices_write_the_end_of_each_command(crm: Crm) -> None:
    """Two of one end, one of another; a person without a row is not given notice."""
    crm.fill(customers=[customer_row(f"C{number}") for number in (1, 2, 3, 5)])
    notices = erasures(*([signed_up(f"C{number}")] for number in (1, 2, 3, 4)), action="notify")
    ends = (
        datetime(2026, 3, 15, 13, tzinfo=UTC),
        datetime(2026, 3, 16, 13, tzinfo=UTC),
        datetime(2026, 3, 15, 13, tzinfo=UTC),
        datetime(2026, 3, 15, 13, tzinfo=UTC),
    )
    notices = [replace(item, erase_by=end) for item, end in zip(notices, ends, strict=True)]
    results = execute(crm, *notices)
    assert [(result.status, dict(result.counts)) for result in results] == [
        ("done", {"customers": 1}),
        ("done", {"customers": 1}),
        ("done", {"customers": 1}),
        ("nothing_held", {"customers": 0}),
    ]
    with crm.engine.connect() as connection:
        query = text("SELECT customer_no, erased_on FROM customers ORDER BY customer_no")
        assert connection.execute(query).all() == [
            ("C1", "2026-03-15T13:00:00Z"),
            ("C2", "2026-03-16T13:00:00Z"),
            ("C3", "2026-03-15T13:00:00Z"),
            ("C5", None),
        ]


def test_transfers_copy_the_rows_of_each_command_once(crm: Crm) -> None:
    """However often they come; of a row that the archive cannot take only that one fails."""
    crm.fill(tickets=[ticket_row(f"T{number}") for number in (21, 22, 23)])
    transfers = erasures([ticket("T21")], [ticket("T22")], [ticket("T29")], action="transfer")
    for _ in range(2):
        results = execute(crm, *transfers)
        assert [result.status for result in results] == ["done", "done", "nothing_held"]
    crm.fill(tickets=[{**ticket_row("T21"), "answer": "it has arrived"}, ticket_row("T23")])
    again = erasures([ticket("T21")], [ticket("T23")], action="transfer")
    assert [result.status for result in execute(crm, *again)] == ["failed", "done"]
    with crm.engine.connect() as connection:
        query = text(
            "SELECT ticket_no, answer FROM archived_tickets"
            " WHERE ticket_no LIKE 'T2_' ORDER BY ticket_no"
        )
        answer = "at the neighbours"
        assert connection.execute(query).all() == [(f"T{n}", answer) for n in (21, 22, 23)]
