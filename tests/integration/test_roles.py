"""Tagger and recorder on a real Kafka: every event is recorded once, or parked."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer, TopicPartition
from sqlalchemy import Connection, select

from consumers.recorder import TOPICS as RECORDED
from consumers.recorder import RecorderHandler
from consumers.tagger import TaggerHandler
from schemas.cloudevents import CloudEvent, to_headers
from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import DEAD_LETTERS, TAGGED, business_topic
from services.app.cli.dead_letters import dead_letters_
from services.crypto.envelope import AeadCipher
from services.crypto.tombstones import TombstoneCipher
from services.events.tagger import EventTagger
from services.kafka.client import KafkaClient
from services.kafka.errors import DeliveryFailed
from services.kafka.producer import KafkaProducer, OutgoingMessage
from services.kafka.record_metadata import RecordMetadata
from services.kafka.topic_admin import TopicAdmin
from services.ledger import migrate, tables
from services.ledger.recording import RecordingResult
from services.policy import loader
from services.storage import dead_letters
from services.storage.database import Database, open_database
from services.storage.dead_letters import DeadLetter
from tests.contract.ledgers import load_facts
from tests.integration.pipelines import Crash, RunningLoop, position, running, until
from tests.servers.kafka import KafkaCluster

KEY = bytes(range(32))
POLICY = loader.load()
BUSINESS = {topic.name: topic for topic in map(business_topic, POLICY.events)}
CODEC = Codec(load())
ORDERS = "orders.order-placed"
FEEDBACK = "website.feedback-given"
TICKETS = "helpdesk.ticket-opened"
READ = (ORDERS, FEEDBACK, TICKETS)
SECRET = "Sanne de Vries"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class RecordingObserver:
    """Records what both roles report."""

    parked_: list[DeadLetter] = field(default_factory=list)
    recorded_: list[RecordingResult] = field(default_factory=list)

    def tagged(self, event_type: str, rules: Sequence[str], events: int, at: datetime) -> None: ...

    def dead_lettered(self, letter: DeadLetter) -> None:
        self.parked_.append(letter)

    def recorded(self, recorded: RecordingResult) -> None:
        self.recorded_.append(recorded)


@dataclass(slots=True, kw_only=True)
class Environment:
    """The topics, the ledger, and the two roles to be started on them."""

    kafka: KafkaCluster
    ledger: Database
    bus: KafkaClient
    sender: KafkaProducer
    noted: RecordingObserver = field(default_factory=RecordingObserver)

    @contextmanager
    def tagging(
        self,
        *,
        clock: Callable[[], datetime] = now,
        ledger: Database | None = None,
        sender: KafkaProducer | None = None,
    ) -> Iterator[RunningLoop]:
        """Make a tagger, by this machine's clock or another."""
        work = TaggerHandler(
            tagger=EventTagger(policy=POLICY, codec=CODEC, topics=BUSINESS),
            codec=CODEC,
            forwarder=self.bus.open_bulk_producer(),
            sender=sender or self.sender,
            cipher=AeadCipher(KEY),
            ledger=ledger or self.ledger,
            observer=self.noted,
            now=clock,
            database_now=now,
        )
        read = [f"{topic}.v1" for topic in READ]
        with running(
            self.kafka, self.ledger, work, role="tagger", topics=read, group="tagger"
        ) as loop:
            yield loop

    @contextmanager
    def recording(self) -> Iterator[RunningLoop]:
        """Make a recorder."""
        work = RecorderHandler(
            policy=POLICY,
            codec=CODEC,
            ledger=self.ledger,
            cipher=AeadCipher(KEY),
            tombstone_cipher=TombstoneCipher(KEY),
            observer=self.noted,
            now=now,
        )
        topics = [topic.name for topic in RECORDED]
        with running(
            self.kafka, self.ledger, work, role="recorder", topics=topics, group="recorder"
        ) as loop:
            yield loop

    def pass_through(self, *, clock: Callable[[], datetime] = now) -> None:
        """Run both roles until every message on the bus is in the ledger."""
        with self.tagging(clock=clock) as tagger, self.recording() as recorder:

            def settled() -> bool:
                assert not tagger.ended, tagger.ended
                assert not recorder.ended, recorder.ended
                return self.read("tagger", [f"{topic}.v1" for topic in READ]) and self.read(
                    "recorder", [TAGGED.name, DEAD_LETTERS.name]
                )

            until(settled, "the roles did not read everything")

    def read(self, role: str, topics: Sequence[str]) -> bool:
        """Return whether a role has read these topics, of one partition each, to their ends."""
        ends = self.bus.end_offsets(topics)
        return all(
            max(0, position(self.ledger, partition, role, topic)) >= end
            for (topic, partition), end in ends.items()
        )

    def send(self, *messages: OutgoingMessage) -> list[int]:
        """Publish messages, and return their offsets."""
        return [metadata.offset for metadata in self.sender.send(messages)]

    def events(self) -> list[str]:
        """Return the ids of the events in the ledger."""
        with self.ledger.transaction() as connection:
            return sorted(connection.execute(select(tables.event.c.id)).scalars())

    def groups(self) -> list[str | None]:
        """Return the release group that holds back each event's record, by the event's id."""
        query = select(tables.record.c.backfill).join(
            tables.event, tables.event.c.event_id == tables.record.c.event_id
        )
        with self.ledger.transaction() as connection:
            return list(connection.execute(query.order_by(tables.event.c.id)).scalars())

    def letters(self) -> Sequence[DeadLetter]:
        """Return the dead letters that are parked."""
        with self.ledger.transaction() as connection:
            return dead_letters.list_parked(connection)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def environment(
    request: pytest.FixtureRequest, fresh_kafka: KafkaCluster, tmp_path: Path
) -> Iterator[Environment]:
    """A cluster with topics of one partition each, and an empty ledger on each database."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")()
    topics = [*(f"{topic}.v1" for topic in READ), TAGGED.name, DEAD_LETTERS.name]
    fresh_kafka.create_topics(dict.fromkeys(topics, 1))
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(open_database(url)))
        migrate.migrate(ledger)
        bus = KafkaClient(fresh_kafka.bootstrap)
        yield Environment(kafka=fresh_kafka, ledger=ledger, bus=bus, sender=bus.open_producer())


def order(id_: str = "e1", **data: Any) -> CloudEvent:
    """Return an order of an hour ago that has a name in it."""
    return CloudEvent(
        id=id_,
        source="/shop",
        type=ORDERS,
        time=now().replace(microsecond=0) - timedelta(hours=1),
        data={
            "order_id": "O1",
            "customer_id": "C1",
            "consumer_id": "K1",
            "amount": "12.50",
            "payment": {"method": "ideal"},
            "consumer_name": SECRET,
            **data,
        },
    )


def message(event: CloudEvent, **replaced: Any) -> OutgoingMessage:
    """Return the event as publishers send it, with some values replaced."""
    topic = business_topic(event.type)
    values: dict[str, Any] = {
        "topic": topic.name,
        "key": b"consumer:K1",
        "value": CODEC.encode(topic, event.data),
        "headers": to_headers(event),
    }
    return OutgoingMessage(**(values | replaced))


def with_headers(event: CloudEvent, **changed: bytes | None) -> OutgoingMessage:
    """Return the event with some headers changed or (None) removed."""
    headers = [(name, value) for name, value in to_headers(event) if name not in changed]
    new = [(name, value) for name, value in changed.items() if value is not None]
    return message(event, headers=[*headers, *new])


def on_the_bus(kafka: KafkaCluster, topic: str) -> list[bytes]:
    """Return the values of a topic of one partition."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "look"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
        messages: list[bytes] = []
        while len(messages) < end:
            messages += [cast(bytes, message.value()) for message in consumer.consume(100, 1)]
        return messages
    finally:
        consumer.close()


def test_an_event_is_recorded_without_its_body(environment: Environment) -> None:
    """The tagged message has only the decision fields, and the place of the original."""
    event = order()
    environment.send(message(event))
    environment.pass_through()
    assert environment.events() == ["e1"]
    [tagged] = on_the_bus(environment.kafka, TAGGED.name)
    assert SECRET.encode() not in tagged
    value = CODEC.decode(TAGGED, tagged)
    assert (value["topic"], value["partition"], value["offset"]) == ("orders.order-placed.v1", 0, 0)
    assert (value["source"], value["id"], value["time"]) == ("/shop", "e1", event.time)
    assert value["policy_version"] == POLICY.version
    assert '"consumer_id":"K1"' in value["deciding"]
    [record] = value["records"]
    assert record["subject"] == "consumer:K1"
    assert [holding["rule"] for holding in record["holdings"]] == ["D4", "R5", "R4"]


def test_the_same_event_twice_counts_once(environment: Environment) -> None:
    """The repetition is in the same batch, or in another."""
    event = message(order())
    environment.send(event, event)
    environment.pass_through()
    environment.send(event)
    environment.pass_through()
    assert environment.events() == ["e1"]
    assert environment.letters() == []
    assert sum(result.duplicates for result in environment.noted.recorded_) == 2


def test_one_identity_with_two_contents_is_a_dead_letter(environment: Environment) -> None:
    """The first event stays, even where only the body differs, which the ledger never sees."""
    event = order()
    other = replace(event, data={**event.data, "consumer_name": "Somebody Else"})
    environment.send(message(event), message(other))
    environment.pass_through()
    assert environment.events() == ["e1"]
    [letter] = environment.letters()
    assert (letter.role, letter.reason) == ("recorder", "identity-conflict")


class EndingLedger:
    """A ledger that the tagger reads before it sends, and that ends as its offset is stored."""

    def __init__(self, ledger: Database) -> None:
        self._ledger = ledger
        self._has_read = False

    def run_in_transaction(self, work: Callable[[Connection], object]) -> object:
        if self._has_read:
            raise Crash
        self._has_read = True
        return self._ledger.run_in_transaction(work)


def test_a_tagger_that_ends_before_its_offset_is_stored_does_no_harm(
    environment: Environment,
) -> None:
    """Its batch is tagged again, and the ledger contains the same facts as without the crash."""

    environment.send(message(order("e1")), message(order("e2")))
    with environment.tagging(ledger=cast(Database, EndingLedger(environment.ledger))) as tagger:
        assert isinstance(tagger.end(), Crash)
    environment.pass_through()
    assert len(on_the_bus(environment.kafka, TAGGED.name)) == 4
    assert environment.events() == ["e1", "e2"]
    assert len(load_facts(environment.ledger)["record"]) == 2
    assert environment.letters() == []


def _poisons() -> Mapping[str, tuple[OutgoingMessage, str, str]]:
    """Return messages that cannot be processed, each with its reason and the end of its detail."""
    event = order()
    good = message(event)
    value = good.value or b""
    feedback = business_topic(FEEDBACK)
    elsewhere = CODEC.encode(feedback, {"feedback_id": "F1", "visitor_id": "V1"})
    event_of_no_subject = replace(
        event, type=FEEDBACK, data={"feedback_id": "F1", "visitor_id": ""}
    )
    return {
        "garbage": (
            message(event, value=b"\xde\xad\xbe\xef" * 5),
            "undecodable",
            "is not Avro with a fingerprint or a schema id",
        ),
        "nothing": (message(event, value=None), "undecodable", "is empty"),
        "truncated": (message(event, value=value[:-5]), "undecodable", "ends too early"),
        "too long": (message(event, value=value + b"x"), "undecodable", "1 bytes after its end"),
        "another schema": (
            message(event, value=elsewhere),
            "undecodable",
            "was written with the schema nl.termijn.business.website.FeedbackGiven",
        ),
        "an unknown schema": (
            message(event, value=b"\xc3\x01" + bytes(8) + value[10:]),
            "undecodable",
            "was written with a schema that is not known here (0000000000000000)",
        ),
        "no headers": (message(event, headers=[]), "malformed", "ce_specversion: is not 1.0"),
        "no id": (with_headers(event, ce_id=None), "malformed", "id: is missing"),
        "an id that is not UTF-8": (
            with_headers(event, ce_id=b"\xff"),
            "malformed",
            "ce_id: is not UTF-8",
        ),
        "an id with a null character": (
            with_headers(event, ce_id=b"a\x00b"),
            "malformed",
            "id: has a control character or a lone surrogate",
        ),
        "another type": (
            with_headers(event, ce_type=FEEDBACK.encode()),
            "malformed",
            "ce_type: is not the type of orders.order-placed.v1",
        ),
        "the year 9999": (
            with_headers(event, ce_time=b"9999-12-31T23:59:59Z"),
            "impossible-time",
            "is more than a day ahead of its arrival",
        ),
        "a time in two days": (
            message(replace(event, time=now() + timedelta(days=2))),
            "impossible-time",
            "is more than a day ahead of its arrival",
        ),
        "a time before 1900": (
            with_headers(event, ce_time=b"1899-12-31T23:59:59Z"),
            "impossible-time",
            "is not a possible time",
        ),
        "a time without offset": (
            with_headers(event, ce_time=b"2026-03-15T13:00:00"),
            "impossible-time",
            "is not an RFC 3339 instant with its offset",
        ),
        "no subject": (
            message(event_of_no_subject),
            "unknown-subject",
            "the event names no data subject",
        ),
        "a subject with a null character": (
            message(order(consumer_id="K\x001")),
            "invalid-field",
            "holds a control character",
        ),
        "a large one": (
            message(event, value=b"\xff" * 900_000),
            "undecodable",
            "is not Avro with a fingerprint or a schema id",
        ),
    }


def test_messages_that_cannot_be_processed_are_parked_and_the_rest_recorded(
    environment: Environment,
) -> None:
    """Each is encrypted in the ledger with its reason, and the good events between them are recorded."""
    poisons = _poisons()
    expected = {}
    good = []
    for number, (poison, reason, detail) in enumerate(poisons.values()):
        [offset] = environment.send(poison)
        expected[poison.topic, offset] = (reason, detail)
        good.append(f"good{number:02}")
        environment.send(message(order(good[-1])))
    environment.pass_through()
    letters = {(letter.topic, letter.offset): letter for letter in environment.letters()}
    assert letters.keys() == expected.keys()
    for place, (reason, detail) in expected.items():
        assert letters[place].reason == reason
        assert letters[place].detail.endswith(detail)
    assert environment.events() == good


def test_a_parked_message_is_readable_nowhere(environment: Environment) -> None:
    """It is unreadable on the bus and in the ledger, and complete for the holder of the key."""
    poison = with_headers(order(), ce_id=None)
    environment.send(poison)
    environment.pass_through()
    [letter] = environment.letters()
    for text in (
        letter.sealed,
        letter.detail.encode(),
        *on_the_bus(environment.kafka, DEAD_LETTERS.name),
    ):
        assert SECRET.encode() not in text
        assert base64.b64encode(SECRET.encode()) not in text
    opened = AeadCipher(KEY).decrypt(letter.sealed, letter.place, letter.key_id)
    assert (opened.key, opened.value) == (poison.key, poison.value)
    assert list(opened.headers) == list(poison.headers)


def test_a_header_whose_name_is_not_utf8_is_parked(environment: Environment, kcat: Path) -> None:
    """confluent-kafka cannot read it, and the role must not end, even after many readable messages."""
    good = [f"e{number:03}" for number in range(200)]
    environment.send(*(message(order(order_id)) for order_id in good))
    subprocess.run(
        [
            *(str(kcat), "-P", "-b", environment.kafka.bootstrap, "-t", "orders.order-placed.v1"),
            *("-H", b"ce_\xff=x", "-H", "ce_id=e0"),
        ],
        input=b"body",
        check=True,
    )
    environment.send(message(order("last")))
    environment.pass_through()
    assert environment.events() == [*good, "last"]
    assert len(environment.letters()) == 1


def test_an_event_of_very_many_subjects_is_recorded(environment: Environment) -> None:
    """Its windows would not fit in one message, so they are left out, being only informative."""
    consumers = [f"K{number:06}{'x' * 400}" for number in range(1_000)]
    ticket = CloudEvent(
        id="t1",
        source="/helpdesk",
        type=TICKETS,
        time=now() - timedelta(hours=1),
        data={"ticket_id": "T1", "customer_id": "C1", "consumer_ids": consumers},
    )
    environment.send(message(ticket))
    environment.pass_through()
    assert environment.letters() == []
    assert len(load_facts(environment.ledger)["record"]) == 1_001


@pytest.mark.parametrize("topic", [TAGGED, DEAD_LETTERS], ids=lambda topic: topic.schema)
def test_a_message_that_the_recorder_cannot_read_is_parked_too(
    environment: Environment, topic: Any
) -> None:
    """It is parked whichever client wrote it."""
    environment.send(
        OutgoingMessage(topic=topic.name, key=b"k", value=b"garbage"), message(order())
    )
    environment.pass_through()
    [letter] = environment.letters()
    assert (letter.role, letter.reason, letter.topic) == ("recorder", "undecodable", topic.name)
    assert environment.events() == ["e1"]


@pytest.mark.parametrize(
    ("field_", "value", "reason"),
    [
        ("deciding", "no json", "undecodable"),
        ("deciding", "[1]", "undecodable"),
        ("deciding", '{"a":' * 5_000, "undecodable"),
        ("deciding", "{}", "unknown-subject"),
        ("deciding", '{"consumer_id":"a\\u0000b"}', "invalid-field"),
        ("type", "nobody.knows-this", "unknown-type"),
        ("source", "/a\x00b", "undecodable"),
    ],
)
def test_an_inconsistent_tagged_message_is_parked(
    environment: Environment, field_: str, value: str, reason: str
) -> None:
    """It may come from a tagger under another policy, or from an unknown client."""
    environment.send(message(order()))
    environment.pass_through()
    [tagged] = on_the_bus(environment.kafka, TAGGED.name)
    altered = {**CODEC.decode(TAGGED, tagged), "id": "e2", field_: value}
    encoded = CODEC.encode(TAGGED, altered, trusted=True)
    environment.send(OutgoingMessage(topic=TAGGED.name, key=b"k", value=encoded))
    environment.pass_through()
    assert [(letter.role, letter.reason) for letter in environment.letters()] == [
        ("recorder", reason)
    ]
    assert environment.events() == ["e1"]


def test_a_message_whose_parking_fails_is_read_again(environment: Environment) -> None:
    """The position stays before the message until the broker has accepted the dead letter."""

    class Refusing:
        """A broker that at first refuses dead letters."""

        tried = 0

        def send(self, messages: Sequence[OutgoingMessage]) -> Sequence[RecordMetadata]:
            if any(message.topic == DEAD_LETTERS.name for message in messages):
                self.tried += 1
                if self.tried < 3:
                    assert position(environment.ledger, 0, "tagger", "orders.order-placed.v1") == -1
                    raise DeliveryFailed(DEAD_LETTERS.name, "no")
            return environment.sender.send(messages)

    environment.send(message(order(), value=b"garbage"), message(order()))
    refusing = Refusing()
    with environment.tagging(sender=cast(KafkaProducer, refusing)):
        until(lambda: position(environment.ledger, 0, "tagger", "orders.order-placed.v1") == 2)
    environment.pass_through()
    assert refusing.tried == 3
    assert len(environment.letters()) == 1
    assert environment.events() == ["e1"]


def today() -> str:
    """Return the release group of orders that arrive now."""
    return f"live-history/{now():%Y-%m-%d}/{ORDERS}"


@pytest.mark.parametrize("dated_by", ["LogAppendTime", "CreateTime"])
def test_a_publisher_cannot_present_an_old_event_as_live(
    environment: Environment, dated_by: str
) -> None:
    """The publisher chooses a message's timestamp, so it does not count; six days are not too old."""
    topic = f"{ORDERS}.v1"
    TopicAdmin(admin=environment.bus.admin).set_config(topic, {"message.timestamp.type": dated_by})
    producer = Producer({"bootstrap.servers": environment.kafka.bootstrap, "log_level": 0})
    for id_, days in (("e1", 8), ("e2", 6), ("e3", 9_000)):
        event = replace(order(id_), time=now() - timedelta(days=days))
        outgoing = message(event)
        written = int(event.time.timestamp() * 1000)
        producer.produce(
            topic, outgoing.value, outgoing.key, headers=list(outgoing.headers), timestamp=written
        )
    assert producer.flush(20) == 0
    environment.pass_through()
    assert environment.groups() == [today(), None, today()]


def test_a_wrong_clock_of_the_tagger_releases_no_old_event(environment: Environment) -> None:
    """By this machine's wrong clock the event is of today, so the database's clock decides."""
    environment.send(message(replace(order(), time=datetime(2020, 1, 1, tzinfo=UTC))))
    environment.pass_through(clock=lambda: datetime(2020, 1, 1, tzinfo=UTC))
    assert environment.groups() == [today()]


def test_an_old_event_that_is_tagged_again_after_a_crash_stays_held_back(
    environment: Environment,
) -> None:
    """The event is tagged and on the bus, but the tagger's position was not written."""

    environment.send(message(replace(order(), time=datetime(2020, 1, 1, tzinfo=UTC))))
    with environment.tagging(ledger=cast(Database, EndingLedger(environment.ledger))) as tagger:
        assert isinstance(tagger.end(), Crash)
    environment.pass_through()
    assert environment.groups() == [today()]
    assert len(on_the_bus(environment.kafka, TAGGED.name)) == 2


def test_an_import_with_the_name_of_live_history_is_parked(environment: Environment) -> None:
    """An import under a name that is reserved for live history is parked as malformed."""
    environment.send(
        with_headers(order("e1"), ce_termijnbackfill=today().encode()),
        with_headers(order("e2"), ce_termijnbackfill=b"live-history"),
    )
    environment.pass_through()
    assert environment.events() == ["e2"]
    [letter] = environment.letters()
    assert (letter.reason, letter.detail.split(":")[0]) == ("malformed", "termijnbackfill")


def replay(environment: Environment, tmp_path: Path, *arguments: str) -> str:
    """Run `termijn dead-letters replay`."""
    key = tmp_path / "dead-letters.key"
    key.write_text(base64.b64encode(KEY).decode(), "ascii")
    key.chmod(0o600)
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": environment.kafka.bootstrap,
        "TERMIJN_LEDGER_URL": environment.ledger.engine.url.render_as_string(hide_password=False),
        "TERMIJN_KEY_FILE": str(key),
        "TERMIJN_DATA": str(tmp_path / "data"),
        "TERMIJN_OPERATOR": "Anna",
    }
    result = CliRunner().invoke(
        dead_letters_, ["replay", *arguments], env=variables, catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dead_letter_is_replayed_once_its_cause_is_fixed(
    environment: Environment, tmp_path: Path
) -> None:
    """The cause here is a tagger's clock that was years behind."""
    environment.send(message(order()))
    environment.pass_through(clock=lambda: datetime(2020, 1, 1, tzinfo=UTC))
    assert [letter.reason for letter in environment.letters()] == ["impossible-time"]
    assert replay(environment, tmp_path, "--all") == "replayed 1\n"
    environment.pass_through()
    assert environment.letters() == []
    assert environment.events() == ["e1"]


def test_a_replayed_message_that_is_still_wrong_is_parked_again(
    environment: Environment, tmp_path: Path
) -> None:
    """It is parked at its new place, and the first dead letter stays settled."""
    environment.send(message(order(), value=b"garbage"))
    environment.pass_through()
    [first] = environment.letters()
    replay(environment, tmp_path, str(first.dead_letter_id))
    environment.pass_through()
    [second] = environment.letters()
    assert (first.offset, second.offset) == (0, 1)


def test_a_dead_letter_that_is_too_large_for_kafka_is_parked(
    environment: Environment,
) -> None:
    """The largest message that a publisher can send goes into the ledger directly, and can be decrypted."""
    value = b"\xff" * 999_000
    producer = Producer(
        {"bootstrap.servers": environment.kafka.bootstrap, "message.max.bytes": 1_048_000}
    )
    producer.produce("orders.order-placed.v1", value=value)
    assert producer.flush(20) == 0
    environment.pass_through()
    [letter] = environment.letters()
    assert on_the_bus(environment.kafka, DEAD_LETTERS.name) == []
    assert AeadCipher(KEY).decrypt(letter.sealed, letter.place, letter.key_id).value == value
