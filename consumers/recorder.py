"""The recorder: tagged events and dead letters become rows, with the positions, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.messages import as_bytes, dead_letter
from schemas.catalogue import DEAD_LETTERS, TAGGED, Topic
from schemas.codec import Codec
from schemas.errors import Undecodable
from services.ledger import dead_letters, policies, positions
from services.ledger.database import Ledger, database_now
from services.ledger.dead_letters import DeadLetter
from services.ledger.positions import Advance
from services.ledger.recording import Arrival, Recorded, from_deciding_json, record
from services.policy.model import Policy
from services.policy.tagging import Untaggable, Value, tag
from services.vault.sealing import Seal

ROLE = "recorder"
TOPICS = (TAGGED, DEAD_LETTERS)


class Observer(Protocol):
    """Who wants to know what was recorded and what was parked."""

    def recorded(self, recorded: Recorded) -> None:
        """A batch was recorded."""

    def parked(self, letter: DeadLetter) -> None:
        """The recorder itself parked a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """The work of the recorder."""

    policy: Policy
    codec: Codec
    ledger: Ledger
    seal: Seal
    observer: Observer
    now: Callable[[], datetime]

    def apply(self, messages: Sequence[Message], advances: Sequence[Advance]) -> None:
        """Record a batch: compare-and-swap of the positions first, then everything that came."""
        arrivals: list[Arrival] = []
        origin: dict[int, Message] = {}
        from_tagger: list[DeadLetter] = []
        own: list[DeadLetter] = []
        for message in messages:
            try:
                if message.topic() == DEAD_LETTERS.name:
                    from_tagger.append(self._letter(message))
                else:
                    arrivals.append(self._arrival(message))
                    origin[id(arrivals[-1])] = message
            except (Undecodable, Untaggable) as cause:
                own.append(dead_letter(ROLE, message, cause, self.seal, self.now()))

        def write(connection: Connection) -> tuple[Recorded, list[DeadLetter]]:
            positions.advance(connection, ROLE, advances)
            now = database_now(connection)
            policies.ensure(connection, self.policy, now)
            recorded = record(connection, arrivals, self.policy, now)
            conflicts = [self._conflict(one, origin[id(one)]) for one in recorded.conflicts]
            dead_letters.park(connection, [*from_tagger, *own, *conflicts])
            return recorded, conflicts

        recorded, conflicts = self.ledger.write(write)
        self.observer.recorded(recorded)
        for letter in [*own, *conflicts]:
            self.observer.parked(letter)

    def _arrival(self, message: Message) -> Arrival:
        value = self._decoded(TAGGED, message)
        arrival = Arrival(
            source=value["source"],
            id=value["id"],
            type=value["type"],
            time=value["time"],
            content_hash=value["content_hash"],
            deciding=_deciding(value["deciding"]),
            topic=value["topic"],
            partition=value["partition"],
            offset=value["offset"],
            backfill=value["backfill"],
        )
        tag(arrival, self.policy)  # the tagger's policy may be another: what does not fit is parked
        return arrival

    def _letter(self, message: Message) -> DeadLetter:
        return DeadLetter(**self._decoded(DEAD_LETTERS, message))

    def _decoded(self, topic: Topic, message: Message) -> dict[str, Any]:
        value = self.codec.decode(topic, as_bytes(message.value()))
        for name, one in value.items():
            if isinstance(one, str) and "\0" in one:  # which PostgreSQL keeps in no text
                raise Undecodable(why=f"{name} holds a null character", topic=topic.name)
        return value

    def _conflict(self, arrival: Arrival, message: Message) -> DeadLetter:
        why = f"another event of {arrival.topic} has this identity and other content"
        cause = Untaggable("identity-conflict", "id", why)
        return dead_letter(ROLE, message, cause, self.seal, self.now())


def _deciding(text: str) -> dict[str, Value]:
    try:
        return from_deciding_json(text)
    except (ValueError, AttributeError, RecursionError) as cause:
        raise Undecodable(why="deciding is no JSON object", topic=TAGGED.name) from cause
