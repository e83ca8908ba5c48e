"""The doctor at the ledger: database, migrations, login, clock, active policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from services.ledger import active_policy, blind_spots, migrate
from services.operations.doctor.findings import Finding, error, ok, skipped, warning
from services.operations.doctor.logins import check_login, unreadable
from services.policy.model import Policy
from services.storage.database import Database, database_now

_MIGRATE = "`termijn ledger migrate`"


def check_ledger(
    ledger: Database, policy: Policy | None, now: Callable[[], datetime], tolerance: timedelta
) -> Iterator[Finding]:
    """Database, then what can only be seen where it answers; `now` is this machine's clock, UTC."""
    where = ledger.engine.url.render_as_string(hide_password=True)
    if ledger.is_sqlite and not _database_exists(ledger):
        yield error("database", "there is no ledger yet", _MIGRATE, where)
        return
    try:
        with ledger.transaction() as connection:
            off = now() - database_now(connection)
    except SQLAlchemyError as cause:
        yield error(
            "database",
            f"does not answer: {_first_line(cause)}",
            "start it, or mend TERMIJN_LEDGER_URL",
            where,
        )
        return
    yield ok("database", "answers", where)
    yield check_clock(off, tolerance)
    try:
        migrate.check_schema_version(ledger)
    except migrate.SchemaMismatch as cause:
        wanted = f"is at {cause.found or 'nothing'}, this version needs {cause.wanted}"
        yield error("migrations", wanted, _MIGRATE)
        return
    except ProgrammingError as cause:
        yield unreadable(ledger.engine.url.username or "", _first_line(cause))
        return
    yield ok("migrations", "the schema is this version's")
    with ledger.transaction() as connection:
        yield from check_login(connection)
    if policy is None:
        yield skipped("active policy", "there is no policy to compare with")
    else:
        for check, about in (
            (check_active_policy, "active policy"),
            (check_parked, "parked events"),
        ):
            try:
                yield check(ledger, policy)
            except ProgrammingError as cause:
                yield skipped(about, f"this login may not see it: {_first_line(cause)}")


def check_clock(off: timedelta, tolerance: timedelta) -> Finding:
    """How far this machine's clock is from the database's, which decides (ruling: database time)."""
    seconds = off.total_seconds()
    if abs(off) > tolerance:
        return error(
            "clock",
            f"this machine is {seconds:+.1f} s off the database: nothing would be commanded",
            "synchronise both by NTP (`timedatectl set-ntp true`)",
        )
    return ok("clock", f"{seconds:+.3f} s off the database")


def check_active_policy(ledger: Database, policy: Policy) -> Finding:
    """Whether the policy at hand is the one that the ledger's windows derive from."""
    with ledger.transaction() as connection:
        try:
            there = active_policy.is_active(connection, policy)
        except active_policy.PolicyMismatch as cause:
            return error(
                "active policy",
                f"the ledger's is {cause.active}, at hand is {cause.given}",
                "point TERMIJN_POLICY at the active one, or"
                " `termijn policy activate --operator NAME --reason TEXT`",
            )
    if not there:
        return warning(
            "active policy",
            "the ledger has none",
            "the first role that starts makes its own the active one",
        )
    return ok("active policy", f"{policy.policy} {policy.version}")


def check_parked(ledger: Database, policy: Policy) -> Finding:
    """Whether erasures wait for parked events that could forbid them: what is parked is not recorded."""
    with ledger.transaction() as connection:
        kept_back = blind_spots.reach(connection, policy)
    if kept_back:
        found = ", ".join(f"{count} {reach}" for reach, count in sorted(kept_back.items()))
        return error(
            "parked events",
            f"they keep erasures back ({found})",
            "`termijn dead-letters list`, then replay or discard them",
        )
    return ok("parked events", "none keeps an erasure back")


def _database_exists(ledger: Database) -> bool:
    """Whether the file is there: to connect would make it."""
    name = ledger.engine.url.database
    return not name or name == ":memory:" or Path(name).exists()


def _first_line(cause: SQLAlchemyError) -> str:
    return str(getattr(cause, "orig", None) or cause).partition("\n")[0]
