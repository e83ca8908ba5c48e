"""The cost of the recorder: tagged messages to committed rows on PostgreSQL, fsync on.

The baseline runs the same statements with rows that PostgreSQL itself has encoded beforehand, in the
same batches and into tables with the same indexes: the cost that is left when nothing is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from statistics import median
from time import perf_counter

from sqlalchemy import Connection

from schemas.codec import Codec
from schemas.topics import TAGGED, business_topic
from services.events.ingestion import TaggedEventReader
from services.events.sample_events import sample_events
from services.events.tagged_message import TaggedEventBuilder
from services.kafka.record_metadata import RecordMetadata
from services.ledger import active_policy, migrate
from services.ledger.recording import record_events
from services.policy.model import Policy
from services.policy.plans import compile_policy
from services.storage import offsets
from services.storage.database import Database, database_now, open_database
from services.storage.offsets import OffsetAdvance, PartitionId
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, lower
from tests.benchmarks.plain_sql import PlainSqlWriter, Rows, transaction_id
from tests.benchmarks.recorder_role import recorder_cpu

AT = datetime(2026, 1, 1, tzinfo=UTC)
"""When everything is recorded: what is due by then is the same in every run."""
_BATCH = 2_000
"""Messages; as many as the role takes at once."""
_QUICK = 250
"""Companies; each makes some thirty events."""
_FULL = 1_500
_LOG = PartitionId(cluster_id="benchmark", topic=TAGGED.name, topic_id="benchmark", partition=0)


def recording(stage: Stage) -> Iterator[Figure]:
    """Measure events a second into the ledger, against its statements alone; bare COPY beside it."""
    companies = stage.size(_QUICK, _FULL)
    messages = tagged_messages(stage.policy, stage.codec, companies=companies)
    yield from measure_recording(stage, messages, batch=_BATCH)
    yield recorder_cpu(stage, companies=companies)


def measure_recording(stage: Stage, messages: Sequence[bytes], *, batch: int) -> Iterator[Figure]:
    """Return the figures for these messages.

    Raises:
        ResultsDiffer: the two ways wrote different rows.
    """
    batches = [messages[start : start + batch] for start in range(0, len(messages), batch)]
    rows = _load_written_rows(stage, batches)
    thought, bare, copied = [], [], []
    for _ in range(stage.runs):
        with (
            closing(create_empty_ledger(stage)) as ledger,
            closing(create_empty_ledger(stage)) as other,
        ):
            thought.append(_measure_seconds(lambda: _record_all(ledger, batches, stage)))
            writer = PlainSqlWriter(other)
            bare.append(_measure_seconds(lambda: writer.write_all(rows)))  # noqa: B023
            writer.check_equal(ledger)
        with closing(create_empty_ledger(stage)) as ledger:
            copier = PlainSqlWriter(ledger, indexed=False)
            copied.append(_measure_seconds(lambda: copier.copy_all(rows)))  # noqa: B023
    events = len(messages)
    yield Figure(
        name="recorder",
        value=events / median(thought),
        unit="events/s: tagged messages to committed rows; against the same statements alone",
        baseline=events / median(bare),
        reach=lower(0.35),
        runs=stage.runs,
    )
    yield Figure(
        name="recorder.copy",
        value=events / median(copied),
        unit="events/s: the same rows by COPY alone into tables without an index",
        runs=stage.runs,
    )


def tagged_messages(policy: Policy, codec: Codec, *, companies: int) -> Sequence[bytes]:
    """Return what the tagger would send for some companies' sample events, in order of time."""
    passing = TaggedEventBuilder(policy=policy, codec=codec)
    values = []
    for number, event in enumerate(sample_events(policy, AT, seed=1, companies=companies)):
        place = RecordMetadata(business_topic(event.type).name, 0, number)
        values.append(passing.build(event, place).value)
    return values


def record_batch(
    connection: Connection,
    messages: Sequence[bytes],
    arrivals: TaggedEventReader,
    advance: OffsetAdvance,
) -> None:
    """Process a batch as the recorder does, in its order."""
    taken = [arrivals.read_event(message) for message in messages]
    offsets.advance_offsets(connection, "recorder", [advance])
    database_now(connection)
    active_policy.require_active(connection, arrivals.compiled.policy, AT)
    recorded = record_events(connection, taken, arrivals.compiled.policy, AT)
    if recorded.new != len(messages):
        raise RuntimeError(f"{recorded.new} of {len(messages)} were new")


def _record_all(ledger: Database, batches: Sequence[Sequence[bytes]], stage: Stage) -> None:
    arrivals = TaggedEventReader(compiled=compile_policy(stage.policy), codec=stage.codec)
    for number, messages in enumerate(batches):
        with ledger.transaction() as connection:
            record_batch(connection, messages, arrivals, _advance(number))


def _load_written_rows(stage: Stage, batches: Sequence[Sequence[bytes]]) -> list[Rows]:
    """Return the rows that each batch writes, as PostgreSQL encodes them."""
    arrivals = TaggedEventReader(compiled=compile_policy(stage.policy), codec=stage.codec)
    rows_of_batches = []
    with closing(create_empty_ledger(stage)) as ledger:
        for number, messages in enumerate(batches):
            with ledger.transaction() as connection:
                record_batch(connection, messages, arrivals, _advance(number))
                written_by = transaction_id(connection)
            rows_of_batches.append(Rows.of(ledger, written_by))
    return rows_of_batches


def _advance(number: int) -> OffsetAdvance:
    return OffsetAdvance(log=_LOG, expected=number or None, next=number + 1)


def create_empty_ledger(stage: Stage) -> Database:
    """Make an empty ledger in a database of its own, fsync on, with the policy active."""
    ledger = open_database(stage.postgres().fresh_database())
    migrate.migrate(ledger)
    with ledger.transaction() as connection:
        active_policy.require_active(connection, stage.policy, AT)
    return ledger


def _measure_seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started
