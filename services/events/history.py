"""Old live events: an event that is older than its arrival by more than a bound is held back.

An event's time is only the publisher's claim, and an old one could have another person's data erased at
once. So such events are held back in groups, one for each event type and day of arrival, until a named
operator releases the group as an import is released.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.cloudevents import RESERVED_PREFIX

DEFAULT_BOUND = timedelta(days=7)
"""How much older than its arrival a live event may be; a setting can change it."""


def history_group(
    event_type: str, time: datetime, arrived: datetime, bound: timedelta
) -> str | None:
    """Return the group that holds back an event of that time and arrival; None if it is not too old."""
    if arrived - time <= bound:
        return None
    return f"{RESERVED_PREFIX}{arrived.astimezone(UTC):%Y-%m-%d}/{event_type}"


def numbered_group(group: str, number: int) -> str:
    """Return the name of the 2nd, 3rd ... group after one of the same name was released."""
    return group if number == 1 else f"{group}/{number}"


def is_group(backfill: str) -> bool:
    """Whether a name is that of a group, and not of an import."""
    return backfill.startswith(RESERVED_PREFIX)


def event_type_of_group(group: str) -> str:
    """Return the event type whose events a group holds back."""
    return group.removeprefix(RESERVED_PREFIX).split("/")[1]


def format_bound(bound: timedelta) -> str:
    """Return the bound as text: in days if they are whole, else in seconds."""
    if bound % timedelta(days=1):
        return f"{bound.total_seconds():g} seconds"
    return f"{bound.days} days"
