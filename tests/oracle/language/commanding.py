"""The commands that a schedule requires, and what `termijn simulate --json` prints of them.

As in `tests.oracle.commands`, a virtual clock visits every instant at which an event arrives or a step
is due. At each, everything is computed again from the events known by then. A purpose is restricted in
a system when the last of its holdings there has ended while another purpose goes on. If one of its
holdings lives again, the purpose is lifted at once.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.oracle import holds
from tests.oracle.holdings import once_each
from tests.oracle.instants import instant, written
from tests.oracle.language.announcing import Announcement, announcements
from tests.oracle.language.explaining import Kept, kept_of
from tests.oracle.language.rules import Event, Schedule
from tests.oracle.language.terms import lead


class Record(NamedTuple):
    """An event's data about a subject in one system."""

    source: str
    event: str
    subject: str
    system: str


class Step(NamedTuple):
    """One command about one record."""

    due: datetime
    record: Record
    action: str
    rules: tuple[str, ...]
    purposes: tuple[str, ...]
    erase_by: datetime
    announced: Announcement | None = None


class Journal:
    """What was sent: what is erased, handed over and announced, and the restrictions in force.

    A restriction is of some purposes. It ends with the lift of any of them: what stays ended is restricted
    again.
    """

    def __init__(self) -> None:
        self.erased: set[Record] = set()
        self.transferred: set[Record] = set()
        self.announced: dict[tuple[str, str], list[Announcement]] = {}
        """By source and id of the event, the notices that were given, in their order."""
        self.restrictions: dict[Record, list[set[str]]] = {}

    def restricted(self, record: Record) -> set[str]:
        return set().union(*self.restrictions.get(record, []))

    def note(self, step: Step) -> None:
        if step.action == "erase":
            self.erased.add(step.record)
        if step.action == "transfer":
            self.transferred.add(step.record)
        if step.announced:
            event = (step.record.source, step.record.event)
            self.announced.setdefault(event, []).append(step.announced)
        in_force = self.restrictions.setdefault(step.record, [])
        if step.action == "restrict":
            in_force.append(set(step.purposes))
        if step.action == "lift":
            in_force[:] = [each for each in in_force if each.isdisjoint(step.purposes)]


def simulate(
    events: Iterable[Event], schedule: Schedule, until: str | datetime
) -> list[dict[str, Any]]:
    """Return every command sent up to and including `until`, in the order of sending."""
    ordered, end, journal = once_each(events), instant(until), Journal()
    arrivals = sorted({instant(event["time"]) for event in ordered})
    commands: list[dict[str, Any]] = []
    now = arrivals[0] if arrivals else end
    while now <= end:
        known = [event for event in ordered if instant(event["time"]) <= now]
        while due := [step for step in plan(known, schedule, journal, now) if step.due <= now]:
            for step in due:
                commands.append(sent(step, now))
                journal.note(step)
        later = [step.due for step in plan(known, schedule, journal, now) if step.due > now]
        later += [arrival for arrival in arrivals if arrival > now]
        if not later:
            break
        now = min(later)
    return sorted(commands, key=in_order)


def plan(events: list[Event], schedule: Schedule, journal: Journal, now: datetime) -> list[Step]:
    """Return everything still to be done; what is held under a rule in test is kept meanwhile."""
    steps: list[Step] = []
    for event in events:
        holdings = kept_of(event, events, schedule)
        if not holdings:
            continue
        over = holds.holds_over(events, holdings[0].subject, event["id"])
        finished: set[str] = set()
        for system in sorted({system for kept in holdings for system in kept.systems}):
            serving = [kept for kept in holdings if system in kept.systems]
            record = Record(event["source"], event["id"], serving[0].subject, system)
            action = last_action(record, serving, journal)
            if action is None:
                finished.add(system)
                staying = [] if record in journal.erased else erasure_after(record, serving)
                steps += [each for each in staying if holds.around(now, over) is None]
                continue
            held = holds.around(now, over) is not None
            for planned in steps_for(record, serving, action, journal, now, held):
                last = planned.action == action
                leaving = not_held(planned, over, now, schedule) if last else planned
                steps += [] if leaving is None else [leaving]
        announced = journal.announced.get((event["source"], event["id"]), [])
        if holds.around(now, over) is None:
            steps += [
                notify(each, event, holdings[0].subject)
                for each in announcements(holdings, finished, announced, schedule, now)
            ]
    return steps


def last_action(record: Record, serving: list[Kept], journal: Journal) -> str | None:
    """Return what is to be done as all holdings have ended; None once all is done.

    One rule that hands over is enough for a transfer, one that erases for the erasure after it.
    """
    if record in journal.erased:
        return None
    if any(kept.transfers for kept in serving) and record not in journal.transferred:
        return "transfer"
    return "erase" if any(kept.erases for kept in serving) else None


def erasure_after(record: Record, serving: list[Kept]) -> list[Step]:
    """Return the erasure of what stays after a transfer, once a request for it is granted."""
    granted = [kept.granted for kept in serving if kept.granted is not None]
    due = min(granted, default=None)
    return [] if due is None else [step(due, record, "erase", serving)._replace(erase_by=due)]


def not_held(
    planned: Step, over: list[holds.Interval], now: datetime, schedule: Schedule
) -> Step | None:
    """Return the step as legal holds let it leave; None while a hold stops it."""
    if holds.around(now, over) is not None:
        return None
    leaving = holds.leaves(planned.due, over)
    if leaving is None or leaving == planned.due:
        return None if leaving is None else planned
    by = max(planned.erase_by, leaving + lead(planned.record.system, schedule))
    return planned._replace(due=leaving, erase_by=by)


def notify(planned: Announcement, event: Event, subject: str) -> Step:
    return Step(
        due=planned.due,
        record=Record(event["source"], event["id"], subject, planned.system),
        action="notify",
        rules=tuple(sorted(planned.rules)),
        purposes=tuple(sorted(planned.purposes)),
        erase_by=planned.end,
        announced=planned,
    )


def steps_for(
    record: Record,
    serving: list[Kept],
    action: str,
    journal: Journal,
    now: datetime,
    held: bool,
) -> list[Step]:
    """Return what is still to be done to a record in the system that holds it for these holdings.

    `action` is what is to be done as all of them have ended; nothing while the record is `held`.
    """
    system = record.system
    erase_due = latest([due_of(kept, system) for kept in serving])
    steps = [] if erase_due is None else [step(erase_due, record, action, serving)]
    # What is erased at once is not restricted first; what a hold keeps or is handed over has to wait.
    is_erased = action == "erase" and not held
    at_once = now if is_erased else datetime.min.replace(tzinfo=UTC)
    restricted = journal.restricted(record)
    together: dict[datetime, list[Kept]] = {}
    living: list[Kept] = []
    for purpose in sorted({kept.purpose for kept in serving}):
        own = [kept for kept in serving if kept.purpose == purpose]
        ended = latest([due_of(kept, system) for kept in own])
        if ended is not None and (
            erase_due is None or max(ended, at_once) < max(erase_due, at_once)
        ):
            together.setdefault(ended, []).extend(own)
        if purpose in restricted and (ended is None or ended > now):
            living += own
    for due, ended_then in together.items():
        # What ended at one instant is restricted together, also if some of it was before.
        if not {kept.purpose for kept in ended_then} <= restricted:
            steps.append(step(due, record, "restrict", ended_then))
    if living:
        steps.append(step(now, record, "lift", living)._replace(erase_by=now))
    return steps


def due_of(kept: Kept, system: str) -> datetime | None:
    """Return when a holding ends in a system; a rule in test ends nothing, a person's decision does."""
    return None if kept.test and not kept.decided else kept.window.due_at[system]


def latest(dues: list[datetime | None]) -> datetime | None:
    """Return the latest instant; None while one is not known."""
    known = [due for due in dues if due is not None]
    return max(known) if known and len(known) == len(dues) else None


def step(due: datetime, record: Record, action: str, of: list[Kept]) -> Step:
    by = max((kept.window.erase_by for kept in of if kept.window.erase_by), default=due)
    return Step(
        due=due,
        record=record,
        action=action,
        rules=tuple(sorted({kept.rule for kept in of})),
        purposes=tuple(sorted({kept.purpose for kept in of})),
        erase_by=by,
    )


def sent(step: Step, now: datetime) -> dict[str, Any]:
    return {
        "issued_at": written(now),
        "system": step.record.system,
        "subject": step.record.subject,
        "action": step.action,
        "record": step.record.event,
        "rules": list(step.rules),
        "purposes": list(step.purposes),
        "erase_by": written(step.erase_by),
    }


def in_order(command: dict[str, Any]) -> tuple[Any, ...]:
    """Sort lines by time of sending; the rest of the line makes the order of equals certain."""
    keys = ("system", "subject", "action", "record", "purposes", "rules", "erase_by")
    return instant(command["issued_at"]), *(command[key] for key in keys)
