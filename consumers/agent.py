"""The agent beside a system reads its commands: verified ones go into its inbox, others are parked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.batch_application import DeadLetterObserver, park_message
from consumers.messages import build_dead_letter
from schemas import topics
from schemas.codec import Codec
from schemas.command_fields import split_commands
from schemas.errors import DecodingFailed, MalformedEvent
from services.agent.command import CommandMisaddressed, parse_command
from services.agent.inbox import Inbox, ReceivedCommand
from services.agent.intake import take_commands
from services.crypto.envelope import AeadCipher
from services.crypto.signing import SignatureInvalid, VerifierProtocol
from services.kafka.message_fields import headers, to_bytes
from services.storage import dead_letters, offsets
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetAdvance

ROLE = "agent"


class IntakeObserver(DeadLetterObserver, Protocol):
    """Receives the commands and dead letters that arrived."""

    def commands_received(self, counts: Mapping[str, int]) -> None:
        """These numbers of commands arrived, by the decision on them: execute, expired and so on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandIntake:
    """Handles the batches of an agent."""

    inbox: Inbox
    codec: Codec
    verifier: VerifierProtocol
    """Verifies that commands are the controller's."""
    cipher: AeadCipher
    observer: IntakeObserver
    now: Callable[[], datetime]

    def handle(self, messages: Sequence[Message], advances: Sequence[OffsetAdvance]) -> None:
        """Store messages: the commands of each go into the inbox, or it is parked, with the offsets."""
        now = self.now()
        commands: list[ReceivedCommand] = []
        letters: list[DeadLetter] = []
        for message in messages:
            try:
                commands += self._decode(message, now)
            except (DecodingFailed, MalformedEvent, SignatureInvalid, CommandMisaddressed) as cause:
                letters.append(build_dead_letter(ROLE, message, cause, self.cipher, now))

        def write(connection: Connection) -> Mapping[str, int]:
            offsets.advance_offsets(connection, ROLE, advances)
            dead_letters.store(connection, letters)
            return Counter(take_commands(connection, self.inbox, commands, now))

        self.observer.commands_received(self.inbox.ledger.run_in_transaction(write))
        for letter in letters:
            self.observer.dead_lettered(letter)

    def park(self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]) -> None:
        """Park a command that no attempt could store; the controller repeats it, and escalates."""
        ledger, now = self.inbox.ledger, self.now()
        self.observer.dead_lettered(
            park_message(ROLE, ledger, self.cipher, message, cause, advances, now)
        )

    def _decode(self, message: Message, now: datetime) -> list[ReceivedCommand]:
        """Return the commands of a message, each with a message of its own."""
        topic = topics.command_topic(self.inbox.system)
        key, value = to_bytes(message.key()), to_bytes(message.value())
        self.verifier.verify(topic.name, key, value, headers(message), now)
        batch = self.codec.decode(topic, value)
        if batch["system"] != self.inbox.system:
            raise CommandMisaddressed(batch["system"], self.inbox.system)
        received = []
        for fields, own_fields in zip(split_commands(batch), batch["commands"], strict=True):
            alone = {**batch, "commands": [own_fields]}
            received.append(
                ReceivedCommand(
                    command=parse_command(fields),
                    key=key,
                    value=self.codec.encode(topic, alone, trusted=True),
                )
            )
        return received
