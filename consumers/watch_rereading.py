"""Read messages again that Faust has passed by.

A message that was fetched as a rebalance ends is skipped by Faust's stream, which neither processes nor
acknowledges it. Its partition then commits nothing further, and the message is read at the next rebalance
only, if there is one. Since an observation counts once, reading messages twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, cast

from faust import App
from faust.streams import Stream
from faust.types import TP, EventT, StreamT

_FETCH_SECONDS: Final = 1.5
"""Longer than Faust waits in one fetch: whatever was being fetched has been dropped by then."""


@dataclass(slots=True, kw_only=True)
class StalledPartitions:
    """Finds partitions of which messages wait, and none was processed since the look before."""

    _waiting: Mapping[TP, int | None] = field(default_factory=dict)
    """What was committed at the look before, by partition of which messages waited then."""

    def find(self, ends: Mapping[TP, int], committed: Mapping[TP, int]) -> set[TP]:
        """Return them, from the end of each partition and the offset that is processed next."""
        waiting = {
            partition: committed.get(partition)
            for partition, end in ends.items()
            if end > committed.get(partition, 0)
        }
        before, self._waiting = self._waiting, waiting
        return {
            partition
            for partition, offset in waiting.items()
            if partition in before and before[partition] == offset
        }


def unacknowledged(stream: StreamT[bytes]) -> AsyncIterable[EventT[bytes]]:
    """Return the events of a stream, for an agent that acknowledges each itself."""
    events = cast(Stream[bytes], stream).noack().events()
    return cast(AsyncIterable[EventT[bytes]], events)


@contextmanager
def acknowledged(event: EventT[bytes]) -> Iterator[None]:
    """Acknowledge an event after the block, also if that fails; one that Faust cancels comes again."""
    try:
        yield
    except Exception:
        event.ack()  # or it would come again and again
        raise
    event.ack()


async def read_again(app: App) -> None:
    """Continue at the committed offsets: after the last messages that were processed without a gap."""
    app.consumer.stop_flow()
    try:
        await asyncio.sleep(_FETCH_SECONDS)
        await app.consumer.perform_seek()
    finally:
        if not app.rebalancing and not app.in_recovery:  # else Faust resumes it
            app.consumer.resume_flow()
