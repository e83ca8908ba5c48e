"""Check the ledger's login: it has the privileges of its role and no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from services.ledger import granting
from services.ledger.grants import GRANTS, Privilege, needed_privileges
from services.operations.doctor.findings import Finding, error, ok, skipped, warning
from services.storage.database_roles import Role, group_name

CHECK = "database login"
_MAX_LISTED = 3


def check_login(connection: Connection) -> Iterator[Finding]:
    """Check each group of privileges, and the login itself."""
    if connection.dialect.name == "sqlite":
        return
    login = granting.current_role(connection)
    groups = granting.existing_groups(connection)
    for role in GRANTS:
        if role not in groups:
            yield warning(
                "database roles",
                "does not exist: every login may do what any role may",
                "`termijn ledger migrate`, or have a superuser run what `termijn ledger grants` prints",
                group_name(role),
            )
        elif missing_privileges := needed_privileges(role) - granting.held_privileges(
            connection, group_name(role)
        ):
            yield error(
                "database roles",
                f"has no privilege for {_list_first(missing_privileges)}",
                "`termijn ledger migrate`",
                group_name(role),
            )
    may_all = granting.is_owner(connection)
    yield check_privileges(
        login,
        granting.joined_groups(connection),
        granting.held_privileges(connection, login),
        may_all,
    )


def check_privileges(
    login: str, roles: Iterable[Role], privileges: frozenset[Privilege], may_all: bool
) -> Finding:
    """Check a login that belongs to the groups of these roles and has these `privileges`."""
    own_roles = sorted(roles)
    if may_all:
        return warning(
            CHECK,
            "owns the ledger: used for all roles, every role can do everything",
            "create a login for each role: see Database roles in deploy/README.md",
            login,
        )
    if not own_roles:
        return login_error(login, "it is in no role's group")
    granted = frozenset[Privilege]().union(*map(needed_privileges, own_roles))
    if beyond := privileges - granted:
        return warning(
            CHECK,
            f"may do more than the {' and the '.join(own_roles)}: {_list_first(beyond)}",
            f"have an administrator REVOKE that from {login}",
            login,
        )
    if len(own_roles) > 1:
        return warning(
            CHECK,
            f"is one login for several roles: {', '.join(own_roles)}",
            "create a login for each role",
            login,
        )
    return ok(CHECK, f"has the privileges of the {own_roles[0]} and no more", login)


def login_error(login: str, reason: str) -> Finding:
    """Return the result for a login that may not read the ledger at all."""
    fix = f"`termijn ledger migrate`, and have an administrator GRANT the group of its role TO {login}"
    return error(CHECK, f"has no privilege to read the ledger: {reason}", fix, login)


def not_permitted(check: str) -> Finding:
    """Return the result for what the login may not read and its role does not need."""
    return skipped(check, "the database login has no privilege to read it, and its role needs none")


def _list_first(privileges: Iterable[Privilege]) -> str:
    """Return the first few privileges as text, ordered by table."""
    ordered = sorted(privileges)
    remainder = f" and {len(ordered) - _MAX_LISTED} more" if len(ordered) > _MAX_LISTED else ""
    return ", ".join(map(str, ordered[:_MAX_LISTED])) + remainder
