"""History: what comes live and is older than its arrival by more than a bound waits for a person.

A publisher's time is a claim: whoever writes an old one could have another's data erased at once. So such
events are held back in groups, one an event type and day of arrival, that a named operator releases as an
import is released.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.cloudevents import RESERVED_PREFIX

DEFAULT_BOUND = timedelta(days=7)
"""How much older than its arrival a live event may be, unless a setting says otherwise."""


def history_group(
    event_type: str, time: datetime, arrived: datetime, bound: timedelta
) -> str | None:
    """The group that holds an event of that time and arrival back; nothing if it is not too old."""
    if arrived - time <= bound:
        return None
    return f"{RESERVED_PREFIX}{arrived.astimezone(UTC):%Y-%m-%d}/{event_type}"


def numbered_group(group: str, number: int) -> str:
    """What a group is called that follows on one that was released: its 2nd, 3rd ..."""
    return group if number == 1 else f"{group}/{number}"


def is_group(backfill: str) -> bool:
    """Whether a name is a group's; no publisher's import is called so."""
    return backfill.startswith(RESERVED_PREFIX)


def event_type_of_group(group: str) -> str:
    """The event type whose events a group holds back."""
    return group.removeprefix(RESERVED_PREFIX).split("/")[1]


def format_bound(bound: timedelta) -> str:
    """The bound for people: whole days, or seconds where it is none."""
    if bound % timedelta(days=1):
        return f"{bound.total_seconds():g} seconds"
    return f"{bound.days} days"
