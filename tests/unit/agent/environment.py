"""An agent whose clock, system and Kafka are made up by the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from confluent_kafka import KafkaError

from schemas.codec import Codec
from schemas.schema_files import load
from services.agent.acknowledgement import AcknowledgementBuilder
from services.agent.acknowledgement_sender import AcknowledgementSender
from services.agent.adapters.base import Adapter, CommandTask
from services.agent.command import Command, CommandRecord
from services.agent.executor import CommandExecutor
from services.agent.inbox import Inbox, OutgoingAcknowledgement, ReceivedCommand
from services.agent.intake import take_commands
from services.agent.rate_limit import LimitedRetries, TokenBucket
from services.agent.result import Pending, Result
from services.crypto.envelope import AeadCipher
from services.kafka.errors import DeliveryFailed
from services.storage.database import Database, open_database
from tests.batches import decode_acknowledgements, encode_commands

CODEC = Codec(load())
T0 = datetime(2026, 3, 15, 13, tzinfo=UTC)
SEAL = AeadCipher(bytes(32))


def command_id(name: str) -> str:
    """The id of a command by a short name."""
    return str(uuid5(UUID(int=0), name))


def command(name: str = "c1", **further: Any) -> Command:
    """A command to erase one order of customer C1."""
    fields: dict[str, Any] = {
        "command_id": command_id(name),
        "system": "crm",
        "subject": "customer:C1",
        "action": "erase",
        "records": (record("O1"),),
        "valid_until": T0 + timedelta(days=7),
        "epoch": 0,
        "seq": 1,
        "attempt": 1,
        "issued_at": T0,
    }
    if "supersedes" in further:
        further["supersedes"] = command_id(further["supersedes"])
    return Command(**{**fields, **further})


def record(order: str, **keys: str) -> CommandRecord:
    """The record of one order."""
    return CommandRecord(
        source="/shop",
        id=f"e-{order}",
        type="orders.order-placed",
        keys={"order_id": order, **keys},
        time=T0 - timedelta(days=30),
    )


def encoded(command: Command) -> bytes:
    """A command as it is on the bus."""
    fields = {name: getattr(command, name) for name in command.__dataclass_fields__}
    fields["records"] = [
        {name: getattr(record, name) for name in record.__dataclass_fields__}
        for record in command.records
    ]
    for name in ("categories", "rules", "purposes"):
        fields[name] = list(fields[name])
    return encode_commands(CODEC, fields)


@dataclass(slots=True)
class FakeAdapter:
    """An adapter that returns what a test sets, and keeps the tasks it got."""

    play: Callable[[CommandTask], Result | Pending] = lambda task: Result(
        status="done", counts={"orders": 1}
    )
    tasks: list[CommandTask] = field(default_factory=list)

    def execute(self, task: CommandTask) -> Result | Pending:
        self.tasks.append(task)
        return self.play(task)

    @property
    def done(self) -> list[str]:
        """The ids of the commands that it was asked to carry out."""
        return [task.command.command_id for task in self.tasks]


@dataclass(slots=True)
class RecordingObserver:
    """Observer and Kafka producer in one: keeps what is reported and what is sent."""

    sent_: list[OutgoingAcknowledgement] = field(default_factory=list)
    reports: list[tuple[Any, ...]] = field(default_factory=list)
    broken: list[Exception] = field(default_factory=list)
    most: int = 2**63
    """Bytes that the broker takes of one message."""

    def send(self, answers: Sequence[OutgoingAcknowledgement]) -> None:
        if self.broken:
            raise self.broken.pop()
        if any(len(answer.value) + len(answer.key or b"") > self.most for answer in answers):
            raise DeliveryFailed(
                "retention.acks.crm.v1", "too large", KafkaError.MSG_SIZE_TOO_LARGE
            )
        self.sent_ += answers

    def heartbeat(self) -> None: ...

    def ready(self) -> None: ...

    def command_completed(self, action: str, status: str, after: timedelta) -> None:
        self.reports.append((action, status))

    def attempt_failed(self, command_id: str, action: str, why: str) -> None:
        self.reports.append(("tried", action, why))

    def acknowledgements_sent(self, answers: int) -> None: ...

    def send_failed(self, why: str) -> None:
        self.reports.append(("unsent", why))


@dataclass(slots=True, kw_only=True)
class AgentEnvironment:
    """An agent whose clock only moves when a test moves it."""

    adapter: Adapter
    ledger: Database = field(default_factory=lambda: open_database("sqlite://"))
    observer: RecordingObserver = field(default_factory=RecordingObserver)
    now: datetime = T0
    bucket: TokenBucket = field(default_factory=lambda: TokenBucket(per_second=1e9, burst=10**6))
    tries: int = 3
    largest: int = 900_000
    keys: Sequence[str] = ()
    inbox: Inbox = field(init=False)
    sender: AcknowledgementSender = field(init=False)
    executor: CommandExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the agent, for the first time or after a crash that left only the inbox."""
        answers = AcknowledgementBuilder(system="crm", codec=CODEC, max_bytes=self.largest)
        self.inbox = Inbox(self.ledger, SEAL, answers)
        self.inbox.create_tables()
        self.sender = AcknowledgementSender(
            inbox=self.inbox, publisher=self.observer, observer=self.observer, now=lambda: self.now
        )
        self.executor = CommandExecutor(
            inbox=self.inbox,
            adapter=self.adapter,
            sender=self.sender,
            observer=self.observer,
            bucket=self.bucket,
            retries=LimitedRetries(
                max_attempts=self.tries, base=timedelta(seconds=1), cap=timedelta(seconds=60)
            ),
            decryption_keys=lambda now: self.keys,
            now=lambda: self.now,
            concurrency=4,
        )

    def arrive(self, *commands: Command) -> list[str]:
        """Deliver commands in this order; return the result of each."""
        arrivals = [
            ReceivedCommand(
                command=command,
                key=(command.subject or command.records[0].id).encode(),
                value=encoded(command),
            )
            for command in commands
        ]
        with self.ledger.transaction() as connection:
            return list(take_commands(connection, self.inbox, arrivals, self.now))

    def execute(self, seconds: float = 0) -> list[str]:
        """Carry out all that may be carried out, later; the statuses that went out."""
        self.now += timedelta(seconds=seconds)
        before = len(self.observer.sent_)
        while self.executor.run_once():
            pass
        self.sender.send()
        return [answer["status"] for answer in self.answers()[before:]]

    def execute_all(self, *commands: Command) -> list[str]:
        """Deliver commands and carry them out; return the statuses that were sent."""
        self.arrive(*commands)
        return self.execute()

    def answers(self) -> list[dict[str, Any]]:
        """Return every acknowledgement that was sent."""
        return [
            answer
            for message in self.observer.sent_
            for answer in decode_acknowledgements(CODEC, "crm", message.value)
        ]
