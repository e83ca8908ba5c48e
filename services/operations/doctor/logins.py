"""The doctor at the ledger's login: what its role needs, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from services.ledger import granting
from services.ledger.grants import GRANTS, Privilege, needed
from services.operations.doctor.findings import Finding, error, ok, warning
from services.storage.database_roles import Role, group

CHECK = "database login"
_SHOWN = 3


def check_login(connection: Connection) -> Iterator[Finding]:
    """One line on each group that is missing or lacks something, and one on the login itself."""
    if connection.dialect.name == "sqlite":
        return
    login = granting.acting(connection)
    there = granting.groups(connection)
    for role in GRANTS:
        if role not in there:
            yield warning(
                "database roles",
                "is not there: every login may do what any role may",
                "`termijn ledger migrate`, or have a superuser run what `termijn ledger grants` prints",
                group(role),
            )
        elif lacks := needed(role) - granting.held(connection, group(role)):
            yield error(
                "database roles", f"lacks {_some(lacks)}", "`termijn ledger migrate`", group(role)
            )
    may_all = granting.is_owner(connection)
    yield judged(login, granting.joined(connection), granting.held(connection, login), may_all)


def judged(login: str, roles: Iterable[Role], held: frozenset[Privilege], may_all: bool) -> Finding:
    """What to say of a login that belongs to the groups of these roles and may do what is `held`."""
    mine = sorted(roles)
    if may_all:
        return warning(
            CHECK,
            "owns the ledger: if it is one login for all roles, whoever has it may do everything",
            "make a login for each role: see Database roles in deploy/README.md",
            login,
        )
    if not mine:
        return unreadable(login, "it belongs to no role")
    granted = frozenset[Privilege]().union(*map(needed, mine))
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
            "make a login for each role",
            login,
        )
    return ok(CHECK, f"may do what the {mine[0]} needs, and no more", login)


def unreadable(login: str, why: str) -> Finding:
    """What to say of a login that may not even see the ledger."""
    mend = f"`termijn ledger migrate`, and have an administrator GRANT the group of its role TO {login}"
    return error(CHECK, f"may not see the ledger: {why}", mend, login)


def _some(privileges: Iterable[Privilege]) -> str:
    """The first few, by table."""
    found = sorted(privileges)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(map(str, found[:_SHOWN])) + more
