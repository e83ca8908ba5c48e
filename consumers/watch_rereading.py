"""Read messages again that Faust has passed by: the last ones after a rebalance, and where nothing goes on.

A message that was fetched as a rebalance ends is skipped by Faust's stream, which neither processes nor
acknowledges it. Its partition then commits nothing further, and the message is read at the next rebalance
only, if there is one. What was in progress as a process ended, or lost a partition, may count as processed.
Since an observation counts once, reading messages twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, cast

from faust import App
from faust.streams import Stream
from faust.transport.consumer import Consumer
from faust.types import TP, EventT, StreamT

OVERLAP: Final = 50
"""How many messages of a partition are read again."""
_LONGEST_SECONDS: Final = 20.0
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


async def read_again(app: App, topics: Collection[str]) -> None:
    """Continue `OVERLAP` messages before the committed offsets of the partitions of topics."""
    consumer = cast(Consumer, app.consumer)
    consumer.stop_flow()
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            await asyncio.sleep(_FETCH_SECONDS)
            await consumer.perform_seek()  # forgets what was read since
            committed = await consumer.seek_to_committed()
            own = {tp: offset for tp, offset in committed.items() if offset and tp.topic in topics}
            earliest = await consumer.earliest_offsets(*own)
            await consumer.seek_wait(
                {tp: max(earliest.get(tp) or 0, offset - OVERLAP) for tp, offset in own.items()}
            )
    except TimeoutError:
        pass  # the next look is soon
    finally:
        if not app.rebalancing and not app.in_recovery:  # else Faust resumes it
            consumer.resume_flow()
