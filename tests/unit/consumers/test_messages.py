"""Messages: when they arrived, and how those that cannot be processed are encrypted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from confluent_kafka import Message

from consumers.messages import arrival_time, build_dead_letter, is_dated, trusted_arrival_time
from schemas.errors import DecodingFailed, MalformedEvent
from services.crypto.envelope import AeadCipher, OriginalMessage
from services.events.dead_letter_replay import ARRIVAL_HEADER, replay_headers
from services.kafka.message_fields import headers

NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)
SEAL = AeadCipher(bytes(32))
CREATED, APPENDED = 1, 2
EARLIER = datetime(2026, 3, 15, 12, tzinfo=UTC)
MONTHS_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def message(
    timestamp: int = 1_773_576_000_000,
    kind: int = CREATED,
    topic: str = "orders.order-placed.v1",
    **values: Any,
) -> Message:
    """A message at orders.order-placed.v1[3]@17; its timestamp is 2026-03-15T12:00:00Z."""
    return Message(
        topic=topic,
        partition=3,
        offset=17,
        timestamp=(kind, timestamp),
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

    def set_headers(self, headers: list[tuple[str, bytes]]) -> None:
        self._kept = headers

    def __getattr__(self, name: str) -> Any:
        return getattr(message(value=b"v"), name)


def test_a_message_arrived_at_its_kafka_timestamp() -> None:
    """The time is exact to the millisecond."""
    assert arrival_time(message(1_773_576_000_123), NOW) == datetime(
        2026, 3, 15, 12, 0, 0, 123000, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "timestamp", [0, -1, 1_773_666_000_000, 253_402_300_800_000, 2**62], ids=str
)
def test_no_message_arrived_after_now(timestamp: int) -> None:
    """A timestamp in a year that does not exist gives the present time too: publishers may write any."""
    assert arrival_time(message(timestamp), NOW) == NOW


@pytest.mark.parametrize("timestamp", [0, -1, 253_402_300_800_000, 2**62], ids=str)
def test_a_message_with_an_impossible_timestamp_is_parked_under_one_id(timestamp: int) -> None:
    """Whenever it is read again."""
    cause = DecodingFailed(why="is empty")
    first = build_dead_letter("tagger", message(timestamp), cause, SEAL, NOW)
    later = build_dead_letter("tagger", message(timestamp), cause, SEAL, datetime.now(UTC))
    assert first.dead_letter_id == later.dead_letter_id


def test_a_dead_letter_contains_the_encrypted_original_message() -> None:
    """Key, value and headers, as they came."""
    original = message(key=b"k", value=b"v", headers=[("ce_id", b"e1"), ("x", None)])
    letter = build_dead_letter("tagger", original, DecodingFailed(why="ends too early"), SEAL, NOW)
    assert SEAL.decrypt(
        letter.sealed, "orders.order-placed.v1/3/17", SEAL.key_id
    ) == OriginalMessage(key=b"k", value=b"v", headers=[("ce_id", b"e1"), ("x", None)])
    assert (letter.reason, letter.detail) == ("undecodable", "ends too early")


def test_headers_that_cannot_be_read_are_malformed() -> None:
    """The headers are not read a second time, which would end the process."""
    message = cast(Message, Unreadable())
    with pytest.raises(MalformedEvent, match="headers: a name is not UTF-8"):
        headers(message)
    assert headers(message) == []


def test_a_message_whose_headers_cannot_be_read_is_parked_without_them() -> None:
    """Its key and body are kept."""
    letter = build_dead_letter(
        "tagger", cast(Message, Unreadable()), DecodingFailed(why="is empty"), SEAL, NOW
    )
    opened = SEAL.decrypt(letter.sealed, letter.place, SEAL.key_id)
    assert (opened.value, opened.headers) == (b"v", [])


def test_the_arrival_time_is_that_of_the_broker() -> None:
    """Whenever the message is read, and even if the broker's clock is ahead."""
    assert trusted_arrival_time(message(kind=APPENDED), [], NOW, SEAL) == EARLIER
    assert trusted_arrival_time(message(kind=APPENDED), [], MONTHS_AGO, SEAL) == EARLIER
    assert is_dated(message(kind=APPENDED))


@pytest.mark.parametrize(
    "message",
    [message(), message(0, APPENDED), message(253_402_300_800_000, APPENDED)],
    ids=["its sender's", "none", "impossible"],
)
def test_without_a_brokers_timestamp_a_message_arrives_when_it_is_read(message: Message) -> None:
    """A timestamp of its sender does not count."""
    assert trusted_arrival_time(message, [], NOW, SEAL) == NOW
    assert not is_dated(message)


def replayed() -> list[tuple[str, bytes]]:
    """The headers with which a message goes back that was parked two and a half months ago."""
    original = message(key=b"k", value=b"v", headers=[("ce_id", b"e1"), ("x", None)])
    cause = DecodingFailed(why="is empty")
    letter = build_dead_letter("tagger", original, cause, SEAL, NOW, MONTHS_AGO)
    opened = SEAL.decrypt(letter.sealed, letter.place, SEAL.key_id)
    return list(replay_headers(letter, opened, SEAL))


def test_a_replayed_message_keeps_its_first_arrival_time() -> None:
    """The broker may give it a new timestamp, and it may be parked again."""
    again = message(kind=APPENDED, key=b"k", value=b"v", headers=replayed())
    assert trusted_arrival_time(again, replayed(), NOW, SEAL) == MONTHS_AGO
    at = trusted_arrival_time(again, replayed(), NOW, SEAL)
    letter = build_dead_letter("tagger", again, DecodingFailed(why="is empty"), SEAL, NOW, at)
    opened = SEAL.decrypt(letter.sealed, letter.place, SEAL.key_id)
    third = replay_headers(letter, opened, SEAL)
    assert [name for name, _ in third].count(ARRIVAL_HEADER) == 1
    assert trusted_arrival_time(message(key=b"k", value=b"v"), third, NOW, SEAL) == MONTHS_AGO


@pytest.mark.parametrize(
    "forged",
    [
        message(key=b"k", value=b"w"),
        message(key=b"l", value=b"v"),
        message(key=b"k", value=b"v", topic="website.feedback-given.v1"),
    ],
    ids=["another value", "another key", "another topic"],
)
def test_a_signed_arrival_time_counts_only_for_its_own_message(forged: Message) -> None:
    """An event cannot get an earlier arrival time by the header of a replayed one."""
    assert trusted_arrival_time(forged, replayed(), NOW, SEAL) == NOW


@pytest.mark.parametrize("word", [b"", b"2020-01-01T00:00:00+00:00", b"\xff", b"0:AAAA", b"x:%%"])
def test_a_forged_arrival_time_is_ignored(word: bytes) -> None:
    """The forged header does not stop the tagger."""
    headers = [("ce_id", b"e1"), ("x", b""), (ARRIVAL_HEADER, word)]
    assert trusted_arrival_time(message(key=b"k", value=b"v"), headers, NOW, SEAL) == NOW


def test_an_arrival_time_does_not_count_with_other_headers() -> None:
    """An older `ce_time` under the same signed arrival time is one example."""
    other_headers = [("ce_id", b"e2") if name == "ce_id" else (name, at) for name, at in replayed()]
    assert trusted_arrival_time(message(key=b"k", value=b"v"), other_headers, NOW, SEAL) == NOW


def test_only_the_key_of_dead_letters_signs_arrival_times() -> None:
    """It takes the key of the dead letters."""
    assert (
        trusted_arrival_time(
            message(key=b"k", value=b"v"), replayed(), NOW, AeadCipher(bytes([1] * 32))
        )
        == NOW
    )


def test_an_older_dead_letter_without_an_arrival_time_arrived_when_it_was_parked() -> None:
    """Never later than it is replayed."""
    original = message(key=b"k", value=b"v")
    letter = build_dead_letter("tagger", original, DecodingFailed(why="is empty"), SEAL, MONTHS_AGO)
    replayed_headers = replay_headers(
        letter, SEAL.decrypt(letter.sealed, letter.place, SEAL.key_id), SEAL
    )
    assert (
        trusted_arrival_time(message(key=b"k", value=b"v"), replayed_headers, NOW, SEAL)
        == MONTHS_AGO
    )
