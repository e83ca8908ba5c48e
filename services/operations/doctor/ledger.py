"""Check the ledger: database, migrations, login, clock, active policy, parked events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from services.ledger import active_policy, blind_spots, schema_version
from services.operations.doctor.findings import Finding, error, ok, skipped, warning
from services.operations.doctor.logins import check_login, login_error, not_permitted
from services.policy.model import Policy
from services.storage.database import Database, database_now, describe_error

_MIGRATE = "`termijn ledger migrate`"


def check_ledger(
    ledger: Database, policy: Policy | None, now: Callable[[], datetime], tolerance: timedelta
) -> Iterator[Finding]:
    """Check the database, and all else if it responds; `now` is this machine's clock, UTC."""
    url = ledger.engine.url.render_as_string(hide_password=True)
    if ledger.is_sqlite and not _database_exists(ledger):
        yield error("database", "the ledger does not exist yet", _MIGRATE, url)
        return
    try:
        with ledger.transaction() as connection:
            offset = now() - database_now(connection)
    except SQLAlchemyError as cause:
        yield error(
            "database",
            f"does not respond: {describe_error(cause)}",
            "start it, or fix TERMIJN_LEDGER_URL",
            url,
        )
        return
    yield ok("database", "responds", url)
    yield check_clock(offset, tolerance)
    try:
        schema_version.check_schema_version(ledger)
    except schema_version.SchemaMismatch as cause:
        problem = (
            f"schema is at {cause.version or 'no revision'}, this version needs {cause.expected}"
        )
        yield error("migrations", problem, _MIGRATE)
        return
    except ProgrammingError as cause:
        yield login_error(ledger.engine.url.username or "", describe_error(cause))
        return
    yield ok("migrations", "the schema is up to date")
    with ledger.transaction() as connection:
        yield from check_login(connection)
    if policy is None:
        yield skipped("active policy", "no valid policy is configured")
    else:
        for check, subject in (
            (check_active_policy, "active policy"),
            (check_parked, "parked events"),
        ):
            try:
                yield check(ledger, policy)
            except (
                ProgrammingError
            ):  # the schema is up to date, so that only a privilege is missing
                yield not_permitted(subject)


def check_clock(offset: timedelta, tolerance: timedelta) -> Finding:
    """Check how far this machine's clock is from the database's, which decides (ruling: database time)."""
    seconds = offset.total_seconds()
    if abs(offset) > tolerance:
        return error(
            "clock",
            f"this machine is {seconds:+.1f} s off the database: the deleter would send no command",
            "synchronise both by NTP (`timedatectl set-ntp true`)",
        )
    return ok("clock", f"{seconds:+.3f} s off the database")


def check_active_policy(ledger: Database, policy: Policy) -> Finding:
    """Check whether the configured policy is the ledger's active one: the watch and publishers need it."""
    with ledger.transaction() as connection:
        try:
            is_active = active_policy.is_active(connection, policy)
        except active_policy.PolicyMismatch as cause:
            return warning(
                "active policy",
                f"the ledger has {cause.active}, with which its roles run, but {cause.configured} is"
                " configured",
                "set TERMIJN_POLICY to the active one, for the roles and commands without a ledger, or"
                " `termijn policy activate --operator NAME --reason TEXT`",
            )
    if not is_active:
        return warning(
            "active policy",
            "the ledger has none yet",
            "start a role: the first one activates its policy",
        )
    return ok("active policy", f"{policy.policy} {policy.version}")


def check_parked(ledger: Database, policy: Policy) -> Finding:
    """Check that no erasure waits for a parked event, which could forbid it and is not recorded."""
    with ledger.transaction() as connection:
        events_by_reach = blind_spots.count_by_reach(connection, policy)
    if events_by_reach:
        counts = ", ".join(f"{count} {reach}" for reach, count in sorted(events_by_reach.items()))
        return error(
            "parked events",
            f"hold erasures back ({counts})",
            "`termijn dead-letters list`, then replay or discard them",
        )
    return ok("parked events", "none holds an erasure back")


def _database_exists(ledger: Database) -> bool:
    """Whether the file exists; connecting would create it."""
    name = ledger.engine.url.database
    return not name or name == ":memory:" or Path(name).exists()
