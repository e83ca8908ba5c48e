"""Hostile bytes on real topics stop no role, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from consumers.acknowledgements import AcknowledgementHandler
from consumers.corrections import CorrectionHandler
from schemas import topics as catalogue
from schemas.cloudevents import CloudEvent, to_headers
from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import TAGGED, business_topic
from services.crypto.envelope import AeadCipher
from services.crypto.keyring import Keyring, new_key
from services.crypto.signing import Signer, Verifier
from services.deleter.acknowledgement import Acknowledgement
from services.deleter.command_recovery import RecoveryResult
from services.deleter.deleter import Deleter
from services.deleter.dispatch import SentCommand
from services.deleter.publisher import KafkaCommandPublisher
from services.deleter.settlement import AcknowledgementResult
from services.deleter.surge import Surge
from services.events.tagger import EventTagger
from services.kafka.producer import OutgoingMessage
from services.ledger import tables
from services.ledger.recording import record
from services.policy import ids as keys
from services.requests.request_keys import RequestKeys
from services.storage.dead_letters import DeadLetter
from tests.batches import decode_commands, encode_acknowledgements
from tests.contract.event_builders import arrival, feedback
from tests.contract.ledgers import instant, record_events, select_rows
from tests.integration.pipelines import position, running, until
from tests.integration.test_roles import (
    CODEC,
    KEY,
    ORDERS,
    POLICY,
    TICKETS,
    Environment,
    environment,
    message,
    now,
    on_the_bus,
    order,
    with_headers,
)

__all__ = ["environment"]

LONG_AGO = "2019-01-01T12:00:00Z"
WEBSITE = "website"
SIGNING = new_key()
RANDOM = random.Random(7)


def noise(length: int) -> str:
    """Return a text that no index can compress."""
    return "".join(RANDOM.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=length))


# What publishers send


def test_an_import_with_an_endless_name_is_parked(environment: Environment) -> None:
    """PostgreSQL would refuse the index row; the good events beside it are recorded."""
    environment.send(message(order("good1")))
    environment.send(with_headers(order("bad"), ce_termijnbackfill=noise(2_700).encode()))
    environment.send(message(order("good2")))
    environment.pass_through()
    assert environment.events() == ["good1", "good2"]
    [letter] = environment.letters()
    assert (letter.reason, letter.detail) == (
        "malformed",
        "termijnbackfill: is longer than 512 bytes",
    )


@pytest.mark.parametrize("name", ["backfill", "id", "source", "topic"])
def test_a_tagged_message_with_an_endless_name_is_parked(
    environment: Environment, name: str
) -> None:
    """The recorder applies the same limits, in case another client wrote the message."""
    environment.send(message(order("good1")))
    environment.pass_through()
    [tagged] = on_the_bus(environment.kafka, TAGGED.name)
    altered = {**CODEC.decode(TAGGED, tagged), "id": "bad", name: noise(2_700)}
    value = CODEC.encode(TAGGED, altered, trusted=True)
    environment.send(
        OutgoingMessage(topic=TAGGED.name, key=b"k", value=value), message(order("good2"))
    )
    environment.pass_through()
    assert environment.events() == ["good1", "good2"]
    [letter] = environment.letters()
    assert (letter.role, letter.reason) == ("recorder", "undecodable")
    assert letter.detail == f"{name} is longer than 512 bytes"


@pytest.mark.parametrize(
    ("consumer", "detail"),
    [
        ("\N{GRINNING FACE}" * 500, "consumer_id: is longer than 512 bytes"),
        ("a\0b", "consumer_id: holds a control character"),
        ("x" * 513, "consumer_id: is longer than 512 bytes"),
    ],
    ids=["four bytes each", "a null character", "one too long"],
)
def test_an_identifier_beyond_the_limits_is_parked(
    environment: Environment, consumer: str, detail: str
) -> None:
    """Lengths are in bytes, since databases count bytes."""
    environment.send(message(order("bad", consumer_id=consumer)), message(order("good")))
    environment.pass_through()
    assert environment.events() == ["good"]
    [letter] = environment.letters()
    assert (letter.reason, letter.detail) == ("invalid-field", detail)


def test_a_ticket_with_more_consumers_than_a_list_may_have_is_parked(
    environment: Environment,
) -> None:
    """The dead letter is encrypted and alarmed until its publisher splits the ticket."""

    def ticket(id_: str, consumers: int) -> CloudEvent:
        return CloudEvent(
            id=id_,
            source="/helpdesk",
            type=TICKETS,
            time=now() - timedelta(hours=1),
            data={
                "ticket_id": id_,
                "customer_id": "C1",
                "consumer_ids": [f"K{number}" for number in range(consumers)],
            },
        )

    environment.send(message(ticket("bad", 1_001)), message(ticket("good", 1_000)))
    environment.pass_through()
    assert environment.events() == ["good"]
    [letter] = environment.letters()
    assert letter.detail == "consumer_ids: has 1,001 items; the most is 1,000"


def test_a_local_time_of_the_year_one_is_recorded(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """.NET writes it for a missing value: no time zone can shift it, and none has to."""
    monkeypatch.setattr("tests.integration.test_roles.CODEC", with_local_time(tmp_path))
    first_day = -62_135_596_800_000_000
    environment.send(message(order("good1")))
    environment.send(message(order("strange", placed_at=first_day)), message(order("good2")))
    environment.pass_through()
    assert environment.events() == ["good1", "good2", "strange"]
    assert environment.letters() == []


def with_local_time(directory: Path) -> Codec:
    """Return a codec with orders whose time of placing has no time zone."""
    newest = json.loads(load().newest(ORDERS).text)
    kind = {"type": "long", "logicalType": "local-timestamp-micros"}
    newest["fields"].append({"name": "placed_at", "type": ["null", kind], "default": None})
    (directory / f"{ORDERS}.9.avsc").write_text(json.dumps(newest), "utf-8")
    return Codec(load(directory))


def test_a_value_that_no_check_knows_is_parked_alone(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of Termijn's own must not stop the role: only the value that triggers it is parked."""
    tag = EventTagger.tag_message

    def of(self: EventTagger, place: Any, headers: Any, *rest: Any) -> Any:
        if ("ce_id", b"tagger") in list(headers):
            raise ZeroDivisionError("Sanne de Vries")
        return tag(self, place, headers, *rest)

    def event_id(type_: str, source: str, id_: str) -> UUID:
        if id_ == "recorder":
            raise ZeroDivisionError("Sanne de Vries")
        return keys.event_id(type_, source, id_)

    monkeypatch.setattr(EventTagger, "tag_message", of)
    monkeypatch.setattr("services.events.incoming_event.event_id", event_id)
    names = [f"good{number:02}" for number in range(20)]
    ids = [*names[:7], "tagger", *names[7:13], "recorder", *names[13:]]
    environment.send(*(message(order(identifier)) for identifier in ids))
    environment.pass_through()
    assert environment.events() == names
    letters = environment.letters()
    assert sorted((letter.role, letter.reason, letter.detail) for letter in letters) == [
        ("recorder", "unprocessable", "cannot be processed: ZeroDivisionError"),
        ("tagger", "unprocessable", "cannot be processed: ZeroDivisionError"),
    ]
    assert [letter.offset for letter in letters if letter.role == "tagger"] == [7]


# What the deleter sends


@dataclass(slots=True)
class RecordingDeleterObserver:
    """Records what a deleter's round reports."""

    sent_: list[SentCommand] = field(default_factory=list)
    undeliverable_: list[tuple[str, UUID]] = field(default_factory=list)

    def waiting_for_catch_up(self, spots: Sequence[str]) -> None: ...
    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None
    ) -> None:
        self.sent_ += commands

    def commands_escalated(self, commands: Sequence[tuple[str, UUID]]) -> None: ...
    def commands_recovered(self, result: RecoveryResult) -> None: ...
    def rate_cap_reached(self, cap: int) -> None: ...
    def surge_found(self, surges: Sequence[Surge]) -> None: ...
    def surge_not_compared(self) -> None: ...
    def command_undeliverable(self, system: str, command: UUID, why: str) -> None:
        assert "too large" in why
        self.undeliverable_.append((system, command))


class CaughtUp:
    """A catch-up check that always passes."""

    def lagging_partitions(self) -> Sequence[str]:
        return ()


def deleting(environment: Environment, recording: RecordingDeleterObserver) -> Deleter:
    """Make the deleter, on the real bus."""
    needed = {
        system: catalogue.command_topic(system)
        for event in POLICY.events.values()
        for system in POLICY.systems
    }
    return Deleter(
        ledger=environment.ledger,
        publisher=KafkaCommandPublisher(
            sender=environment.sender,
            codec=CODEC,
            topics=needed,
            signer=Signer(lambda: Keyring((SIGNING,))),
        ),
        catch_up_check=CaughtUp(),
        policy=POLICY,
        observer=recording,
        now=now,
    )


def read_commands(environment: Environment) -> list[dict[str, Any]]:
    """Return the commands on the website's topic."""
    topic = catalogue.command_topic(WEBSITE)
    return [
        command
        for value in on_the_bus(environment.kafka, topic.name)
        for command in decode_commands(CODEC, WEBSITE, value)
    ]


@pytest.fixture
def deleter(environment: Environment) -> tuple[Deleter, RecordingDeleterObserver]:
    """A deleter whose systems have topics of one partition each."""
    environment.kafka.create_topics(
        {catalogue.command_topic(system).name: 1 for system in POLICY.systems}
    )
    recording = RecordingDeleterObserver()
    return deleting(environment, recording), recording


def recorded_before(environment: Environment, *ids: str) -> None:
    """Record events with ids longer than the present checks allow."""
    [tagged_event] = [arrival(feedback("e", LONG_AGO), POLICY)]
    arrivals = [replace(tagged_event, id=id_) for id_ in ids]
    at = instant(LONG_AGO)
    environment.ledger.run_in_transaction(
        lambda connection: record(connection, arrivals, POLICY, at)
    )


def rounds(deleter: Deleter, count: int = 6) -> None:
    for _ in range(count):
        deleter.run_once()


def test_a_command_is_split_by_bytes_as_well_as_by_number(
    environment: Environment, deleter: tuple[Deleter, RecordingDeleterObserver]
) -> None:
    """There are twelve events with ids of 100 kB, as older versions recorded, and twenty others."""
    recorded_before(environment, *(noise(100_000) for _ in range(12)))
    record_events(environment.ledger, [feedback(f"s{n}", LONG_AGO) for n in range(20)], LONG_AGO)
    rounds(deleter[0])
    erasures = [command for command in read_commands(environment) if command["action"] == "erase"]
    assert len(erasures) > 1
    assert sum(len(erasure["records"]) for erasure in erasures) == 32
    assert deleter[1].undeliverable_ == []
    assert {row.state for row in select_rows(environment.ledger, tables.command)} == {"sent"}


def test_five_hundred_records_with_the_longest_ids_are_sent(
    environment: Environment, deleter: tuple[Deleter, RecordingDeleterObserver]
) -> None:
    """This is the largest valid command: a megabyte of ids and keys."""
    events = []
    for number in range(500):
        event = feedback(f"{number:03}{noise(509)}", LONG_AGO)
        event["source"] = noise(512)
        event["data"]["feedback_id"] = noise(512)
        events.append(event)
    record_events(environment.ledger, events, LONG_AGO)
    rounds(deleter[0])
    erasures = [command for command in read_commands(environment) if command["action"] == "erase"]
    assert sum(len(erasure["records"]) for erasure in erasures) == 500
    assert {row.state for row in select_rows(environment.ledger, tables.command)} == {"sent"}


def test_a_command_that_kafka_never_accepts_does_not_stop_the_others(
    environment: Environment, deleter: tuple[Deleter, RecordingDeleterObserver]
) -> None:
    """It is escalated at once and named, and still outstanding, so that no erasure is lost."""
    small = [feedback(f"s{n}", LONG_AGO) for n in range(20)]
    for number, event in enumerate(small):
        event["data"]["visitor_id"] = f"V{number}"
    recorded_before(environment, noise(1_200_000))
    record_events(environment.ledger, small, LONG_AGO)
    rounds(deleter[0])
    assert len([value for value in read_commands(environment) if value["action"] == "erase"]) == 20
    [(system, command)] = set(deleter[1].undeliverable_)
    assert system == WEBSITE
    [row] = select_rows(environment.ledger, tables.command, command_id=command)
    assert (row.state, row.attempt, row.outcome) == ("sending", 0, "undeliverable")
    assert row.escalated_at is not None
    assert row.next_attempt_at > now() + timedelta(hours=5)
    [noted] = select_rows(environment.ledger, tables.operator_action, action="commands set aside")
    assert str(command) in noted.target
    others = [
        row for row in select_rows(environment.ledger, tables.command) if row.command_id != command
    ]
    assert {row.state for row in others} == {"sent"}


# What systems answer


@dataclass(slots=True)
class RecordingAcknowledgementObserver:
    """Records which acknowledgements were applied, and which were parked."""

    parked_: list[DeadLetter] = field(default_factory=list)

    def acknowledged(
        self, applied: Sequence[tuple[Acknowledgement, AcknowledgementResult]]
    ) -> None: ...
    def signature_rejected(self, system: str, reason: str) -> None: ...
    def dead_lettered(self, letter: DeadLetter) -> None:
        self.parked_.append(letter)


@contextmanager
def settling(
    environment: Environment, systems: Sequence[str]
) -> Iterator[RecordingAcknowledgementObserver]:
    """Make the acknowledgements role."""
    heard = RecordingAcknowledgementObserver()
    topics = {catalogue.acknowledgement_topic(system).name: system for system in systems}
    work = AcknowledgementHandler(
        policy=POLICY,
        codec=CODEC,
        topics={
            name: (catalogue.acknowledgement_topic(topic), topic) for name, topic in topics.items()
        },
        verifiers={system: Verifier(lambda: Keyring((SIGNING,)).public()) for system in systems},
        ledger=environment.ledger,
        cipher=AeadCipher(KEY),
        observer=heard,
        now=now,
    )
    with running(
        environment.kafka,
        environment.ledger,
        work,
        role="acknowledgements",
        topics=list(topics),
        group="a",
    ):
        yield heard


def acknowledged(system: str, command: UUID, **values: Any) -> OutgoingMessage:
    """Return a signed acknowledgement of a system."""
    topic = catalogue.acknowledgement_topic(system)
    fields = {
        "acknowledgement_id": f"a-{command}",
        "command_id": str(command),
        "system": system,
        "attempt": 1,
        "status": "done",
        "counts": {"rows": 1},
        "ground": None,
        "detail": None,
        "at": now(),
        "disclosure": None,
        **values,
    }
    value = encode_acknowledgements(CODEC, system, fields)
    headers = Signer(lambda: Keyring((SIGNING,))).sign(topic.name, b"k", value, now())
    return OutgoingMessage(topic=topic.name, key=b"k", value=value, headers=headers)


@pytest.mark.parametrize(
    ("hostile", "detail"),
    [
        ({"status": "refused", "ground": "a\0b"}, "ground holds a control character"),
        ({"acknowledgement_id": "a\0b"}, "acknowledgement_id holds a control character"),
        ({"acknowledgement_id": "long"}, "acknowledgement_id is longer than 512 bytes"),
        ({"disclosure": "a\0b"}, "disclosure holds a control character"),
        ({"counts": "many"}, "counts has 60,000 items; the most is 1,000"),
    ],
    ids=["ground", "id with a null", "long id", "disclosure", "counts"],
)
def test_a_hostile_answer_does_not_stop_those_of_other_systems(
    environment: Environment,
    deleter: tuple[Deleter, RecordingDeleterObserver],
    hostile: Mapping[str, Any],
    detail: str,
) -> None:
    """It is parked, and its command is repeated until the system acknowledges it."""
    if hostile.get("acknowledgement_id") == "long":
        hostile = {"acknowledgement_id": noise(2_700)}
    if hostile.get("counts") == "many":
        hostile = {"counts": {f"t{number}": 1 for number in range(60_000)}}
    systems = [WEBSITE, "crm"]
    environment.kafka.create_topics(
        {catalogue.acknowledgement_topic(system).name: 1 for system in systems}
    )
    first, second = feedback("e1", LONG_AGO), feedback("e2", LONG_AGO)
    second["data"]["visitor_id"] = "V2"
    record_events(environment.ledger, [first, second], LONG_AGO)
    rounds(deleter[0], 2)
    first_id, other = [
        row.command_id for row in select_rows(environment.ledger, tables.command, action="erase")
    ]
    environment.send(acknowledged(WEBSITE, first_id, **hostile), acknowledged(WEBSITE, other))
    topic = catalogue.acknowledgement_topic(WEBSITE).name
    with settling(environment, systems) as heard:
        until(lambda: position(environment.ledger, 0, "acknowledgements", topic) == 2)
    assert [letter.detail for letter in heard.parked_] == [f"{topic}: {detail}".split(": ")[1]]
    [row] = select_rows(environment.ledger, tables.command, command_id=other)
    assert row.state == "acknowledged"
    [row] = select_rows(environment.ledger, tables.command, command_id=first_id)
    assert row.state == "sent"


# What people ask

REQUESTS = business_topic("privacy.request-received")


@pytest.mark.parametrize(
    "hostile",
    [
        {"subject": "customer:C\0"},
        {"request_id": "R\0"},
        {"subject": "customer:" + "\N{GRINNING FACE}" * 500},
    ],
    ids=["subject", "request", "long subject"],
)
def test_a_hostile_request_does_not_stop_others(
    environment: Environment, hostile: Mapping[str, Any]
) -> None:
    """The tagger parks it, and the role that notes corrections skips it."""
    environment.kafka.create_topics({REQUESTS.name: 1})
    heard = RecordingAcknowledgementObserver()
    work = CorrectionHandler(
        codec=CODEC,
        topics={REQUESTS.name: REQUESTS},
        ledger=environment.ledger,
        keys=RequestKeys(cipher=AeadCipher(KEY), former_cipher=lambda: AeadCipher(KEY)),
        cipher=AeadCipher(KEY),
        observer=heard,
        now=now,
    )
    good = {
        "subject": "customer:C1",
        "request_id": "R1",
        "right": "rectification",
        "corrections": {"email": "s@example.org"},
    }
    too_much = {**good, "request_id": "R2", "corrections": {"notes": "x" * 500_000}}
    environment.send(
        *(request_message(message) for message in ({**good, **hostile}, too_much, good))
    )
    with running(
        environment.kafka,
        environment.ledger,
        work,
        role="rights",
        topics=[REQUESTS.name],
        group="r",
    ):
        until(lambda: position(environment.ledger, 0, "rights", REQUESTS.name) == 3)
    assert len(select_rows(environment.ledger, tables.correction)) == 1
    assert [letter.detail for letter in heard.parked_] == [
        "corrections: takes 500,005 bytes; the most is 400,000"
    ]


def request_message(data: Mapping[str, Any]) -> OutgoingMessage:
    """Return a request as publishers send it."""
    event = CloudEvent(
        id="r", source="/privacy", type=REQUESTS.schema, time=datetime.now(UTC), data=data
    )
    value = CODEC.encode(REQUESTS, data)
    return OutgoingMessage(topic=REQUESTS.name, key=b"k", value=value, headers=to_headers(event))
