"""The database schema of the ledger: created at once in memory, migrated by Alembic in a database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import ProgrammingError

from schemas.errors import TermijnError
from services.ledger import granting
from services.ledger.grants import Privilege
from services.ledger.tables import metadata
from services.storage.database import Database, lacks_privilege
from services.storage.database_roles import ALEMBIC, Role, group_name

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaMismatch(TermijnError):
    """The ledger's schema is not the one that this version of Termijn needs; the role did not start.

    The operator runs `termijn ledger migrate` before starting the roles.
    """

    def __init__(self, found: str | None, wanted: str | None) -> None:
        super().__init__(
            f"the ledger's schema is at {found or 'nothing'}, this version needs {wanted}:"
            " run `termijn ledger migrate`"
        )
        self.found = found
        self.wanted = wanted


class MissingPrivileges(TermijnError):
    """The login of this process lacks privileges that its role needs; it did not start.

    The administrator grants it the role's group; `termijn ledger migrate` gives that group its privileges.
    """

    def __init__(self, role: Role, login: str, lacks: str) -> None:
        who = "the operators need" if role == "operators" else f"the {role} needs"
        super().__init__(
            f"ledger: login {login} lacks what {who}, such as {lacks};"
            f" run `termijn ledger migrate`, and have an administrator GRANT {group_name(role)} TO {login}"
        )
        self.role = role
        self.login = login


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


def check_schema_version(ledger: Database, role: Role | None = None) -> None:
    """Check that the ledger has this version's schema, and that the role has the privileges it needs.

    Raises:
        SchemaMismatch: it has another schema, or none.
        MissingPrivileges: the role lacks privileges.
    """
    wanted = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    with ledger.transaction() as connection:
        login = "" if ledger.is_sqlite else granting.current_role(connection)
        try:
            found = MigrationContext.configure(connection).get_current_revision()
        except ProgrammingError as cause:
            if role is None or not lacks_privilege(cause):
                raise
            raise MissingPrivileges(role, login, str(Privilege(ALEMBIC, "SELECT"))) from cause
        if found != wanted:
            raise SchemaMismatch(found, wanted)
        if role is not None and (lacks := granting.missing_privileges(connection, role)):
            raise MissingPrivileges(role, login, str(lacks[0]))


def _alembic_config() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    return configuration
