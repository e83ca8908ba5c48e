"""Retired purposes and systems: from an instant on, a policy gives them no new data.

The instant is compared with the event's own time, so that the result is a function of the set of events,
whatever their order and delay. What an event would hold if nothing were retired is recorded all the same,
so that a later policy can move the instant or remove it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from datetime import datetime

from services.policy.model import Policy

Retirements = Mapping[str, Mapping[str, datetime]]
"""The instant, UTC, from which something is retired, by section (`systems`, `purposes`) and name."""


def list_retirements(policy: Policy) -> Retirements:
    """Return the purposes and systems that the policy retires."""
    systems = {name: part.retired for name, part in policy.systems.items() if part.retired}
    purposes = {name: part.retired for name, part in policy.purposes.items() if part.retired}
    return {"systems": systems, "purposes": purposes}


def retirement_times(policy: Policy) -> tuple[datetime, ...]:
    """Return the instants, UTC and in order, at which the policy retires something."""
    return tuple(
        sorted(
            {
                time
                for retired_at in list_retirements(policy).values()
                for time in retired_at.values()
            }
        )
    )


def retirement_era(time: datetime, times: tuple[datetime, ...]) -> int:
    """Return how many of these instants are not after an event; events with equal numbers are alike."""
    return bisect_right(times, time) if times else 0


def is_retired(system: str, time: datetime, policy: Policy) -> bool:
    """Return whether a system is retired at the time of an event, UTC."""
    retired_at = policy.systems[system].retired
    return retired_at is not None and retired_at <= time


def remaining_systems(
    purpose: str, systems: tuple[str, ...], time: datetime, policy: Policy, exempt: Collection[str]
) -> tuple[str, ...]:
    """Return those of the systems that hold data of an event of that time for the purpose.

    Systems that are `exempt` count as not retired.
    """
    retired_at = policy.purposes[purpose].retired
    if retired_at is not None and retired_at <= time:
        return ()
    return tuple(
        system for system in systems if system in exempt or not is_retired(system, time, policy)
    )
