"""The ledger's schema: made at once for a ledger in memory, migrated by Alembic for one that lasts."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from schemas.errors import TermijnError
from services.ledger.tables import metadata
from services.storage.database import Ledger

MIGRATIONS = Path(__file__).parent / "migrations"


class OutdatedLedger(TermijnError):
    """The ledger's schema is not the one that this version of Termijn works with.

    The operator runs `termijn ledger migrate` before starting the roles.
    """

    def __init__(self, found: str | None, wanted: str | None) -> None:
        super().__init__(
            f"the ledger's schema is at {found or 'nothing'}, this version needs {wanted}:"
            " run `termijn ledger migrate`"
        )
        self.found = found
        self.wanted = wanted


def create(ledger: Ledger) -> None:
    """Make the schema of a ledger that lives in memory."""
    metadata.create_all(ledger.engine)


def migrate(ledger: Ledger) -> None:
    """Bring the ledger to this version's schema."""
    configuration = _configuration()
    with ledger.transaction() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")


def check(ledger: Ledger) -> None:
    """Make sure that the ledger has this version's schema.

    Raises:
        OutdatedLedger: it has another, or none.
    """
    wanted = ScriptDirectory.from_config(_configuration()).get_current_head()
    with ledger.transaction() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != wanted:
        raise OutdatedLedger(found, wanted)


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    return configuration
