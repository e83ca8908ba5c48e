"""The report of a database error: enough to fix it, and no data of the row."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.storage.database import Database, describe_error

CANARY = "canary-jansen"


def refusal(ledger: Database, statement: str) -> DBAPIError:
    with pytest.raises(DBAPIError) as caught, ledger.transaction() as connection:
        connection.execute(text(statement), {"value": CANARY})
    return caught.value


def test_a_refused_row_is_not_quoted(ledger: Database) -> None:
    """Neither the logged text nor a traceback's parameters may contain personal data."""
    cause = refusal(ledger, "INSERT INTO record (id) VALUES (:value)")
    assert CANARY not in describe_error(cause)
    assert CANARY not in str(cause).partition("[SQL")[2]


def test_a_value_of_the_wrong_form_is_not_quoted(postgres_ledger: Database) -> None:
    """PostgreSQL repeats the value in its first line, so only the error's code is reported."""
    cause = refusal(postgres_ledger, "SELECT CAST(CAST(:value AS text) AS integer)")
    assert CANARY in str(cause.orig).partition("\n")[0]
    assert describe_error(cause) == "DataError 22P02"


def test_a_missing_table_is_named(ledger: Database) -> None:
    """The operator has to migrate, which needs the name and not a code."""
    assert "nowhere" in describe_error(refusal(ledger, "SELECT :value FROM nowhere"))


def test_an_error_outside_the_database_is_one_line() -> None:
    """The line names the kind of error."""
    assert describe_error(ValueError("first\nsecond")) == "ValueError: first"
