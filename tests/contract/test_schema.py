"""The migrations make exactly the tables that the code works with, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from services.ledger import migrate, schema_version
from services.ledger.tables import metadata
from services.storage.database import Database, open_database


@pytest.fixture(params=["sqlite", "postgres"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A ledger without tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    else:
        fresh: Callable[[], str] = request.getfixturevalue("postgres")
        url = fresh()
    with closing(open_database(url)) as ledger:
        yield ledger


def test_the_migrations_make_the_tables(bare: Database) -> None:
    """After `migrate` the database does not differ from the code."""
    migrate.migrate(bare)
    with bare.transaction() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_newest_file_is_the_last_migration(bare: Database) -> None:
    """Roles take the version that they need from the names of the files, without Alembic."""
    head = ScriptDirectory.from_config(migrate._alembic_config()).get_current_head()
    assert schema_version.latest_version() == head == "0001"


def test_migrating_twice_changes_nothing(bare: Database) -> None:
    """A second `migrate` is harmless, and the check of the schema passes."""
    migrate.migrate(bare)
    migrate.migrate(bare)
    schema_version.check_schema_version(bare)


def test_a_ledger_without_tables_is_refused(bare: Database) -> None:
    """A role that starts before `migrate` reports the command to run."""
    with pytest.raises(schema_version.SchemaMismatch, match="termijn ledger migrate"):
        schema_version.check_schema_version(bare)


def test_a_ledger_from_before_the_first_release_is_refused(bare: Database) -> None:
    """Its migrations are not kept, and nothing is changed in it."""
    migrate.migrate(bare)
    with bare.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0021'"))
    with pytest.raises(migrate.UnknownSchema, match="schema 0021"):
        migrate.migrate(bare)
    with bare.transaction() as connection:
        assert schema_version.current_version(connection) == "0021"
