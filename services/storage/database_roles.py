"""Database roles on PostgreSQL: one for each of Termijn's roles, and how a connection takes one on.

They are groups without a login, shared by every database of a cluster. `ledger.grants` lists the privileges
of each.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import psycopg
from psycopg import sql

Role = Literal["tagger", "recorder", "deleter", "acknowledgements", "rights", "operators"]
"""The roles that open the ledger; `operators` is for people who use the command line."""
ALEMBIC: Final = "alembic_version"
"""The table in which Alembic stores the schema's version."""
_SET_OPTION_SINCE = 160_000
"""Since PostgreSQL 16 membership alone does not let a login take on a role: it needs the SET option."""
_MAY_SET_ROLE = """
SELECT 1 FROM pg_roles WHERE rolname = %(group)s AND pg_has_role(session_user, oid, %(how)s)
AND has_table_privilege(oid, to_regclass(%(table)s), 'SELECT')
"""


def group_name(role: Role) -> str:
    """Return the name of the database role: a group to which the login of such a process belongs."""
    return f"termijn_{role}"


def become_role(driver: psycopg.Connection[Any], role: Role) -> None:
    """Let a new connection take on the role, if its login may do so and the role may read this ledger.

    Otherwise the connection keeps the privileges of its login.
    """
    driver.autocommit = True  # a rollback would undo what is set in a transaction
    try:
        parameters = {
            "group": group_name(role),
            "how": "SET" if driver.info.server_version >= _SET_OPTION_SINCE else "MEMBER",
            "table": ALEMBIC,
        }
        if driver.execute(_MAY_SET_ROLE, parameters).fetchone():
            driver.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(group_name(role))))
    finally:
        driver.autocommit = False
