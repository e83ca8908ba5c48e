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

    An action that is not batched is alone in each batch. An entry that was tried before shares its batch
    with ever fewer others, until it is alone: if it is the cause, it holds up no other. The first entry
    that has no place, or that may not start yet, ends it: no entry is started before one that waits longer.
    """
    batches: list[list[InboxEntry]] = []
    open_batches: dict[tuple[str, int], list[InboxEntry]] = {}
    for entry in entries:
        room = max(1, size >> min(3 * entry.tries, 16))
        batch = open_batches.get((entry.action, room))
        has_place = batch is not None and len(batch) < room
        if not (has_place or len(batches) < most) or not may_start():
            break
        if batch is None or not has_place:
            batch = []
            batches.append(batch)
            if is_batched(entry.action):
                open_batches[entry.action, room] = batch
        batch.append(entry)
    return batches
