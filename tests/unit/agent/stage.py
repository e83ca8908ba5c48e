"""One agent with everything around it made up: time, system, bus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from confluent_kafka import KafkaError

from schemas import topics
from schemas.codec import Codec, load
from services.agent.acknowledgement import Answers
from services.agent.adapters.base import Adapter, Task
from services.agent.command import Command, Record
from services.agent.executor import Obeying
from services.agent.inbox import Arrival, Inbox, Outgoing
from services.agent.intake import accept
from services.agent.rate_limit import Backoff, TokenBucket
from services.agent.result import Pending, Result
from services.crypto.envelope import Seal
from services.kafka.client import Undelivered
from services.storage.database import Ledger, open_ledger

CODEC = Codec(load())
T0 = datetime(2026, 3, 15, 13, tzinfo=UTC)
SEAL = Seal(bytes(32))


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


def record(order: str, **keys: str) -> Record:
    """The record of one order."""
    return Record(
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
        {name: getattr(one, name) for name in one.__dataclass_fields__} for one in command.records
    ]
    for name in ("categories", "rules", "purposes"):
        fields[name] = list(fields[name])
    return CODEC.encode(topics.commands(command.system), fields, own=True)


@dataclass(slots=True)
class Playing:
    """An adapter that does as it is told, and keeps what it was asked."""

    play: Callable[[Task], Result | Pending] = lambda task: Result(
        status="done", counts={"orders": 1}
    )
    tasks: list[Task] = field(default_factory=list)

    def carry_out(self, task: Task) -> Result | Pending:
        self.tasks.append(task)
        return self.play(task)

    @property
    def done(self) -> list[str]:
        """The ids of the commands that it was asked to carry out."""
        return [task.command.command_id for task in self.tasks]


@dataclass(slots=True)
class Noted:
    """Observer and bus in one: keeps what it is told and what is sent."""

    sent_: list[Outgoing] = field(default_factory=list)
    said: list[tuple[Any, ...]] = field(default_factory=list)
    broken: list[Exception] = field(default_factory=list)
    most: int = 2**63
    """Bytes that the broker takes of one message."""

    def send(self, answers: Sequence[Outgoing]) -> None:
        if self.broken:
            raise self.broken.pop()
        if any(len(one.value) + len(one.key or b"") > self.most for one in answers):
            raise Undelivered("retention.acks.crm.v1", "too large", KafkaError.MSG_SIZE_TOO_LARGE)
        self.sent_ += answers

    def went_round(self) -> None: ...

    def able(self) -> None: ...

    def carried_out(self, action: str, status: str, after: timedelta) -> None:
        self.said.append((action, status))

    def tried(self, command_id: str, action: str, why: str) -> None:
        self.said.append(("tried", action, why))

    def delivered(self, answers: int) -> None: ...

    def unsent(self, why: str) -> None:
        self.said.append(("unsent", why))


@dataclass(slots=True, kw_only=True)
class Stage:
    """An agent whose clock stands still until a test moves it."""

    adapter: Adapter
    ledger: Ledger = field(default_factory=lambda: open_ledger("sqlite://"))
    noted: Noted = field(default_factory=Noted)
    now: datetime = T0
    bucket: TokenBucket = field(default_factory=lambda: TokenBucket(per_second=1e9, burst=10**6))
    tries: int = 3
    largest: int = 900_000
    keys: Sequence[str] = ()
    inbox: Inbox = field(init=False)
    obeying: Obeying = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the agent, for the first time or after a crash: nothing but the inbox is left."""
        answers = Answers(system="crm", codec=CODEC, largest=self.largest)
        self.inbox = Inbox(self.ledger, SEAL, answers)
        self.inbox.open()
        self.obeying = Obeying(
            inbox=self.inbox,
            adapter=self.adapter,
            outlet=self.noted,
            observer=self.noted,
            bucket=self.bucket,
            backoff=Backoff(tries=self.tries, base=timedelta(seconds=1), cap=timedelta(seconds=60)),
            own_keys=lambda now: self.keys,
            now=lambda: self.now,
            at_once=4,
        )

    def arrive(self, *commands: Command) -> list[str]:
        """Commands come off the bus, in that order; what becomes of each."""
        arrivals = [
            Arrival(
                command=one, key=(one.subject or one.records[0].id).encode(), value=encoded(one)
            )
            for one in commands
        ]
        with self.ledger.transaction() as connection:
            return list(accept(connection, self.inbox, arrivals, self.now))

    def obey(self, seconds: float = 0) -> list[str]:
        """Carry out all that may be carried out, later; the statuses that went out."""
        self.now += timedelta(seconds=seconds)
        before = len(self.noted.sent_)
        while self.obeying.step():
            pass
        self.obeying.send()
        return [one["status"] for one in self.answers()[before:]]

    def tell(self, *commands: Command) -> list[str]:
        """Commands arrive and are obeyed; the statuses that went out."""
        self.arrive(*commands)
        return self.obey()

    def answers(self) -> list[dict[str, Any]]:
        """Every answer that went out."""
        topic = topics.acknowledgements("crm")
        return [CODEC.decode(topic, one.value) for one in self.noted.sent_]
