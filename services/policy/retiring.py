"""Retiring: from an instant on a purpose or a system gets nothing new.

The instant is compared with the event's own time, so that what follows stays a function of the set of
events, in whatever order and however late they arrive. What would be held were nothing retired is known
all the same: a later policy that moves the instant, or takes it away, finds it hung where it belongs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from datetime import datetime

from services.policy.model import Policy

Retirements = Mapping[str, Mapping[str, datetime]]
"""By section (`systems`, `purposes`) and name, from when on each is retired, UTC."""


def list_retirements(policy: Policy) -> Retirements:
    """What the policy retires."""
    systems = {name: part.retired for name, part in policy.systems.items() if part.retired}
    purposes = {name: part.retired for name, part in policy.purposes.items() if part.retired}
    return {"systems": systems, "purposes": purposes}


def retirement_times(policy: Policy) -> tuple[datetime, ...]:
    """The instants, UTC, at which something is retired, in order."""
    return tuple(
        sorted({time for named in list_retirements(policy).values() for time in named.values()})
    )


def retirement_era(time: datetime, times: tuple[datetime, ...]) -> int:
    """How many of these instants an event is not before: events of one era are treated alike."""
    return bisect_right(times, time) if times else 0


def is_retired(system: str, time: datetime, policy: Policy) -> bool:
    """Whether a system gets nothing of an event of that time."""
    retired_at = policy.systems[system].retired
    return retired_at is not None and retired_at <= time


def remaining_systems(
    purpose: str, systems: tuple[str, ...], time: datetime, policy: Policy, exempt: Collection[str]
) -> tuple[str, ...]:
    """Those of the systems that hold something of an event of that time for the purpose.

    What is `kept` counts as not retired.
    """
    retired_at = policy.purposes[purpose].retired
    if retired_at is not None and retired_at <= time:
        return ()
    return tuple(
        system for system in systems if system in exempt or not is_retired(system, time, policy)
    )
