"""The offsets of the messages that were sent."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.events.sent_offsets import OffsetRecorder
from services.kafka.producer import OutgoingMessage
from services.kafka.record_metadata import RecordMetadata

PLACES = st.lists(st.sets(st.tuples(st.sampled_from("ab"), st.integers(0, 1), st.integers(0, 12))))


class Broker:
    """A broker that puts each batch where the test wants it."""

    def __init__(self, *batches: set[tuple[str, int, int]]) -> None:
        self.batches = list(batches)

    def send(self, _: Any) -> list[RecordMetadata]:
        return [RecordMetadata(topic=t, partition=p, offset=o) for t, p, o in self.batches.pop(0)]


@given(PLACES)
def test_only_offsets_that_were_sent_are_known(batches: list[set[tuple[str, int, int]]]) -> None:
    """Messages of others may be between them; a partition's offsets only rise."""
    risen = [
        {(topic, part, offset + 20 * number) for topic, part, offset in batch}
        for number, batch in enumerate(batches)
    ]
    sender = OffsetRecorder(sender=Broker(*risen))  # type: ignore[arg-type]  # as much as it needs
    for _ in risen:
        sender.send([OutgoingMessage(topic="a", key=None, value=None)])
    sent = set().union(*risen)
    every = {(t, p, o) for t in "abc" for p in range(2) for o in range(20 * len(batches) + 1)}
    assert {sent_place for sent_place in every if sender.contains(*sent_place)} == sent
    assert sender.topics == {topic for topic, _, _ in sent}
