"""Messages as they come off the bus, and what becomes of one that cannot be processed."""

from __future__ import annotations

from datetime import UTC, datetime

from confluent_kafka import Message

from schemas.errors import MalformedEvent, Undecodable
from services.deleter.settling import UnknownCommand
from services.ledger.dead_letters import DeadLetter
from services.ledger.states import IllegalTransition
from services.policy.tagging import Untaggable
from services.vault.sealing import Original, Seal

Unprocessable = Undecodable | MalformedEvent | Untaggable | UnknownCommand | IllegalTransition


def dead_letter(
    role: str,
    message: Message,
    cause: Unprocessable,
    seal: Seal,
    now: datetime,
) -> DeadLetter:
    """The dead letter of a message, with the reason in a word and in words; sealed with its place."""
    match cause:
        case Undecodable():
            reason, detail = "undecodable", cause.why
        case MalformedEvent(key="ce_time" | "time"):
            reason, detail = "impossible-time", str(cause)
        case MalformedEvent():
            reason, detail = "malformed", str(cause)
        case Untaggable():
            reason, detail = cause.reason, str(cause)
        case UnknownCommand():
            reason, detail = "unknown-command", str(cause)
        case IllegalTransition():
            reason, detail = "illegal-answer", str(cause)
    letter = DeadLetter(
        role=role,
        reason=reason,
        detail=detail,
        topic=str(message.topic()),
        partition=int(message.partition() or 0),
        offset=int(message.offset() or 0),
        timestamp=arrival(message, now),
        at=now,
        key_id=seal.key_id,
        sealed=b"",
    )
    original = Original(
        key=as_bytes(message.key()), value=as_bytes(message.value()), headers=headers(message)
    )
    return letter.holding(seal.seal(original, letter.place))


def arrival(message: Message, now: datetime) -> datetime:
    """When a message arrived, by its Kafka timestamp, or now where it has none."""
    _, milliseconds = message.timestamp()
    if milliseconds is None or milliseconds <= 0:
        return now
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def headers(message: Message) -> list[tuple[str, bytes | None]]:
    """A message's headers, in order."""
    return [(str(name), as_bytes(value)) for name, value in list(message.headers() or ())]


def as_bytes(data: str | bytes | None) -> bytes | None:
    """A key, value or header as the bytes that it is."""
    return data.encode() if isinstance(data, str) else data
