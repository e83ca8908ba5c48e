"""Classification of errors: temporary ones, and those that a message causes again at every attempt.

An unavailable service is not a message's fault: the caller logs it, waits and retries without limit. What a
database or a broker refuses because of its content, it refuses at every attempt (`poison`). An error in
neither table is retried at first, and counts as the message's fault once it has repeated the same way a few
times (`suspect`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from confluent_kafka import KafkaError, KafkaException
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    StatementError,
)

from schemas.errors import (
    DecodingFailed,
    EncodingFailed,
    MalformedEvent,
    RegistryUnavailable,
    TermijnError,
)
from services.crypto.envelope import DecryptionKeyMissing
from services.kafka.errors import DeliveryFailed, KafkaUnavailable
from services.storage.database import describe_error

RETRYABLE_ERRORS: Final = (KafkaUnavailable, DeliveryFailed, RegistryUnavailable, DBAPIError)
"""Errors after which a role goes on: Kafka, the registry or the ledger is unavailable, or has refused a
request. Nothing was lost, and nothing was done by halves."""

Verdict = Literal["passing", "poison", "suspect", "fatal"]

_PASSING_STATES: Final = {
    "08": "connection",
    "0A": "feature not supported: an older server",
    "25": "transaction state, the limit on idle transactions among it",
    "28": "login",
    "2D": "transaction termination",
    "3D": "no such database",
    "3F": "no such schema",
    "40": "serialization, deadlock",
    "42": "a missing table or right: an operator's, whatever the message",
    "53": "disk full, out of memory, too many connections",
    "55": "object in use, lock not available",
    "57": "shutdown, cancelled, crashed",
    "58": "input and output",
    "F0": "configuration file",
    "XX": "internal error, corrupted data",
}
_POISON_STATES: Final = {
    "21": "cardinality",
    "22": "data: too long, out of range, not in the encoding",
    "23": "constraint",
    "44": "check option",
    "54": "program limit: an index row that is too large",
}
_PASSING_SQLITE: Final = frozenset(
    {
        *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN"),
        *("SQLITE_READONLY", "SQLITE_NOMEM", "SQLITE_PROTOCOL", "SQLITE_INTERRUPT", "SQLITE_ERROR"),
        *("SQLITE_PERM", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_SCHEMA", "SQLITE_AUTH"),
    }
)
_POISON_SQLITE: Final = frozenset(
    {"SQLITE_CONSTRAINT", "SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_RANGE"}
)
_POISON_CODES: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
    }
)
_SUSPECT_CODES: Final = frozenset(
    {
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_REQUEST,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNKNOWN,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaError._BAD_MSG,
        KafkaError._FAIL,
        KafkaError._INVALID_ARG,
        KafkaError._INVALID_TYPE,
    }
)
"""All other codes are about the cluster, and temporary."""


_BY_CLASS: Final[Sequence[tuple[tuple[type[BaseException], ...], Verdict]]] = (
    ((KafkaUnavailable, RegistryUnavailable, KafkaException), "passing"),
    ((MalformedEvent, DecodingFailed, EncodingFailed, DecryptionKeyMissing), "poison"),
    ((TermijnError, OSError, MemoryError), "fatal"),
    ((Exception,), "suspect"),  # a fault in Termijn that some value has triggered
)


def classify_error(cause: BaseException) -> Verdict:
    """Return the class of an error: `passing`, `poison`, `suspect`, or `fatal`, which ends the role."""
    if isinstance(cause, StatementError):
        return _classify_database_error(cause)
    if isinstance(cause, DeliveryFailed):
        return _classify_broker_error(cause.code)
    for classes, verdict in _BY_CLASS:
        if isinstance(cause, classes):
            return verdict
    return "fatal"


def error_signature(cause: BaseException) -> tuple[str, ...]:
    """Return what identifies failures of the same kind, without any value of a message."""
    parts = [type(cause).__name__]
    if isinstance(cause, DeliveryFailed):
        parts.append(str(cause.code))
    if isinstance(cause, StatementError):
        parts += [type(cause.orig).__name__, _result_code(cause) or ""]
    return tuple(parts)


def describe_without_values(cause: BaseException) -> str:
    """Describe an error in one line for a log or a dead letter, without any value of a message."""
    if isinstance(cause, DBAPIError | TermijnError):
        return describe_error(cause)
    return type(cause).__name__  # its message may quote a value


def _classify_broker_error(code: int | None) -> Verdict:
    if code in _POISON_CODES:
        return "poison"
    return "suspect" if code in _SUSPECT_CODES else "passing"


def _classify_database_error(cause: StatementError) -> Verdict:
    if isinstance(cause, DBAPIError) and cause.connection_invalidated:
        return "passing"
    state = _result_code(cause)
    if state is not None:
        kind = state[:2]
        if kind in _PASSING_STATES or state in _PASSING_SQLITE:
            return "passing"
        if kind in _POISON_STATES or state in _POISON_SQLITE:
            return "poison"
        return "suspect"
    if isinstance(cause, DataError | IntegrityError):
        return "poison"  # refused by the driver: a null character
    is_unreachable = isinstance(cause, OperationalError | InterfaceError) and cause.orig is not None
    return "passing" if is_unreachable else "suspect"


def _result_code(cause: StatementError) -> str | None:
    """Return PostgreSQL's SQLSTATE, or the name of SQLite's primary result code."""
    state = getattr(cause.orig, "sqlstate", None)
    if state is not None:
        return str(state)
    name = getattr(cause.orig, "sqlite_errorname", None)
    return None if name is None else "_".join(str(name).split("_")[:2])
