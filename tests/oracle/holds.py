"""Legal holds: when a record may not be erased, and when what fell due in the meantime leaves."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeAlias

from tests.oracle import acts
from tests.oracle.clocks import Event
from tests.oracle.instants import instant
from tests.oracle.windows import LEAD, Holding

# From the first instant up to and without the second; NEVER: not released as far as is known.
Interval: TypeAlias = tuple[datetime, datetime]
NEVER = datetime.max.replace(tzinfo=UTC)


def holds_over(events: Iterable[Event], subject: str, record: str) -> list[Interval]:
    """Return the times at which any legal hold covers the record, without overlaps, in order.

    A hold without `records` covers all of the subject's. A release ends what was placed before it,
    under the same id, for the same subject.
    """
    events = list(events)
    releases = acts.events_of(events, "hold-released", subject)
    intervals: list[Interval] = []
    for placed in acts.events_of(events, "hold-placed", subject):
        data = placed["data"]
        if data.get("records") is not None and record not in data["records"]:
            continue
        ends = [
            instant(release["time"])
            for release in releases
            if release["data"]["hold_id"] == data["hold_id"]
            and acts.place(release) > acts.place(placed)
        ]
        start, end = instant(placed["time"]), min(ends, default=NEVER)
        if start < end:
            intervals.append((start, end))
    return joined(intervals)


def joined(intervals: list[Interval]) -> list[Interval]:
    """Return the union of intervals; nothing leaves where one ends as another begins."""
    union: list[Interval] = []
    for start, end in sorted(intervals):
        if union and start <= union[-1][1]:
            union[-1] = union[-1][0], max(union[-1][1], end)
        else:
            union.append((start, end))
    return union


def around(at: datetime, holds: list[Interval]) -> Interval | None:
    """Return the hold that is open at an instant, including one that begins at this very instant."""
    return next(((start, end) for start, end in holds if start <= at < end), None)


def leaves(due: datetime, holds: list[Interval]) -> datetime | None:
    """Return when a step that is due at an instant leaves; None while an unreleased hold stops it."""
    stopping = around(due, holds)
    if stopping is None:
        return due
    return None if stopping[1] == NEVER else stopping[1]


def put_off(holding: Holding, events: Iterable[Event]) -> Holding:
    """Return the holding as released holds leave it; a hold that is still open moves no window."""
    holds = holds_over(events, holding["subject"], holding["event"])
    due_at, erase_by = dict(holding["due_at"]), holding["erase_by"]
    for system, due in holding["due_at"].items():
        leaving = leaves(due, holds) if due is not None else None
        if due is not None and leaving is not None and leaving > due and erase_by is not None:
            due_at[system], erase_by = leaving, max(erase_by, leaving + LEAD)
    return {**holding, "due_at": due_at, "erase_by": erase_by}


def stops(holding: Holding, events: Iterable[Event], now: datetime) -> bool:
    """Return whether an open hold covers the holding, which had not ended when the hold began."""
    hold = around(now, holds_over(events, holding["subject"], holding["event"]))
    dues = [due for due in holding["due_at"].values() if due is not None]
    return hold is not None and not (dues and max(dues) < hold[0])
