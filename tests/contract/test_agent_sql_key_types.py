"""Keys of every type are found in one statement about many commands, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from services.agent.adapters.base import CommandTask
from services.agent.adapters.sql.adapter import SqlAdapter
from services.agent.adapters.sql.shared_execution import SharedExecution
from services.agent.result import Result
from tests.contract.test_agent_sql_columns import SETUP, Shop, column_values
from tests.unit.agent.environment import T0, command, record

pytestmark = pytest.mark.postgres

NUMBERS, TEXTS, MOODS = ("42", "43"), ("O1", "O2"), ("glad", "none")
UUIDS = ("6b1d0f0e-5a53-4e10-9d77-8f6ef3a0a001", "6b1d0f0e-5a53-4e10-9d77-8f6ef3a0a002")
KEYS = {
    **{"smallint": NUMBERS, "bigint": ("42", "3000000000"), "numeric(12)": ("42", "3000000000")},
    **{"uuid": UUIDS, "date": ("2020-01-02", "2020-01-03"), "mood": MOODS, "other.mood": MOODS},
    **{"citext": TEXTS, "char(5)": TEXTS, "varchar(9)": TEXTS, "text COLLATE caseless": TEXTS},
    **{"d": TEXTS, "domain_of_numbers": NUMBERS, "domain_of_moods": MOODS},
}
TYPES = """; CREATE EXTENSION IF NOT EXISTS citext; CREATE SCHEMA other;
    CREATE TYPE mood AS ENUM ('glad', 'none'); CREATE TYPE other.mood AS ENUM ('glad', 'none');
    CREATE DOMAIN domain_of_numbers AS integer; CREATE DOMAIN domain_of_moods AS mood"""


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    fresh: Callable[[], str] = request.getfixturevalue("postgres")
    with ExitStack() as stack:
        yield Shop(url=fresh(), directory=tmp_path, stack=stack)


def execute(adapter: SqlAdapter, action: str, orders: Sequence[str], **further: Any) -> list[Any]:
    """Carry out a command for each order in one transaction, which is not halved if it fails."""
    tasks = [
        CommandTask(
            command=command(
                f"c{number}",
                action=action,
                subject=f"customer:C{number}",
                records=(record(order, event=f"e-{order}"),),
                **further,
            ),
            run=1,
            checkpoint=None,
            save_checkpoint=lambda _: None,
            now=T0,
        )
        for number, order in enumerate(orders)
    ]
    shared = SharedExecution(engine=adapter.engine, bounds=adapter.bounds, plan=adapter._plan)
    results = shared.execute(tasks, lambda _: None)
    return [(r.status, r.counts["orders"]) for r in results if isinstance(r, Result)]


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_type_are_found_together(shop: Shop, kind: str) -> None:
    """The third command has a key that is in no row, or that none can have."""
    first, second = KEYS[kind]
    engine = shop.with_tables(
        f"CREATE TABLE orders (number {kind}, event text, marked boolean)",
        f"INSERT INTO orders VALUES ('{first}', 'e-{first}'), ('{second}', 'e-{second}')",
        on_postgres=SETUP + TYPES,
    )
    adapter = shop.adapter(more="restrict: {column: marked}")
    orders = [first, "zz", second]
    found = [("done", 1), ("nothing_held", 0), ("done", 1)]
    assert execute(adapter, "restrict", orders) == found
    assert execute(adapter, "verify", orders, verifies="erase") == [
        *(("done", 1), ("done", 0), ("done", 1))
    ]
    assert execute(adapter, "erase", orders) == found
    assert column_values(engine, "number") == []
