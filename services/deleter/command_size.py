"""Sizes of commands: records are split over several commands, so that each is small enough for Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from uuid import UUID

from schemas import limits
from services.policy.event_subject import business_keys
from services.policy.model import Policy
from services.policy.tagged_event import TaggedEvent

RECORD_FRAME: Final = 32
"""The bytes that Avro adds to the texts of one record, including its time."""
PAIR_FRAME: Final = 6
"""The bytes that Avro adds to the texts of one key and its value."""


def record_size(tagged: TaggedEvent, policy: Policy) -> int:
    """Return how many bytes one record takes in a command, at most."""
    keys = business_keys(tagged, policy, tagged.subject or "")
    return size_of_record((tagged.source, tagged.id, tagged.type), keys)


def size_of_record(texts: Iterable[str], keys: Mapping[str, str]) -> int:
    """Return how many bytes a record with these texts and keys takes, at most."""
    return (
        RECORD_FRAME + PAIR_FRAME * len(keys) + text_size("".join((*texts, *keys, *keys.values())))
    )


def split_by_size(
    records: Iterable[tuple[UUID, int]],
    max_records: int = limits.MAX_COMMAND_RECORDS,
    max_bytes: int = limits.MAX_COMMAND,
) -> Iterator[tuple[UUID, ...]]:
    """Split records, each with its size, into chunks that one command can name; none is left out.

    A record that alone is too large gets a chunk of its own, so that its command cannot block others.
    """
    chunk: list[UUID] = []
    chunk_size = 0
    for record, size in records:
        if chunk and (len(chunk) == max_records or chunk_size + size > max_bytes):
            yield tuple(chunk)
            chunk, chunk_size = [], 0
        chunk.append(record)
        chunk_size += size
    if chunk:
        yield tuple(chunk)


def text_size(text: str) -> int:
    """Return how many bytes a text takes as UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
