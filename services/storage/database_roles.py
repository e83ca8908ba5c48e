"""The database roles on PostgreSQL: one for each of ours, and how a connection becomes one.

They are groups without a login, shared by every database of a cluster; what each may do is `ledger.grants`.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import psycopg
from psycopg import sql

Role = Literal["tagger", "recorder", "deleter", "acknowledgements", "rights", "operators"]
"""Those that reach the ledger; `operators` is everybody who gives commands by hand."""
ALEMBIC: Final = "alembic_version"
"""The table in which Alembic keeps which schema it is; not one of ours."""
_SET_OPTION_SINCE = 160_000
"""Since this version of PostgreSQL membership alone does not let a login become the role."""
_MAY_SET_ROLE = """
SELECT 1 FROM pg_roles WHERE rolname = %(group)s AND pg_has_role(session_user, oid, %(how)s)
AND has_table_privilege(oid, to_regclass(%(table)s), 'SELECT')
"""


def group_name(role: Role) -> str:
    """The role of the database: a group, to which the login of such a process belongs."""
    return f"termijn_{role}"


def become_role(driver: psycopg.Connection[Any], role: Role) -> None:
    """Let a new connection be no more than the role, where its login may become that in this ledger.

    Else it stays what its login is.
    """
    driver.autocommit = True  # what is set in a transaction that is rolled back would be undone
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
