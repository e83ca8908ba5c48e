"""A parked event that could forbid an erasure blocks it, and as little else as possible, until settled.

Bytes arrive as on a topic, through tagger and recorder; the deleter's own rounds decide what is sent.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Message

from consumers.batch_application import apply_batch
from consumers.recorder import RecorderHandler
from consumers.tagger import TaggerHandler
from schemas.cloudevents import CloudEvent, to_headers
from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import DEAD_LETTERS, TAGGED, business_topic
from services.crypto.envelope import AeadCipher
from services.crypto.tombstones import TombstoneCipher
from services.deleter.deleter import Deleter
from services.deleter.dispatch import SentCommand
from services.deleter.surge import Surge
from services.events.tagger import EventTagger
from services.kafka.producer import OutgoingMessage
from services.kafka.record_metadata import RecordMetadata
from services.ledger import blind_spots, tables
from services.ledger.blind_spots import BlindSpots
from services.ledger.recording import RecordingResult
from services.operations.doctor.ledger import check_parked
from services.policy.model import Policy
from services.storage import dead_letters, pause
from services.storage.database import Database
from services.storage.dead_letters import DeadLetter
from tests.contract.event_builders import event, feedback, signed_up, terminated
from tests.contract.ledgers import POLICY, FakeBus, record_events, roll_back, select_rows

OLD = "2020-03-15T13:00:00Z"
HOLD, RELEASE = "privacy.hold-placed", "privacy.hold-released"
BACK, GONE = "customers.customer-reinstated", "customers.customer-terminated"
FEEDBACK, ORDER = "website.feedback-given", "orders.order-placed"
TYPES = (HOLD, RELEASE, BACK, GONE, FEEDBACK, ORDER)
CODEC = Codec(load())
KEY = bytes(range(32))
GARBAGE = b"\xff no Avro"
RESTRICT = "privacy.objection-raised"


def now() -> datetime:
    return datetime.now(UTC)


def hold(subject: str = "visitor:1", **fields: Any) -> dict[str, Any]:
    return {"subject": subject, "hold_id": "H1", "ground": "legal_claim", **fields}


BAD_HOLD = hold(ground="because")
"""Avro takes its ground, and the policy does not."""


class NullRoleObserver:
    """Ignores what the roles report."""

    def tagged(self, event_type: str, rules: Sequence[str], events: int, at: datetime) -> None: ...
    def recorded(self, recorded: RecordingResult) -> None: ...
    def dead_lettered(self, letter: DeadLetter) -> None: ...
    def waiting_for_catch_up(self, spots: Sequence[str]) -> None: ...
    def commands_sent(
        self, commands: Sequence[SentCommand], nothing_due_at: datetime | None
    ) -> None: ...
    def commands_escalated(self, commands: Sequence[Any]) -> None: ...
    def rate_cap_reached(self, cap: int) -> None: ...
    def surge_found(self, surges: Sequence[Surge]) -> None: ...
    def surge_not_compared(self) -> None: ...


@dataclass(slots=True)
class TopicBus:
    """Keeps what the tagger publishes; it acts as forwarder and sender."""

    out: list[OutgoingMessage] = field(default_factory=list)

    def send(self, *sent: Any) -> Sequence[RecordMetadata]:
        if isinstance(sent[0], str):
            self.out += [
                OutgoingMessage(topic=sent[0], key=key, value=value) for key, value in sent[1]
            ]
        else:
            self.out += sent[0]
        return []


@dataclass(slots=True)
class CatchUpCheck:
    """A check that always passes, and during which something may happen."""

    meanwhile: Callable[[], object] = lambda: None

    def lagging_partitions(self) -> Sequence[str]:
        self.meanwhile()
        return []


@dataclass(slots=True)
class Environment:
    """A tagger, recorders and a deleter on one ledger."""

    ledger: Database
    policy: Policy = POLICY
    seal: AeadCipher = field(default_factory=lambda: AeadCipher(KEY))
    remains: TombstoneCipher = field(default_factory=lambda: TombstoneCipher(KEY))
    bus: FakeBus = field(default_factory=FakeBus)
    offset: int = 0

    def publish(self, type_: str, body: Any, time: datetime | None = None, **fields: Any) -> None:
        """Publish an event on its topic, and let tagger and recorder process it."""
        self.record(self.tag(type_, body, time, **fields))

    def tag(
        self, type_: str, body: Any, time: datetime | None = None, id_: str = "", source: str = "/x"
    ) -> list[OutgoingMessage]:
        """Return the tagged message of an event."""
        self.offset += 1
        topic = business_topic(type_)
        value = body if isinstance(body, bytes) else CODEC.encode(topic, body)
        at = time or now() - timedelta(minutes=1)
        event = CloudEvent(id=id_ or f"x{self.offset}", source=source, type=type_, time=at, data={})
        out = TopicBus()
        self.tagger(out).handle([self.message(topic.name, value, to_headers(event))], [])
        return out.out

    def tagger(self, out: TopicBus) -> TaggerHandler:
        topics = {
            event_type.name: event_type for event_type in map(business_topic, self.policy.events)
        }
        return TaggerHandler(
            tagger=EventTagger(policy=self.policy, codec=CODEC, topics=topics),
            codec=CODEC,
            forwarder=out,  # type: ignore[arg-type]  # as much of it as the tagger uses
            sender=out,  # type: ignore[arg-type]
            cipher=self.seal,
            ledger=self.ledger,
            observer=NullRoleObserver(),
            now=now,
        )

    def message(self, topic: str, value: bytes | None, headers: Any = ()) -> Message:
        at = int(now().timestamp() * 1000)
        return Message(
            topic=topic,
            partition=0,
            offset=self.offset,
            timestamp=(1, at),
            key=b"k",
            value=value,
            headers=list(headers),
        )

    def record(self, out: Sequence[OutgoingMessage], **other: Any) -> None:
        """Let a recorder read these messages."""
        self.recorder(**other).handle(
            [self.message(message.topic, message.value) for message in out], []
        )

    def recorder(self, **other: Any) -> RecorderHandler:
        parts: dict[str, Any] = {
            "policy": self.policy,
            "codec": CODEC,
            "ledger": self.ledger,
            "cipher": self.seal,
            "tombstone_cipher": self.remains,
            "observer": NullRoleObserver(),
            "now": now,
        }
        return RecorderHandler(**{**parts, **other})

    def run_deleter(
        self, seeing: CatchUpCheck | None = None, rounds: int = 3, **other: Any
    ) -> set[Any]:
        """Run some rounds, and return system and action of each command sent."""
        before = len(self.bus.sent)
        parts: dict[str, Any] = {
            "ledger": self.ledger,
            "publisher": self.bus,
            "catch_up_check": seeing or CatchUpCheck(),
            "policy": self.policy,
            "observer": NullRoleObserver(),
            "now": now,
            "tombstone_cipher": self.remains,
        }
        deleter = Deleter(**{**parts, **other})
        for _ in range(rounds):
            deleter.run_once()
        return {(command.system, command.value["action"]) for command in self.bus.sent[before:]}

    def subjects(self) -> set[str]:
        """Return the subjects whose erasures were sent."""
        return {command.key for command in self.bus.sent if command.value["action"] == "erase"}

    def settle_dead_letters(self, state: str = "discarded") -> None:
        """Settle all that is parked, as `termijn dead-letters` does."""
        with self.ledger.transaction() as connection:
            for letter in dead_letters.list_parked(connection):
                dead_letters.close(
                    connection, letter, state, operator="Anna", reason="looked at", now=now()
                )

    def reach(self) -> dict[str, int]:
        with self.ledger.transaction() as connection:
            return dict(blind_spots.count_by_reach(connection, self.policy))

    def read(self) -> BlindSpots:
        with self.ledger.transaction() as connection:
            return blind_spots.load_blind_spots(connection, self.policy, self.remains)


@pytest.fixture
def environment(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Feedback of two visitors that is due, and a customer who left."""
    monkeypatch.setattr(blind_spots, "RESCAN_DELAY", timedelta(0))
    record_events(ledger, [feedback("f1", OLD), two_visitors(feedback("f2", OLD))], now())
    record_events(ledger, [signed_up("c1", OLD), terminated("c2", OLD)], now())
    return Environment(ledger=ledger)


def two_visitors(order_event: dict[str, Any]) -> dict[str, Any]:
    return {**order_event, "data": {**order_event["data"], "visitor_id": "2"}}


ALL = {"visitor:1", "visitor:2", "customer:1"}


def test_without_parked_events_all_commands_are_sent(environment: Environment) -> None:
    """This is the state from which the other tests begin."""
    environment.run_deleter()
    assert environment.subjects() == ALL
    assert environment.reach() == {}


@pytest.mark.parametrize("settled", ["replayed", "discarded"])
@pytest.mark.parametrize("type_", [HOLD, RELEASE])
def test_an_unreadable_hold_stops_everything_until_it_is_settled(
    environment: Environment, type_: str, settled: str
) -> None:
    """It may be about any person.

    The topic of releases is used by the same department, so a message there may be a hold as well.
    """
    environment.publish(type_, GARBAGE)
    assert environment.run_deleter() == set()
    assert environment.reach() == {"everything": 1}
    environment.settle_dead_letters(settled)
    environment.run_deleter()
    assert environment.subjects() == ALL
    assert environment.reach() == {}


def test_a_bad_hold_of_a_known_subject_stops_that_subject(environment: Environment) -> None:
    """Other subjects' erasures leave at once, and this one's after an operator has settled it."""
    environment.publish(HOLD, BAD_HOLD)
    environment.run_deleter()
    assert environment.subjects() == ALL - {"visitor:1"}
    assert environment.reach() == {"narrow": 1}
    environment.run_deleter()
    environment.settle_dead_letters()
    environment.run_deleter()
    assert environment.subjects() == ALL


@pytest.mark.parametrize(
    "hold_fields", [hold("nobody:1"), hold("visitor:"), hold(""), hold("x" * 600)], ids=str
)
def test_a_hold_with_an_invalid_subject_may_be_about_any_person(
    environment: Environment, hold_fields: dict[str, Any]
) -> None:
    """A hold whose subject is misspelt may be about any person."""
    environment.publish(HOLD, hold_fields)
    assert environment.run_deleter() == set()


def test_a_hold_that_no_attempt_can_tag_stops_everything(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of Termijn's own parks it past every check, but it is still a hold."""

    def of(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(EventTagger, "tag_message", of)
    value = CODEC.encode(business_topic(HOLD), hold())
    apply_batch(
        environment.tagger(TopicBus()), [environment.message(f"{HOLD}.v1", value)], [], lambda: None
    )
    assert environment.run_deleter() == set()
    assert environment.reach() == {"everything": 1}
    environment.settle_dead_letters()
    environment.run_deleter()
    assert environment.subjects() == ALL


def test_a_hold_that_no_attempt_can_record_stops_its_subject(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fields name the subject; where they are missing, it may be about any person."""

    def event_id(*_: Any) -> Any:
        raise ZeroDivisionError

    [message] = environment.tag(HOLD, hold())
    monkeypatch.setattr("services.events.incoming_event.event_id", event_id)
    apply_batch(
        environment.recorder(),
        [environment.message(message.topic, message.value)],
        [],
        lambda: None,
    )
    environment.run_deleter()
    assert environment.subjects() == ALL - {"visitor:1"}
    assert environment.reach() == {"narrow": 1}
    monkeypatch.setattr("consumers.recorder.read_visible_parts", event_id)
    environment.offset += 1
    apply_batch(
        environment.recorder(),
        [environment.message(message.topic, message.value)],
        [],
        lambda: None,
    )
    assert environment.reach() == {"narrow": 1, "everything": 1}


def test_a_parked_hold_that_no_attempt_can_note_stops_its_subject(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tagger parked it, and the recorder cannot store it as it is."""
    [message] = environment.tag(HOLD, BAD_HOLD)

    def note(*_: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr("consumers.recorder.restore_tombstones", note)
        apply_batch(
            environment.recorder(),
            [environment.message(message.topic, message.value)],
            [],
            lambda: None,
        )
    environment.run_deleter()
    assert environment.subjects() == ALL - {"visitor:1"}


def test_a_hold_whose_identity_was_taken_on_its_own_topic_stops_its_subject(
    environment: Environment,
) -> None:
    """The recorder parks it as a conflict."""
    environment.publish(HOLD, hold("visitor:9"), id_="h1")
    environment.publish(HOLD, hold("visitor:1"), id_="h1")
    environment.run_deleter()
    assert environment.subjects() == ALL - {"visitor:1"}


def test_a_hold_with_an_identity_of_another_topic_is_valid(environment: Environment) -> None:
    """Nothing is parked, and nothing is blocked."""
    environment.publish(FEEDBACK, {"feedback_id": "f9", "visitor_id": "9"}, id_="h1")
    environment.publish(HOLD, hold("visitor:1"), id_="h1")
    environment.run_deleter()
    assert environment.subjects() == ALL - {"visitor:1"}
    assert environment.reach() == {}


def test_a_hold_of_a_source_that_may_not_publish_it_blocks_its_subject(
    environment: Environment,
) -> None:
    """Its subject waits until an operator has settled it."""
    named = replace(POLICY.events[HOLD], sources=("/legal",))
    environment.policy = replace(POLICY, events={**POLICY.events, HOLD: named})
    messages = environment.tag(HOLD, hold("visitor:2"))
    environment.policy = POLICY
    environment.record(messages)
    environment.run_deleter()
    assert environment.subjects() == ALL - {"visitor:2"}


def test_a_parked_reinstatement_blocks_records_of_that_relationship(
    environment: Environment,
) -> None:
    """It does not block another customer's erasure."""
    future = now() + timedelta(days=9)
    environment.publish(BACK, {"customer_id": "2"}, future)
    environment.publish(BACK, {"customer_id": "1"}, future)
    environment.run_deleter()
    assert environment.subjects() == ALL - {"customer:1"}
    assert environment.reach() == {"narrow": 2}
    environment.settle_dead_letters()
    environment.run_deleter()
    assert environment.subjects() == ALL


@pytest.mark.parametrize("type_", [BACK, GONE])
def test_an_unreadable_clock_change_blocks_all_clocks_of_its_kind(
    environment: Environment, type_: str
) -> None:
    """Visitors depend on no clock. A later end postpones what is due, as a start does."""
    environment.publish(type_, GARBAGE)
    environment.run_deleter()
    assert environment.subjects() == {"visitor:1", "visitor:2"}
    assert environment.reach() == {"clocks": 1}


def test_a_parked_change_of_a_parent_clock_blocks_its_children(ledger: Database) -> None:
    """A supplier's contact is blocked with the supplier, by kind and by key."""
    policy, clock_kinds = POLICY, frozenset({"supplier"})
    engaged, ended = "suppliers.supplier-engaged", "suppliers.supplier-ended"
    environment = Environment(ledger=ledger)
    data = {"supplier_id": "1", "contact_id": "7"}
    at = "2024-01-01T00:00:00Z"
    record_events(
        ledger, [event("s1", engaged, at, **data), event("s2", ended, at, supplier_id="1")], now()
    )
    environment.publish(ended, {"supplier_id": "1"}, now() + timedelta(days=9))
    assert environment.run_deleter() == set()
    environment.settle_dead_letters()
    environment.publish(ended, GARBAGE)
    assert environment.run_deleter() == set()
    assert environment.read().clock_kinds >= clock_kinds | {"supplier-contact"}
    assert policy.clocks["supplier-contact"].parent == "supplier"


@pytest.mark.parametrize("type_", [ORDER, FEEDBACK])
def test_a_parked_event_that_could_forbid_nothing_blocks_nothing(
    environment: Environment, type_: str
) -> None:
    """An unreadable order is only a dead letter."""
    environment.publish(type_, GARBAGE)
    environment.run_deleter()
    assert environment.subjects() == ALL


def test_an_unreadable_tagged_event_may_be_a_hold(environment: Environment) -> None:
    """It is on the recorder's own topic."""
    environment.record([OutgoingMessage(topic=TAGGED.name, key=b"k", value=GARBAGE)])
    assert environment.run_deleter() == set()


def test_an_unreadable_dead_letter_may_be_a_hold(environment: Environment) -> None:
    """A dead letter that cannot be decoded may hold a legal hold, so it blocks claims."""
    environment.record([OutgoingMessage(topic=DEAD_LETTERS.name, key=b"k", value=GARBAGE)])
    assert environment.run_deleter() == set()


def test_a_hold_too_large_for_kafka_is_parked_in_the_ledger_and_stops_all(
    environment: Environment,
) -> None:
    """It bypasses the recorder, the only role that can find its subject."""
    assert environment.tag(HOLD, hold(records=[f"{number:0500}" for number in range(2_000)])) == []
    assert environment.run_deleter() == set()


@pytest.mark.parametrize(
    "other",
    [{"tombstone_cipher": TombstoneCipher(bytes(32))}, {"tombstone_cipher": None}],
    ids=["another-key", "no-key"],
)
def test_a_deleter_with_another_key_sends_nothing(
    environment: Environment, other: dict[str, Any]
) -> None:
    """It cannot determine which subject the hold is about."""
    environment.publish(HOLD, BAD_HOLD)
    assert environment.run_deleter(**other) == set()


def test_a_recorder_with_another_key_than_the_taggers_knows_only_the_type(
    environment: Environment,
) -> None:
    """An event that it cannot decrypt may be about any person."""
    environment.record(environment.tag(HOLD, BAD_HOLD), cipher=AeadCipher(bytes(32)))
    assert environment.run_deleter() == set()


def test_commands_in_the_outbox_wait_as_well(environment: Environment) -> None:
    """At its first attempt, and after a drain, a command leaves only if it is not blocked."""

    class Away(TopicBus):
        def send(self, commands: Any) -> Any:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        environment.run_deleter(publisher=Away())
    with environment.ledger.transaction() as connection:
        connection.execute(tables.command.update().values(next_attempt_at=now()))
    environment.publish(HOLD, BAD_HOLD)
    environment.run_deleter()
    assert environment.subjects() == ALL - {"visitor:1"}
    environment.settle_dead_letters()
    with environment.ledger.transaction() as connection:
        connection.execute(tables.command.update().values(next_attempt_at=now()))
    environment.run_deleter()
    assert environment.subjects() == ALL


def test_a_repetition_waits_as_well(environment: Environment) -> None:
    """A sent command is not repeated while it is blocked."""
    environment.run_deleter()
    environment.publish(HOLD, GARBAGE)
    with environment.ledger.transaction() as connection:
        connection.execute(tables.command.update().values(next_attempt_at=now()))
    assert environment.run_deleter() == set()


def test_a_hold_that_is_replayed_during_a_run_still_blocks_it(environment: Environment) -> None:
    """The deleter checked the bus before the hold's replay, and claims after its letter was settled."""
    environment.publish(HOLD, BAD_HOLD)
    seeing = CatchUpCheck(lambda: environment.settle_dead_letters("replayed"))
    environment.run_deleter(seeing, rounds=1)
    assert environment.subjects() == ALL - {"visitor:1"}


def test_a_hold_that_is_parked_during_a_run_blocks_it(environment: Environment) -> None:
    """It is parked between the catch-up check and the claim."""
    seeing = CatchUpCheck(lambda: environment.publish(HOLD, GARBAGE))
    assert environment.run_deleter(seeing, rounds=1) == set()


def test_a_crash_while_parking_leaves_nothing_and_is_repeated(environment: Environment) -> None:
    """Letter and block are one transaction, and the position was not advanced either."""
    messages = environment.tag(HOLD, GARBAGE)
    whole = environment.ledger

    class Crashing:
        def run_in_transaction(self, work: Any) -> None:
            roll_back(whole, work)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        environment.record(messages, ledger=Crashing())
    assert (select_rows(whole, tables.dead_letter), environment.reach()) == ([], {})
    environment.record(messages)
    assert environment.run_deleter() == set()


def test_two_recorders_park_a_hold_once_and_settling_ends_its_block(
    environment: Environment,
) -> None:
    """After a rebalance both read it, and a settled letter does not block again."""
    messages = environment.tag(HOLD, BAD_HOLD)
    environment.record(messages)
    environment.record(messages)
    assert environment.reach() == {"narrow": 1}
    environment.settle_dead_letters()
    environment.record(messages)
    assert environment.reach() == {}
    environment.run_deleter()
    assert environment.subjects() == ALL


def test_what_a_parked_event_could_forbid_follows_from_the_active_policy(
    environment: Environment,
) -> None:
    """Another policy may give the type another meaning, and then blocks what it could forbid there."""
    environment.publish(FEEDBACK, GARBAGE)
    environment.publish(BACK, {"customer_id": "1"}, now() + timedelta(days=9))
    kind = replace(POLICY.events[FEEDBACK], act="hold-placed")
    environment.policy = replace(POLICY, events={**POLICY.events, FEEDBACK: kind})
    assert environment.reach() == {"everything": 1, "narrow": 1}
    still = replace(POLICY.events[BACK], moves=(), holdings=POLICY.events[GONE].holdings)
    environment.policy = replace(POLICY, events={**POLICY.events, BACK: still})
    assert environment.reach() == {}
    less = {name: event for name, event in POLICY.events.items() if name != BACK}
    environment.policy = replace(POLICY, events=less)
    assert environment.reach() == {}


def test_protective_commands_are_sent_while_erasures_are_blocked(environment: Environment) -> None:
    """An objection restricts although nothing may be erased."""
    checked, raised = now() - timedelta(days=1), now() - timedelta(minutes=1)
    check = {"check_id": "1", "customer_id": "1"}
    objection = {"subject": "customer:1", "purpose": "credit_check", "objection_id": "B1"}
    environment.publish(HOLD, GARBAGE)
    events = [
        event("e1", "credit.check-performed", checked.isoformat(), **check),
        event("o1", RESTRICT, raised.isoformat(), **objection),
    ]
    record_events(environment.ledger, events, now())
    assert environment.run_deleter() == {("crm", "restrict"), ("credit-bureau", "restrict")}


def test_a_letter_of_a_topic_with_an_endless_name_stops_everything_and_no_recorder(
    postgres_ledger: Database,
) -> None:
    """PostgreSQL's index accepts neither the name as it came nor a shortened form of it."""
    environment = Environment(ledger=postgres_ledger)
    record_events(postgres_ledger, [feedback("f1", OLD)], now())
    [tagged_hold] = environment.tag(HOLD, BAD_HOLD)
    letter = CODEC.decode(DEAD_LETTERS, tagged_hold.value)
    noise = "".join(random.Random(7).choices(string.ascii_letters, k=20_000))
    value = CODEC.encode(DEAD_LETTERS, {**letter, "topic": noise}, trusted=True)
    message = environment.message(DEAD_LETTERS.name, value)
    apply_batch(environment.recorder(), [message], [], lambda: None)
    assert environment.run_deleter() == set()
    assert environment.reach() == {"everything": 1}


@pytest.mark.parametrize("stop", ["parked", "paused"])
def test_protective_commands_are_sent_also_where_an_erasure_is_due(
    environment: Environment, stop: str
) -> None:
    """The erasure would make the restriction needless, but it is blocked."""
    checked, raised = now() - timedelta(days=400), now() - timedelta(minutes=1)
    check = {"check_id": "1", "customer_id": "9"}
    objection = {"subject": "customer:9", "purpose": "credit_check", "objection_id": "B1"}
    if stop == "parked":
        environment.publish(HOLD, GARBAGE)
    with environment.ledger.transaction() as connection:
        state: pause.State = "paused" if stop == "paused" else "running"
        pause.set_pause_state(
            connection, "deleter", state, operator="Anna", reason="a test", now=now()
        )
    events = [
        event("e1", "credit.check-performed", checked.isoformat(), **check),
        event("o1", RESTRICT, raised.isoformat(), **objection),
    ]
    record_events(environment.ledger, events, now())
    restricted = {("crm", "restrict"), ("credit-bureau", "restrict")}
    assert environment.run_deleter() == restricted
    with environment.ledger.transaction() as connection:
        pause.set_pause_state(
            connection, "deleter", "running", operator="Anna", reason="over", now=now()
        )
    environment.settle_dead_letters()
    assert {("crm", "erase"), ("credit-bureau", "erase")} <= environment.run_deleter()


def test_a_stored_block_names_no_person(environment: Environment) -> None:
    """Neither the letter's row nor the fields read from it name the person."""
    environment.publish(HOLD, hold("visitor:Sanne", ground="because"))
    environment.publish(BACK, {"customer_id": "Sanne"}, now() + timedelta(days=9))
    stored: Collection[Any] = [
        *select_rows(environment.ledger, tables.dead_letter),
        *select_rows(environment.ledger, tables.parked_event),
    ]
    assert len(stored) == 4
    assert "Sanne" not in str([tuple(row) for row in stored])


def test_the_list_of_dead_letters_shows_what_each_blocks(environment: Environment) -> None:
    """An operator sees which letter to settle first."""
    environment.publish(ORDER, GARBAGE)
    environment.publish(HOLD, BAD_HOLD)
    environment.publish(GONE, GARBAGE)
    environment.publish(RELEASE, GARBAGE)
    with environment.ledger.transaction() as connection:
        letters = {
            letter.dead_letter_id: letter.topic for letter in dead_letters.list_parked(connection)
        }
        reach = blind_spots.reach_by_dead_letter(connection, POLICY)
    assert len(letters) == 4
    assert {letters[command_id]: width for command_id, width in reach.items()} == {
        "privacy.hold-placed.v1": "narrow",
        "customers.customer-terminated.v1": "clocks",
        "privacy.hold-released.v1": "everything",
    }
    assert environment.reach() == {"narrow": 1, "clocks": 1, "everything": 1}


def test_parked_and_recorded_events_are_distinguished_by_offset(environment: Environment) -> None:
    """The place on its own topic decides, whichever role parked it."""
    environment.publish(ORDER, GARBAGE)
    environment.publish(HOLD, hold("visitor:9"), id_="h1")
    environment.publish(HOLD, hold("visitor:8"), id_="h1")
    with environment.ledger.transaction() as connection:
        orders, holds = "orders.order-placed.v1", "privacy.hold-placed.v1"
        assert set(blind_spots.parked_offsets(connection, {orders, holds})) == {
            (orders, 0, 1),
            (holds, 0, 3),
        }
        assert list(blind_spots.parked_offsets(connection, {"x.v1"})) == []


def test_the_doctor_reports_what_is_blocked(environment: Environment) -> None:
    """It is a fault until it is settled."""
    assert check_parked(environment.ledger, POLICY).state == "ok"
    environment.publish(HOLD, GARBAGE)
    environment.publish(HOLD, BAD_HOLD)
    finding = check_parked(environment.ledger, POLICY)
    assert (finding.state, finding.problem) == (
        "error",
        "hold erasures back (1 everything, 1 narrow)",
    )
    environment.settle_dead_letters()
    assert check_parked(environment.ledger, POLICY).state == "ok"
