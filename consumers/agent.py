"""The agent's reading: verified commands go into the inbox with the positions, the rest is parked there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.batch_application import park
from consumers.messages import as_bytes, dead_letter, headers
from schemas import topics
from schemas.codec import Codec
from schemas.errors import MalformedEvent, Undecodable
from services.agent.command import Misaddressed, command_of
from services.agent.inbox import Arrival, Inbox
from services.agent.intake import accept
from services.crypto.envelope import Seal
from services.crypto.signing import Unverifiable, Verifies
from services.storage import dead_letters, offsets
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import Advance

ROLE = "agent"


class Observer(Protocol):
    """Who wants to know what arrived."""

    def took_in(self, judgements: Mapping[str, int]) -> None:
        """So many commands arrived, by what became of them."""

    def parked(self, letter: DeadLetter) -> None:
        """A message is no command of ours, and was not obeyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """The work of the agent's loop."""

    inbox: Inbox
    codec: Codec
    verifier: Verifies
    """What tells the controller's commands from others'."""
    seal: Seal
    observer: Observer
    now: Callable[[], datetime]

    def apply(self, messages: Sequence[Message], advances: Sequence[Advance]) -> None:
        """Take a batch in: each message is a command or parked, and the positions move with them."""
        now = self.now()
        arrivals: list[Arrival] = []
        letters: list[DeadLetter] = []
        for message in messages:
            try:
                arrivals.append(self._arrival(message, now))
            except (Undecodable, MalformedEvent, Unverifiable, Misaddressed) as cause:
                letters.append(dead_letter(ROLE, message, cause, self.seal, now))

        def write(connection: Connection) -> Mapping[str, int]:
            offsets.advance(connection, ROLE, advances)
            dead_letters.park(connection, letters)
            return Counter(accept(connection, self.inbox, arrivals, now))

        self.observer.took_in(self.inbox.ledger.write(write))
        for letter in letters:
            self.observer.parked(letter)

    def park(self, message: Message, cause: Exception, advances: Sequence[Advance]) -> None:
        """Park a command that no attempt could take in; the controller repeats it, and escalates."""
        ledger, now = self.inbox.ledger, self.now()
        self.observer.parked(park(ROLE, ledger, self.seal, message, cause, advances, now))

    def _arrival(self, message: Message, now: datetime) -> Arrival:
        topic = topics.commands(self.inbox.system)
        key, value = as_bytes(message.key()), as_bytes(message.value())
        self.verifier.verify(topic.name, key, value, headers(message), now)
        command = command_of(self.codec.decode(topic, value))
        if command.system != self.inbox.system:
            raise Misaddressed(command.system, self.inbox.system)
        return Arrival(command=command, key=key, value=value or b"")
