"""What `termijn simulate --json` must print, one dict for each record of each command.

A virtual clock visits every instant at which something is learnt or falls due. At each,
everything is worked out again from the events known by then; what is due and was not carried out
before leaves, and is done at once.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from tests.oracle.catalogue import LEAD, Holding, holdings_of
from tests.oracle.clocks import Event
from tests.oracle.holdings import once_each
from tests.oracle.instants import instant, written


class Step(NamedTuple):
    """One thing to do to one record in one system, as the facts known now have it."""

    due: datetime
    system: str
    subject: str
    action: str
    source: str
    record: str
    rules: tuple[str, ...]
    purposes: tuple[str, ...]
    erase_by: datetime


class Done(NamedTuple):
    """What was carried out. For a restriction, of which purpose; else all of the record."""

    system: str
    source: str
    record: str
    subject: str
    action: str
    purpose: str


def simulate(events: Iterable[Event], until: str | datetime) -> list[dict[str, Any]]:
    """Every command that leaves up to and including `until`, in the order in which they leave."""
    ordered, end = once_each(events), instant(until)
    arrivals = sorted({instant(event["time"]) for event in ordered})
    done: set[Done] = set()
    left: list[dict[str, Any]] = []
    now = arrivals[0] if arrivals else end
    while now <= end:
        known = [event for event in ordered if instant(event["time"]) <= now]
        for due in [planned for planned in plan(known, done, now) if planned.due <= now]:
            left.append(sent(due, now))
            done |= marks(due)
        later = [planned.due for planned in plan(known, done, now) if planned.due > now]
        later += [arrival for arrival in arrivals if arrival > now]
        if not later:
            break
        now = min(later)
    keys = ("issued_at", "system", "subject", "action", "record")
    left.sort(key=lambda command: (instant(command["issued_at"]), *(command[k] for k in keys[1:])))
    return left


def plan(known: list[Event], done: set[Done], now: datetime) -> list[Step]:
    """Everything still to be done, due or not, for every record in every system."""
    steps: list[Step] = []
    for event in known:
        of_event = holdings_of(event, known)
        for subject in sorted({held["subject"] for held in of_event}):
            of_record = [held for held in of_event if held["subject"] == subject]
            for system in sorted({system for held in of_record for system in held["systems"]}):
                serving = [held for held in of_record if system in held["systems"]]
                steps += steps_in(system, serving, of_event, done, now)
    return steps


def steps_in(
    system: str, serving: list[Holding], of_event: list[Holding], done: set[Done], now: datetime
) -> list[Step]:
    """What is still to be done to one record in one system that serves these holdings."""
    if mark(system, serving[0], "erase") in done:
        return []
    steps: list[Step] = []
    erasure = erase(system, serving)
    # A command cannot leave before now, so whatever was due by now leaves at the same instant.
    erasure_leaves = max(erasure.due, now) if erasure else None
    if erasure:
        steps.append(erasure)
    for restriction in restrictions(system, serving, done, now):
        if erasure_leaves is None or restriction.due < erasure_leaves:
            steps.append(restriction)
    for held in serving:
        if held["rule"] == "R4" and mark(system, held, "pseudonymise") not in done:
            masking = pseudonymise(system, held, of_event)
            if masking and (erasure_leaves is None or max(masking.due, now) < erasure_leaves):
                steps.append(masking)
    return steps


def erase(system: str, serving: list[Holding]) -> Step | None:
    """At the latest due instant of what it serves, before no `not_before`; None while open."""
    dues = [held["due_at"][system] for held in serving]
    if any(due is None for due in dues):
        return None
    floors = [held["not_before"] for held in serving]
    due = max(moment for moment in dues + floors if moment is not None)
    return step(due, system, "erase", serving, serving)


def restrictions(system: str, serving: list[Holding], done: set[Done], now: datetime) -> list[Step]:
    """The purposes not yet restricted whose end is known, together where they leave together."""
    if len(serving) < 2:
        return []
    leaving: dict[datetime, list[Holding]] = {}
    for held in serving:
        due = held["due_at"][system]
        if due is not None and mark(system, held, "restrict", held["purpose"]) not in done:
            leaving.setdefault(max(due, now), []).append(held)
    return [step(due, system, "restrict", ended, ended) for due, ended in leaving.items()]


def pseudonymise(system: str, research: Holding, of_event: list[Holding]) -> Step | None:
    """When every other holding of the event, over all its subjects, has ended; None while open.

    Those on a legal obligation do not count.
    """
    others = [
        held for held in of_event if held["rule"] != "R4" and held["basis"] != "legal_obligation"
    ]
    ends: list[datetime] = []
    for held in others:
        if held["anchor_at"] is None or held["erase_by"] is None:
            return None
        if held["rule"] == "R2":  # P0D
            ends.append(held["anchor_at"])
        else:
            ends.append(max(held["anchor_at"], held["erase_by"] - LEAD))
    return step(max(ends), system, "pseudonymise", [research], others)


def step(
    due: datetime, system: str, action: str, of: list[Holding], promised: list[Holding]
) -> Step:
    """The step, for the holdings that it is about; its erase_by is the latest that was promised."""
    return Step(
        due=due,
        system=system,
        subject=of[0]["subject"],
        action=action,
        source=of[0]["source"],
        record=of[0]["event"],
        rules=tuple(sorted({held["rule"] for held in of})),
        purposes=tuple(sorted({held["purpose"] for held in of})),
        erase_by=max(by for held in promised if (by := held["erase_by"]) is not None),
    )


def mark(system: str, held: Holding, action: str, purpose: str = "") -> Done:
    return Done(system, held["source"], held["event"], held["subject"], action, purpose)


def marks(step: Step) -> set[Done]:
    purposes = step.purposes if step.action == "restrict" else ("",)
    return {
        Done(step.system, step.source, step.record, step.subject, step.action, purpose)
        for purpose in purposes
    }


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
