"""The holdings of an event with their windows, and what `termijn explain --json` prints of them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from tests.oracle.holdings import once_each
from tests.oracle.instants import instant, written
from tests.oracle.language.conditions import resolved, rule_for
from tests.oracle.language.rights import erased_on_request, is_held, put_off
from tests.oracle.language.rules import Event, Notice, Schedule
from tests.oracle.language.terms import Window, window
from tests.oracle.language.withdrawals import cut, is_until_withdrawal


class Kept(NamedTuple):
    """What systems hold of an event for one purpose under one rule."""

    source: str
    event: str
    type: str
    subject: str
    purpose: str
    rule: str
    systems: tuple[str, ...]
    test: bool
    window: Window
    transfers: bool
    """At the end it is handed over to an archive."""
    erases: bool
    """At the end it is erased, after a transfer if there is one."""
    decided: bool
    """A person's decision ends it by its term."""
    granted: datetime | None
    """When a request to erase it was granted, also after its term."""
    notices: tuple[Notice, ...]


def kept_of(event: Event, events: list[Event], schedule: Schedule) -> list[Kept]:
    """Return the event's holdings, by the known events."""
    holdings: list[Kept] = []
    for use in schedule.type_of(event).uses:
        name = rule_for(use.rule, event["data"], schedule.rules)
        rule, systems = resolved(name, schedule.rules), systems_of(use.systems, event, schedule)
        if not systems:
            continue
        subject = f"person:{event['data']['person']}"
        own = window(rule, systems, event, events, schedule)
        span, decided, granted = erased_on_request(own, rule, event, subject, events, schedule)
        if is_until_withdrawal(rule):
            span = cut(own, use.purpose, event, events, schedule)
            decided = span != own
        holdings.append(
            Kept(
                source=event["source"],
                event=event["id"],
                type=event["type"],
                subject=subject,
                purpose=use.purpose,
                rule=name,
                systems=systems,
                test=rule.test,
                window=span,
                transfers=rule.then != "erase" and not decided,
                erases=rule.then != "transfer" or decided,
                decided=decided,
                granted=granted,
                notices=rule.notices,
            )
        )
    return holdings


def systems_of(named: Iterable[str], event: Event, schedule: Schedule) -> tuple[str, ...]:
    """Return the systems that have the event's data: those that were not retired when it happened."""
    retired = {
        system for system, at in schedule.retired.items() if instant(at) <= instant(event["time"])
    }
    return tuple(sorted(set(named) - retired))


def explain(
    events: Iterable[Event], schedule: Schedule, now: str | datetime | None = None
) -> list[dict[str, Any]]:
    """Return every holding, sorted by event, purpose, subject. `now` defaults to the latest event time."""
    known = once_each(events)
    if not known:
        return []
    moment = instant(now) if now is not None else max(instant(e["time"]) for e in known)
    holdings = [kept for event in known for kept in kept_of(event, known, schedule)]
    holdings.sort(key=lambda kept: (kept.event, kept.purpose, kept.subject, kept.source, kept.rule))
    return [line(kept, moment, known, schedule) for kept in holdings]


def line(kept: Kept, now: datetime, events: list[Event], schedule: Schedule) -> dict[str, Any]:
    held = not kept.test and is_held(kept.window, kept.subject, kept.event, events, now)
    window = put_off(kept.window, kept.subject, kept.event, events, schedule)
    kept = kept._replace(window=window)
    return {
        "event": kept.event,
        "type": kept.type,
        "subject": kept.subject,
        "purpose": kept.purpose,
        "rule": kept.rule,
        "systems": list(kept.systems),
        "anchor_at": written(kept.window.anchor_at),
        "anchors": [written(anchor) for anchor in kept.window.anchors],
        "not_before": written(kept.window.not_before),
        "erase_by": written(kept.window.erase_by),
        "due_at": {system: written(due) for system, due in kept.window.due_at.items()},
        "state": "held" if held else state(kept, now),
    }


def state(kept: Kept, now: datetime) -> str:
    if kept.test:
        return "test"
    dues = [due for due in kept.window.due_at.values() if due is not None]
    if not dues:
        return "open"
    return "ended" if all(now >= due for due in dues) else "scheduled"
