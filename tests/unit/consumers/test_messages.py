"""Messages: when they arrived, and what is sealed of those that cannot be processed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from confluent_kafka import Message

from consumers.messages import arrival, dead_letter, headers
from schemas.errors import MalformedEvent, Undecodable
from services.vault.sealing import Original, Seal

NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)
SEAL = Seal(bytes(32))
CREATED = 1


def message(timestamp: int = 1_773_576_000_000, **values: Any) -> Message:
    """A message at orders.order-placed.v1[3]@17; its timestamp is 2026-03-15T12:00:00Z."""
    return Message(
        topic="orders.order-placed.v1",
        partition=3,
        offset=17,
        timestamp=(CREATED, timestamp),
        **values,
    )


class Unreadable:
    """A message as confluent-kafka gives it when a header's name is not UTF-8."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, bytes]] | None = None

    def headers(self) -> list[tuple[str, bytes]]:
        if self._kept is None:
            raise SystemError("returned a result with an exception set")
        return self._kept

    def set_headers(self, kept: list[tuple[str, bytes]]) -> None:
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        return getattr(message(value=b"v"), name)


def test_a_message_arrived_at_its_kafka_timestamp() -> None:
    """To the millisecond."""
    assert arrival(message(1_773_576_000_123), NOW) == datetime(
        2026, 3, 15, 12, 0, 0, 123000, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "timestamp", [0, -1, 1_773_666_000_000, 253_402_300_800_000, 2**62], ids=str
)
def test_no_message_arrived_after_now(timestamp: int) -> None:
    """Nor in a year that does not exist: publishers may write any timestamp."""
    assert arrival(message(timestamp), NOW) == NOW


@pytest.mark.parametrize("timestamp", [0, -1, 253_402_300_800_000, 2**62], ids=str)
def test_an_impossible_timestamp_parks_under_the_same_id_each_time(timestamp: int) -> None:
    """Whenever it is read again."""
    cause = Undecodable(why="is empty")
    first = dead_letter("tagger", message(timestamp), cause, SEAL, NOW)
    later = dead_letter("tagger", message(timestamp), cause, SEAL, datetime.now(UTC))
    assert first.dead_letter_id == later.dead_letter_id


def test_a_dead_letter_holds_the_original_sealed_for_its_place() -> None:
    """Key, value and headers, as they came."""
    original = message(key=b"k", value=b"v", headers=[("ce_id", b"e1"), ("x", None)])
    letter = dead_letter("tagger", original, Undecodable(why="ends too early"), SEAL, NOW)
    assert SEAL.open(letter.sealed, "orders.order-placed.v1/3/17", SEAL.key_id) == Original(
        key=b"k", value=b"v", headers=[("ce_id", b"e1"), ("x", None)]
    )
    assert (letter.reason, letter.detail) == ("undecodable", "ends too early")


def test_headers_that_cannot_be_read_are_malformed() -> None:
    """And are not asked for a second time, which would end the process."""
    one = cast(Message, Unreadable())
    with pytest.raises(MalformedEvent, match="headers: a name is not UTF-8"):
        headers(one)
    assert headers(one) == []


def test_a_message_whose_headers_cannot_be_read_is_parked_without_them() -> None:
    """Its key and body are kept."""
    letter = dead_letter(
        "tagger", cast(Message, Unreadable()), Undecodable(why="is empty"), SEAL, NOW
    )
    opened = SEAL.open(letter.sealed, letter.place, SEAL.key_id)
    assert (opened.value, opened.headers) == (b"v", [])
