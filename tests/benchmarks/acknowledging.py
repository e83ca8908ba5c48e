"""The cost of an acknowledgement, from its bytes to a settled command on PostgreSQL with fsync on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from schemas.topics import acknowledgement_topic
from services.crypto.signing import Headers, SignerProtocol
from services.deleter.acknowledgement import decode_acknowledgements
from services.deleter.settlement import AcknowledgementResult, apply_acknowledgements
from services.storage import offsets
from services.storage.database import Database, database_now
from services.storage.offsets import OffsetAdvance, PartitionId
from tests.benchmarks import deleter_driver
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, ResultsDiffer, lower
from tests.benchmarks.plain_sql import transaction_id
from tests.benchmarks.recording import AT, create_empty_ledger

_SYSTEM = "crm"
_TOPIC = acknowledgement_topic(_SYSTEM)
_LOG = PartitionId(cluster_id="benchmark", topic=_TOPIC.name, topic_id="benchmark", partition=0)
_BATCH = 2_000
_MESSAGE = 500
"""Commands, and acknowledgements, in one message."""
_Batch = Sequence[tuple[bytes, Headers]]
_QUICK = 6_000
_FULL = 40_000
_COMMANDS = """\
INSERT INTO command (command_id, wording_id, system, subject, names_subject, action, step, live, epoch,
    seq, due_at, created_at, state, attempt, next_attempt_at, first_sent_at, message_id, item)
SELECT lpad(to_hex(n), 32, '0')::uuid, 1, :system, 'visitor:' || n, true, 'erase', 'erase', false, 0,
    1, :at, :at, 'sent', 1, :at, :at, 1 + (n - 1) / :message, (n - 1) % :message
FROM generate_series(1, :count) n"""
_MESSAGES = """\
INSERT INTO message (message_id, system, action, at, first_attempts, commands)
SELECT message_id, min(system), min(action), min(created_at), count(*),
    string_agg(uuid_send(command_id), '' ORDER BY item)
FROM command GROUP BY message_id"""
_WRITTEN = {
    "acknowledgement": "SELECT * FROM acknowledgement",
    "command": "SELECT command_id, state, settled_at, next_attempt_at, outcome FROM command",
}


def acknowledging(stage: Stage) -> Iterator[Figure]:
    """Measure acknowledgements a second, against the same rows written bare."""
    yield measure_acknowledging(stage, answers=stage.size(_QUICK, _FULL), batch=_BATCH)


def measure_acknowledging(stage: Stage, *, answers: int, batch: int) -> Figure:
    """Return the figure for so many acknowledgements, each for a command of its own.

    Raises:
        ResultsDiffer: the two ways wrote different rows.
    """
    signer = deleter_driver.signer(stage, _SYSTEM)
    batches = [
        [
            _encode_acknowledgements(stage, numbers[first : first + _MESSAGE], signer)
            for first in range(0, len(numbers), _MESSAGE)
        ]
        for numbers in (
            range(start, min(start + batch, answers + 1)) for start in range(1, answers + 1, batch)
        )
    ]
    rows = _load_written_rows(stage, batches, answers)
    settled, bare = [], []
    for _ in range(stage.runs):
        with (
            closing(_create_sent_commands(stage, answers)) as ledger,
            closing(_create_sent_commands(stage, answers)) as other,
        ):
            settled.append(_measure_seconds(lambda: _settle(stage, ledger, batches)))
            bare.append(_measure_seconds(lambda: _write(other, rows)))
            if _load_results(ledger) != _load_results(other):
                raise ResultsDiffer("the settled commands differ")
    return Figure(
        name="acknowledgements",
        value=answers / median(settled),
        unit="answers/s: acknowledgements to settled commands; against the same rows written bare",
        baseline=answers / median(bare),
        reach=lower(40_000, subject="value"),
        runs=stage.runs,
    )


def _encode_acknowledgements(
    stage: Stage, numbers: Sequence[int], signer: SignerProtocol
) -> tuple[bytes, Headers]:
    acknowledgements = [
        {
            "command_id": str(UUID(int=number)),
            "attempt": 1,
            "status": "done",
            "counts": {"rows": 1},
            "ground": None,
            "detail": None,
            "at": AT,
        }
        for number in numbers
    ]
    batch = {
        "acknowledgement_id": f"a{numbers[0]}",
        "system": _SYSTEM,
        "acknowledgements": acknowledgements,
    }
    payload = stage.codec.encode(_TOPIC, batch, trusted=True)
    return payload, signer.sign(_TOPIC.name, None, payload, AT)


def _create_sent_commands(stage: Stage, count: int) -> Database:
    """Make a ledger whose commands are sent."""
    ledger = create_empty_ledger(stage)
    with ledger.transaction() as connection:
        values = {"system": _SYSTEM, "at": AT, "count": count, "message": _MESSAGE}
        connection.execute(text(_COMMANDS), values)
        connection.execute(text(_MESSAGES))
    return ledger


def _settle(stage: Stage, ledger: Database, batches: Sequence[_Batch]) -> None:
    for number, values in enumerate(batches):
        with ledger.transaction() as connection:
            _settle_batch(stage, connection, values, number)


def _settle_batch(stage: Stage, connection: Connection, values: _Batch, number: int) -> None:
    """Process a batch as the acknowledgements role does, in its order."""
    verifier = deleter_driver.verifier(stage, _SYSTEM)
    for value, signed in values:
        verifier.verify(_TOPIC.name, None, value, signed, AT)
    messages = [decode_acknowledgements(stage.codec, _TOPIC, _SYSTEM, value) for value, _ in values]
    advance = OffsetAdvance(log=_LOG, expected=number or None, next=number + 1)
    offsets.advance_offsets(connection, "acknowledgements", [advance])
    database_now(connection)
    results = apply_acknowledgements(connection, messages, stage.policy, AT)
    if not all(
        isinstance(result, AcknowledgementResult) for applied in results for result in applied
    ):
        raise RuntimeError("an answer was not taken")


def _load_written_rows(
    stage: Stage, batches: Sequence[_Batch], answers: int
) -> list[dict[str, bytes]]:
    """Return the rows that each batch writes, in the binary form of COPY."""
    rows_of_batches = []
    with closing(_create_sent_commands(stage, answers)) as ledger:
        for number, values in enumerate(batches):
            with ledger.transaction() as connection:
                _settle_batch(stage, connection, values, number)
                written_by = transaction_id(connection)
            with ledger.transaction() as connection, _cursor(connection) as cursor:
                rows_of_batches.append(
                    {
                        table: _copy_out(
                            cursor, f"{query} WHERE xmin = '{written_by}'::xid ORDER BY 1"
                        )
                        for table, query in _WRITTEN.items()
                    }
                )
    return rows_of_batches


def _write(ledger: Database, batches: Sequence[dict[str, bytes]]) -> None:
    for number, rows in enumerate(batches):
        advance = OffsetAdvance(log=_LOG, expected=number or None, next=number + 1)
        with ledger.transaction() as connection, _cursor(connection) as cursor:
            offsets.advance_offsets(connection, "acknowledgements", [advance])
            cursor.execute(
                "CREATE TEMPORARY TABLE IF NOT EXISTS staged ON COMMIT DELETE ROWS"
                f" AS {_WRITTEN['command']} LIMIT 0"
            )
            _copy_in(cursor, "staged", rows["command"])
            cursor.execute(
                "UPDATE command SET state = s.state, settled_at = s.settled_at,"
                " next_attempt_at = s.next_attempt_at, outcome = s.outcome"
                " FROM staged s WHERE command.command_id = s.command_id"
            )
            _copy_in(cursor, "acknowledgement", rows["acknowledgement"])


def _load_results(ledger: Database) -> list[list[tuple[Any, ...]]]:
    with ledger.transaction() as connection:
        return [
            [tuple(row) for row in connection.execute(text(f"{query} ORDER BY 1"))]
            for query in _WRITTEN.values()
        ]


def _cursor(connection: Connection) -> Any:
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


def _copy_out(cursor: Any, query: str) -> bytes:
    with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)") as copy:
        return b"".join(bytes(part) for part in copy)


def _copy_in(cursor: Any, table: str, rows: bytes) -> None:
    with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(rows)


def _measure_seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started
