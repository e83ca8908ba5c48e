"""What is kept until consent is withdrawn: a maximum without an end of its own."""

from datetime import datetime

from tests.oracle.instants import instant
from tests.oracle.language.rules import NEVER, Event, Rule, Schedule
from tests.oracle.language.terms import Window


def is_until_withdrawal(rule: Rule) -> bool:
    never = all(part.term == NEVER and not part.terms for part in rule.parts)
    return rule.kind == "at_most" and never


def cut(
    window: Window, purpose: str, event: Event, events: list[Event], schedule: Schedule
) -> Window:
    """Return the window as the first withdrawal since the event ends it, or an earlier one did."""
    reported = withdrawals(purpose, event, events, schedule)
    held_from = instant(event["time"])
    later = [at for at in reported if at >= held_from]
    if not reported:
        return window
    end = later[0] if len(later) == len(reported) else held_from
    return window._replace(erase_by=end, due_at=dict.fromkeys(window.due_at, end))


def withdrawals(
    purpose: str, event: Event, events: list[Event], schedule: Schedule
) -> list[datetime]:
    """Return when the person of an event withdrew consent to a purpose, the earliest first."""
    return sorted(
        instant(other["time"])
        for other in events
        if schedule.type_of(other).withdraws == purpose
        and other["data"]["person"] == event["data"]["person"]
    )
