"""An acknowledgement is identified by system and id, so no system can suppress another's.

Each on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Message
from sqlalchemy import delete, insert, select

from consumers.acknowledgements import AcknowledgementHandler
from schemas import topics
from schemas.codec import Codec
from schemas.schema_files import load
from services.crypto.envelope import AeadCipher
from services.deleter.acknowledgement import Acknowledgement
from services.deleter.settlement import AcknowledgementResult
from services.kafka.spans import NO_TRACER, Tracer
from services.kafka.trace_context import Trace
from services.ledger import tables
from services.storage.database import Database
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetAdvance, PartitionId
from tests.batches import encode_acknowledgements
from tests.contract.event_builders import order
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    claim_all,
    find_command,
    record_events,
    select_rows,
    send_due,
)

ORDERED, DUE = "2020-01-01T12:00:00Z", "2022-01-01T12:00:00Z"
NOW = datetime(2022, 1, 1, 12, tzinfo=UTC)
SYSTEMS = ("orders", "psp")
CODEC = Codec(load())


class _Traces:
    """Keeps the trace in which each system's acknowledgement was applied."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def record_span(
        self,
        name: str,
        trace: Trace,
        kind: Any,
        started: datetime,
        ended: datetime,
        attributes: Any,
    ) -> Trace:
        self.of[attributes["termijn.system"]] = trace.span_id
        return trace


@dataclass(slots=True)
class Role:
    """The acknowledgements role on a ledger; signing is off, since these tests are not about it."""

    ledger: Database
    reasons: list[tuple[str, str]] = field(default_factory=list)
    repeated: list[bool] = field(default_factory=list)
    read: int = 0
    tracer: Tracer = NO_TRACER

    def acknowledged(
        self, applied: Sequence[tuple[Acknowledgement, AcknowledgementResult]]
    ) -> None:
        self.repeated += [result.repeated for _, result in applied]

    def signature_rejected(self, system: str, reason: str) -> None:
        raise AssertionError(reason)

    def dead_lettered(self, letter: DeadLetter) -> None:
        self.reasons.append((letter.reason, letter.detail))

    def handle(self, *messages: Message) -> None:
        """Process one batch from the bus."""
        work = AcknowledgementHandler(
            policy=POLICY,
            codec=CODEC,
            topics={
                topics.acknowledgement_topic(system).name: (
                    topics.acknowledgement_topic(system),
                    system,
                )
                for system in SYSTEMS
            },
            verifiers=dict.fromkeys(SYSTEMS, _Trusting()),
            ledger=self.ledger,
            cipher=AeadCipher(bytes(32)),
            observer=self,
            now=lambda: NOW,
            tracer=self.tracer,
        )
        log = PartitionId(cluster_id="c", topic="acks", topic_id="t", partition=0)
        before, self.read = self.read or None, self.read + len(messages)
        work.handle(messages, [OffsetAdvance(log=log, expected=before, next=self.read)])


class _Trusting:
    def verify(self, *_: object) -> str:
        """Accept every message as signed by its system."""
        return "k"


@pytest.fixture
def role(ledger: Database) -> Role:
    """An order whose erasure was sent to orders and to psp."""
    record_events(ledger, [order("o1", ORDERED)], ORDERED)
    claim_all(ledger, DUE)
    send_due(ledger, FakeBus(), DUE)
    return Role(ledger)


def acknowledgement(
    ledger: Database, system: str, erasure: UUID | None = None, **values: Any
) -> Message:
    """Return a system's message of its only erasure: `done`, with the id `a1`."""
    topic = topics.acknowledgement_topic(system)
    value = {
        "acknowledgement_id": "a1",
        "command_id": str(erasure or find_command(ledger, system=system, action="erase")),
        "system": system,
        "attempt": 1,
        "status": "done",
        "counts": {"rows": 1, "files": 2},
        "ground": None,
        "detail": None,
        "at": NOW,
    }
    headers = [(name, text.encode()) for name, text in values.pop("headers", {}).items()]
    encoded = encode_acknowledgements(CODEC, system, value | values)
    return Message(
        topic=topic.name, partition=0, offset=0, key=b"k", value=encoded, headers=headers
    )


def acknowledgements(ledger: Database, system: str, *values: dict[str, Any]) -> Message:
    """Return one message of a system with several acknowledgements with the status `done`."""
    common = {"attempt": 1, "status": "done", "counts": {"rows": 1}, "at": NOW}
    encoded = encode_acknowledgements(CODEC, system, *(common | value for value in values))
    topic = topics.acknowledgement_topic(system).name
    return Message(topic=topic, partition=0, offset=0, key=b"k", value=encoded, headers=[])


def states_of(ledger: Database, *commands: UUID) -> list[tuple[str, str]]:
    """Return the commands with their states."""
    rows = [row for row in select_rows(ledger, tables.command) if row.command_id in commands]
    return [(str(row.command_id), row.state) for row in rows]


def erasure_states(ledger: Database) -> dict[str, str]:
    """Return the states of the erasures of orders and psp."""
    return {row.system: row.state for row in select_rows(ledger, tables.command, action="erase")}


@pytest.mark.parametrize("at_once", [True, False])
def test_a_system_cannot_use_up_an_acknowledgement_id_of_another(role: Role, at_once: bool) -> None:
    """psp, an outside controller, guesses the id that orders will use; orders' `done` must still count."""
    batch = [
        acknowledgement(role.ledger, "psp", status="refused"),
        acknowledgement(role.ledger, "orders"),
    ]
    for part in [batch] if at_once else [[message] for message in batch]:
        role.handle(*part)
    assert erasure_states(role.ledger) == {"psp": "refused", "orders": "acknowledged"}
    assert role.reasons == []
    assert len(select_rows(role.ledger, tables.acknowledgement)) == 2


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "other", [{"status": "done"}, {"attempt": 2}, {"counts": {}}, {"ground": "a duty"}]
)
def test_another_answer_by_a_used_id_is_parked(
    role: Role, at_once: bool, other: dict[str, Any]
) -> None:
    """It is not a repetition; a system that restarts its ids would otherwise lose acknowledgements."""
    first: dict[str, Any] = {"status": "failed", "counts": {"rows": 0}}
    batch = [
        acknowledgement(role.ledger, "orders", None, **first),
        acknowledgement(role.ledger, "orders", None, **first | other),
    ]
    for part in [batch] if at_once else [[message] for message in batch]:
        role.handle(*part)
    assert erasure_states(role.ledger)["orders"] == "sent"
    assert role.reasons == [
        (
            "reused-acknowledgement",
            "orders: the acknowledgement has the id of an earlier one, and does not count;"
            " give each message of acknowledgements an id of its own",
        )
    ]
    [letter] = select_rows(role.ledger, tables.dead_letter)
    assert letter.state == "parked"
    assert len(select_rows(role.ledger, tables.acknowledgement)) == 1


def test_another_command_by_a_used_id_is_parked(role: Role) -> None:
    """The second order's erasure stays open, and the parked message is reported."""
    role.handle(acknowledgement(role.ledger, "orders"))
    record_events(role.ledger, [order("o2", ORDERED, consumer="2")], ORDERED)
    [second] = [
        row.command_id
        for identity in claim_all(role.ledger, DUE)
        for row in select_rows(role.ledger, tables.command, command_id=identity)
        if row.system == "orders"
    ]
    send_due(role.ledger, FakeBus(), DUE)
    role.handle(acknowledgement(role.ledger, "orders", second))
    assert [reason for reason, _ in role.reasons] == ["reused-acknowledgement"]
    [row] = select_rows(role.ledger, tables.command, command_id=second)
    assert row.state == "sent"


def test_an_answer_sent_again_counts_once(role: Role) -> None:
    """It is sent later and with its counts in another order, but has the same content."""
    role.handle(acknowledgement(role.ledger, "orders"))
    again: dict[str, Any] = {
        "counts": {"files": 2, "rows": 1},
        "at": datetime(2022, 1, 2, tzinfo=UTC),
    }
    role.handle(acknowledgement(role.ledger, "orders", None, **again))
    assert (role.reasons, role.repeated) == ([], [False, True])
    assert len(select_rows(role.ledger, tables.acknowledgement)) == 1


def test_a_message_counts_but_for_the_acknowledgement_that_cannot_be_applied(role: Role) -> None:
    """The message is parked with the first reason; replayed, it changes nothing that was applied."""
    record_events(role.ledger, [order("o2", ORDERED, consumer="2")], ORDERED)
    claim_all(role.ledger, DUE)
    send_due(role.ledger, FakeBus(), DUE)
    first, second = [
        row.command_id
        for row in select_rows(role.ledger, tables.command, action="erase", system="orders")
    ]
    message = acknowledgements(
        role.ledger,
        "orders",
        {"command_id": str(first), "acknowledgement_id": "a1"},
        {"command_id": "no id", "acknowledgement_id": "a2"},
        {"command_id": str(UUID(int=7)), "acknowledgement_id": "a3"},
        {"command_id": str(second), "acknowledgement_id": "a4"},
    )
    role.handle(message)
    assert [state for _, state in sorted(states_of(role.ledger, first, second))] == [
        "acknowledged",
        "acknowledged",
    ]
    assert role.reasons == [("undecodable", "command_id is not a UUID")]
    role.handle(message)
    assert role.repeated == [False] * 4
    assert {state for _, state in states_of(role.ledger, first, second)} == {"acknowledged"}


def test_a_message_with_too_many_acknowledgements_is_parked(role: Role) -> None:
    """Each would be an entry of the evidence, and a system could fill that."""
    command = str(find_command(role.ledger, system="orders", action="erase"))
    many = [{"command_id": command, "acknowledgement_id": "a1"}] * 1_001
    role.handle(acknowledgements(role.ledger, "orders", *many))
    assert role.reasons == [("undecodable", "acknowledgements has 1,001 items; the most is 1,000")]
    assert erasure_states(role.ledger)["orders"] == "sent"


def test_a_recall_whose_command_was_given_up_and_purged_is_acknowledged(role: Role) -> None:
    """Its system answers late; the other acknowledgements of the message count too."""
    original = find_command(role.ledger, system="orders", action="erase")
    with role.ledger.transaction() as connection:
        row = connection.execute(
            select(tables.command).where(tables.command.c.command_id == original)
        ).one()
        recall = {
            **{**row._mapping, "command_id": uuid4(), "action": "recall", "supersedes": original},
            **{"step": "recall", "record_id": None, "live": False},
        }
        connection.execute(insert(tables.command), [recall])
        connection.execute(delete(tables.command).where(tables.command.c.command_id == original))
    role.handle(
        acknowledgements(
            role.ledger,
            "orders",
            {
                "command_id": str(recall["command_id"]),
                "acknowledgement_id": "a1",
                "status": "recalled",
            },
        )
    )
    assert role.reasons == []
    assert states_of(role.ledger, recall["command_id"]) == [
        (str(recall["command_id"]), "acknowledged")
    ]


def test_each_answer_keeps_its_own_trace(role: Role) -> None:
    """Two systems' acknowledgements with one id are in one batch."""
    role.tracer = tracer = _Traces()
    traces = {
        system: f"00-{number:032x}-{number:016x}-01" for number, system in enumerate(SYSTEMS, 1)
    }
    role.handle(
        *(
            acknowledgement(role.ledger, system, headers={"traceparent": traces[system]})
            for system in SYSTEMS
        )
    )
    assert tracer.of == {"orders": f"{1:016x}", "psp": f"{2:016x}"}
