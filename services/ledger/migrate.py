"""The database schema of the ledger: created at once in memory, migrated by Alembic in a database."""

from __future__ import annotations

from collections.abc import Sequence

from alembic import command
from alembic.config import Config

from schemas.errors import TermijnError
from services.ledger import granting
from services.ledger.schema_version import MIGRATIONS, current_version, known_versions
from services.ledger.tables import metadata
from services.storage.database import Database


class UnknownSchema(TermijnError):
    """The ledger has a schema that this version of Termijn does not know; nothing was migrated.

    It is of a later version, which the operator installs, or of one from before the first release: then
    the operator creates an empty database.
    """

    def __init__(self, version: str) -> None:
        super().__init__(
            f"ledger: must have a schema up to {max(known_versions())} to be migrated, got schema"
            f" {version}; install the version of Termijn that made it, or give it an empty database"
        )
        self.version = version


def create_schema(ledger: Database) -> None:
    """Create the schema of a ledger in memory."""
    metadata.create_all(ledger.engine)


def migrate(ledger: Database) -> Sequence[str]:
    """Migrate the ledger to this version's schema, and grant every role its privileges.

    One process migrates at a time.

    Return the database groups that are missing and that this login may not create: roles without a group
    use the privileges of their login.

    Raises:
        UnknownSchema: this version has no migration of that name.
    """
    configuration = _alembic_config()
    with ledger.transaction() as connection:
        configuration.attributes["connection"] = connection
        granting.lock_migration(connection)
        version = current_version(connection)
        if version is not None and version not in known_versions():
            raise UnknownSchema(version)
        command.upgrade(configuration, "head")
        return granting.apply_grants(connection)


def _alembic_config() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    return configuration
