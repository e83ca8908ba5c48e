"""Transient errors and poison messages are distinguished by the error's class, never by its text."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pytest
from confluent_kafka import KafkaError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, StatementError

from schemas.errors import EncodingFailed, MalformedEvent, RegistryUnavailable
from services.kafka.error_classification import (
    classify_error,
    describe_without_values,
    error_signature,
)
from services.kafka.errors import DeliveryFailed, KafkaAccessDenied, KafkaUnavailable
from services.storage.offsets import Fenced, PartitionId

CANARY = "canary-jansen"


def of_postgres(sqlstate: str) -> DBAPIError:
    """Return SQLAlchemy's error for an error of PostgreSQL."""
    orig = psycopg.errors.lookup(sqlstate)(CANARY)
    return DBAPIError("INSERT", None, orig)


def of_sqlite(name: str) -> DBAPIError:
    """Return SQLAlchemy's error for an error of SQLite."""
    orig: Any = sqlite3.OperationalError(CANARY)
    orig.sqlite_errorname = name
    return OperationalError("INSERT", None, orig)


@pytest.mark.parametrize(
    "sqlstate",
    [
        *("08000", "08006", "08P01"),  # connection
        *("25P03", "25006"),  # idle in transaction for too long; read only, after a failover
        *("40001", "40P01"),  # serialization, deadlock
        *("42P01", "42501"),  # no such table, no right to it: an operator's
        *("53100", "53200", "53300"),  # disk full, out of memory, too many connections
        *("55P03", "55006"),  # lock not available
        *("57P01", "57P02", "57P03", "57014"),  # shut down, crashed, starting, cancelled
        *("58030", "XX000"),  # input and output, internal
    ],
)
def test_an_unavailable_database_is_a_passing_error(sqlstate: str) -> None:
    assert classify_error(of_postgres(sqlstate)) == "passing"


@pytest.mark.parametrize(
    "sqlstate",
    ["22021", "22001", "22003", "22P05", "23502", "23505", "23514", "54000"],
)
def test_a_value_that_a_database_refuses_is_poison(sqlstate: str) -> None:
    """Wrongly encoded, too long, out of range, not unique, or too large for an index."""
    assert classify_error(of_postgres(sqlstate)) == "poison"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SQLITE_BUSY", "passing"),
        ("SQLITE_BUSY_SNAPSHOT", "passing"),
        ("SQLITE_LOCKED", "passing"),
        ("SQLITE_FULL", "passing"),
        ("SQLITE_IOERR_WRITE", "passing"),
        ("SQLITE_READONLY", "passing"),
        ("SQLITE_CANTOPEN", "passing"),
        ("SQLITE_ERROR", "passing"),
        ("SQLITE_CONSTRAINT_UNIQUE", "poison"),
        ("SQLITE_TOOBIG", "poison"),
        ("SQLITE_MISMATCH", "poison"),
        ("SQLITE_SOMETHING_NEW", "suspect"),
    ],
)
def test_errors_of_sqlite_are_classed_by_their_result_codes(name: str, expected: str) -> None:
    assert classify_error(of_sqlite(name)) == expected


def test_a_value_that_the_driver_refuses_is_poison() -> None:
    """psycopg gives no code for a null character."""
    refused = psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    assert classify_error(DataError("INSERT", None, refused)) == "poison"
    assert classify_error(IntegrityError("INSERT", None, sqlite3.IntegrityError())) == "poison"


def test_a_lost_connection_is_a_passing_error_whatever_its_text() -> None:
    lost = psycopg.OperationalError("server closed the connection unexpectedly")
    assert classify_error(OperationalError("SELECT", None, lost)) == "passing"
    broken = IntegrityError("INSERT", None, psycopg.IntegrityError(), connection_invalidated=True)
    assert classify_error(broken) == "passing"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, "poison"),
        (KafkaError.RECORD_LIST_TOO_LARGE, "poison"),
        (KafkaError.INVALID_RECORD, "poison"),
        (KafkaError.INVALID_TIMESTAMP, "poison"),
        (KafkaError._MSG_TIMED_OUT, "passing"),
        (KafkaError._TIMED_OUT, "passing"),
        (KafkaError._QUEUE_FULL, "passing"),
        (KafkaError._TRANSPORT, "passing"),
        (KafkaError._PURGE_QUEUE, "passing"),
        (KafkaError._FATAL, "passing"),
        (KafkaError.NOT_LEADER_FOR_PARTITION, "passing"),
        (KafkaError.NOT_ENOUGH_REPLICAS, "passing"),
        (KafkaError.REQUEST_TIMED_OUT, "passing"),
        (KafkaError.THROTTLING_QUOTA_EXCEEDED, "passing"),
        (KafkaError.KAFKA_STORAGE_ERROR, "passing"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "passing"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "passing"),
        (KafkaError.POLICY_VIOLATION, "suspect"),
        (KafkaError.UNKNOWN, "suspect"),
        (None, "passing"),
    ],
)
def test_errors_of_kafka_are_classed_by_their_codes(code: int | None, expected: str) -> None:
    assert classify_error(DeliveryFailed("t", "it said", code)) == expected


def test_errors_are_passing_fatal_poison_or_suspect() -> None:
    """A fault of Termijn itself that only some value causes is suspect."""
    log = PartitionId(cluster_id="c", topic="t", topic_id="i", partition=0)
    assert classify_error(KafkaUnavailable("look", "no")) == "passing"
    assert classify_error(RegistryUnavailable(request="id", why="no")) == "passing"
    assert classify_error(Fenced("recorder", log)) == "fatal"
    assert classify_error(KafkaAccessDenied("read", "no")) == "fatal"
    assert classify_error(MemoryError()) == "fatal"
    assert classify_error(OSError(28, "no space left")) == "fatal"
    assert classify_error(EncodingFailed(schema="s", key="k", why="no")) == "poison"
    assert classify_error(MalformedEvent(key="id", why="no")) == "poison"
    assert classify_error(ValueError(CANARY)) == "suspect"
    assert classify_error(StatementError("naive", "INSERT", None, ValueError(CANARY))) == "suspect"
    assert classify_error(KeyboardInterrupt()) == "fatal"


def test_failures_are_compared_by_their_class_and_never_quoted() -> None:
    """Their texts may differ from try to try, and may name a person."""
    assert error_signature(of_postgres("54000")) == error_signature(of_postgres("54000"))
    assert error_signature(of_postgres("54000")) != error_signature(of_postgres("22021"))
    assert error_signature(DeliveryFailed("t", "a", 10)) != error_signature(
        DeliveryFailed("t", "a", 18)
    )
    assert CANARY not in describe_without_values(of_postgres("54000")) + describe_without_values(
        ValueError(CANARY)
    )
    assert CANARY not in "".join(
        (*error_signature(of_postgres("22021")), *error_signature(ValueError(CANARY)))
    )
