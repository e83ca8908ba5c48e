"""The acknowledgements role: it stores the systems' reports, in one transaction with the Kafka offsets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.batch_application import DeadLetterObserver, park_message
from consumers.messages import UnprocessableMessage, build_dead_letter, extract_trace
from schemas.codec import Codec
from schemas.errors import DecodingFailed, MalformedEvent
from schemas.topics import Topic
from services.crypto.envelope import AeadCipher
from services.crypto.signing import SignatureInvalid, VerifierProtocol
from services.deleter.acknowledgement import (
    Acknowledgement,
    AcknowledgementMessage,
    decode_acknowledgements,
)
from services.deleter.settlement import AcknowledgementResult, apply_acknowledgements
from services.kafka.message_fields import headers, to_bytes
from services.kafka.spans import NO_TRACER, Tracer
from services.kafka.trace_context import Trace, trace_of_command
from services.ledger import active_policy
from services.policy.model import Policy
from services.requests import disclosures
from services.storage import dead_letters, offsets
from services.storage.database import Database, database_now
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetAdvance

ROLE: Final = "acknowledgements"


class AcknowledgementObserver(DeadLetterObserver, Protocol):
    """Receives what was done with acknowledgements: metrics and logs."""

    def acknowledged(
        self, applied: Sequence[tuple[Acknowledgement, AcknowledgementResult]]
    ) -> None:
        """Acknowledgements were applied to their commands."""

    def signature_rejected(self, system: str, reason: str) -> None:
        """A message on a system's topic is not signed by that system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgementHandler:
    """Handles the batches of the acknowledgements role."""

    policy: Policy
    codec: Codec
    topics: Mapping[str, tuple[Topic, str]]
    """Each topic with the system whose acknowledgements it has."""
    verifiers: Mapping[str, VerifierProtocol]
    """By system, the verifier of its acknowledgements."""
    ledger: Database
    cipher: AeadCipher
    observer: AcknowledgementObserver
    now: Callable[[], datetime]
    tracer: Tracer = NO_TRACER

    def handle(self, messages: Sequence[Message], advances: Sequence[OffsetAdvance]) -> None:
        """Apply the acknowledgements of messages, and store them together with the offsets.

        A message is parked if one of its acknowledgements cannot be applied; the others count.
        """

        started = self.now()
        decoded: dict[int, AcknowledgementMessage] = {}
        unusable: dict[int, UnprocessableMessage] = {}
        forged: list[tuple[str, str]] = []
        for number, message in enumerate(messages):
            try:
                decoded[number] = self._decode(message)
            except (DecodingFailed, MalformedEvent, SignatureInvalid) as cause:
                unusable[number] = cause
                if isinstance(cause, SignatureInvalid):
                    forged.append((self.topics[str(message.topic())][1], cause.reason))
            else:
                if problems := decoded[number].problems:
                    unusable[number] = problems[0]

        def write(
            connection: Connection,
        ) -> tuple[list[tuple[Message, Acknowledgement, AcknowledgementResult]], list[DeadLetter]]:
            offsets.advance_offsets(connection, ROLE, advances)
            now = database_now(connection)
            active_policy.require_active(connection, self.policy, now)
            results = apply_acknowledgements(connection, [*decoded.values()], self.policy, now)
            applied: list[tuple[Message, Acknowledgement, AcknowledgementResult]] = []
            reasons = dict(unusable)
            for (number, message), results_of_message in zip(decoded.items(), results, strict=True):
                for acknowledgement, result in zip(
                    message.acknowledgements, results_of_message, strict=True
                ):
                    if isinstance(result, AcknowledgementResult):
                        applied.append((messages[number], acknowledgement, result))
                    else:
                        reasons.setdefault(number, result)
            parked = [
                build_dead_letter(ROLE, messages[number], reason, self.cipher, self.now())
                for number, reason in sorted(reasons.items())
            ]
            first_seen = [
                acknowledgement for _, acknowledgement, result in applied if not result.repeated
            ]
            disclosures.store_disclosures(connection, first_seen, now)
            dead_letters.store(connection, parked)
            return applied, parked

        applied, parked = self.ledger.run_in_transaction(write)
        self.observer.acknowledged([of_message[1:] for of_message in applied])
        if self.tracer is not NO_TRACER:
            for message, acknowledgement, result in applied:
                self._record_span(extract_trace(message), acknowledgement, result, started)
        for system, reason in forged:
            self.observer.signature_rejected(system, reason)
        for letter in parked:
            self.observer.dead_lettered(letter)

    def park(self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]) -> None:
        """Park an acknowledgement that could not be applied; its command is sent again, and escalated."""
        now = self.now()
        self.observer.dead_lettered(
            park_message(ROLE, self.ledger, self.cipher, message, cause, advances, now)
        )

    def _record_span(
        self,
        trace: Trace | None,
        acknowledgement: Acknowledgement,
        result: AcknowledgementResult,
        started: datetime,
    ) -> None:
        """Record a span; an acknowledgement without a trace belongs to that of its command."""
        self.tracer.record_span(
            "settle",
            trace or trace_of_command(str(acknowledgement.command_id)),
            "consumer",
            started,
            self.now(),
            {
                "termijn.system": acknowledgement.system,
                "termijn.command_id": str(acknowledgement.command_id),
                "termijn.status": acknowledgement.status,
                "termijn.state": result.state,
            },
        )

    def _decode(self, message: Message) -> AcknowledgementMessage:
        topic, system = self.topics[str(message.topic())]
        key, value = to_bytes(message.key()), to_bytes(message.value())
        self.verifiers[system].verify(topic.name, key, value, headers(message), self.now())
        return decode_acknowledgements(self.codec, topic, system, value)
