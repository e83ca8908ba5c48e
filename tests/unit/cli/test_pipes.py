"""Where a command reads a file of events or JSON, it also reads a pipe, and `-` is standard input."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from services.events.publisher import Publisher
from services.kafka.embedded_broker import PARTITIONS, EmbeddedBroker
from tests.contract.event_builders import feedback
from tests.unit.cli.conftest import Call, Write

THREE = [feedback(f"f{number}", "2024-03-15T13:00:00Z") for number in range(3)]
TOPIC = "website.feedback-given.v1"
Stdin = Callable[[bytes], None]


def lines(events: list[dict[str, Any]]) -> bytes:
    """Return a file of events."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Stdin:
    """Give the next command something to read."""

    def give(data: bytes) -> None:
        buffer = io.BytesIO(data)
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=buffer, isatty=lambda: False))

    return give


@contextmanager
def pipe(data: bytes) -> Iterator[Path]:
    """Return a path like that of `<(cat events.jsonl)` in a shell."""
    reads, writes = os.pipe()

    def write() -> None:
        with os.fdopen(writes, "wb") as to:
            to.write(data)

    writer = Thread(target=write)
    writer.start()
    try:
        yield Path(f"/dev/fd/{reads}")
    finally:
        os.close(reads)
        writer.join()


@pytest.fixture
def broker(termijn: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedBroker]:
    """Return a broker that the commands are configured for, and a ledger."""
    with EmbeddedBroker() as embedded:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", embedded.bootstrap)
        monkeypatch.setenv("TERMIJN_KAFKA_CLUSTER_ID", embedded.cluster_id)
        assert termijn("ledger", "migrate").code == 0
        yield embedded


def messages_in(broker: EmbeddedBroker) -> int:
    """Return how many messages the topic has."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "t", "log_level": 0})
    places = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
    try:
        return sum(consumer.get_watermark_offsets(place, 10)[1] for place in places)
    finally:
        consumer.close()


def test_a_pipe_is_published_whole(termijn: Call, broker: EmbeddedBroker) -> None:
    """A pipe can be read once, and a file is read twice: first checked, then sent."""
    with pipe(lines(THREE)) as path:
        outcome = termijn("publish", path)
    assert (outcome.code, outcome.out, outcome.err) == (0, "published 3 events\n", "")
    assert messages_in(broker) == 3


def test_standard_input_is_published_whole(
    termijn: Call, broker: EmbeddedBroker, stdin: Stdin
) -> None:
    stdin(lines(THREE))
    outcome = termijn("publish", "-")
    assert (outcome.code, outcome.out, outcome.err) == (0, "published 3 events\n", "")
    assert messages_in(broker) == 3


def test_a_pipe_with_one_bad_line_sends_nothing(termijn: Call, broker: EmbeddedBroker) -> None:
    """The line is named as in a file."""
    with pipe(lines(THREE) + b"{\n") as path:
        outcome = termijn("publish", path)
    assert outcome.code == 1
    assert outcome.err.startswith(f"termijn: {path}:4: json: ")
    broker.create_topics([TOPIC])
    assert messages_in(broker) == 0


@pytest.mark.parametrize("lines_kept", [1, 0], ids=["shorter", "empty"])
def test_a_file_that_changes_between_check_and_sending_is_reported(
    termijn: Call,
    broker: EmbeddedBroker,
    events: Write,
    monkeypatch: pytest.MonkeyPatch,
    lines_kept: int,
) -> None:
    """The operator must not believe that all of it was sent."""
    file = events(THREE)
    send = Publisher.send_batches

    def cut_first(self: Publisher, messages: Any) -> Any:
        file.write_bytes(lines(THREE[:lines_kept]))
        return send(self, messages)

    monkeypatch.setattr(Publisher, "send_batches", cut_first)
    outcome = termijn("publish", file)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"termijn: {file}: changed while it was read: 3 events checked, {lines_kept} sent\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "{}", "--json"),
        ("simulate", "{}", "--until", "2030-01-01T00:00:00Z", "--json"),
        ("publish", "{}", "--dry-run", "--json"),
    ],
    ids=lambda argument: argument[0],
)
def test_a_pipe_gives_the_same_output_as_a_file(
    termijn: Call, events: Write, stdin: Stdin, arguments: tuple[str, ...]
) -> None:
    """Standard input gives the same output too."""

    def rows(path: object) -> list[dict[str, Any]]:
        return termijn(*(argument.format(path) for argument in arguments)).rows

    expected = rows(events(THREE))
    assert expected
    with pipe(lines(THREE)) as path:
        assert rows(path) == expected
    stdin(lines(THREE))
    assert rows("-") == expected


def test_keys_are_read_from_standard_input(termijn: Call, tmp_path: Path, stdin: Stdin) -> None:
    """`ssh crm termijn keys ... | termijn keys trust crm -`."""
    assert termijn("keys", "make", "crm").code == 0
    stdin((tmp_path / ".termijn" / "keys" / "crm.jwks").read_bytes())
    outcome = termijn("keys", "trust", "crm", "-")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("crm: ")


def test_evidence_is_verified_from_standard_input(termijn: Call, stdin: Stdin) -> None:
    """An input that is not evidence is reported with its line."""
    stdin(b"{}\n")
    outcome = termijn("evidence", "verify", "-")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("termijn: line 1, ")


def test_a_policy_is_read_from_standard_input(termijn: Call, stdin: Stdin) -> None:
    """Its lines are named as those of a file."""
    stdin(b"policy: mine\n")
    outcome = termijn("policy", "lint", "-")
    assert outcome.code == 1
    assert outcome.err.startswith("termijn: -:1: ")
