"""Handlers and observers that store what they get, and threads that run the real consumer loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock, Thread

from confluent_kafka import Message, Producer
from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, Text, select

from consumers.batch_application import BatchHandler
from consumers.consumer_loop import ConsumerLoop
from services.kafka.client import KafkaClient
from services.ledger import tables
from services.storage import offsets, pause
from services.storage.database import Database
from services.storage.gaps import OffsetGap, accept_gap
from services.storage.offsets import OffsetAdvance
from tests.patience import Patience
from tests.servers.kafka import KafkaCluster

ROLE = "recorder"
TOPIC = "retention.tagged.v1"
PATIENCE_SECONDS = 120.0

seen = Table(
    "seen",
    MetaData(),
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
)
"""What the work wrote; nothing of it is unique, so that what counts twice shows."""


class Crash(BaseException):
    """The end of a process, as far as a thread can imitate it."""


@dataclass(slots=True, kw_only=True)
class StoringHandler:
    """The smallest handler: it writes a row for each message, in one transaction with the positions."""

    ledger: Database
    before: Callable[[], None] = lambda: None
    """Called before each transaction."""
    before_commit: Callable[[], None] = lambda: None
    """Called inside each transaction, when everything is written."""

    def handle(self, messages: Sequence[Message], advances: Sequence[OffsetAdvance]) -> None:
        self.before()

        def write(connection: Connection) -> None:
            offsets.advance_offsets(connection, ROLE, advances)
            for message in messages:
                row = {
                    "topic": message.topic(),
                    "partition": message.partition(),
                    "offset": message.offset(),
                }
                connection.execute(seen.insert(), [row])
            self.before_commit()

        self.ledger.run_in_transaction(write)

    def park(self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]) -> None:
        raise AssertionError("nothing here is to be parked") from cause


def once(error: BaseException) -> Callable[[], None]:
    """Return a function that raises the error at its first call only."""
    errors = [error]

    def happen() -> None:
        if errors:
            raise errors.pop()

    return happen


@dataclass(slots=True)
class RecordingObserver:
    """An observer that keeps everything that is reported to it."""

    again: list[str] = field(default_factory=list)
    gaps: list[OffsetGap] = field(default_factory=list)
    lags: dict[tuple[str, int], int] = field(default_factory=dict)

    def heartbeat(self) -> None:
        pass

    def ready(self) -> None:
        pass

    def batch_applied(self, messages: int, seconds: float) -> None:
        pass

    def lag_measured(self, topic: str, partition: int, messages: int) -> None:
        self.lags[topic, partition] = messages

    def batch_retried(self, why: str) -> None:
        self.again.append(why)

    def gap_found(self, gap: OffsetGap) -> None:
        self.gaps.append(gap)


@dataclass(slots=True, kw_only=True)
class RunningLoop:
    """A consumer loop in a thread of its own."""

    observer: RecordingObserver
    stop: Event
    thread: Thread
    ended: list[BaseException]

    def end(self) -> BaseException | None:
        """Wait until the loop has ended on its own, and return its error."""
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive(), f"still running; {self.observer.again}"
        return self.ended[0] if self.ended else None


_STARTING = Lock()


@contextmanager
def running(
    kafka: KafkaCluster,
    ledger: Database,
    work: BatchHandler,
    *,
    role: str = ROLE,
    topics: Sequence[str] = (TOPIC,),
    group: str = "g",
) -> Iterator[RunningLoop]:
    """Run the loop until the block ends or the loop stops; an unexpected error fails the test."""
    observer, stop = RecordingObserver(), Event()
    pipeline = ConsumerLoop(
        role=role,
        bus=KafkaClient(kafka.bootstrap),
        ledger=ledger,
        topics=topics,
        group=group,
        handler=work,
        observer=observer,
        now=lambda: datetime.now(UTC),
        batch_size=100,
        batch_seconds=0.05,
    )
    ended: list[BaseException] = []

    def run() -> None:
        try:
            pipeline.run(stop)
        except BaseException as error:
            ended.append(error)

    loop = RunningLoop(observer=observer, stop=stop, thread=Thread(target=run), ended=ended)
    with _STARTING:
        loop.thread.start()
    try:
        yield loop
    finally:
        stop.set()
        loop.thread.join(PATIENCE_SECONDS)
        assert not loop.thread.is_alive()


def publish(kafka: KafkaCluster, count: int, *, partition: int = 0, topic: str = TOPIC) -> None:
    """Append that many messages to a partition."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for _ in range(count):
        producer.produce(topic, value=b"x", partition=partition)
        producer.poll(0)
    assert producer.flush(PATIENCE_SECONDS) == 0


def stored_offsets(ledger: Database, partition: int = 0) -> list[int]:
    """Return the offsets of a partition that were committed, in the order in which they were written."""
    query = select(seen.c.offset).where(seen.c.partition == partition).order_by(seen.c.number)
    with ledger.transaction() as connection:
        return list(connection.execute(query).scalars())


def position(ledger: Database, partition: int = 0, role: str = ROLE, topic: str = TOPIC) -> int:
    """Return a role's position, or -1 where it has none."""
    column = tables.position.c
    query = select(column.next).where(
        column.role == role, column.topic == topic, column.partition == partition
    )
    with ledger.transaction() as connection:
        rows = list(connection.execute(query).scalars())
    return max(rows, default=-1)


def until(condition: Callable[[], bool], otherwise: str = "it did not come to it") -> None:
    """Wait until the roles have made a condition true."""
    patience = Patience(PATIENCE_SECONDS)
    while not condition():
        assert not patience.is_over, otherwise
        time.sleep(0.02)


def accept(ledger: Database, partition: int = 0, role: str = ROLE, topic: str = TOPIC) -> int:
    """Accept a gap as `termijn gaps accept` does."""
    place = (role, topic, partition)
    at = datetime(2026, 3, 15, 13, tzinfo=UTC)
    with ledger.transaction() as connection:
        return accept_gap(connection, place, operator="Anna", reason="a test", now=at)


def set_pause(ledger: Database, state: pause.State, scope: str = ROLE) -> None:
    """Pause or resume a role as `termijn pause` and `termijn resume` do."""
    at = datetime(2026, 3, 15, 13, tzinfo=UTC)
    with ledger.transaction() as connection:
        pause.set_pause_state(connection, scope, state, operator="Anna", reason="a test", now=at)
