"""The notices that are to be given before the data of a record ends.

A notice announces when a holding ends in the first of its systems, counted back on the local calendar,
also where another purpose keeps the data there. It is given once for each end, at once where the end is
nearer, and never of an end that has come.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from tests.oracle.language.explaining import Kept
from tests.oracle.language.local_time import earlier_reading, minus, of_instant
from tests.oracle.language.rules import Notice, Schedule


class Announced(NamedTuple):
    """A notice about a holding."""

    purpose: str
    rule: str
    notice: Notice


class Announcement(NamedTuple):
    """Notices of one end that leave together from one system."""

    due: datetime
    system: str
    end: datetime
    of: tuple[Announced, ...]


def announcements(
    holdings: Iterable[Kept],
    finished: set[str],
    announced: Mapping[Announced, datetime],
    schedule: Schedule,
    now: datetime,
) -> list[Announcement]:
    """Return the notices of a record still to be given.

    `finished` are the systems in which nothing is to be done any more, `announced` is the end that was
    announced last.
    """
    together: dict[tuple[datetime, str, datetime], list[Announced]] = {}
    for kept in holdings:
        ends = {system: end for system, end in kept.window.due_at.items() if end is not None}
        to_come = [end for system, end in ends.items() if system not in finished]
        if kept.test or kept.decided or not to_come or min(ends.values()) <= now:
            continue
        for notice in kept.notices:
            item, end = Announced(kept.purpose, kept.rule, notice), min(to_come)
            if announced.get(item) != end:
                due = max(before(end, notice.before, schedule.zone), now)
                together.setdefault((due, notice.system, end), []).append(item)
    return [
        Announcement(due, system, end, tuple(of)) for (due, system, end), of in together.items()
    ]


def before(end: datetime, period: str, zone: str) -> datetime:
    """Return the same wall-clock time so long before, the earlier of its readings."""
    start = of_instant(end, zone)
    return earlier_reading(minus(start.day, period), start.wall, zone)
