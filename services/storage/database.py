"""A database on PostgreSQL or SQLite: connections, transactions, and the database's own clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.pool import StaticPool

from services.storage import array_dumpers, database_roles
from services.storage.database_roles import Role
from services.storage.files import create_private_file

T = TypeVar("T")
_RETRYABLE_SQLSTATES = frozenset({"40P01", "40001", "23505"})
"""Deadlock, serialisation failure, and a key that another transaction inserted first: the repeated
transaction sees that row."""
_INSUFFICIENT_PRIVILEGE = "42501"
_MAX_ATTEMPTS = 10
_RETRY_SECONDS = 0.01
_IDLE_IN_TRANSACTION = "60s"
_SQLITE_BUSY_SECONDS = 60


class Database:
    """A database on PostgreSQL or SQLite: a ledger, an inbox or a vault.

    Threads may share it. Close it when done.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.lost_connections = 0
        """How many connections turned out to be lost: the database may be another one since."""
        event.listen(engine, "invalidate", self._count_lost_connection)

    def _count_lost_connection(self, *_: object) -> None:
        self.lost_connections += 1

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite, which has one writer at a time."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a transaction that commits at the end of the block and rolls back on any error."""
        with self.engine.begin() as connection:
            yield connection

    def run_in_transaction(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction, and repeat it from the start after a conflict.

        `_RETRYABLE_SQLSTATES` are such conflicts. `work` must have no effect outside the transaction, since
        it may run several times.
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
    """Open a database at a SQLAlchemy URL (`postgresql+psycopg://…`, `sqlite:///file`, `sqlite://`).

    With a role, connections take on that database role if their login may (`database_roles.become_role`).
    With `secure_delete`, SQLite overwrites what is deleted.
    """
    if not url.startswith("sqlite"):
        engine = create_engine(
            url,
            pool_pre_ping=True,
            hide_parameters=True,  # errors end up in a log, and parameters name people
            connect_args={
                "options": "-c timezone=UTC"
                f" -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION}"
                # A cached plan from when a table was small would scan it when it is large.
                " -c plan_cache_mode=force_custom_plan"
            },
        )
        event.listen(engine, "connect", lambda driver, _: array_dumpers.register(driver))
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
    """Return an error as one line for a log, without any value that the database refused.

    Messages about the connection or a statement hold no row; messages about a row may quote it.
    """
    name = type(cause).__name__
    if not isinstance(cause, DBAPIError):
        return f"{name}: {cause}".partition("\n")[0]
    if isinstance(cause, InterfaceError | OperationalError | ProgrammingError):
        return f"{name}: {cause.orig}".partition("\n")[0]
    return describe_refusal(cause)


def describe_refusal(cause: DBAPIError) -> str:
    """Return an error of a database as its kind, code and constraint: no value of any row."""
    code = getattr(cause.orig, "sqlstate", None) or type(cause.orig).__name__
    constraint = getattr(getattr(cause.orig, "diag", None), "constraint_name", None)
    return f"{type(cause).__name__} {code}" + (f" by {constraint}" if constraint else "")


def lacks_privilege(cause: DBAPIError) -> bool:
    """Return whether PostgreSQL refused a statement because the database role lacks the privilege."""
    return getattr(cause.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE


def database_now(connection: Connection) -> datetime:
    """Return the time of the database's own clock, UTC, with which due times are compared."""
    if connection.dialect.name == "sqlite":
        microseconds = connection.execute(
            text("SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)")
        ).scalar_one()
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def _before_sqlite_connects(_: object, __: object, arguments: list[Any], ___: object) -> None:
    if arguments and arguments[0] != ":memory:" and not str(arguments[0]).startswith("file:"):
        with suppress(OSError):  # SQLite reports a file that cannot be created itself
            create_private_file(arguments[0])


def _on_sqlite_connect(connection: Any, _: object) -> None:
    connection.isolation_level = None  # `_on_sqlite_begin` begins transactions, not the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _overwrite_deleted(connection: Any, _: object) -> None:
    connection.execute("PRAGMA secure_delete=ON").close()


def _on_sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
