"""The version of a ledger's schema, and whether a role can work with it, without importing Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import ProgrammingError

from schemas.errors import TermijnError
from services.ledger import granting
from services.ledger.grants import Privilege
from services.storage.database import Database, lacks_privilege
from services.storage.database_roles import ALEMBIC, Role, group_name

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The folder of the migrations; each file's name begins with its version."""


class SchemaMismatch(TermijnError):
    """The ledger's schema is not the one that this version of Termijn needs; the role did not start.

    The operator runs `termijn ledger migrate` before starting the roles.
    """

    def __init__(self, version: str | None, expected: str) -> None:
        super().__init__(
            f"ledger: this version needs the schema {expected}, got {version or 'none'};"
            " run `termijn ledger migrate`"
        )
        self.version = version
        self.expected = expected


class MissingPrivileges(TermijnError):
    """The login of this process lacks privileges that its role needs; it did not start.

    The administrator grants it the role's group; `termijn ledger migrate` gives that group its privileges.
    """

    def __init__(self, role: Role, login: str, lacks: str) -> None:
        needs = "the operators need" if role == "operators" else f"the {role} needs"
        super().__init__(
            f"ledger: login {login} lacks privileges that {needs}, such as {lacks};"
            f" run `termijn ledger migrate`, and have an administrator GRANT {group_name(role)} TO {login}"
        )
        self.role = role
        self.login = login


def latest_version() -> str:
    """Return the version to which this version of Termijn migrates a ledger."""
    return max(known_versions())


def known_versions() -> frozenset[str]:
    """Return the versions of the schema that this version of Termijn can migrate."""
    files = (MIGRATIONS / "versions").glob("[0-9]*.py")
    return frozenset(path.name.partition("_")[0] for path in files)


def current_version(connection: Connection) -> str | None:
    """Return the version of a ledger's schema; `None` if it was never migrated."""
    if not inspect(connection).has_table(ALEMBIC):
        return None
    version: str | None = connection.scalar(text(f"SELECT version_num FROM {ALEMBIC}"))
    return version


def check_schema_version(ledger: Database, role: Role | None = None) -> None:
    """Check that the ledger has this version's schema, and that the role has the privileges it needs.

    Raises:
        SchemaMismatch: it has another schema, or none.
        MissingPrivileges: the role lacks privileges.
    """
    expected = latest_version()
    with ledger.transaction() as connection:
        login = "" if ledger.is_sqlite else granting.current_role(connection)
        try:
            version = current_version(connection)
        except ProgrammingError as cause:
            if role is None or not lacks_privilege(cause):
                raise
            raise MissingPrivileges(role, login, str(Privilege(ALEMBIC, "SELECT"))) from cause
        if version != expected:
            raise SchemaMismatch(version, expected)
        if role is not None and (lacks := granting.missing_privileges(connection, role)):
            raise MissingPrivileges(role, login, str(lacks[0]))
