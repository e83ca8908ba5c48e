"""The migrations make exactly the tables that the code works with, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.ledger import schema
from services.ledger.database import Ledger, open_ledger
from services.ledger.tables import metadata


@pytest.fixture(params=["sqlite", "postgres"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger without tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    else:
        fresh: Callable[[], str] = request.getfixturevalue("postgres")
        url = fresh()
    with closing(open_ledger(url)) as ledger:
        yield ledger


def test_the_migrations_make_the_tables(bare: Ledger) -> None:
    """After `migrate` there is no difference between the database and the code."""
    schema.migrate(bare)
    with bare.transaction() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrating_twice_changes_nothing(bare: Ledger) -> None:
    """A second `migrate` is harmless, and the check is content."""
    schema.migrate(bare)
    schema.migrate(bare)
    schema.check(bare)


def test_a_ledger_without_tables_is_refused(bare: Ledger) -> None:
    """A role that starts before `migrate` says what to run."""
    with pytest.raises(schema.OutdatedLedger, match="termijn ledger migrate"):
        schema.check(bare)
