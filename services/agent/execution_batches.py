"""Put commands that may run now into batches, each of which is carried out at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.agent.inbox_entry import InboxEntry


def group_into_batches(
    entries: Sequence[InboxEntry],
    *,
    most: int,
    size: int,
    is_batched: Callable[[str], bool],
    may_start: Callable[[], bool],
) -> list[list[InboxEntry]]:
    """Return the entries in at most `most` batches of up to `size` with one action, in their order.

    An action that is not batched is alone in each batch. The first entry that has no place, or that may not
    start yet, ends it: no entry is started before one that waits longer.
    """
    batches: list[list[InboxEntry]] = []
    open_batches: dict[str, list[InboxEntry]] = {}
    for entry in entries:
        batch = open_batches.get(entry.action)
        has_place = batch is not None and len(batch) < size
        if not (has_place or len(batches) < most) or not may_start():
            break
        if batch is None or not has_place:
            batch = []
            batches.append(batch)
            if is_batched(entry.action):
                open_batches[entry.action] = batch
        batch.append(entry)
    return batches
