"""Check the ledger's login: it has the privileges of its role and no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from services.ledger import granting
from services.ledger.grants import GRANTS, Privilege, needed_privileges
from services.operations.doctor.findings import Finding, error, ok, skipped, warning
from services.storage.database_roles import Role, group_name

CHECK = "database login"
_SHOWN = 3


def check_login(connection: Connection) -> Iterator[Finding]:
    """Check each group of privileges, and the login itself."""
    if connection.dialect.name == "sqlite":
        return
    login = granting.current_role(connection)
    there = granting.existing_groups(connection)
    for role in GRANTS:
        if role not in there:
            yield warning(
                "database roles",
                "does not exist: every login may do what any role may",
                "`termijn ledger migrate`, or have a superuser run what `termijn ledger grants` prints",
                group_name(role),
            )
        elif lacks := needed_privileges(role) - granting.held_privileges(
            connection, group_name(role)
        ):
            yield error(
                "database roles",
                f"has no privilege for {_some(lacks)}",
                "`termijn ledger migrate`",
                group_name(role),
            )
    may_all = granting.is_owner(connection)
    yield judged(
        login,
        granting.joined_groups(connection),
        granting.held_privileges(connection, login),
        may_all,
    )


def judged(login: str, roles: Iterable[Role], held: frozenset[Privilege], may_all: bool) -> Finding:
    """Judge a login that belongs to the groups of these roles and has the privileges `held`."""
    mine = sorted(roles)
    if may_all:
        return warning(
            CHECK,
            "owns the ledger: used for all roles, every role can do everything",
            "create a login for each role: see Database roles in deploy/README.md",
            login,
        )
    if not mine:
        return unreadable(login, "it is in no role's group")
    granted = frozenset[Privilege]().union(*map(needed_privileges, mine))
    if beyond := held - granted:
        return warning(
            CHECK,
            f"may do more than the {' and the '.join(mine)}: {_some(beyond)}",
            f"have an administrator REVOKE that from {login}",
            login,
        )
    if len(mine) > 1:
        return warning(
            CHECK,
            f"is one login for several roles: {', '.join(mine)}",
            "create a login for each role",
            login,
        )
    return ok(CHECK, f"has the privileges of the {mine[0]} and no more", login)


def unreadable(login: str, why: str) -> Finding:
    """Make the result for a login that may not read the ledger at all."""
    mend = f"`termijn ledger migrate`, and have an administrator GRANT the group of its role TO {login}"
    return error(CHECK, f"has no privilege to read the ledger: {why}", mend, login)


def not_readable(check: str) -> Finding:
    """Make the result for what the login may not read, which its role need not."""
    return skipped(check, "the database login has no privilege to read it, and its role needs none")


def _some(privileges: Iterable[Privilege]) -> str:
    """The first few, by table."""
    found = sorted(privileges)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(map(str, found[:_SHOWN])) + more
