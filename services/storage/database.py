"""The ledger's database: connections, transactions, and the database's own clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.pool import StaticPool

from services.storage import database_roles
from services.storage.database_roles import Role
from services.storage.files import create_private_file

T = TypeVar("T")
_RETRYABLE_SQLSTATES = frozenset({"40P01", "40001", "23505"})
"""Deadlock, serialisation failure, and a key that another transaction inserted first: the second look
finds it there."""
_INSUFFICIENT_PRIVILEGE = "42501"
_MAX_ATTEMPTS = 10
_RETRY_SECONDS = 0.01
_IDLE_IN_TRANSACTION = "60s"
_SQLITE_BUSY_SECONDS = 60


class Database:
    """A ledger on PostgreSQL or SQLite. Close it when done; it may be shared by threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        """Whether one writer at a time is all there can be."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that commits at the end and rolls back on any error."""
        with self.engine.begin() as connection:
            yield connection

    def run_in_transaction(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one transaction, again from the start when the database asks for that.

        The errors of `_RETRYABLE_SQLSTATES` repeat the whole; `work` must therefore have no effect
        outside the transaction.
        """
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                with self.transaction() as connection:
                    return work(connection)
            except DBAPIError as cause:
                if (
                    attempt == _MAX_ATTEMPTS
                    or getattr(cause.orig, "sqlstate", None) not in _RETRYABLE_SQLSTATES
                ):
                    raise
                sleep(_RETRY_SECONDS * attempt)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(url: str, role: Role | None = None, *, secure_delete: bool = False) -> Database:
    """Open the ledger at a SQLAlchemy URL (`postgresql+psycopg://…`, `sqlite:///file`, `sqlite://`).

    With a role each connection is no more than that, where its login may become it: `database_roles.enter`.
    """
    if not url.startswith("sqlite"):
        engine = create_engine(
            url,
            pool_pre_ping=True,
            hide_parameters=True,  # an error ends up in a log, and they name people
            connect_args={
                "options": "-c timezone=UTC"
                f" -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION}"
                # A plan that was kept from when a table was small would scan it when it is large.
                " -c plan_cache_mode=force_custom_plan"
            },
        )
        if role is not None:
            event.listen(
                engine, "connect", lambda driver, _: database_roles.become_role(driver, role)
            )
        return Database(engine)
    in_memory = url in {"sqlite://", "sqlite:///:memory:"}
    options: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {}
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": _SQLITE_BUSY_SECONDS},
        **options,
    )
    event.listen(engine, "do_connect", _before_sqlite_connects)
    event.listen(engine, "connect", _on_sqlite_connect)
    if secure_delete:
        event.listen(engine, "connect", _overwrite_deleted)
    event.listen(engine, "begin", _on_sqlite_begin)
    return Database(engine)


def describe_error(cause: Exception) -> str:
    """What went wrong, one line for a log: of a database's refusal never the value that it refused.

    What it says of itself or of a statement holds no row; what it says of a row may quote it.
    """
    name = type(cause).__name__
    if not isinstance(cause, DBAPIError):
        return f"{name}: {cause}".partition("\n")[0]
    if isinstance(cause, InterfaceError | OperationalError | ProgrammingError):
        return f"{name}: {cause.orig}".partition("\n")[0]
    code = getattr(cause.orig, "sqlstate", None) or type(cause.orig).__name__
    constraint = getattr(getattr(cause.orig, "diag", None), "constraint_name", None)
    return f"{name} {code}" + (f" by {constraint}" if constraint else "")


def lacks_privilege(cause: DBAPIError) -> bool:
    """Whether PostgreSQL refused a statement because the role may not do that."""
    return getattr(cause.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE


def database_now(connection: Connection) -> datetime:
    """The database's own clock, UTC: what claims compare with."""
    if connection.dialect.name == "sqlite":
        microseconds = connection.execute(
            text("SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)")
        ).scalar_one()
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def _before_sqlite_connects(_: object, __: object, arguments: list[Any], ___: object) -> None:
    if arguments and arguments[0] != ":memory:" and not str(arguments[0]).startswith("file:"):
        with suppress(OSError):  # what cannot be made is told by SQLite, in words of its own
            create_private_file(arguments[0])


def _on_sqlite_connect(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin below, not where the driver guesses
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _overwrite_deleted(connection: Any, _: object) -> None:
    connection.execute("PRAGMA secure_delete=ON").close()


def _on_sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
