"""Check that a new policy retires no purpose or system from before the last recorded event that has it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from schemas.errors import TermijnError
from services.ledger import policy_references, tables
from services.policy import placement, retiring
from services.policy.model import Policy

_FETCH_SIZE = 5_000
SystemsByEventType = Mapping[str, Collection[str]]
Retirements = Mapping[str, Mapping[str, str]]


class EarlyRetirement(NamedTuple):
    """A purpose or system that is retired from an instant after which events are recorded."""

    name: str
    """As `section.name`."""
    at: datetime
    last: datetime
    """The time of the latest of these events, UTC."""


class RetiredTooEarly(TermijnError):
    """The policy retires what later events already have; the active policy stays as it is.

    No system would carry out what was promised for these events. The operator retires it from an instant
    after the last of them: then their commands are carried out, and later events get no new holdings.
    """

    def __init__(self, retirements: Collection[EarlyRetirement]) -> None:
        lines = (
            f"{retirement.name}.retired: its events are recorded up to"
            f" {retirement.last.isoformat()}, got {retirement.at.isoformat()}"
            for retirement in retirements
        )
        super().__init__(
            f"{'; '.join(lines)}; set a later instant, so that what was promised for these events"
            " is carried out"
        )
        self.retirements = tuple(retirements)


def retirements(policy: Policy) -> Retirements:
    """Return the retirements of a policy, to be compared with the next policy's."""
    return {
        section: {name: instant.isoformat() for name, instant in retired_at.items()}
        for section, retired_at in retiring.list_retirements(policy).items()
    }


def check_retirements(
    connection: Connection, policy: Policy, serving: SystemsByEventType, before: Retirements
) -> None:
    """Check that no event is recorded between the new instant of a retirement and the one `before`.

    `serving` has the systems that hold events of each type under the active policy. A later instant, or
    none any more, is accepted: recorded events stay as they are, and are checked again.

    Raises:
        RetiredTooEarly: events are recorded in between; each retirement is named.
    """
    too_early = []
    for section, retired_at in retiring.list_retirements(policy).items():
        for name, instant in sorted(retired_at.items()):
            former = before.get(section, {}).get(name)
            until = datetime.fromisoformat(former) if former else None
            if until is not None and until <= instant:
                continue
            times = [
                *_latest_event_time(
                    connection,
                    _affected_event_types(section, name, policy, serving),
                    instant,
                    until,
                )
            ]
            if section == "systems":
                times += _times_of_naming_events(connection, name, policy, instant, until)
            if times:
                too_early.append(EarlyRetirement(f"{section}.{name}", instant, max(times)))
    if too_early:
        raise RetiredTooEarly(too_early)


def _affected_event_types(
    section: str, name: str, policy: Policy, serving: SystemsByEventType
) -> set[str]:
    """Return the event types that have a holding there under the policy or the active one."""
    if section == "purposes":
        return {
            type_
            for type_, event in policy.events.items()
            if any(holding.purpose == name for holding in event.holdings)
        }
    return {
        type_
        for served in (serving, placement.possible_systems(placement.placements(policy)))
        for type_, systems in served.items()
        if name in systems
    }


def _latest_event_time(
    connection: Connection, types: Collection[str], since: datetime, until: datetime | None
) -> Iterator[datetime]:
    column = tables.event.c
    query = select(func.max(column.time)).where(column.type.in_(types), column.time >= since)
    if until is not None:
        query = query.where(column.time < until)
    latest = connection.execute(query).scalar_one_or_none()
    if latest is not None:
        yield latest


def _times_of_naming_events(
    connection: Connection, system: str, policy: Policy, since: datetime, until: datetime | None
) -> Iterator[datetime]:
    """Return the times of the events that name the system themselves."""
    fields = policy_references.system_fields(policy)
    column = tables.event.c
    query = select(column.type, column.time, column.deciding).where(
        column.type.in_([name for name, names in fields.items() if names]), column.time >= since
    )
    if until is not None:
        query = query.where(column.time < until)
    for row in connection.execute(query.execution_options(yield_per=_FETCH_SIZE)):
        if system in policy_references.systems_named(json.loads(row.deciding), fields[row.type]):
            yield row.time
