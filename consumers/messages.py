"""Read Kafka messages, and build the dead letter of a message that cannot be processed."""

from __future__ import annotations

from datetime import datetime, timedelta

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from schemas import limits
from schemas.errors import DecodingFailed, MalformedEvent, TermijnError
from schemas.instants import EPOCH
from services.agent.command import CommandMisaddressed
from services.crypto.envelope import AeadCipher, OriginalMessage
from services.crypto.signing import SignatureInvalid
from services.deleter.acknowledgement import (
    ReusedAcknowledgement,
    UnknownCommand,
    UnusableAcknowledgement,
)
from services.events.dead_letter_replay import first_arrival
from services.events.refusals import TaggingError, rejection_reason
from services.events.tagged_message import Headers
from services.kafka.message_fields import headers, to_bytes
from services.kafka.trace_context import Trace, extract
from services.ledger.command_state import IllegalTransition
from services.policy.tagging_error import TaggingFailed
from services.storage.dead_letters import DeadLetter

_LAST_MILLISECOND = 253_402_300_799_999
"""The last millisecond since 1970 that a `datetime` can hold, in the year 9999."""


class Unprocessed(TermijnError):
    """Every attempt to process the message failed, for a reason that no check covers; it is parked.

    The detail names the class of the error. The operator reports it as a fault, since a check should have
    covered it; once that is fixed the message is replayed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot be processed: {reason}")


UnprocessableMessage = (
    TaggingError | SignatureInvalid | CommandMisaddressed | UnusableAcknowledgement | Unprocessed
)


def build_dead_letter(
    role: str,
    message: Message,
    cause: UnprocessableMessage,
    cipher: AeadCipher,
    now: datetime,
    taken_at: datetime | None = None,
) -> DeadLetter:
    """Return the dead letter of a message: encrypted, bound to its place, with the reason and a detail.

    `taken_at` is when the message arrived, if a replay needs that time.
    """
    match cause:
        case DecodingFailed() | MalformedEvent() | TaggingFailed():
            reason, detail = rejection_reason(cause)
        case SignatureInvalid():
            reason, detail = "unverifiable", str(cause)
        case CommandMisaddressed():
            reason, detail = "misaddressed", str(cause)
        case UnknownCommand():
            reason, detail = "unknown-command", str(cause)
        case ReusedAcknowledgement():
            reason, detail = "reused-acknowledgement", str(cause)
        case IllegalTransition():
            reason, detail = "illegal-answer", str(cause)
        case Unprocessed():
            reason, detail = "unprocessable", str(cause)
    letter = DeadLetter(
        role=role,
        reason=reason,
        detail=limits.replace_controls(detail),
        topic=str(message.topic()),
        partition=int(message.partition() or 0),
        offset=int(message.offset() or 0),
        timestamp=_timestamp(message) or EPOCH,
        at=now,
        key_id=cipher.key_id,
        sealed=b"",
    )
    original = OriginalMessage(
        key=to_bytes(message.key()),
        value=to_bytes(message.value()),
        headers=_decode_header(message),
        arrived=taken_at,
    )
    return letter.with_payload(cipher.encrypt(original, letter.place))


def arrival_time(message: Message, now: datetime) -> datetime:
    """Return when a message arrived: its Kafka timestamp, which a publisher may set, but not after now."""
    return min(_timestamp(message) or now, now)


def is_dated(message: Message) -> bool:
    """Return whether the broker set the message's timestamp, so that no publisher could."""
    return message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME and _timestamp(message) is not None


def trusted_arrival_time(
    message: Message, headers: Headers, read_at: datetime, cipher: AeadCipher
) -> datetime:
    """Return when a message arrived, by a time that no publisher can set: the broker's, or else `read_at`.

    A message that was replayed from the dead letters has its first time of arrival.
    """
    timestamp = _timestamp(message)
    arrived_at = timestamp if timestamp and is_dated(message) else read_at
    first_arrived_at = first_arrival(
        str(message.topic()),
        to_bytes(message.key()),
        to_bytes(message.value()),
        headers,
        cipher,
    )
    return arrived_at if first_arrived_at is None else min(first_arrived_at, arrived_at)


def extract_trace(message: Message) -> Trace | None:
    """Return the trace of a message, if its headers can be read and contain one."""
    return extract(_decode_header(message))


def _decode_header(message: Message) -> list[tuple[str, bytes | None]]:
    try:
        return headers(message)
    except MalformedEvent:
        return []


def _timestamp(message: Message) -> datetime | None:
    """Return the Kafka timestamp; None if there is none, or none that a `datetime` can hold."""
    _, milliseconds = message.timestamp()
    if milliseconds is None or not 0 < milliseconds <= _LAST_MILLISECOND:
        return None
    return EPOCH + timedelta(milliseconds=milliseconds)
