"""The holdings of an event with their windows, and what `termijn explain --json` prints of them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from tests.oracle.holdings import once_each
from tests.oracle.instants import instant, written
from tests.oracle.language.conditions import resolved, rule_for
from tests.oracle.language.rules import Event, Schedule
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


def kept_of(event: Event, events: list[Event], schedule: Schedule) -> list[Kept]:
    """Return the event's holdings, by the known events."""
    holdings: list[Kept] = []
    for use in schedule.types[event["type"]].uses:
        name = rule_for(use.rule, event["data"], schedule.rules)
        rule, systems = resolved(name, schedule.rules), tuple(sorted(use.systems))
        span = window(rule, systems, event, events, schedule)
        if is_until_withdrawal(rule):
            span = cut(span, use.purpose, event, events, schedule)
        holdings.append(
            Kept(
                source=event["source"],
                event=event["id"],
                type=event["type"],
                subject=f"person:{event['data']['person']}",
                purpose=use.purpose,
                rule=name,
                systems=systems,
                test=rule.test,
                window=span,
            )
        )
    return holdings


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
    return [line(kept, moment) for kept in holdings]


def line(kept: Kept, now: datetime) -> dict[str, Any]:
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
        "state": state(kept, now),
    }


def state(kept: Kept, now: datetime) -> str:
    if kept.test:
        return "test"
    dues = [due for due in kept.window.due_at.values() if due is not None]
    if not dues:
        return "open"
    return "ended" if all(now >= due for due in dues) else "scheduled"
