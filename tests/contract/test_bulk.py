"""Statements for many rows at once."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import text

from services.ledger import tables
from services.storage.bulk import insert
from services.storage.database import Database
from tests.contract.ledgers import select_rows

_FIRST = UUID("00000000-0000-0000-0000-000000000001")
_LAST = UUID("ffffffff-ffff-ffff-ffff-ffffffffffff")


def test_rows_of_one_column_are_inserted(ledger: Database) -> None:
    """A text is not taken for a row of characters."""
    with ledger.transaction() as connection:
        insert(connection, tables.subject, [{"subject": "customer:1"}, {"subject": "customer:2"}])
    subjects = [row.subject for row in select_rows(ledger, tables.subject)]
    assert sorted(subjects) == ["customer:1", "customer:2"]


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("uuids", "received"),
    [
        (
            [_FIRST, _LAST],
            "{00000000-0000-0000-0000-000000000001,ffffffff-ffff-ffff-ffff-ffffffffffff}",
        ),
        ([_LAST, None], "{ffffffff-ffff-ffff-ffff-ffffffffffff,NULL}"),
        ([None], "{NULL}"),
        ([], "{}"),
    ],
)
def test_postgres_receives_a_list_of_uuids_as_it_is(
    postgres_ledger: Database, uuids: list[UUID | None], received: str
) -> None:
    with postgres_ledger.transaction() as connection:
        query = text("SELECT CAST(CAST(:uuids AS uuid[]) AS text)")

        assert connection.execute(query, {"uuids": uuids}).scalar_one() == received


@pytest.mark.postgres
def test_postgres_receives_other_lists_beside_lists_of_uuids(postgres_ledger: Database) -> None:
    with postgres_ledger.transaction() as connection:
        query = text("SELECT CAST(CAST(:uuids AS uuid[]) AS text), CAST(:names AS text[])")
        row = connection.execute(query, {"uuids": [_FIRST], "names": ["a", 'b "c"', "", None]})

        assert row.one() == ("{00000000-0000-0000-0000-000000000001}", ["a", 'b "c"', "", None])


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("type_", "numbers", "received"),
    [
        ("smallint", [1, -32768], "{1,-32768}"),
        ("int", [2147483647, None], "{2147483647,NULL}"),
        ("bigint", [1, 9223372036854775807], "{1,9223372036854775807}"),
        ("numeric", [9223372036854775808], "{9223372036854775808}"),
        ("boolean", [True, False], "{t,f}"),
    ],
)
def test_postgres_receives_a_list_of_numbers_as_it_is(
    postgres_ledger: Database, type_: str, numbers: list[int | None], received: str
) -> None:
    with postgres_ledger.transaction() as connection:
        query = text(f"SELECT CAST(CAST(:numbers AS {type_}[]) AS text)")

        assert connection.execute(query, {"numbers": numbers}).scalar_one() == received
