"""The window that a rule gives to an event's data: one term, or the last or first end of several."""

from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

from tests.oracle.instants import instant
from tests.oracle.language import local_time
from tests.oracle.language.clock_ends import NOTHING_KNOWN, ClockState, state_of
from tests.oracle.language.local_time import Start
from tests.oracle.language.rules import NEVER, Event, Part, Rule, Schedule

LEAD_HOURS = 24

# None: not known yet.
Ending: TypeAlias = datetime | Literal["never"] | None


class PartEnd(NamedTuple):
    """Where the term of one part starts and ends."""

    start: Start | None
    end: Ending
    counts: bool = True


class Window(NamedTuple):
    """What a holding's window is; nothing is due where `due_at` has no instant."""

    anchor_at: datetime | None
    anchors: tuple[datetime | None, ...]
    not_before: datetime | None
    erase_by: datetime | None
    due_at: dict[str, datetime | None]


def window(
    rule: Rule, systems: tuple[str, ...], event: Event, events: list[Event], schedule: Schedule
) -> Window:
    """Return the window of an event's data in these systems, by the known events."""
    ends = [part_end(part, rule.kind, event, events, schedule) for part in rule.parts]
    anchors = tuple(one.start.at if one.start else None for one in ends)
    decides = deciding(rule, ends)
    nothing_due: dict[str, datetime | None] = dict.fromkeys(systems)
    if decides is None or decides.start is None or not isinstance(decides.end, datetime):
        return Window(None, anchors, None, None, nothing_due)
    start, end = decides.start, decides.end
    longest = max(lead(system, schedule) for system in systems)
    if rule.kind == "at_least":
        return Window(start.at, anchors, end, end + longest, dict.fromkeys(systems, end))
    not_before, erase_by = None, end
    due_at = {system: max(start.at, end - lead(system, schedule)) for system in systems}
    if rule.minimum:
        not_before = local_time.minimum(start, rule.minimum, schedule.zone)
        erase_by = end if not_before <= end else not_before + longest
        due_at = {system: max(due, not_before) for system, due in due_at.items()}
    return Window(start.at, anchors, not_before, erase_by, {**due_at})


def deciding(rule: Rule, ends: list[PartEnd]) -> PartEnd | None:
    """Return the part whose end is the rule's, the first listed of equals; None while none is known."""
    counted = [one for one in ends if one.counts]
    known = [one for one in counted if isinstance(one.end, datetime)]
    endless = [one for one in counted if one.end == NEVER]
    if rule.ends == "last":
        if endless:
            return endless[0]
        if len(known) < len(counted) or not known:
            return None
        latest = max(one.end for one in known if isinstance(one.end, datetime))
        return next(one for one in known if one.end == latest)
    if known:
        earliest = min(one.end for one in known if isinstance(one.end, datetime))
        return next(one for one in known if one.end == earliest)
    return endless[0] if endless and len(endless) == len(counted) else None


def part_end(
    part: Part, kind: str, event: Event, events: list[Event], schedule: Schedule
) -> PartEnd:
    """Return where one part ends; unknown while its clock is open, or where the event has no date."""
    clock = NOTHING_KNOWN
    if part.anchor.kind == "clock":
        clock = state_of(part.anchor.name, event, events, schedule)
    term = part.terms.get(clock.outcome, part.term) if clock.end else part.term
    start = started(part, clock, event, schedule)
    counts = clock.began or not part.if_any
    if term == NEVER:
        # Terms by outcome can end after all: only the end of the clock decides which it is.
        waits = bool(part.terms) and clock.end is None
        return PartEnd(start, None if waits else "never", counts)
    if start is None:
        return PartEnd(None, None, counts)
    add = local_time.minimum if kind == "at_least" else local_time.maximum
    return PartEnd(start, add(start, term, schedule.zone), counts)


def started(part: Part, clock: ClockState, event: Event, schedule: Schedule) -> Start | None:
    """Return where the term of a part starts."""
    anchor = part.anchor
    if anchor.kind == "event":
        start: Start | None = local_time.of_instant(instant(event["time"]), schedule.zone)
    elif anchor.kind == "field":
        text = event["data"].get(anchor.name)
        start = local_time.of_date(date.fromisoformat(text), schedule.zone) if text else None
    else:
        start = clock.end
    if start is None or not anchor.end_of:
        return start
    last_day = local_time.last_day_of(start.day, anchor.end_of, dict(schedule.years))
    return local_time.after_period(start, last_day, schedule.zone)


def lead(system: str, schedule: Schedule) -> timedelta:
    """Return how long before its deadline a system must have the command."""
    return timedelta(hours=schedule.lead_hours.get(system, LEAD_HOURS))
