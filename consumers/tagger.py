"""The tagger: business events come in with their bodies, tagged events go out without.

It keeps nothing: tagging is a pure function of event and policy. What cannot be tagged is parked, sealed,
with its reason; if parking fails the batch is read again, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.messages import arrival, as_bytes, dead_letter, headers
from schemas.catalogue import DEAD_LETTERS, TAGGED, Topic
from schemas.codec import Codec
from schemas.errors import MalformedEvent, Undecodable
from schemas.events import CloudEvent, content_hash, from_headers
from services.bus import OutMessage, Sender
from services.ledger import dead_letters, positions
from services.ledger.database import Ledger
from services.ledger.dead_letters import DeadLetter
from services.ledger.positions import Advance
from services.ledger.recording import deciding_json
from services.policy.model import Policy
from services.policy.tagging import Tagged, Untaggable, tag
from services.policy.windows import EVENT_ALONE, window
from services.vault.sealing import Seal

ROLE = "tagger"
_AHEAD = timedelta(days=1)
_LARGEST = 900_000
"""Bytes; a broker takes a megabyte unless it is told otherwise, frame and key included."""


class Observer(Protocol):
    """Who wants to know what was tagged and what was parked."""

    def tagged(self, event_type: str) -> None:
        """An event of that type was tagged."""

    def parked(self, letter: DeadLetter) -> None:
        """A message was parked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagger:
    """The work of the tagger."""

    policy: Policy
    codec: Codec
    topics: Mapping[str, Topic]
    """The business topics by name; the event type is the topic's schema."""
    sender: Sender
    seal: Seal
    ledger: Ledger
    observer: Observer
    now: Callable[[], datetime]

    def apply(self, messages: Sequence[Message], advances: Sequence[Advance]) -> None:
        """Tag a batch, wait until the broker has all of it, and move the positions."""
        tagged: list[str] = []
        parked: list[DeadLetter] = []
        large: list[DeadLetter] = []
        out: list[OutMessage] = []
        for message in messages:
            try:
                event, result = self._tag(message)
                out.append(self._passing_on(message, event, result))
            except (Undecodable, MalformedEvent, Untaggable) as cause:
                letter = dead_letter(ROLE, message, cause, self.seal, self.now())
                parked.append(letter)
                if len(letter.sealed) <= _LARGEST:
                    out.append(self._parking(letter))
                else:
                    large.append(letter)
            else:
                tagged.append(event.type)
        self.sender.send(out)

        def write(connection: Connection) -> None:
            positions.advance(connection, ROLE, advances)
            dead_letters.park(connection, large)  # the bus would refuse them, at every attempt

        self.ledger.write(write)
        for event_type in tagged:
            self.observer.tagged(event_type)
        for letter in parked:
            self.observer.parked(letter)

    def _tag(self, message: Message) -> tuple[CloudEvent, Tagged]:
        topic = self.topics[str(message.topic())]
        body = self.codec.decode(topic, as_bytes(message.value()))
        event = from_headers(headers(message), body)
        if event.type != topic.schema:
            raise MalformedEvent(key="ce_type", why=f"is not the type of {topic.name}")
        if event.time > arrival(message, self.now()) + _AHEAD:
            why = f"{event.time.isoformat()} is more than a day ahead of its arrival"
            raise Untaggable("impossible-time", "time", why)
        return event, tag(event, self.policy)

    def _passing_on(self, message: Message, event: CloudEvent, tagged: Tagged) -> OutMessage:
        value = {
            "source": event.source,
            "id": event.id,
            "type": event.type,
            "time": event.time,
            "content_hash": content_hash(event),
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "policy": self.policy.policy,
            "policy_version": self.policy.version,
            "backfill": event.backfill,
            "deciding": deciding_json(tagged.deciding),
            "records": list(_records(tagged, self.policy)),
            "moves": [
                {"clock": move.clock.clock, "key": move.clock.key, "move": move.move}
                for move in tagged.moves
            ],
        }
        encoded = self.codec.encode(TAGGED, value, own=True)
        if len(encoded) > _LARGEST:  # of very many subjects; what is informative can be left out
            encoded = self.codec.encode(TAGGED, {**value, "records": []}, own=True)
        if len(encoded) > _LARGEST:
            raise MalformedEvent(
                key="data", why="its deciding fields are too large for one message"
            )
        return OutMessage(topic=TAGGED.name, key=tagged.key.encode(), value=encoded)

    def _parking(self, letter: DeadLetter) -> OutMessage:
        value = {
            "reason": letter.reason,
            "detail": letter.detail,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "timestamp": letter.timestamp,
            "role": letter.role,
            "at": letter.at,
            "key_id": letter.key_id,
            "sealed": letter.sealed,
        }
        return OutMessage(
            topic=DEAD_LETTERS.name,
            key=letter.place.encode(),
            value=self.codec.encode(DEAD_LETTERS, value, own=True),
        )


def _records(tagged: Tagged, policy: Policy) -> Iterator[dict[str, Any]]:
    """The holdings with their windows as far as the event alone tells them: informative."""
    for subject in tagged.subjects:
        holdings = []
        for holding in tagged.holdings:
            if holding.subject != subject:
                continue
            view = window(holding, tagged.time, EVENT_ALONE, policy)
            holdings.append(
                {
                    "purpose": holding.purpose,
                    "basis": holding.basis,
                    "rule": holding.rule,
                    "systems": list(holding.systems),
                    "anchor": str(policy.rules[holding.rule].anchor),
                    "anchor_at": view.anchor_at,
                    "not_before": view.not_before,
                    "erase_by": view.erase_by,
                    "due_at": {one: at for one, at in view.due_at.items() if at is not None},
                }
            )
        yield {"subject": subject, "holdings": holdings}
