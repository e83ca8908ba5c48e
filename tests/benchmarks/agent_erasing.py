"""The agent on a system's PostgreSQL, against the same deletions and re-readings alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import monotonic
from uuid import uuid4

from sqlalchemy import Connection, Engine, create_engine, text

from schemas import topics
from schemas.command_fields import split_commands
from services.agent import config
from services.agent.acknowledgement import AcknowledgementBuilder
from services.agent.acknowledgement_sender import AcknowledgementSender
from services.agent.adapters.factory import sql_adapter
from services.agent.command import parse_command
from services.agent.executor import CommandExecutor
from services.agent.inbox import Inbox, OutgoingAcknowledgement, ReceivedCommand
from services.agent.intake import take_commands
from services.agent.rate_limit import LimitedRetries, TokenBucket
from services.crypto.envelope import AeadCipher
from services.storage.database import Database, open_database
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, ResultsDiffer, lower

_EXAMPLE = Path(config.__file__).parent / "examples" / "crm"
_SYSTEM = "crm"
_MESSAGE = 500
"""Commands in one message, each of another person."""
_BATCH = 200
"""Commands in one transaction, and keys in one deletion."""
_QUICK, _FULL = 2_000, 20_000
_REACH = 0.4
_FILL = """\
INSERT INTO orders (id, order_no, customer_no, event_source, event_id, recipient, street, amount)
SELECT n, 'O' || n, 'C' || n, '/shop', 'e-O' || n, 'Sanne', 'Dam 1', 1 FROM generate_series(1, :rows) n"""
_KEYS = "FROM unnest(CAST(:keys AS text[])) AS key"


class _NoObserver:
    def heartbeat(self) -> None: ...
    def ready(self) -> None: ...
    def command_completed(self, action: str, status: str, after: timedelta) -> None: ...
    def attempt_failed(self, command_id: str, action: str, reason: str) -> None: ...
    def acknowledgements_sent(self, count: int) -> None: ...
    def send_failed(self, reason: str) -> None: ...


class _Joined:
    """Joins acknowledgements to messages, and sends them nowhere."""

    def __init__(self, answers: AcknowledgementBuilder) -> None:
        self._answers = answers

    def send(self, acknowledgements: Sequence[OutgoingAcknowledgement]) -> None:
        self._answers.join([answer.value for answer in acknowledgements])


def agent_erasing(stage: Stage) -> Iterator[Figure]:
    """Measure rows a second from a decoded message to acknowledgements that are ready to be sent."""
    rows = stage.size(_QUICK, _FULL)
    through_agent, alone = [], []
    for _ in range(stage.runs):
        with ExitStack() as stack:
            through_agent.append(rows / _erase_by_agent(stage, stack, rows))
        with ExitStack() as stack:
            alone.append(rows / _erase_alone(stage, stack, rows))
    yield Figure(
        name="agent.sql",
        value=median(through_agent),
        unit="rows/s, one a person; against the same deletions and re-readings alone",
        baseline=median(alone),
        reach=lower(_REACH),
        runs=stage.runs,
    )


def _erase_by_agent(stage: Stage, stack: ExitStack, rows: int) -> float:
    url = _create_system(stage, rows)
    database = stack.enter_context(closing(open_database(stage.postgres().fresh_database())))
    loaded = config.load(
        _EXAMPLE / "agent.yaml", {"CRM_DATABASE_URL": url, "CRM_PSEUDONYM_KEY": "a key"}
    )
    sql = loaded.configuration.adapter.sql
    assert sql is not None
    adapter = sql_adapter(loaded, sql, stack)
    answers = AcknowledgementBuilder(system=_SYSTEM, codec=stage.codec, max_bytes=900_000)
    inbox = Inbox(database, AeadCipher(bytes(32)), answers)
    inbox.create_tables()
    observer = _NoObserver()
    sender = AcknowledgementSender(
        inbox=inbox, publisher=_Joined(answers), observer=observer, now=_now
    )
    executor = CommandExecutor(
        inbox=inbox,
        adapter=adapter,
        sender=sender,
        observer=observer,
        bucket=TokenBucket(per_second=1e9, burst=10**9),
        retries=LimitedRetries(
            max_attempts=3, base=timedelta(seconds=1), cap=timedelta(seconds=60)
        ),
        decryption_keys=lambda _: (),
        now=_now,
        concurrency=1,
        batch_size=_BATCH,
    )
    messages = [
        _message(stage, range(first, min(first + _MESSAGE, rows + 1)))
        for first in range(1, rows + 1, _MESSAGE)
    ]
    started = monotonic()
    for message in messages:
        _take(stage, inbox, database, message)
        while executor.run_once():
            sender.send()
    spent = monotonic() - started
    _check_empty(adapter.engine)
    return spent


def _take(stage: Stage, inbox: Inbox, database: Database, message: bytes) -> None:
    topic = topics.command_topic(_SYSTEM)
    batch = stage.codec.decode(topic, message)
    arrivals = [
        ReceivedCommand(
            command=parse_command(fields),
            key=b"1",
            value=stage.codec.encode(topic, {**batch, "commands": [own]}, trusted=True),
        )
        for fields, own in zip(split_commands(batch), batch["commands"], strict=True)
    ]
    database.run_in_transaction(lambda c: take_commands(c, inbox, arrivals, _now()))


def _message(stage: Stage, numbers: range) -> bytes:
    at = _now()
    commands = [
        {
            "command_id": str(uuid4()),
            "subject": f"customer:C{number}",
            "records": [
                {
                    "source": "/shop",
                    "id": f"e-O{number}",
                    "type": "orders.order-placed",
                    "time": at,
                    "keys": {"order_id": f"O{number}"},
                }
            ],
            "epoch": 0,
            "seq": number,
            "attempt": 1,
        }
        for number in numbers
    ]
    batch = {
        "system": _SYSTEM,
        "action": "erase",
        **dict.fromkeys(("categories", "rules", "purposes"), ()),
        **dict.fromkeys(("policy_version", "article", "reason"), "-"),
        "valid_until": at + timedelta(days=7),
        "issued_at": at,
        "commands": commands,
    }
    return stage.codec.encode(topics.command_topic(_SYSTEM), batch, trusted=True)


def _erase_alone(stage: Stage, stack: ExitStack, rows: int) -> float:
    engine = create_engine(_create_system(stage, rows))
    stack.callback(engine.dispose)
    keys = [f"O{number}" for number in range(1, rows + 1)]
    started = monotonic()
    for first in range(0, rows, _BATCH):
        some = keys[first : first + _BATCH]
        with engine.begin() as connection:
            _delete(connection, some)
        with engine.connect() as connection:
            _read_again(connection, some)
    spent = monotonic() - started
    _check_empty(engine)
    return spent


def _delete(connection: Connection, keys: list[str]) -> None:
    for table in ("order_lines", "orders"):
        connection.execute(
            text(
                f"DELETE FROM {table} USING unnest(CAST(:keys AS text[])) AS key WHERE order_no = key"
            ),
            {"keys": keys},
        )


def _read_again(connection: Connection, keys: list[str]) -> None:
    slips = f"SELECT count(*) {_KEYS} JOIN packing_slips ON order_no = key"
    search = f"SELECT count(*) {_KEYS} JOIN order_search ON event_id = 'e-' || key"
    for query in (slips, search):
        connection.execute(text(query), {"keys": keys}).scalar_one()


def _create_system(stage: Stage, rows: int) -> str:
    url = stage.postgres().fresh_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in (_EXAMPLE / "schema.sql").read_text("utf-8").split(";"):
            if statement.strip():
                connection.execute(text(statement))
        connection.execute(text("CREATE INDEX order_event ON orders (event_source, event_id)"))
        connection.execute(text("CREATE INDEX line_order ON order_lines (order_no)"))
        connection.execute(text(_FILL), {"rows": rows})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    return url


def _check_empty(engine: Engine) -> None:
    with engine.connect() as connection:
        left = connection.execute(text("SELECT count(*) FROM orders")).scalar_one()
    if left:
        raise ResultsDiffer(f"{left} rows are left")


def _now() -> datetime:
    return datetime.now(UTC)
