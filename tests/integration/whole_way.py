"""From a business topic into the ledger: tagger and recorder on a real Kafka, over one SQLite ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from consumers.recorder import TOPICS as RECORDED
from consumers.recorder import RecorderHandler
from consumers.tagger import TaggerHandler
from schemas.codec import Codec
from schemas.topics import business_topic
from services.crypto.envelope import AeadCipher
from services.crypto.tombstones import TombstoneCipher
from services.events.tagger import EventTagger
from services.kafka.client import KafkaClient
from services.ledger import migrate, tables
from services.ledger.recording import RecordingResult
from services.policy.model import Policy
from services.storage import dead_letters
from services.storage.database import Database, open_database
from services.storage.dead_letters import DeadLetter
from tests.integration.pipelines import position, running, until
from tests.servers.kafka import KafkaCluster

KEY = bytes(range(32))
SEAL = AeadCipher(KEY)


def now() -> datetime:
    return datetime.now(UTC)


class WholeWay:
    """The two roles, and what they have recorded and parked."""

    def __init__(
        self,
        kafka: KafkaCluster,
        ledger: Database,
        policy: Policy,
        codec: Codec,
        types: Collection[str],
    ) -> None:
        self.bus = KafkaClient(kafka.bootstrap)
        self._kafka = kafka
        self._ledger = ledger
        self._policy = policy
        self._codec = codec
        self._read = [business_topic(type_name).name for type_name in types]

    def pass_through(self) -> None:
        """Run both roles until every message on the bus is in the ledger."""
        topics = {topic.name: topic for topic in map(business_topic, self._policy.events)}
        tagger = TaggerHandler(
            tagger=EventTagger(policy=self._policy, codec=self._codec, topics=topics),
            codec=self._codec,
            forwarder=self.bus.open_bulk_producer(),
            sender=self.bus.open_producer(),
            cipher=SEAL,
            ledger=self._ledger,
            observer=_NullObserver(),
            now=now,
        )
        recorder = RecorderHandler(
            policy=self._policy,
            codec=self._codec,
            ledger=self._ledger,
            cipher=SEAL,
            tombstone_cipher=TombstoneCipher(KEY),
            observer=_NullObserver(),
            now=now,
        )
        recorded = [topic.name for topic in RECORDED]
        with (
            running(
                self._kafka, self._ledger, tagger, role="tagger", topics=self._read, group="tagger"
            ) as first,
            running(
                self._kafka,
                self._ledger,
                recorder,
                role="recorder",
                topics=recorded,
                group="recorder",
            ) as second,
        ):

            def settled() -> bool:
                assert not first.ended, first.ended
                assert not second.ended, second.ended
                return self._is_read("tagger", self._read) and self._is_read("recorder", recorded)

            until(settled, "the roles did not read everything")

    def _is_read(self, role: str, topics: Sequence[str]) -> bool:
        return all(
            max(0, position(self._ledger, partition, role, topic)) >= end
            for (topic, partition), end in self.bus.end_offsets(topics).items()
            if end
        )

    def events(self) -> set[str]:
        """Return the ids of the events in the ledger."""
        with self._ledger.transaction() as connection:
            return set(connection.execute(select(tables.event.c.id)).scalars())

    def letters(self) -> Sequence[DeadLetter]:
        """Return the dead letters that are parked."""
        with self._ledger.transaction() as connection:
            return dead_letters.list_parked(connection)


@contextmanager
def whole_way(
    kafka: KafkaCluster, directory: Path, policy: Policy, codec: Codec, types: Collection[str]
) -> Iterator[WholeWay]:
    """Topics of one partition for these event types, and an empty ledger."""
    topics = [
        *(business_topic(type_name).name for type_name in types),
        *(topic.name for topic in RECORDED),
    ]
    kafka.create_topics(dict.fromkeys(topics, 1))
    with closing(open_database(f"sqlite:///{directory / 'ledger.sqlite'}")) as ledger:
        migrate.migrate(ledger)
        yield WholeWay(kafka, ledger, policy, codec, types)


class _NullObserver:
    """Ignores what the roles report."""

    def tagged(self, event_type: str, rules: Sequence[str], events: int, at: datetime) -> None: ...

    def dead_lettered(self, letter: DeadLetter) -> None: ...

    def recorded(self, recorded: RecordingResult) -> None: ...
