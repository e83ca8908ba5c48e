"""The notices that are to be given before the data of a record ends.

A notice announces when a holding ends in the first of the systems in which it is to end, counted back on
the local calendar, also where another purpose keeps the data there. It is given once for each end, at once
where the end is nearer, and never of an end that has come. Of several by one system that could be given,
the nearest one is.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from tests.oracle.language.explaining import Kept
from tests.oracle.language.local_time import earlier_reading, minus, of_instant
from tests.oracle.language.rules import Schedule


class Announcement(NamedTuple):
    """A notice of what ends together, so long before, by one system."""

    due: datetime
    system: str
    before: str
    end: datetime
    rules: frozenset[str]
    purposes: frozenset[str]


def announcements(
    holdings: Iterable[Kept],
    finished: set[str],
    given: Sequence[Announcement],
    schedule: Schedule,
    now: datetime,
) -> list[Announcement]:
    """Return the notices of a record still to be given.

    `finished` are the systems in which nothing is to be done any more, `given` the notices so far.
    """
    together: dict[tuple[str, str, datetime, datetime], list[Kept]] = {}
    for kept in holdings:
        ends = {system: end for system, end in kept.window.due_at.items() if end is not None}
        to_come = [end for system, end in ends.items() if system not in finished]
        if kept.test or kept.decided or not to_come:
            continue
        for notice in kept.notices:
            key = (notice.system, notice.before, min(ends.values()), min(to_come))
            together.setdefault(key, []).append(kept)
    planned = [
        Announcement(
            due=before(end, ahead, schedule.zone),
            system=system,
            before=ahead,
            end=end,
            rules=frozenset(kept.rule for kept in ending),
            purposes=frozenset(kept.purpose for kept in ending),
        )
        for (system, ahead, first, end), ending in together.items()
        if first > now
    ]
    ends_now = {
        (system, kept.purpose, end)
        for (system, _, _, end), ending in together.items()
        for kept in ending
    }
    return [
        each._replace(due=max(each.due, now))
        for each in planned
        if not any(other.due <= now and is_nearer(other, each) for other in planned)
        and not all(is_given(each, purpose, given, ends_now, now) for purpose in each.purposes)
    ]


def is_nearer(other: Announcement, notice: Announcement) -> bool:
    """Return whether another notice announces the same later."""
    same = (other.system, other.end) == (notice.system, notice.end)
    later = (other.due, other.before) > (notice.due, notice.before)
    return same and later and other.purposes >= notice.purposes


def is_given(
    notice: Announcement,
    purpose: str,
    given: Sequence[Announcement],
    ends: set[tuple[str, str, datetime]],
    now: datetime,
) -> bool:
    """Return whether the person knows this end of a purpose, and expects no false one after that."""
    heard = [each for each in given if each.system == notice.system and purpose in each.purposes]
    if not any((each.before, each.end) == (notice.before, notice.end) for each in heard):
        return False
    last = max(place for place, each in enumerate(heard) if each.end == notice.end)
    expected = [each for each in heard[last:] if each.end > now]
    return all((each.system, purpose, each.end) in ends for each in expected)


def before(end: datetime, period: str, zone: str) -> datetime:
    """Return the same wall-clock time so long before, the earlier of its readings."""
    start = of_instant(end, zone)
    return earlier_reading(minus(start.day, period), start.wall, zone)
