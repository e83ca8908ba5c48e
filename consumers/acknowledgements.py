"""Acknowledgements: what the systems answer goes into the journal, with the positions, at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.batch_application import park
from consumers.messages import as_bytes, dead_letter, headers, trace_of
from schemas.codec import Codec
from schemas.errors import MalformedEvent, Undecodable
from schemas.topics import Topic
from services.crypto.envelope import Seal
from services.crypto.signing import Unverifiable, Verifies
from services.deleter.acknowledgement import answer_of
from services.deleter.settlement import Answer, Settled, settle_all
from services.kafka.spans import NO_SPANS, Spans
from services.kafka.trace_context import Trace, of_command
from services.ledger import active_policy
from services.policy.model import Policy
from services.requests import disclosures
from services.storage import dead_letters, offsets
from services.storage.database import Ledger, database_now
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import Advance

ROLE = "acknowledgements"


class Observer(Protocol):
    """Who wants to know what was answered."""

    def answered(self, answer: Answer, settled: Settled) -> None:
        """An answer was taken into the journal."""

    def unverifiable(self, system: str, reason: str) -> None:
        """What came on a system's topic is not proven to be its answer."""

    def parked(self, letter: DeadLetter) -> None:
        """An answer could not be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgements:
    """The work of the acknowledgements role."""

    policy: Policy
    codec: Codec
    topics: Mapping[str, tuple[Topic, str]]
    """Each topic with the system whose answers it carries."""
    verifiers: Mapping[str, Verifies]
    """By system, what tells its answers from others'."""
    ledger: Ledger
    seal: Seal
    observer: Observer
    now: Callable[[], datetime]
    spans: Spans = NO_SPANS

    def apply(self, messages: Sequence[Message], advances: Sequence[Advance]) -> None:
        """Settle a batch of answers: each is kept, or parked, and the positions move with them."""

        started = self.now()
        answers: list[Answer] = []
        origins: list[Message] = []
        unusable: list[DeadLetter] = []
        forged: list[tuple[str, str]] = []
        for message in messages:
            try:
                answers.append(self._answer(message))
                origins.append(message)
            except (Undecodable, MalformedEvent, Unverifiable) as cause:
                unusable.append(dead_letter(ROLE, message, cause, self.seal, self.now()))
                if isinstance(cause, Unverifiable):
                    forged.append((self.topics[str(message.topic())][1], cause.reason))

        def write(
            connection: Connection,
        ) -> tuple[list[tuple[Message, Answer, Settled]], list[DeadLetter]]:
            offsets.advance(connection, ROLE, advances)
            now = database_now(connection)
            active_policy.ensure(connection, self.policy, now)
            results = settle_all(connection, answers, self.policy, now)
            settled: list[tuple[Message, Answer, Settled]] = []
            parked = list(unusable)
            for message, answer, result in zip(origins, answers, results, strict=True):
                if isinstance(result, Settled):
                    settled.append((message, answer, result))
                else:
                    parked.append(dead_letter(ROLE, message, result, self.seal, self.now()))
            fresh = [answer for _, answer, result in settled if not result.repeated]
            disclosures.collect(connection, fresh, now)
            dead_letters.park(connection, parked)
            return settled, parked

        settled, parked = self.ledger.write(write)
        for message, answer, result in settled:
            self.observer.answered(answer, result)
            if self.spans is not NO_SPANS:
                self._settled(trace_of(message), answer, result, started)
        for system, reason in forged:
            self.observer.unverifiable(system, reason)
        for letter in parked:
            self.observer.parked(letter)

    def park(self, message: Message, cause: Exception, advances: Sequence[Advance]) -> None:
        """Park an answer that no attempt could settle; its command is told again, and escalated."""
        now = self.now()
        self.observer.parked(park(ROLE, self.ledger, self.seal, message, cause, advances, now))

    def _settled(
        self, trace: Trace | None, answer: Answer, settled: Settled, started: datetime
    ) -> None:
        """An answer that brings no trace belongs to its command's."""
        self.spans.happened(
            "settle",
            trace or of_command(str(answer.command_id)),
            "consumer",
            started,
            self.now(),
            {
                "termijn.system": answer.system,
                "termijn.command_id": str(answer.command_id),
                "termijn.status": answer.status,
                "termijn.state": settled.state,
            },
        )

    def _answer(self, message: Message) -> Answer:
        topic, system = self.topics[str(message.topic())]
        key, value = as_bytes(message.key()), as_bytes(message.value())
        self.verifiers[system].verify(topic.name, key, value, headers(message), self.now())
        return answer_of(self.codec, topic, system, value)
