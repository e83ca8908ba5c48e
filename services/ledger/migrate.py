"""The database schema of the ledger: created at once in memory, migrated by Alembic in a database."""

from __future__ import annotations

from collections.abc import Sequence

from alembic import command
from alembic.config import Config

from services.ledger import granting
from services.ledger.schema_version import MIGRATIONS
from services.ledger.tables import metadata
from services.storage.database import Database


def create_schema(ledger: Database) -> None:
    """Create the schema of a ledger in memory."""
    metadata.create_all(ledger.engine)


def migrate(ledger: Database) -> Sequence[str]:
    """Migrate the ledger to this version's schema, and grant every role its privileges.

    One process migrates at a time.

    Return the database groups that are missing and that this login may not create: roles without a group
    use the privileges of their login.
    """
    configuration = _alembic_config()
    with ledger.transaction() as connection:
        configuration.attributes["connection"] = connection
        granting.lock_migration(connection)
        command.upgrade(configuration, "head")
        return granting.apply_grants(connection)


def _alembic_config() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    return configuration
