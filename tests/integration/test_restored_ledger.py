"""On a real broker, a restored ledger finds what its deleter had sent, and nothing that others sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from schemas import topics as catalogue
from services.crypto.keyring import Keyring, new_key
from services.crypto.signing import Signer, Verifier
from services.deleter.command_recovery import RecoveryResult
from services.deleter.command_topics import KafkaCommandTopics
from services.deleter.deleter import Deleter
from services.kafka.producer import OutgoingMessage
from services.kafka.record_metadata import RecordMetadata
from services.ledger import tables
from tests.contract.event_builders import event, feedback
from tests.contract.ledgers import back_up, list_commands, record_events, restore, select_rows
from tests.integration.test_poison import (
    LONG_AGO,
    SIGNING,
    WEBSITE,
    RecordingDeleterObserver,
    deleting,
    read_commands,
)
from tests.integration.test_roles import CODEC, POLICY, Environment, environment, now

__all__ = ["environment"]

TOPIC = catalogue.command_topic(WEBSITE)


@dataclass
class Observer(RecordingDeleterObserver):
    """Records also what was recovered and what could not be read."""

    recovered: list[RecoveryResult] = field(default_factory=list)
    unreadable: list[tuple[RecordMetadata, str]] = field(default_factory=list)

    def commands_recovered(self, result: RecoveryResult) -> None:
        self.recovered.append(result)

    def command_unreadable(self, place: RecordMetadata, why: str) -> None:
        self.unreadable.append((place, why))


def start(environment: Environment, observer: Observer) -> Deleter:
    """Start a deleter that reads what was sent."""
    topics = KafkaCommandTopics(
        bus=environment.bus,
        codec=CODEC,
        topics=[catalogue.command_topic(system) for system in POLICY.systems],
        verifier=Verifier(lambda: Keyring((SIGNING,))),
        group="deleter",
        unreadable=observer.command_unreadable,
    )
    return replace(deleting(environment, observer), command_topics=topics)


def test_a_hold_after_the_restore_recalls_what_was_sent_before_it(
    environment: Environment,
) -> None:
    names = [catalogue.command_topic(system).name for system in POLICY.systems]
    environment.kafka.create_topics(dict.fromkeys(names, 3))
    ledger = environment.ledger
    record_events(
        ledger, [feedback(f"f{n}", LONG_AGO, visitor=str(n)) for n in range(40)], LONG_AGO
    )
    backup = back_up(ledger)
    first = start(environment, Observer())
    while first.run_once():
        pass
    assert list_commands(ledger) == [(WEBSITE, "erase", "sent")] * 40
    forge(environment)
    restore(ledger, backup)
    fields = {"subject": "visitor:7", "hold_id": "h", "ground": "legal_claim"}
    at = now() - timedelta(minutes=1)
    record_events(ledger, [event("h", "privacy.hold-placed", at.isoformat(), **fields)], now())
    observer = Observer()
    second = start(environment, observer)
    while second.run_once():
        pass
    [recovered] = observer.recovered
    assert (len(recovered.commands), recovered.lost) == (40, 0)
    assert {why for _, why in observer.unreadable} == {
        "signature: cannot be verified: unknown-key",
        "retention.commands.website.v1: is not Avro with a fingerprint or a schema id",
        "commands: an id is not a UUID",
    }
    states = [state for _, action, state in list_commands(ledger) if action == "erase"]
    assert (states.count("sent"), states.count("recalling")) == (39, 1)
    [recall] = select_rows(ledger, tables.command, action="recall")
    assert (recall.subject, recall.state) == ("visitor:7", "sent")


def forge(environment: Environment) -> None:
    """Put messages on the topic that no deleter has sent; one is signed as by a deleter."""
    [erase] = read_commands(environment)[:1]
    common = {"command_id": "00000000-0000-0000-0000-000000000007"}
    value = CODEC.encode(
        TOPIC, {**erase, **common, "commands": [{**erase, **common}]}, trusted=True
    )
    headers = Signer(lambda: Keyring((new_key(),))).sign(TOPIC.name, b"1", value, now())
    nameless = {"command_id": "7"}
    other = CODEC.encode(
        TOPIC, {**erase, **nameless, "commands": [{**erase, **nameless}]}, trusted=True
    )
    signed = Signer(lambda: Keyring((SIGNING,))).sign(TOPIC.name, b"1", other, now())
    environment.sender.send(
        [
            OutgoingMessage(topic=TOPIC.name, key=b"1", value=value, headers=headers),
            OutgoingMessage(topic=TOPIC.name, key=b"1", value=b"noise"),
            OutgoingMessage(topic=TOPIC.name, key=b"1", value=other, headers=signed),
        ]
    )
