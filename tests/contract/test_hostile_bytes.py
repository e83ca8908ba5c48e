"""Hostile sizes and characters in messages: no error ends a role, and valid neighbours are recorded.

Each on SQLite and on PostgreSQL, by the code that the roles run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from confluent_kafka import Message
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from consumers.acknowledgements import AcknowledgementHandler
from consumers.batch_application import BatchHandler, apply_batch
from consumers.recorder import RecorderHandler
from consumers.tagger import TaggerHandler
from schemas import topics
from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import DEAD_LETTERS, TAGGED, business_topic
from services.crypto.envelope import AeadCipher
from services.crypto.keyring import Keyring, new_key
from services.crypto.signing import Signer, Verifier
from services.crypto.tombstones import TombstoneCipher
from services.deleter.acknowledgement import Acknowledgement
from services.deleter.settlement import AcknowledgementResult
from services.events.tagger import EventTagger
from services.kafka.producer import BulkProducer, KafkaProducer, OutgoingMessage
from services.kafka.record_metadata import RecordMetadata
from services.ledger import tables
from services.ledger.recording import RecordingResult
from services.storage.database import Database
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetAdvance, PartitionId
from tests.batches import encode_acknowledgements
from tests.contract.event_builders import feedback
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    claim_all,
    empty_database,
    instant,
    record_events,
    select_rows,
    send_due,
)
from tests.effort import examples

CODEC = Codec(load())
NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)
SEAL = AeadCipher(bytes(32))
TICKETS = business_topic("helpdesk.ticket-opened")
FEEDBACK = business_topic("website.feedback-given")
TOPICS = {topic.name: topic for topic in map(business_topic, POLICY.events)}
KEY = new_key()
WEBSITE = topics.acknowledgement_topic("website")
FAR = instant("2060-01-01T00:00:00Z")

alphabet = st.sampled_from(["a", "\0", "\x1b", "\n", "\N{GRINNING FACE}", "é", "[", "%", "'", " "])
texts = st.one_of(
    st.text(alphabet, max_size=12),
    st.builds(
        lambda text, length: text * length,
        st.sampled_from(["x", "\N{GRINNING FACE}", "é", "\0"]),
        st.sampled_from([128, 171, 512, 513, 1_000, 3_000]),
    ),
    st.text(max_size=20),
)
raw = st.one_of(
    texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=40),
    st.just("\ud800".encode("utf-8", "surrogatepass")),
)
lists = st.one_of(
    st.lists(texts, max_size=4),
    st.sampled_from([999, 1_000, 1_001, 5_000]).map(
        lambda n: [f"K{number}" for number in range(n)]
    ),
)
tickets = st.fixed_dictionaries(
    {
        "ticket_id": texts,
        "customer_id": texts,
        "consumer_ids": lists,
        "id": raw,
        "source": raw,
        "backfill": st.none() | raw,
        "time": st.sampled_from([b"2026-03-01T12:00:00Z", b"0001-01-01T00:00:00Z", b"x\0"]),
    }
)
_SOUND: dict[str, Any] = {
    "ticket_id": "T",
    "customer_id": "C",
    "consumer_ids": [],
    "id": b"bad",
    "source": b"/s",
    "backfill": None,
    "time": b"2026-03-01T12:00:00Z",
}
_SAID: dict[str, st.SearchStrategy[Any]] = {
    "acknowledgement_id": texts,
    "ground": texts,
    "detail": texts,
    "disclosure": texts,
    "counts": st.dictionaries(texts, st.integers(-(2**63), 2**63 - 1), max_size=3)
    | st.sampled_from([1_000, 1_001]).map(lambda n: {f"t{number}": 1 for number in range(n)}),
    "attempt": st.integers(-(2**31), 2**31 - 1),
    "status": st.sampled_from(["refused", "failed", "recalled", "already_done"]),
    "at": st.sampled_from(
        [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)]
    ),
}
# One thing wrong at a time: of two, the one that is noticed first would hide the other.
answers = st.sampled_from(sorted(_SAID)).flatmap(
    lambda name: st.fixed_dictionaries({name: _SAID[name]})
)
hostile = settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class TopicReader:
    """One topic of one partition, read by one role."""

    def __init__(self, role: BatchHandler, topic: str) -> None:
        self.role = role
        self.log = PartitionId(cluster_id="c", topic=topic, topic_id=topic, partition=0)
        self.read = 0

    def handle(self, messages: Sequence[Message]) -> None:
        """Process a batch as the role's loop would."""
        before, self.read = self.read or None, self.read + len(messages)
        advance = OffsetAdvance(log=self.log, expected=before, next=self.read)
        apply_batch(self.role, messages, [advance], lambda: None)


class RecordingObserver:
    """Keeps which messages the roles parked."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def tagged(self, event_type: str, rules: Sequence[str], events: int, at: datetime) -> None: ...
    def recorded(self, recorded: RecordingResult) -> None: ...
    def acknowledged(
        self, applied: Sequence[tuple[Acknowledgement, AcknowledgementResult]]
    ) -> None: ...
    def signature_rejected(self, system: str, reason: str) -> None: ...
    def dead_lettered(self, letter: DeadLetter) -> None:
        self.letters.append(letter)


class FakeProducer:
    """Keeps what the tagger publishes, in place of a broker."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes]] = []

    def send(self, *args: Any) -> Sequence[RecordMetadata]:
        if len(args) == 2:  # a forwarder's
            topic, pairs = args
            self.sent += [(topic, key, value) for key, value in pairs]
            return ()
        messages: Sequence[OutgoingMessage] = args[0]
        self.sent += [
            (message.topic, message.key or b"", message.value or b"") for message in messages
        ]
        return ()


def event(offset: int, **fields: Any) -> Message:
    """Return a ticket's bytes as on its topic."""
    data = {name: fields[name] for name in ("ticket_id", "customer_id", "consumer_ids")}
    headers: list[tuple[str, str | bytes | None]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", fields["id"]),
        ("ce_source", fields["source"]),
        ("ce_type", TICKETS.schema.encode()),
        ("ce_time", fields["time"]),
    ]
    if fields["backfill"] is not None:
        headers.append(("ce_termijnbackfill", fields["backfill"]))
    return Message(
        topic=TICKETS.name,
        partition=0,
        offset=offset,
        key=b"k",
        value=CODEC.encode(TICKETS, data, trusted=True),
        headers=headers,
    )


def valid_event(offset: int) -> Message:
    """Return a ticket without anything hostile."""
    return event(
        offset,
        ticket_id=f"T{offset}",
        customer_id="C1",
        consumer_ids=["K1"],
        id=f"good{offset}".encode(),
        source=b"/good",
        backfill=None,
        time=b"2026-03-01T12:00:00Z",
    )


@given(bad=st.lists(tickets, min_size=1, max_size=3))
@example(bad=[{**_SOUND, "backfill": "".join(map(chr, range(0x1F300, 0x1F600))).encode()}])
@example(bad=[{**_SOUND, "consumer_ids": ["a\0b"]}])
@hostile
def test_a_hostile_event_does_not_stop_others(
    shared_ledger: Database, bad: list[dict[str, Any]]
) -> None:
    """From bytes to ledger, valid events are recorded and all others are parked."""
    ledger = empty_database(shared_ledger)
    recording, passed = RecordingObserver(), FakeProducer()
    tagger = TaggerHandler(
        tagger=EventTagger(policy=POLICY, codec=CODEC, topics=TOPICS),
        codec=CODEC,
        forwarder=cast(BulkProducer, passed),
        sender=cast(KafkaProducer, passed),
        cipher=SEAL,
        ledger=ledger,
        observer=recording,
        now=lambda: NOW,
    )
    messages = [valid_event(0)]
    for hostile in bad:
        messages.append(event(len(messages), **hostile))
        messages.append(valid_event(len(messages)))
    TopicReader(tagger, TICKETS.name).handle(messages)
    recorder = RecorderHandler(
        policy=POLICY,
        codec=CODEC,
        ledger=ledger,
        cipher=SEAL,
        tombstone_cipher=TombstoneCipher(bytes(32)),
        observer=recording,
        now=lambda: NOW,
    )
    for topic in (TAGGED.name, DEAD_LETTERS.name):
        sent = [(key, value) for to, key, value in passed.sent if to == topic]
        TopicReader(recorder, topic).handle(
            [
                Message(topic=topic, partition=0, offset=number, key=key, value=value)
                for number, (key, value) in enumerate(sent)
            ]
        )
    recorded = {row.id for row in select_rows(ledger, tables.event)}
    expected = {f"good{number}" for number in range(0, len(messages), 2)}
    assert expected <= recorded
    parked = select_rows(ledger, tables.dead_letter)
    duplicates = len({(event["source"], event["id"]) for event in bad}) < len(bad)
    assert duplicates or len(recorded) + len(parked) == len(messages)
    assert [row for row in parked if row.reason == "unprocessable"] == []
    assert {row.next for row in select_rows(ledger, tables.position, role="tagger")} == {
        len(messages)
    }


@given(bad=st.lists(answers, min_size=1, max_size=3))
@example(bad=[{"ground": "a\0b"}])
@example(bad=[{"acknowledgement_id": "".join(map(chr, range(0x1F300, 0x1F600)))}])
@hostile
def test_a_hostile_acknowledgement_does_not_stop_others(
    shared_ledger: Database, bad: list[dict[str, Any]]
) -> None:
    """The acknowledgements are correctly signed by their systems, and still hostile."""
    ledger = empty_database(shared_ledger)
    first, second = feedback("e1", "2020-01-01T12:00:00Z"), feedback("e2", "2020-01-01T12:00:00Z")
    second["data"]["visitor_id"] = "2"
    record_events(ledger, [first, second], "2020-01-01T12:00:00Z")
    command_id, other = claim_all(ledger, FAR)
    send_due(ledger, FakeBus(), FAR)
    recording = RecordingObserver()
    role = AcknowledgementHandler(
        policy=POLICY,
        codec=CODEC,
        topics={WEBSITE.name: (WEBSITE, "website")},
        verifiers={"website": Verifier(lambda: Keyring((KEY,)).public())},
        ledger=ledger,
        cipher=SEAL,
        observer=recording,
        now=lambda: FAR + timedelta(days=1),
    )
    messages = [answer(number, command_id, **value) for number, value in enumerate(bad)]
    messages.append(answer(len(messages), other, acknowledgement_id="the good one"))
    TopicReader(role, WEBSITE.name).handle(messages)
    [row] = select_rows(ledger, tables.command, command_id=other)
    assert row.state == "acknowledged"
    assert [letter.reason for letter in recording.letters if letter.reason == "unprocessable"] == []
    assert {row.next for row in select_rows(ledger, tables.position)} == {len(messages)}


def answer(offset: int, command: UUID, **fields: Any) -> Message:
    """Return a signed message of an acknowledgement."""
    value = {
        "acknowledgement_id": f"a{offset}",
        "command_id": str(command),
        "system": "website",
        "attempt": 1,
        "status": "done",
        "counts": {"rows": 1},
        "ground": None,
        "detail": None,
        "at": NOW,
        "disclosure": None,
        **fields,
    }
    encoded = encode_acknowledgements(CODEC, "website", value)
    signed = Signer(lambda: Keyring((KEY,))).sign(WEBSITE.name, b"k", encoded, FAR)
    return Message(
        topic=WEBSITE.name,
        partition=0,
        offset=offset,
        key=b"k",
        value=encoded,
        headers=list(signed),
    )


class Registry:
    """A schema registry that keeps a hostile version of tickets under every id."""

    def find_id(self, topic: str, text: str) -> int:
        return 9

    def get_schema(self, schema_id: int) -> str:
        definition = json.loads(load().newest(TICKETS.schema).text)
        [field] = [field for field in definition["fields"] if field["name"] == "ticket_id"]
        field["type"] = {"type": "int", "logicalType": "a\0b" * 1_000}
        return json.dumps(definition)


def test_a_schema_with_a_null_character_and_a_large_body_stops_no_role(ledger: Database) -> None:
    """The dead letter's reason names the cause; a letter so large goes into the ledger."""
    recording, passed = RecordingObserver(), FakeProducer()
    tagger = TaggerHandler(
        tagger=EventTagger(
            policy=POLICY, codec=Codec(load(), cast(Any, Registry())), topics=TOPICS
        ),
        codec=CODEC,
        forwarder=cast(BulkProducer, passed),
        sender=cast(KafkaProducer, passed),
        cipher=SEAL,
        ledger=ledger,
        observer=recording,
        now=lambda: NOW,
    )
    bad = Message(
        topic=TICKETS.name,
        partition=0,
        offset=1,
        key=b"k",
        value=b"\0\0\0\0\x07" + b"x" * 950_000,
        headers=valid_event(1).headers(),
    )
    TopicReader(tagger, TICKETS.name).handle([valid_event(0), bad, valid_event(2)])
    assert [to for to, _, _ in passed.sent] == [TAGGED.name] * 2
    [letter] = select_rows(ledger, tables.dead_letter)
    assert letter.reason == "undecodable"
    assert "was written with schema id 7" in letter.detail
    assert "\0" not in letter.detail
    assert len(letter.detail) <= 500
