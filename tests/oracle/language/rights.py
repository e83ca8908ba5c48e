"""What a person's request for erasure and a legal hold change in a window of a schedule."""

from datetime import datetime
from typing import NamedTuple

from tests.oracle import acts, holds
from tests.oracle.instants import instant
from tests.oracle.language.clock_ends import state_of
from tests.oracle.language.rules import Event, Rule, Schedule
from tests.oracle.language.terms import Window, lead


class Requested(NamedTuple):
    """The window after a request for erasure, whether that ends it by its term, and when it was granted."""

    window: Window
    decides: bool = False
    granted: datetime | None = None


def erased_on_request(
    window: Window, rule: Rule, event: Event, subject: str, events: list[Event], schedule: Schedule
) -> Requested:
    """Return what the first granted request changes.

    A duty is not ended by it, nor what a contract still needs: its clock is open. A minimum beside a
    maximum is kept nevertheless, and lasts while its start is not known. The term of a rule in test ends
    nothing, so that the request does.
    """
    at = instant(event["time"])
    names = {part.anchor.name for part in rule.parts if part.anchor.kind == "clock"}
    ends = [state_of(name, event, events, schedule).end for name in names]
    granted = [
        verified
        for verified in acts.erasures_granted(events, subject)
        if at <= verified and all(end is not None and end.at <= verified for end in ends)
    ]
    lasts = bool(rule.minimum) and window.not_before is None
    if rule.kind == "at_least" or lasts or not granted:
        return Requested(window)
    cut = min(granted)
    if rule.test:
        window = window._replace(erase_by=None, due_at=dict.fromkeys(window.due_at))
    if all(due is not None and due < cut for due in window.due_at.values()):
        return Requested(window, granted=cut)
    floor = window.not_before or cut
    due_at: dict[str, datetime | None] = {
        system: max(min(due or cut, cut), floor) for system, due in window.due_at.items()
    }
    erase_by = max(min(window.erase_by or cut, cut), floor)
    return Requested(window._replace(erase_by=erase_by, due_at=due_at), True, cut)


def put_off(
    window: Window, subject: str, record: str, events: list[Event], schedule: Schedule
) -> Window:
    """Return the window as released holds leave it; a hold that is still open moves no window."""
    over = holds.holds_over(events, subject, record)
    due_at, erase_by = dict(window.due_at), window.erase_by
    for system, due in window.due_at.items():
        leaving = holds.leaves(due, over) if due is not None else None
        if due is not None and leaving is not None and leaving > due and erase_by is not None:
            due_at[system] = leaving
            erase_by = max(erase_by, leaving + lead(system, schedule))
    return window._replace(due_at=due_at, erase_by=erase_by)


def is_held(window: Window, subject: str, record: str, events: list[Event], now: datetime) -> bool:
    """Return whether an open hold covers a holding that had not ended when the hold began."""
    hold = holds.around(now, holds.holds_over(events, subject, record))
    dues = [due for due in window.due_at.values() if due is not None]
    return hold is not None and not (dues and max(dues) < hold[0])
