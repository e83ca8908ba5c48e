"""The agent's SQL adapter on columns of every type and collation, on each database that it supports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from services.agent import config
from services.agent.adapters.base import CommandTask
from services.agent.adapters.factory import sql_adapter
from services.agent.adapters.sql.adapter import SqlAdapter
from services.agent.config import InvalidConfiguration
from services.agent.result import Result
from tests.unit.agent.environment import T0, command, record

FILE = """\
system: crm
bus: {bootstrap_servers: "kafka:9092"}
keys: keys
inbox: {url: "sqlite:///inbox.sqlite", key_file: inbox.key}
adapter:
  sql:
    url: {env: URL}
    pseudonym_key: {env: KEY}
    tables:
      orders:
        events: [orders.order-placed]
        match: {number: keys.order_id}
        erase: ERASE
        verify: {match: {event: keys.event}, holds: HOLDS}
        MORE
"""
CASELESS = """CREATE COLLATION caseless
    (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"""


@dataclass(slots=True, kw_only=True)
class Shop:
    """A table `orders` with the columns that a test wants, and the adapter on it."""

    url: str
    directory: Path
    stack: ExitStack

    @property
    def postgres(self) -> bool:
        return self.url.startswith("postgresql")

    def with_tables(self, *statements: str, rows: Any = (), on_postgres: str = "") -> Engine:
        """Make the tables, and insert rows into `orders`."""
        engine = create_engine(self.url)
        self.stack.callback(engine.dispose)
        with engine.begin() as connection:
            if self.postgres and on_postgres:
                connection.execute(text(on_postgres))
            for statement in statements:
                connection.execute(text(statement))
            for row in rows:
                values = ", ".join(f":{name}" for name in row)
                connection.execute(
                    text(f"INSERT INTO orders ({', '.join(row)}) VALUES ({values})"), row
                )
        return engine

    def adapter(self, erase: str = "delete", holds: str = "[]", more: str = "") -> SqlAdapter:
        """Return the adapter that such a file configures."""
        file = self.directory / "agent.yaml"
        text = FILE.replace("ERASE", erase).replace("HOLDS", holds).replace("MORE", more)
        file.write_text(text, "utf-8")
        loaded = config.load(file, {"URL": self.url, "KEY": "a key"})
        sql = loaded.configuration.adapter.sql
        assert sql is not None
        return sql_adapter(loaded, sql, self.stack)

    def problems(self, erase: str = "delete", holds: str = "[]", more: str = "") -> list[str]:
        """Return the problems that are reported at the start about such a file."""
        with pytest.raises(InvalidConfiguration) as raised:
            self.adapter(erase, holds, more)
        return [f"{problem.key}: {problem.why}" for problem in raised.value.problems]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    url = f"sqlite:///{tmp_path}/crm.sqlite"
    if request.param == "postgres":
        fresh: Callable[[], str] = request.getfixturevalue("postgres")
        url = fresh()
    with ExitStack() as stack:
        yield Shop(url=url, directory=tmp_path, stack=stack)


def execute(adapter: SqlAdapter, action: str, *orders: str, **further: Any) -> Result:
    """Have the adapter carry a command out."""
    corrections = further.pop("corrections", None)
    message = command(
        action=action,
        records=tuple(record(order, event=f"e-{order}") for order in orders),
        **further,
    )
    task = CommandTask(
        command=message,
        run=1,
        checkpoint=None,
        save_checkpoint=lambda _: None,
        now=T0,
        corrections=corrections,
    )
    return adapter.execute(task)


def column_values(engine: Engine, column: str, table: str = "orders") -> list[Any]:
    with engine.connect() as connection:
        query = text(f"SELECT {column} FROM {table}")
        return sorted(connection.execute(query).scalars(), key=str)


def row(number: str, **fields: Any) -> dict[str, Any]:
    return {"number": number, "event": f"e-{number}", **fields}


KINDS = {
    "a collation": ("text COLLATE caseless", "text COLLATE NOCASE"),
    "a short text": ("varchar(9) COLLATE caseless", "varchar(9) COLLATE NOCASE"),
    "citext": ("citext", "text COLLATE NOCASE"),
    "a domain": ("d", "text COLLATE NOCASE"),
    "the database's own": ("text", "text"),
}
SETUP = CASELESS + "; CREATE DOMAIN d AS text COLLATE caseless"


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_found_by_its_bytes_whatever_the_collation_says(shop: Shop, kind: str) -> None:
    """A key that differs only in case or accents belongs to another row, which must stay."""
    on_postgres, on_sqlite = KINDS[kind]
    setup = SETUP
    if shop.postgres and kind == "citext":
        setup += "; CREATE EXTENSION IF NOT EXISTS citext"
    engine = shop.with_tables(
        f"CREATE TABLE orders (number {on_postgres if shop.postgres else on_sqlite}, event text)",
        rows=[row("O1"), row("o1"), row("Ó1")],
        on_postgres=setup,
    )
    result = execute(shop.adapter(), "erase", "O1")
    assert (result.status, result.counts) == ("done", {"orders": 1})
    assert column_values(engine, "number") == ["o1", "Ó1"]


def test_names_that_differ_only_in_case_get_different_pseudonyms(shop: Shop) -> None:
    """A value that differs from a pseudonym only in case is not taken for a pseudonym."""
    kind = "text COLLATE caseless" if shop.postgres else "text COLLATE NOCASE"
    engine = shop.with_tables(
        f"CREATE TABLE orders (number text, event text, who {kind})",
        rows=[
            row("O1", who="ann"),
            row("O2", who="Ann"),
            row("O3", who="pseudonym:ann"),
            row("O4", who="PSEUDONYM:" + "0" * 32),
        ],
        on_postgres=SETUP,
    )
    adapter = shop.adapter(holds="[who]", more="pseudonymise: {hash: [who]}")
    orders = ("O1", "O2", "O3", "O4")
    result = execute(adapter, "verify", *orders, verifies="pseudonymise")
    assert result.counts == {"orders": 4}
    assert execute(adapter, "pseudonymise", *orders).status == "done"
    assert len(set(column_values(engine, "who"))) == 4
    assert all(
        value.startswith("pseudonym:") and len(value) == 42
        for value in column_values(engine, "who")
    )
    again = execute(adapter, "verify", *orders, verifies="pseudonymise")
    assert again.counts == {"orders": 0}


CHILD = "CREATE TABLE lines (number text REFERENCES orders (number){}, street text)"
ORDERS = "CREATE TABLE orders (number text PRIMARY KEY, event text)"
LINE = "INSERT INTO lines VALUES ('O1', 'Dam 1')"


def test_rows_that_refer_to_a_row_are_erased_where_the_database_cascades(shop: Shop) -> None:
    """SQLite cascades as the table was defined."""
    engine = shop.with_tables(ORDERS, CHILD.format(" ON DELETE CASCADE"), rows=[row("O1")])
    with engine.begin() as connection:
        connection.execute(text(LINE))
    assert execute(shop.adapter(), "erase", "O1").status == "done"
    assert column_values(engine, "street", "lines") == []


def test_a_row_that_others_refer_to_is_not_reported_as_erased(shop: Shop) -> None:
    """The database would otherwise keep references to a row that is gone."""
    engine = shop.with_tables(ORDERS, CHILD.format(" ON DELETE RESTRICT"), rows=[row("O1")])
    with engine.begin() as connection:
        connection.execute(text(LINE))
    assert execute(shop.adapter(), "erase", "O1").status == "failed"
    assert column_values(engine, "number") == ["O1"]


@pytest.mark.parametrize(
    ("on_postgres", "on_sqlite", "before", "replacement"),
    [
        ("date", "date", "1984-05-06", '"1900-01-01"'),
        ("timestamptz", "timestamp", "1984-05-06 07:08:09", '"1900-01-01T00:00:00"'),
        ("time", "time", "07:08:09", '"00:00:00"'),
        (
            "uuid",
            "text",
            "6b1d0f0e-5a53-4e10-9d77-8f6ef3a0a001",
            '"00000000-0000-0000-0000-000000000000"',
        ),
        ("inet", "text", "192.0.2.7", '"0.0.0.0"'),
        ("json", "json", '{"vip": true}', '"{}"'),
        ("jsonb", "json", '{"vip": true}', '"{}"'),
        ("json", "json", '{"vip": true}', "null"),
        ("numeric(6,2)", "numeric(6,2)", "12.50", "0"),
        ("boolean", "boolean", "1", "false"),
        ("smallint", "smallint", "7", "0"),
        ("double precision", "real", "1.5", "0.25"),
        ("bytea", "blob", "abc", '"gone"'),
        ("text[]", "text", "{a,b}", '"{}"'),
        ("varchar(9)", "varchar(9)", "Sanne", "(erased)"),
        ("char(9)", "char(9)", "Sanne", "(erased)"),
        ("mood", "text", "glad", "none"),
    ],
)
def test_a_replacement_is_written_and_recognised_in_every_type(
    shop: Shop, on_postgres: str, on_sqlite: str, before: str, replacement: str
) -> None:
    """It is found before, replaced, and gone after; a database NULL is the configuration's null."""
    kind = on_postgres if shop.postgres else on_sqlite
    literal = f"CAST('{before}' AS {kind})" if shop.postgres else f"'{before}'"
    engine = shop.with_tables(
        f"CREATE TABLE orders (number text, event text, what {kind})",
        f"INSERT INTO orders VALUES ('O1', 'e-O1', {literal})",
        on_postgres="CREATE TYPE mood AS ENUM ('glad', 'none')",
    )
    adapter = shop.adapter(erase=f"{{set: {{what: {replacement}}}}}", holds="[what]")
    assert execute(adapter, "verify", "O1", verifies="erase").counts == {"orders": 1}
    assert execute(adapter, "erase", "O1").status == "done"
    assert execute(adapter, "verify", "O1", verifies="erase").counts == {"orders": 0}
    assert column_values(engine, "what IS NULL") == [replacement == "null"]


@pytest.mark.parametrize(
    ("kind", "replacement", "why"),
    [
        ("text NOT NULL", "null", "'what' is NOT NULL, got None"),
        ("text GENERATED ALWAYS AS ('a') STORED", "x", "'what' is generated by the database"),
        ("text UNIQUE", "x", "'what' is unique, so no two rows can hold the same value"),
        ("date", "soon", "got 'soon'"),
        ("integer", "true", "got True"),
        ("boolean", "7.5", "got 7.5"),
        ("json", '"{"', "got '{'"),
    ],
)
def test_a_replacement_that_cannot_be_written_is_reported_at_the_start(
    shop: Shop, kind: str, replacement: str, why: str
) -> None:
    """The problem has the column and the reason, at its key in the file."""
    shop.with_tables(f"CREATE TABLE orders (number text, event text, what {kind})")
    [problem] = shop.problems(erase=f"{{set: {{what: {replacement}}}}}", holds="[what]")
    assert problem.startswith("adapter.sql.tables.orders.erase.set.what: 'what' ")
    assert why in problem


def test_a_replacement_that_is_too_long_is_reported_at_the_start(shop: Shop) -> None:
    """The database would refuse the value, or truncate it."""
    shop.with_tables("CREATE TABLE orders (number text, event text, what varchar(4))")
    if shop.postgres:
        assert shop.problems(erase="{set: {what: erased}}", holds="[what]") == [
            "adapter.sql.tables.orders.erase.set.what:"
            " 'what' holds at most 4 characters, got 'erased'"
        ]
    else:  # SQLite keeps no length
        assert shop.adapter(erase="{set: {what: erased}}", holds="[what]")


def test_a_flag_and_a_correction_that_cannot_be_written_are_reported_at_the_start(
    shop: Shop,
) -> None:
    """A column that cannot store what is declared for it is reported before the first command."""
    shop.with_tables(
        "CREATE TABLE orders (number text, event text, flag integer NOT NULL,"
        " what text GENERATED ALWAYS AS ('a') STORED)"
    )
    more = "restrict: {column: flag, restricted: 1, lifted: null}\n        rectify: {name: what}"
    assert shop.problems(more=more) == [
        "adapter.sql.tables.orders.restrict.lifted: 'flag' is NOT NULL, got None",
        "adapter.sql.tables.orders.rectify.name: 'what' is generated by the database",
    ]


@pytest.mark.parametrize("kind", ["smallint", "integer", "bigint", "numeric(5)", "varchar(5)"])
def test_a_key_that_no_row_can_have_does_not_stop_the_others(shop: Shop, kind: str) -> None:
    """A key is too large for one type or for all, and the existing row is still erased."""
    engine = shop.with_tables(
        f"CREATE TABLE orders (number {kind}, event text)", rows=[row("42") | {"number": 42}]
    )
    large = [str(bound) for bound in (2**15, 2**31, 2**63, 10**40)]
    result = execute(shop.adapter(), "erase", "42", *large)
    assert (result.status, result.counts) == ("done", {"orders": 1})
    assert column_values(engine, "number") == []


def test_another_columns_replacement_is_no_replacement(shop: Shop) -> None:
    """A city that is called Unknown is still a city."""
    engine = shop.with_tables(
        "CREATE TABLE orders (number text, event text, name text, city text)",
        rows=[row("O1", name="Sanne", city="Unknown")],
    )
    adapter = shop.adapter(erase="{set: {name: Unknown, city: gone}}", holds="[name, city]")
    with engine.begin() as connection:
        connection.execute(text("UPDATE orders SET name = 'Unknown'"))
    assert execute(adapter, "verify", "O1", verifies="erase").counts == {"orders": 1}
    assert execute(adapter, "erase", "O1").status == "done"
    assert execute(adapter, "verify", "O1", verifies="erase").counts == {"orders": 0}


def test_a_view_that_hides_a_replaced_column_is_refused_at_the_start(shop: Shop) -> None:
    """A replaced value in it could not be distinguished from a person's name."""
    shop.with_tables(
        "CREATE TABLE orders (number text, event text, name text)",
        "CREATE VIEW search AS SELECT event, name AS who FROM orders",
    )
    file = FILE.replace("verify: {", "verify: {table: search, ")
    assert "table: search" in file
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.FILE", file)
        [problem] = shop.problems(erase="{set: {name: Unknown}}", holds="[who]")
    assert problem.startswith("adapter.sql.tables.orders.verify.holds: orders has no column 'who'")


def test_stored_data_is_disclosed_in_the_form_of_json(shop: Shop) -> None:
    """Values have JSON's form, not Python's."""
    array = "text[]" if shop.postgres else "json"
    profile, tags = '{"vip": true, "since": null}', '["a", "b"]'
    shop.with_tables(
        "CREATE TABLE orders"
        f" (number text, event text, profile json, tags {array}, born date, ok boolean, cost numeric(6,2))",
        "INSERT INTO orders VALUES ('O1', 'e-O1', '{}', {}, '1984-05-06', {}, 12)".format(
            profile,
            "ARRAY['a', 'b']" if shop.postgres else f"'{tags}'",
            "true" if shop.postgres else "1",
        ),
    )
    [result] = execute(
        shop.adapter(more="disclose: [profile, tags, born, ok]"), "disclose", "O1"
    ).records
    assert dict(result.data) == {
        "profile": {"vip": True, "since": None},
        "tags": ["a", "b"],
        "born": "1984-05-06",
        "ok": True,
    }


def test_a_correction_is_converted_by_the_type_of_its_column(shop: Shop) -> None:
    """A value that does not fit is reported with the column's name, and nothing is changed."""
    engine = shop.with_tables(
        "CREATE TABLE orders (number text, event text, born date, profile json, name text NOT NULL)",
        rows=[row("O1", name="Sanne")],
    )
    more = "rectify: {born: born, profile: profile, name: name}"
    adapter = shop.adapter(more=more)
    right = {"born": "1984-05-06", "profile": {"vip": False}, "name": "Sanne V"}
    assert execute(adapter, "rectify", "O1", corrections=right).status == "done"
    assert [str(value) for value in column_values(engine, "born")] == ["1984-05-06"]
    result = execute(adapter, "rectify", "O1", corrections={"name": None, "born": None})
    assert (result.status, result.detail) == (
        "failed",
        "corrections: a value does not fit its column: is NOT NULL",
    )
    assert column_values(engine, "name") == ["Sanne V"]
