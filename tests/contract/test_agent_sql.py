"""The agent's SQL adapter on the example's CRM, on each database that it supports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, MetaData, Table, create_engine, text
from sqlalchemy.exc import OperationalError

from services.agent import config
from services.agent.adapters.base import CommandTask
from services.agent.adapters.factory import sql_adapter
from services.agent.adapters.sql.adapter import SqlAdapter
from services.agent.adapters.sql.config import ArchiveTable
from services.agent.command import Command, CommandRecord
from services.agent.config import InvalidConfiguration
from services.agent.result import Result
from tests.effort import examples
from tests.unit.agent.environment import T0, command

EXAMPLE = Path(config.__file__).parent / "examples" / "crm"
TABLES = ("customers", "orders", "order_lines", "tickets")


@dataclass(slots=True, kw_only=True)
class Crm:
    """The example's database, with the adapter that its file declares."""

    engine: Engine
    adapter: SqlAdapter
    noted: list[dict[str, int]]

    def fill(self, **tables: Sequence[dict[str, Any]]) -> None:
        """Insert these rows and remove all others."""
        with self.engine.begin() as connection:
            for table in ("order_lines", "orders", "tickets", "customers"):
                connection.execute(text(f"DELETE FROM {table}"))
            for table in ("customers", "orders", "order_lines", "tickets"):
                for number, row in enumerate(tables.get(table, ()), 1):
                    names = ", ".join(row)
                    values = ", ".join(f":{name}" for name in row)
                    statement = f"INSERT INTO {table} (id, {names}) VALUES (:id, {values})"
                    connection.execute(text(statement), {"id": number, **row})

    def column(self, table: str, name: str) -> list[Any]:
        """Return the values of a column, in the order in which the rows were inserted."""
        with self.engine.connect() as connection:
            query = text(f"SELECT {name} FROM {table} ORDER BY id")
            return list(connection.execute(query).scalars())

    def execute(self, action: str, *records: CommandRecord, **further: Any) -> Result:
        """Have the adapter carry a command out."""
        task_fields = {
            name: further.pop(name)
            for name in ("checkpoint", "recalls", "corrections")
            if name in further
        }
        message = command(action=action, records=records, **further)
        return self.adapter.execute(self.task(message, **task_fields))

    def task(self, command: Command, **further: Any) -> CommandTask:
        fields = {
            "run": 1,
            "checkpoint": None,
            "save_checkpoint": lambda checkpoint: self.noted.append(dict(checkpoint)),
        }
        return CommandTask(command=command, now=T0, **{**fields, **further})


def order(number: str, event: str | None = None) -> CommandRecord:
    """Return the record of an order."""
    return CommandRecord(
        source="/shop",
        id=f"e-{number}" if event is None else event,
        type="orders.order-placed",
        keys={"order_id": number},
    )


def signed_up(customer: str) -> CommandRecord:
    return CommandRecord(
        source="/crm",
        id=f"s-{customer}",
        type="customers.customer-signed-up",
        keys={"customer_id": customer},
    )


def ticket(number: str) -> CommandRecord:
    keys = {"ticket_id": number}
    return CommandRecord(source="/desk", id=f"t-{number}", type="helpdesk.ticket-opened", keys=keys)


def order_row(number: str, customer: str = "C1") -> dict[str, Any]:
    """Return an order as the CRM stores it."""
    return {
        "order_no": number,
        "customer_no": customer,
        "event_source": "/shop",
        "event_id": f"e-{number}",
        "recipient": f"Sanne {number}",
        "street": "Dam 1",
        "amount": 10,
    }


def customer_row(number: str) -> dict[str, Any]:
    return {"customer_no": number, "name": f"name {number}", "email": f"{number}@example.org"}


def ticket_row(number: str) -> dict[str, Any]:
    return {
        "ticket_no": number,
        "customer_no": "C1",
        "event_source": "/desk",
        "event_id": f"t-{number}",
        "question": "where is it",
        "answer": "at the neighbours",
        "minutes": 7,
    }


def open_crm(url: str, file: Path, stack: ExitStack) -> SqlAdapter:
    environment = {"CRM_DATABASE_URL": url, "CRM_PSEUDONYM_KEY": "a key"}
    loaded = config.load(file, environment)
    sql = loaded.configuration.adapter.sql
    assert sql is not None
    return sql_adapter(loaded, sql, stack)


def create_tables(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in (EXAMPLE / "schema.sql").read_text("utf-8").split(";"):
            if statement.strip():
                connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def crm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crm]:
    """The example's CRM, once on each database."""
    url = f"sqlite:///{tmp_path_factory.mktemp('crm')}/crm.sqlite"
    if request.param == "postgres":
        fresh: Callable[[], str] = request.getfixturevalue("postgres")
        url = fresh()
    create_tables(url)
    with ExitStack() as stack:
        adapter = open_crm(url, EXAMPLE / "agent.yaml", stack)
        yield Crm(engine=adapter.engine, adapter=adapter, noted=[])


def test_erasing_named_orders_takes_their_lines_along(crm: Crm) -> None:
    """Rows that refer to the orders are deleted first, and other orders stay."""
    crm.fill(
        orders=[order_row("O1"), order_row("O2"), order_row("O3")],
        order_lines=[{"order_no": order_id, "product": "ring"} for order_id in ("O1", "O1", "O2")],
    )
    result = crm.execute("erase", order("O1"), order("O3"))
    assert (result.status, result.counts) == ("done", {"order_lines": 2, "orders": 2})
    assert crm.column("orders", "order_no") == ["O2"]
    assert crm.column("order_lines", "order_no") == ["O2"]


def test_the_number_of_rows_is_stored_before_they_are_erased(crm: Crm) -> None:
    """If a run dies before its acknowledgement, the next run still knows what was there."""
    crm.fill(orders=[order_row("O1")])
    crm.noted.clear()
    crm.execute("erase", order("O1"))
    assert crm.noted == [{"order_lines": 0, "orders": 1}]
    again = crm.execute("erase", order("O1"), checkpoint=crm.noted[0])
    assert (again.status, again.counts) == ("done", {"order_lines": 0, "orders": 1})
    assert crm.execute("erase", order("O1")).status == "nothing_held"


def test_an_event_of_another_source_with_the_same_id_is_another_record(crm: Crm) -> None:
    """Its row is not erased, and is not counted as still there."""
    crm.fill(orders=[order_row("O1")])
    other = replace(order("O1"), source="/till")
    assert crm.execute("erase", other).status == "nothing_held"
    assert crm.column("orders", "order_no") == ["O1"]
    assert crm.execute("verify", other, verifies="erase").counts["orders"] == 0


def test_an_order_whose_keys_do_not_all_agree_stays(crm: Crm) -> None:
    """The number of one order with the event of another identifies no row."""
    crm.fill(orders=[order_row("O1"), order_row("O2")])
    assert crm.execute("erase", order("O1", event="e-O2")).status == "nothing_held"
    assert crm.column("orders", "order_no") == ["O1", "O2"]


def test_erasing_may_keep_a_row_without_its_person(crm: Crm) -> None:
    """Working minutes stay, without the person, for planning."""
    crm.fill(tickets=[ticket_row("T1"), ticket_row("T2")])
    assert crm.execute("erase", ticket("T1")).counts == {"tickets": 1}
    assert crm.column("tickets", "customer_no") == [None, "C1"]
    assert crm.column("tickets", "question") == [None, "where is it"]
    assert crm.column("tickets", "minutes") == [7, 7]


def test_the_row_of_a_whole_subject_is_found_by_the_subject(crm: Crm) -> None:
    """Rows of subjects of another kind stay."""
    crm.fill(customers=[customer_row("C1"), customer_row("C2")])
    other = crm.execute("erase", signed_up("C1"), subject="supplier:C1")
    assert (other.status, other.detail) == (
        "failed",
        "customers: a customers.customer-signed-up came without a key to find its rows",
    )
    assert crm.execute("erase", signed_up("C1"), subject="customer:C1").status == "done"
    assert crm.column("customers", "customer_no") == ["C2"]


def test_a_record_that_no_table_is_declared_for_is_never_done(crm: Crm) -> None:
    """The command is not done even where another of its records could be erased."""
    crm.fill(orders=[order_row("O1")])
    stray = replace(order("O9"), type="billing.invoice-issued")
    result = crm.execute("erase", order("O1"), stray)
    assert (result.status, result.detail) == (
        "partial",
        "no table is declared for billing.invoice-issued",
    )
    assert crm.execute("erase", stray).status == "failed"


def test_a_type_that_is_declared_to_have_no_rows_is_not_held(crm: Crm) -> None:
    """The configuration states explicitly that the system has no data of this type."""
    crm.fill()
    feedback = replace(order("F1"), type="website.feedback-given")
    assert crm.execute("erase", feedback).status == "nothing_held"
    assert crm.execute("verify", feedback, verifies="erase").counts == {"rows": 0}


def test_a_record_without_its_key_is_never_done(crm: Crm) -> None:
    """Part of a key must not select a row."""
    crm.fill(orders=[order_row("O1")])
    bare = replace(order("O1"), keys={})
    assert crm.execute("erase", bare).status == "failed"
    assert crm.column("orders", "order_no") == ["O1"]


def test_a_verification_searches_in_another_way_than_the_erasure(crm: Crm) -> None:
    """Rows that the search still finds are reported, table by table."""
    crm.fill(orders=[order_row("O1"), order_row("O2")], tickets=[ticket_row("T1")])
    before = crm.execute("verify", order("O1"), ticket("T1"), verifies="erase")
    assert before.counts == {"order_lines": 0, "orders": 1, "tickets": 1}
    crm.execute("erase", order("O1"), ticket("T1"))
    after = crm.execute("verify", order("O1"), ticket("T1"), verifies="erase")
    assert (after.status, after.counts) == (
        "done",
        {"order_lines": 0, "orders": 0, "tickets": 0},
    )


def test_an_erasure_tells_what_the_other_way_still_finds(crm: Crm) -> None:
    """After its commit, so that no verification has to be sent."""
    crm.fill(orders=[order_row("O1"), order_row("O2")], tickets=[ticket_row("T1")])
    result = crm.execute("erase", order("O1"), ticket("T1"))
    assert (result.status, result.checked) == (
        "done",
        {"order_lines": 0, "orders": 0, "tickets": 0},
    )


def test_an_erasure_tells_of_rows_that_it_missed(crm: Crm) -> None:
    """The row of O1 was renumbered: its own event still finds it."""
    crm.fill(orders=[{**order_row("O1"), "order_no": "renumbered"}, order_row("O2")])
    result = crm.execute("erase", order("O1"), order("O2"))
    assert (result.status, result.checked) == ("done", {"order_lines": 0, "orders": 1})


def test_a_pseudonymised_row_is_read_again_too(crm: Crm) -> None:
    crm.fill(orders=[order_row("O1")])
    result = crm.execute("pseudonymise", order("O1"))
    assert (result.checked or {})["orders"] == 0


@pytest.mark.parametrize("action", ["restrict", "lift", "disclose", "verify"])
def test_what_erases_nothing_is_not_read_again(crm: Crm, action: str) -> None:
    crm.fill(orders=[order_row("O1")])
    assert crm.execute(action, order("O1")).checked is None


def test_a_reading_that_fails_does_not_undo_the_erasure(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away between the commit and the reading: a verification follows."""
    crm.fill(orders=[order_row("O1")])

    def lose_connection(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("the server closed the connection"))

    monkeypatch.setattr(SqlAdapter, "_count_remaining", lose_connection)
    result = crm.execute("erase", order("O1"))
    assert (result.status, result.counts["orders"], result.checked) == ("done", 1, None)
    assert crm.column("orders", "order_no") == []


def test_a_run_after_one_that_was_cut_short_reads_again_too(crm: Crm) -> None:
    """The first run had erased and committed, and was killed before it could report."""
    crm.fill(orders=[order_row("O2")])
    result = crm.execute("erase", order("O1"), checkpoint={"orders": 1})
    assert (result.status, result.counts) == ("done", {"orders": 1})
    assert result.checked == {"order_lines": 0, "orders": 0}


def test_verify_finds_rows_whose_keys_were_changed_underneath(crm: Crm) -> None:
    """The erasure misses them, which is why a verification searches in another way."""
    crm.fill(orders=[{**order_row("O1"), "order_no": "renumbered"}])
    assert crm.execute("erase", order("O1")).status == "nothing_held"
    assert crm.execute("verify", order("O1"), verifies="erase").counts["orders"] == 1


def test_equal_values_get_equal_pseudonyms_that_name_no_person(crm: Crm) -> None:
    """Doing it twice changes nothing more."""
    crm.fill(orders=[order_row("O1"), order_row("O2"), order_row("O3", "C2"), order_row("O4")])
    records = [order("O1"), order("O2"), order("O3")]
    assert crm.execute("pseudonymise", *records).counts["orders"] == 3
    first, second, third, fourth = crm.column("orders", "customer_no")
    assert first == second != third
    assert (first[:10], len(first), fourth) == ("pseudonym:", 42, "C1")
    assert crm.column("orders", "recipient") == [None, None, None, "Sanne O4"]
    crm.execute("pseudonymise", *records)
    assert crm.column("orders", "customer_no")[0] == first
    assert crm.execute("verify", *records, verifies="pseudonymise").counts["orders"] == 0


def test_restriction_is_put_on_and_lifted(crm: Crm) -> None:
    """Only the named rows change."""
    crm.fill(orders=[order_row("O1"), order_row("O2")])
    assert crm.execute("restrict", order("O1")).counts == {"orders": 1}
    assert crm.column("orders", "restricted") == [True, False]
    assert crm.execute("lift", order("O1")).status == "done"
    assert crm.column("orders", "restricted") == [False, False]


def test_a_notice_writes_the_end_that_it_announces(crm: Crm) -> None:
    """The CRM informs the customer by it; one that was given cannot be recalled."""
    crm.fill(customers=[customer_row("C1"), customer_row("C2")])
    crm.noted.clear()
    end = datetime(2026, 3, 15, 13, 0, tzinfo=UTC)
    result = crm.execute("notify", signed_up("C1"), erase_by=end)
    assert (result.status, result.counts) == ("done", {"customers": 1})
    assert crm.column("customers", "erased_on") == ["2026-03-15T13:00:00Z", None]
    recall = crm.execute("recall", signed_up("C1"), recalls="notify", checkpoint=crm.noted[0])
    assert recall.status == "already_done"
    assert crm.execute("recall", signed_up("C2"), recalls="notify").status == "recalled"


def test_a_transfer_copies_the_rows_to_the_archive(crm: Crm) -> None:
    """Once, however often it comes; the rows stay until an erasure."""
    crm.fill(tickets=[ticket_row("T1"), ticket_row("T2")])
    for _ in range(2):
        result = crm.execute("transfer", ticket("T1"))
        assert (result.status, result.counts) == ("done", {"tickets": 1})
    assert crm.column("tickets", "ticket_no") == ["T1", "T2"]
    with crm.engine.connect() as connection:
        archived = connection.execute(text("SELECT * FROM archived_tickets")).all()
    assert archived == [("T1", "where is it", "at the neighbours")]
    assert crm.execute("transfer", ticket("T9")).status == "nothing_held"
    assert crm.execute("transfer", signed_up("C1")).status == "failed"


def test_a_transfer_copies_rows_whose_keys_are_in_the_archive_already(crm: Crm) -> None:
    """Several rows may have the same keys: each has to be in the archive before it is erased."""
    adapter = archiving_lines(crm)
    crm.fill(orders=[order_row("O1")], order_lines=[{"order_no": "O1", "product": "ring"}])
    message = command(action="transfer", records=(order("O1"),))
    assert adapter.execute(crm.task(message)).status == "done"
    with crm.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO order_lines (id, order_no, product) VALUES (9, 'O1', 'brooch')")
        )
    for _ in range(2):
        assert adapter.execute(crm.task(message)).status == "done"
    with crm.engine.connect() as connection:
        query = text("SELECT product FROM archived_lines ORDER BY product")
        assert connection.execute(query).scalars().all() == ["brooch", "ring"]


def test_a_row_that_the_archive_cannot_take_is_not_handed_over(crm: Crm) -> None:
    """The archive has one row for a ticket, and another one than the ticket is now."""
    crm.fill(tickets=[ticket_row("T5")])
    assert crm.execute("transfer", ticket("T5")).status == "done"
    crm.fill(tickets=[{**ticket_row("T5"), "answer": "it has arrived"}])
    assert crm.execute("transfer", ticket("T5")).status == "failed"


def test_a_row_that_was_erased_after_its_transfer_is_not_copied_again(crm: Crm) -> None:
    """A transfer is repeated after its system was restored from a backup."""
    crm.fill(tickets=[ticket_row("T6")])
    crm.execute("transfer", ticket("T6"))
    crm.execute("erase", ticket("T6"))
    assert crm.execute("transfer", ticket("T6")).status == "done"
    with crm.engine.connect() as connection:
        query = text("SELECT question FROM archived_tickets WHERE ticket_no = 'T6'")
        assert connection.execute(query).scalars().all() == ["where is it"]


def archiving_lines(crm: Crm) -> SqlAdapter:
    """Return an adapter that hands the lines of orders over to an archive, and nothing else."""
    with crm.engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS archived_lines"))
        connection.execute(text("CREATE TABLE archived_lines (order_no text, product text)"))
    [bound] = [part for part in crm.adapter.bounds if part.name == "order_lines"]
    archive = Table("archived_lines", MetaData(), autoload_with=crm.engine)
    declared = replace(
        bound.declared, transfer=ArchiveTable(into="archived_lines", columns=("product",))
    )
    return replace(crm.adapter, bounds=(replace(bound, declared=declared, archive=archive),))


def test_a_table_that_declares_no_notice_fails_it(crm: Crm) -> None:
    """It is not reported as given."""
    crm.fill(tickets=[ticket_row("T1")])
    result = crm.execute("notify", ticket("T1"), erase_by=T0)
    assert result.status == "failed"
    assert result.detail == "tickets: does not declare how to notify"


def test_an_action_that_a_table_does_not_declare_fails(crm: Crm) -> None:
    """A customer's table has no pseudonyms declared, so the command fails."""
    crm.fill(customers=[customer_row("C1")])
    result = crm.execute("pseudonymise", signed_up("C1"))
    assert (result.status, result.detail) == (
        "failed",
        "customers: does not declare how to pseudonymise",
    )


def test_stored_data_is_disclosed_record_by_record(crm: Crm) -> None:
    """A row of the whole subject is disclosed once, however many records name it."""
    crm.fill(
        customers=[customer_row("C1")],
        orders=[order_row("O1")],
        order_lines=[{"order_no": "O1", "product": "ring", "engraving": "S+P"}] * 2,
    )
    again = replace(signed_up("C1"), id="s-again")
    result = crm.execute("disclose", order("O1"), signed_up("C1"), again)
    assert result.counts == {"order_lines": 2, "orders": 1, "customers": 1}
    assert [(record.id, dict(record.data)) for record in result.records] == [
        ("e-O1", {"product": "ring", "engraving": "S+P"}),
        ("e-O1", {"product": "ring", "engraving": "S+P"}),
        ("e-O1", {"order_no": "O1", "recipient": "Sanne O1", "street": "Dam 1", "amount": 10}),
        (
            "s-C1",
            {
                "customer_no": "C1",
                "name": "name C1",
                "email": "C1@example.org",
                "phone": None,
                "segment": None,
            },
        ),
    ]


def test_a_correction_goes_to_its_column(crm: Crm) -> None:
    """A field without a column is reported, and the others are corrected."""
    crm.fill(customers=[customer_row("C1"), customer_row("C2")])
    right = {"name": "S. de Vries'; DROP TABLE customers", "email": None}
    assert crm.execute("rectify", signed_up("C1"), corrections=right).status == "done"
    assert crm.column("customers", "name") == [right["name"], "name C2"]
    assert crm.column("customers", "email") == [None, "C2@example.org"]
    result = crm.execute("rectify", signed_up("C1"), corrections={"name": "S", "shoe": "38"})
    assert (result.status, result.detail) == ("partial", "rectify: no column is declared for shoe")


@pytest.mark.parametrize(("noted", "rows_left", "status"), [
    (None, True, "recalled"),
    ({"orders": 1}, True, "recalled"),
    ({"orders": 1}, False, "already_done"),
])  # fmt: skip
def test_a_recall_checks_whether_the_rows_still_exist(
    crm: Crm, noted: dict[str, int] | None, rows_left: bool, status: str
) -> None:
    """A run that was interrupted has done everything or nothing."""
    crm.fill(orders=[order_row("O1")] if rows_left else [])
    result = crm.execute("recall", order("O1"), recalls="erase", checkpoint=noted)
    assert result.status == status


def test_an_error_of_the_database_is_reported_without_the_row(crm: Crm) -> None:
    """The whole command is rolled back, and the reason contains no value of the row."""
    crm.fill(
        orders=[order_row("O1")], order_lines=[{"order_no": "O1", "product": "ring"}],
        customers=[customer_row("C1")],
    )  # fmt: skip
    bounds = tuple(table for table in crm.adapter.bounds if table.name == "orders")
    result = replace(crm.adapter, bounds=bounds).execute(crm.task(command(records=(order("O1"),))))
    assert result.status == "failed"
    assert result.detail in (
        "IntegrityError 23503 by order_lines_order_no_fkey",
        "IntegrityError IntegrityError",
    )
    assert crm.column("orders", "order_no") == ["O1"]


HOSTILE = [
    "O1' OR '1'='1",
    'O1"; DROP TABLE orders; --',
    "O1\\",
    "%",
    "O_",
    "o1",
    "O1 ",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{PILE OF POO}",
    ":order_no",
    "%(order_no)s",
]


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_key_matches_no_other_row(crm: Crm, key: str) -> None:
    """No text in a key can select another row."""
    crm.fill(orders=[order_row("O1"), order_row(key), order_row("O2")])
    assert crm.execute("erase", order(key)).counts["orders"] == 1
    assert crm.column("orders", "order_no") == ["O1", "O2"]


def test_a_key_that_no_row_can_have_finds_none(crm: Crm) -> None:
    """A NUL character cannot be stored in text."""
    crm.fill(orders=[order_row("O1")])
    assert crm.execute("erase", order("O1\0"), order("\0")).status == "nothing_held"
    assert crm.column("orders", "order_no") == ["O1"]


NAMES = ["O1", "o1", "O1 ", "O_1", "O%", "'", '"', "\\", "1", "01", "é", "e\u0301", "x" * 200]


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    held=st.lists(
        st.sampled_from(NAMES) | st.text(min_size=1, max_size=4), unique=True, max_size=8
    ),
    asked=st.lists(st.sampled_from(NAMES) | st.text(min_size=1, max_size=4), max_size=8),
)
def test_exactly_the_named_rows_are_erased(crm: Crm, held: list[str], asked: list[str]) -> None:
    """This holds for every set of stored rows and every set of commands."""
    usable = [number for number in held if "\0" not in number]
    crm.fill(orders=[order_row(number) for number in usable])
    records = [order(number) for number in asked] or [order("nobody's")]
    crm.execute("erase", *records)
    assert crm.column("orders", "order_no") == [number for number in usable if number not in asked]


def test_five_hundred_records_are_erased_at_once(crm: Crm) -> None:
    """A command has at most this many records."""
    crm.fill(orders=[order_row(f"O{n}") for n in range(600)])
    assert crm.execute("erase", *(order(f"O{n}") for n in range(500))).counts["orders"] == 500
    assert len(crm.column("orders", "order_no")) == 100


def test_a_dry_run_shows_the_statements_and_does_nothing(crm: Crm) -> None:
    """The statements are shown in the order in which they would run."""
    crm.fill(orders=[order_row("O1")])
    steps = [str(step) for step in crm.adapter.steps(command(records=(order("O1"),)))]
    assert [step.split(" WHERE")[0].split("\n")[0] for step in steps] == [
        "DELETE FROM order_lines",
        "DELETE FROM orders",
    ]
    assert crm.column("orders", "order_no") == ["O1"]


def changed_file(tmp_path: Path, before: str, after: str) -> Path:
    """Return the example's file with one setting changed."""
    text = (EXAMPLE / "agent.yaml").read_text("utf-8")
    assert before in text
    file = tmp_path / "agent.yaml"
    file.write_text(text.replace(before, after), "utf-8")
    return file


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("      order_lines:\n", "      order_liens:\n", "adapter.sql.tables.order_liens"),
        ("{order_no: keys.order_id, event_s", "{order_nr: keys.order_id, event_s", "match"),
        ("disclose: [product", "disclose: [produce", "disclose"),
        ("table: order_search", "table: order_sarch", "verify.table"),
    ],
)
def test_tables_that_are_not_as_declared_are_named(
    crm: Crm, tmp_path: Path, before: str, after: str, key: str
) -> None:
    """Each problem is reported at its place in the file before the first command."""
    url = crm.engine.url.render_as_string(hide_password=False)
    with ExitStack() as stack, pytest.raises(InvalidConfiguration) as raised:
        open_crm(url, changed_file(tmp_path, before, after), stack)
    [problem] = raised.value.problems
    assert key in problem.key
    assert problem.line > 10
