"""Where a clock is, given the known events: the last word about it decides, not the latest date."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from tests.oracle.instants import instant
from tests.oracle.language.local_time import Start, of_date, of_instant
from tests.oracle.language.rules import Event, Move, Schedule


class ClockState(NamedTuple):
    """What is known of one clock. Without an end it is open."""

    began: bool
    end: Start | None = None
    outcome: str = ""


NOTHING_KNOWN = ClockState(began=False)


def state_of(clock: str, event: Event, events: Iterable[Event], schedule: Schedule) -> ClockState:
    """Return where the clock of this name is that the event's fields point to."""
    key = key_of(clock, event, schedule)
    moves: list[tuple[datetime, str, str, int, Event, Move]] = []
    for other in events:
        for place, move in enumerate(schedule.type_of(other).moves):
            if move.clock != clock or key_of(clock, other, schedule) != key or key is None:
                continue
            if move.at and other["data"].get(move.at) is None:
                continue  # no date, no move
            when = instant(other["time"])
            moves.append((when, other["source"], other["id"], place, other, move))
    if not moves:
        return NOTHING_KNOWN
    when, _, _, _, last, move = max(moves, key=lambda known: known[:4])
    if not move.ends:
        return ClockState(began=True)
    if move.at:
        end = of_date(date.fromisoformat(last["data"][move.at]), schedule.zone)
    else:
        end = of_instant(when, schedule.zone)
    return ClockState(began=True, end=end, outcome=move.outcome)


def key_of(clock: str, event: Event, schedule: Schedule) -> tuple[str, ...] | None:
    """Return the values that name the clock of this event; None where the event lacks one."""
    values = [event["data"].get(name) for name in schedule.clocks[clock]]
    return None if None in values else tuple(values)
