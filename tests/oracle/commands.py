"""What `termijn simulate --json` must print, one dict for each record of each command.

A virtual clock visits every instant at which an event arrives or a step is due. At each, everything is
computed again from the events known by then; what is due and was not done before is sent, and is done
at once.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tests.oracle import holds, tellings
from tests.oracle.catalogue import NOTHING, holdings_of
from tests.oracle.clocks import Event
from tests.oracle.holdings import once_each
from tests.oracle.holds import Interval
from tests.oracle.instants import instant, written
from tests.oracle.retired import Retired
from tests.oracle.steps import (
    Done,
    Step,
    make_step,
    mark,
    marks,
    restricted_as_ended,
    step,
    telling,
)
from tests.oracle.windows import LEAD, Holding


def simulate(
    events: Iterable[Event], until: str | datetime, retired: Retired = NOTHING
) -> list[dict[str, Any]]:
    """Return every command that is sent up to and including `until`, in the order of sending."""
    ordered, end = once_each(events), instant(until)
    arrivals = sorted({instant(event["time"]) for event in ordered})
    done: set[Done] = set()
    commands: list[dict[str, Any]] = []
    now = arrivals[0] if arrivals else end
    while now <= end:
        known_events = [event for event in ordered if instant(event["time"]) <= now]
        for due in [
            planned for planned in plan(known_events, done, now, retired) if planned.due <= now
        ]:
            commands.append(sent(due, now))
            done |= marks(due)
            if due.action == "lift":
                done -= restricted_as_ended(due)
        later = [step.due for step in plan(known_events, done, now, retired) if step.due > now]
        later += [arrival for arrival in arrivals if arrival > now]
        if not later:
            break
        now = min(later)
    return sorted(commands, key=in_order)


def in_order(command: dict[str, Any]) -> tuple[Any, ...]:
    """Sort lines by time of sending; the rest of the line makes the order of equals certain."""
    keys = ("system", "subject", "action", "record", "purposes", "rules", "erase_by")
    return instant(command["issued_at"]), *(command[key] for key in keys)


def plan(
    events: list[Event], done: set[Done], now: datetime, retired: Retired = NOTHING
) -> list[Step]:
    """Return everything still to be done, due or not, for every record in every system."""
    steps: list[Step] = []
    for event in events:
        of_event = holdings_of(event, events, retired)
        for subject in sorted({holding["subject"] for holding in of_event}):
            of_record = [holding for holding in of_event if holding["subject"] == subject]
            for system in sorted(
                {system for holding in of_record for system in holding["systems"]}
            ):
                serving = [holding for holding in of_record if system in holding["systems"]]
                steps += steps_in(system, serving, of_event, events, done, now)
    return steps


def steps_in(
    system: str,
    serving: list[Holding],
    of_event: list[Holding],
    events: list[Event],
    done: set[Done],
    now: datetime,
) -> list[Step]:
    """Return what is still to be done to one record in one system that serves these holdings."""
    if mark(system, serving[0], "erase") in done:
        return []
    steps: list[Step] = []
    own_holds = holds.holds_over(events, serving[0]["subject"], serving[0]["event"])
    erasure = erase(system, serving)
    # A command cannot leave before now, so whatever was due by now leaves at the same instant.
    erasure_due = max(erasure.due, now) if erasure else None
    erasing = not_held(erasure, own_holds, now)
    erasure_leaves = max(erasing.due, now) if erasing else None
    if erasing:
        steps.append(erasing)
    for restriction in restrictions(system, serving, done, now):
        # A legal hold delays the erasure, but never causes a restriction: what counts is when the erasure
        # was due without the hold.
        if erasure_due is None or restriction.due < erasure_due:
            steps.append(restriction)
    for holding in serving:
        if holding["rule"] == "R4" and mark(system, holding, "pseudonymise") not in done:
            others = [holds.put_off(other, events) for other in of_event]
            if any(waits(other, events) for other in of_event if counts(other)):
                continue
            masking = not_held(pseudonymise(system, holding, others), own_holds, now)
            if masking and (erasure_leaves is None or max(masking.due, now) < erasure_leaves):
                steps.append(masking)
    for other in tellings.all_of(system, serving, events, done, now):
        if erasure_leaves is None or max(other.due, now) < erasure_leaves:
            steps.append(other)
    living = lifted(system, serving, events, done, now)
    if living:
        steps.append(telling(now, system, "lift", living, ""))
    return steps


def not_held(planned: Step | None, over: list[Interval], now: datetime) -> Step | None:
    """Return the step as legal holds let it leave; None while a hold stops it."""
    if planned is None or holds.around(now, over) is not None:
        return None
    leaving = holds.leaves(planned.due, over)
    if leaving is None or leaving == planned.due:
        return None if leaving is None else planned
    return planned._replace(due=leaving, erase_by=leaving + LEAD)


def waits(holding: Holding, events: list[Event]) -> bool:
    """Return whether an open legal hold keeps the holding from ending, whichever subject it is on."""
    over = holds.holds_over(events, holding["subject"], holding["event"])
    dues = [due for due in holding["due_at"].values() if due is not None]
    return any(holds.leaves(due, over) is None for due in dues)


def erase(system: str, serving: list[Holding]) -> Step | None:
    """Return the erasure at the holdings' latest due time, not before `not_before`; None while open."""
    dues = [holding["due_at"][system] for holding in serving]
    if any(due is None for due in dues):
        return None
    floors = [holding["not_before"] for holding in serving]
    due = max(moment for moment in dues + floors if moment is not None)
    return step(due, system, "erase", serving, serving)


def restrictions(system: str, serving: list[Holding], done: set[Done], now: datetime) -> list[Step]:
    """Return the ended purposes that are not yet restricted, together where they are due together."""
    if len(serving) < 2:
        return []
    leaving: dict[datetime, list[Holding]] = {}
    for holding in serving:
        due = holding["due_at"][system]
        if due is not None and mark(system, holding, "restrict", holding["purpose"]) not in done:
            leaving.setdefault(max(due, now), []).append(holding)
    return [step(due, system, "restrict", ended, ended) for due, ended in leaving.items()]


def lifted(
    system: str, serving: list[Holding], events: list[Event], done: set[Done], now: datetime
) -> list[Holding]:
    """Return the holdings that were restricted because they had ended, and that live again.

    Not where an objection or a request restricts them as well: its own end lifts them.
    """
    return [
        holding
        for holding in serving
        if mark(system, holding, "restrict", holding["purpose"]) in done
        and ((due := holding["due_at"][system]) is None or due > now)
        and not tellings.is_restricted(holding, serving, events, now)
    ]


def pseudonymise(system: str, research: Holding, of_event: list[Holding]) -> Step | None:
    """Return the step once every other holding of the event, of all its subjects, has ended, else None.

    Holdings on a legal obligation do not count. Where there is none, the event's own time is the
    instant.
    """
    others = [other for other in of_event if counts(other)]
    if not others:
        return make_step(research["at"], system, "pseudonymise", [research], research["at"], "")
    ends: list[datetime] = []
    for holding in others:
        dues = [due for due in holding["due_at"].values() if due is not None]
        if not dues:
            return None
        ends.append(max(dues))
    return step(max(ends), system, "pseudonymise", [research], others)


def counts(holding: Holding) -> bool:
    """Return whether research waits for the holding's end."""
    return holding["rule"] != "R4" and holding["basis"] != "legal_obligation"


def sent(step: Step, now: datetime) -> dict[str, Any]:
    return {
        "issued_at": written(now),
        "system": step.system,
        "subject": step.subject,
        "action": step.action,
        "record": step.record,
        "rules": list(step.rules),
        "purposes": list(step.purposes),
        "erase_by": written(step.erase_by),
    }
