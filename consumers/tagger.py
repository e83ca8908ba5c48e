"""The tagger: business events come in with their bodies, tagged events go out without.

It keeps nothing: tagging is a pure function of event and policy. What cannot be tagged is parked, sealed,
with its reason; if parking fails the batch is read again, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.messages import arrival, as_bytes, dead_letter, headers
from schemas.catalogue import DEAD_LETTERS, TAGGED
from schemas.codec import Codec
from schemas.errors import MalformedEvent, Undecodable
from services.bus import OutMessage, Sender
from services.ledger import dead_letters, positions
from services.ledger.database import Ledger
from services.ledger.dead_letters import DeadLetter
from services.ledger.positions import Advance
from services.policy.tagging import Untaggable
from services.tagged import LARGEST, Passed, Place
from services.tags import Tags
from services.vault.sealing import Seal

ROLE = "tagger"


class Observer(Protocol):
    """Who wants to know what was tagged and what was parked."""

    def tagged(self, event_type: str) -> None:
        """An event of that type was tagged."""

    def parked(self, letter: DeadLetter) -> None:
        """A message was parked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagger:
    """The work of the tagger."""

    tags: Tags
    codec: Codec
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
                passed = self._tagged(message)
            except (Undecodable, MalformedEvent, Untaggable) as cause:
                letter = dead_letter(ROLE, message, cause, self.seal, self.now())
                parked.append(letter)
                if len(letter.sealed) <= LARGEST:
                    out.append(self._parking(letter))
                else:
                    large.append(letter)
            else:
                tagged.append(passed.type)
                out.append(OutMessage(topic=TAGGED.name, key=passed.key, value=passed.value))
        self.sender.send(out)

        def write(connection: Connection) -> None:
            positions.advance(connection, ROLE, advances)
            dead_letters.park(connection, large)  # the bus would refuse them, at every attempt

        self.ledger.write(write)
        for event_type in tagged:
            self.observer.tagged(event_type)
        for letter in parked:
            self.observer.parked(letter)

    def _tagged(self, message: Message) -> Passed:
        place = Place(
            str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
        )
        arrived = arrival(message, self.now())
        return self.tags.of(place, headers(message), as_bytes(message.value()), arrived)

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
