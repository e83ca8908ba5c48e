"""The part of the rights role that reads Kafka: it stores the corrections of requests for rectification."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.batch_application import DeadLetterObserver, park_message
from consumers.messages import build_dead_letter
from schemas import limits
from schemas.codec import Codec
from schemas.errors import DecodingFailed, MalformedEvent
from schemas.topics import Topic
from services.crypto.envelope import AeadCipher
from services.kafka.message_fields import to_bytes
from services.requests.disclosures import store_corrections
from services.requests.request_keys import RequestKeys
from services.storage import dead_letters, offsets
from services.storage.database import Database, database_now
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetAdvance

ROLE = "rights"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionHandler:
    """Stores the corrections of requests for rectification, which tagged events do not contain."""

    codec: Codec
    topics: Mapping[str, Topic]
    """The topics of requests, by name."""
    ledger: Database
    keys: RequestKeys
    cipher: AeadCipher
    observer: DeadLetterObserver
    now: Callable[[], datetime]

    def handle(self, messages: Sequence[Message], advances: Sequence[OffsetAdvance]) -> None:
        """Store the corrections of a batch.

        An invalid request is parked by the tagger. Corrections that no command could carry are parked
        here, since tagged events do not contain them.
        """
        requests: list[Mapping[str, Any]] = []
        unusable: list[DeadLetter] = []
        for message in messages:
            data = self._correction_of(message)
            if data is None:
                continue
            try:
                check_corrections(data)
            except MalformedEvent as cause:
                unusable.append(build_dead_letter(ROLE, message, cause, self.cipher, self.now()))
            else:
                requests.append(data)

        def write(connection: Connection) -> None:
            offsets.advance_offsets(connection, ROLE, advances)
            dead_letters.store(connection, unusable)
            for data in requests:
                store_corrections(
                    connection,
                    self.keys,
                    data["subject"],
                    data["request_id"],
                    data.get("corrections") or {},
                    database_now(connection),
                )

        self.ledger.run_in_transaction(write)
        for letter in unusable:
            self.observer.dead_lettered(letter)

    def park(self, message: Message, cause: Exception, advances: Sequence[OffsetAdvance]) -> None:
        """Park a request whose corrections could not be stored at any attempt."""
        now = self.now()
        self.observer.dead_lettered(
            park_message(ROLE, self.ledger, self.cipher, message, cause, advances, now)
        )

    def _correction_of(self, message: Message) -> Mapping[str, Any] | None:
        try:
            data = self.codec.decode(self.topics[str(message.topic())], to_bytes(message.value()))
        except DecodingFailed:
            return None
        if data["right"] != "rectification":
            return None
        identifiers = (data["subject"], data["request_id"])
        return None if any(map(limits.identifier_problem, identifiers)) else data


def check_corrections(data: Mapping[str, Any]) -> None:
    """Check that a command can carry the corrections of a request.

    Raises:
        MalformedEvent: it corrects too much at once.
    """
    corrections: Mapping[str, str] = data.get("corrections") or {}
    size = sum(len(text.encode()) for pair in corrections.items() for text in pair)
    if problem := limits.count_problem(corrections, limits.MAX_CORRECTIONS):
        raise MalformedEvent(key="corrections", why=problem)
    if size > limits.MAX_CORRECTED:
        problem = f"takes {size:,} bytes; the most is {limits.MAX_CORRECTED:,}"
        raise MalformedEvent(key="corrections", why=problem)
    if any(limits.control_character_problem(name) for name in corrections):
        raise MalformedEvent(key="corrections", why="names a field with a control character")
