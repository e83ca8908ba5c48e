"""The SQL adapter on tables as they also are: numbers for keys, columns that know no case, triggers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from services.agent import config
from services.agent.adapters.base import CommandTask
from services.agent.adapters.factory import sql_adapter
from services.agent.adapters.sql.adapter import SqlAdapter
from services.agent.config import InvalidConfiguration
from services.agent.result import Result, RetryLater
from tests.unit.agent.environment import T0, command, record

FILE = """\
system: crm
bus: {bootstrap_servers: "kafka:9092"}
keys: keys
inbox: {url: "sqlite:///inbox.sqlite", key_file: inbox.key}
adapter:
  sql:
    url: sqlite:///crm.sqlite
    tables:
      orders:
        events: [orders.order-placed]
        match: {number: keys.order_id}
        erase: ERASE
        verify: {match: {event: record.id, number: keys.order_id}, holds: [HOLDS]}
"""
Made = Callable[..., tuple[SqlAdapter, Engine]]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """Makes an adapter on an `orders` table with these columns and rows."""
    with ExitStack() as stack:

        def make(
            columns: str, *rows: dict[str, Any], erase: str = "delete", holds: str = ""
        ) -> tuple[SqlAdapter, Engine]:
            file = tmp_path / "agent.yaml"
            file.write_text(FILE.replace("ERASE", erase).replace("HOLDS", holds), "utf-8")
            loaded = config.load(file, {})
            sql = loaded.configuration.adapter.sql
            assert sql is not None
            engine = engine_of(loaded)
            with engine.begin() as connection:
                connection.execute(text(f"CREATE TABLE orders ({columns})"))
                for row in rows:
                    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
                    connection.execute(text(f"INSERT INTO orders ({names}) VALUES ({values})"), row)
            stack.callback(engine.dispose)
            return sql_adapter(loaded, sql, stack), engine

        yield make


def engine_of(loaded: config.LoadedConfig) -> Engine:
    sql = loaded.configuration.adapter.sql
    assert sql is not None
    return create_engine(loaded.database_url(sql.url, "adapter", "sql", "url"))


def execute(adapter: SqlAdapter, action: str, *orders: str, **further: Any) -> Result:
    message = command(action=action, records=tuple(map(record, orders)), **further)
    return adapter.execute(
        CommandTask(command=message, run=1, checkpoint=None, save_checkpoint=lambda _: None, now=T0)
    )


def numbers(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT number FROM orders ORDER BY rowid")).scalars())


@pytest.mark.parametrize(
    "key", ["042", " 42", "4_2", "42.0", "+42", "٤٢", "42 OR 1=1", "", "9" * 40]
)
def test_a_number_is_found_only_as_it_is_written(made: Made, key: str) -> None:
    """A text that Python would read as 42 is another key."""
    adapter, engine = made("number integer, event text", {"number": 42, "event": "e-42"})
    execute(adapter, "erase", key)
    assert numbers(engine) == [42]
    assert execute(adapter, "erase", "42").counts == {"orders": 1}


def test_a_column_that_ignores_case_matches_only_the_exact_key(made: Made) -> None:
    """`o1` and `O1` are two orders."""
    adapter, engine = made(
        "number text COLLATE NOCASE, event text",
        {"number": "o1", "event": "e-o1"},
        {"number": "O1", "event": "e-O1"},
    )
    assert execute(adapter, "erase", "O1").counts == {"orders": 1}
    assert numbers(engine) == ["o1"]


def test_rows_that_a_trigger_keeps_are_not_reported_as_erased(made: Made) -> None:
    """The whole command is rolled back."""
    adapter, engine = made(
        "number text, event text",
        {"number": "O1", "event": "e-O1"},
        {"number": "O2", "event": "e-O2"},
    )
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER keep BEFORE DELETE ON orders WHEN old.number = 'O1'"
                " BEGIN SELECT RAISE(IGNORE); END"
            )
        )
    result = execute(adapter, "erase", "O1", "O2")
    assert (result.status, result.detail) == (
        "failed",
        "orders: rows are still there after the erasure",
    )
    assert numbers(engine) == ["O1", "O2"]


def test_a_replacement_value_is_not_personal_data(made: Made) -> None:
    """A row whose columns hold only replacements counts as erased; any other as found."""
    adapter, engine = made(
        "number text, event text, who text",
        {"number": "O1", "event": "e-O1", "who": "Sanne"},
        erase="{set: {who: (erased)}}",
        holds="who",
    )
    assert execute(adapter, "verify", "O1", verifies="erase").counts == {"orders": 1}
    assert execute(adapter, "erase", "O1").status == "done"
    assert execute(adapter, "verify", "O1", verifies="erase").counts == {"orders": 0}
    with engine.begin() as connection:
        connection.execute(text("UPDATE orders SET who = 'Piet'"))
    assert execute(adapter, "verify", "O1", verifies="erase").counts == {"orders": 1}


def test_the_agent_does_not_start_with_a_column_in_which_no_key_can_be_found(made: Made) -> None:
    """It would find nothing, and report that as erased."""
    with pytest.raises(InvalidConfiguration, match="which cannot be compared with a key"):
        made("number blob, event text")


def test_an_unreachable_database_is_tried_again(made: Made) -> None:
    """The reason names no row."""
    adapter, engine = made("number text, event text", {"number": "O1", "event": "e-O1"})
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE orders"))
    with pytest.raises(RetryLater) as raised:
        execute(adapter, "erase", "O1")
    assert "O1" not in raised.value.why
