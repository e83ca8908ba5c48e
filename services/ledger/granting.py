"""Database roles on PostgreSQL: create them, grant the privileges of `grants`, assume and inspect them.

They are groups without a login, shared by every database of a cluster; their privileges are per ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, text

from services.ledger.grants import (
    GRANTS,
    Grant,
    Privilege,
    needed_privileges,
    table_columns,
    table_sequences,
)
from services.storage.database_roles import ALEMBIC, Role, group_name

_LOCK = 0x7E_3A_11_21
"""The key of PostgreSQL's advisory lock on migrating."""
_ON_TABLES: Final = ("DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
_ON_COLUMNS: Final = ("SELECT", "INSERT", "UPDATE")

_HELD_PRIVILEGES = text("""
SELECT "table", privilege, "column"
FROM unnest(CAST(:tables AS text[]), CAST(:privileges AS text[]), CAST(:columns AS text[]))
AS candidate ("table", privilege, "column")
WHERE CASE WHEN privilege = 'USAGE' THEN has_sequence_privilege(CAST(:who AS name), "table", privilege)
WHEN "column" = '' THEN has_table_privilege(CAST(:who AS name), "table", privilege)
ELSE has_column_privilege(CAST(:who AS name), "table", "column", privilege) END
""")


def lock_migration(connection: Connection) -> None:
    """Wait until no other process migrates this ledger, and lock it until the transaction ends."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def apply_grants(connection: Connection) -> Sequence[str]:
    """Create the groups with exactly the privileges they need; return those that this login may not create.

    On SQLite nothing is done.
    """
    if connection.dialect.name == "sqlite":
        return ()
    missing_groups = []
    groups = existing_groups(connection)
    for role in GRANTS:
        if role not in groups:
            if not _can_create_roles(connection):
                missing_groups.append(group_name(role))
                continue
            connection.execute(text(create_group_statement(role)))
        _join_group(connection, role)
        if held_privileges(connection, group_name(role)) != needed_privileges(role):
            for statement in grant_statements(role):
                connection.execute(text(statement))
    return tuple(missing_groups)


def create_group_statement(role: Role) -> str:
    """Return the statement that creates a group; harmless if it exists or is just being created."""
    return (
        f"DO $$ BEGIN CREATE ROLE {group_name(role)} NOLOGIN;"
        " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )


def grant_statements(role: Role) -> Sequence[str]:
    """Return the statements that grant a group the privileges it needs, and revoke all others."""
    group, all_tables = group_name(role), ", ".join(map(_quote, table_columns()))
    sequences = ", ".join(map(_quote, sorted(table_sequences().values())))
    statements = [
        f"REVOKE ALL ON {all_tables} FROM {group}",
        f"REVOKE ALL ON SEQUENCE {sequences} FROM {group}",
    ]
    for table, grant in GRANTS[role].items():
        statements.append(f"GRANT {', '.join(_privileges(grant))} ON {_quote(table)} TO {group}")
        if grant.insert and (sequence := table_sequences().get(table)):
            statements.append(f"GRANT USAGE ON SEQUENCE {_quote(sequence)} TO {group}")
    return statements


def held_privileges(connection: Connection, database_role: str) -> frozenset[Privilege]:
    """Return the privileges that a database role has on the ledger's tables, directly or by a group."""
    candidates = [
        *((table, privilege, "") for table in table_columns() for privilege in _ON_TABLES),
        *(
            (table, privilege, column)
            for table, columns in table_columns().items()
            for column in columns
            for privilege in _ON_COLUMNS
        ),
        *((sequence, "USAGE", "") for sequence in table_sequences().values()),
    ]
    tables, privileges, columns = map(list, zip(*candidates, strict=True))
    parameters = {
        "who": database_role,
        "tables": tables,
        "privileges": privileges,
        "columns": columns,
    }
    return frozenset(Privilege(*row) for row in connection.execute(_HELD_PRIVILEGES, parameters))


def missing_privileges(connection: Connection, role: Role) -> Sequence[Privilege]:
    """Return the privileges that the role needs and the connected login lacks; on SQLite none."""
    if connection.dialect.name == "sqlite":
        return ()
    return sorted(needed_privileges(role) - held_privileges(connection, current_role(connection)))


def can_insert(connection: Connection, table: str) -> bool:
    """Return whether the connected login may insert into a table."""
    if connection.dialect.name == "sqlite":
        return True
    query = text("SELECT has_any_column_privilege(:table, 'INSERT')")
    return bool(connection.execute(query, {"table": table}).scalar_one())


def current_role(connection: Connection) -> str:
    """Return the database role whose privileges apply to statements."""
    return str(connection.execute(text("SELECT current_user")).scalar_one())


def existing_groups(connection: Connection) -> Sequence[Role]:
    """Return the roles that have a group in the cluster."""
    group_names = set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars())
    return [role for role in GRANTS if group_name(role) in group_names]


def joined_groups(connection: Connection) -> Sequence[Role]:
    """Return the roles to whose groups the login belongs."""
    query = text("SELECT pg_has_role(CAST(:name AS name), 'MEMBER')")
    groups = existing_groups(connection)
    return [
        role
        for role in groups
        if connection.execute(query, {"name": group_name(role)}).scalar_one()
    ]


def is_owner(connection: Connection) -> bool:
    """Return whether the login may do everything: it is a superuser, or owns the ledger."""
    query = text(
        "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass(:name)"
    )
    return bool(connection.execute(query, {"name": ALEMBIC}).scalar_one())


def _can_create_roles(connection: Connection) -> bool:
    query = text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    return bool(connection.execute(query).scalar_one())


def _join_group(connection: Connection, role: Role) -> None:
    """Let the ledger's owner assume the role: a login for all roles then has one role's privileges."""
    version: Any = connection.dialect.server_version_info
    has_set_option = version >= (16,)
    query = text("SELECT pg_has_role(current_user, CAST(:name AS name), :how)")
    parameters = {"name": group_name(role), "how": "SET" if has_set_option else "MEMBER"}
    if not connection.execute(query, parameters).scalar_one():
        options = " WITH INHERIT FALSE, SET TRUE" if has_set_option else ""
        connection.execute(
            text(
                f"DO $$ BEGIN GRANT {group_name(role)} TO CURRENT_USER{options}; EXCEPTION"
                " WHEN insufficient_privilege OR unique_violation THEN NULL; END $$"
            )
        )


def _privileges(grant: Grant) -> Sequence[str]:
    privileges = []
    for privilege, columns in (
        ("SELECT", grant.select),
        ("INSERT", grant.insert),
        ("UPDATE", grant.update),
    ):
        if columns is True:
            privileges.append(privilege)
        elif columns:
            privileges.append(f"{privilege} ({', '.join(map(_quote, columns))})")
    return [*privileges, "DELETE"] if grant.delete else privileges


def _quote(name: str) -> str:
    return f'"{name}"'
