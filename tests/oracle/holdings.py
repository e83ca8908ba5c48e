"""What `termijn explain --json` must print."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tests.oracle import holds
from tests.oracle.catalogue import NOTHING, holdings_of
from tests.oracle.clocks import Event
from tests.oracle.instants import instant, written
from tests.oracle.retired import Retired
from tests.oracle.windows import Holding


def once_each(events: Iterable[Event]) -> list[Event]:
    """Return the events without duplicates (same source and id), in the order of their time."""
    events_by_identity: dict[tuple[str, str], Event] = {}
    for event in events:
        first = events_by_identity.setdefault((event["source"], event["id"]), event)
        same_time = instant(first["time"]) == instant(event["time"])
        if first["type"] != event["type"] or first["data"] != event["data"] or not same_time:
            raise ValueError(f"{event['source']} {event['id']}: the same identity, other content")
    return sorted(
        events_by_identity.values(), key=lambda e: (instant(e["time"]), e["source"], e["id"])
    )


def explain(
    events: Iterable[Event], now: str | datetime | None = None, retired: Retired = NOTHING
) -> list[dict[str, Any]]:
    """Return every holding, sorted by event, purpose, subject. `now` defaults to the latest event time."""
    known_events = once_each(events)
    if not known_events:
        return []
    moment = instant(now) if now is not None else max(instant(e["time"]) for e in known_events)
    holdings = [
        holding for event in known_events for holding in holdings_of(event, known_events, retired)
    ]
    holdings.sort(key=lambda h: (h["event"], h["purpose"], h["subject"], h["source"]))
    return [line(holding, known_events, moment) for holding in holdings]


def line(nominal: Holding, events: list[Event], now: datetime) -> dict[str, Any]:
    holding = holds.put_off(nominal, events)
    return {
        "event": holding["event"],
        "type": holding["type"],
        "subject": holding["subject"],
        "purpose": holding["purpose"],
        "basis": holding["basis"],
        "rule": holding["rule"],
        "stated": holding["rule"].startswith("R"),
        "systems": holding["systems"],
        "anchor": holding["anchor"],
        "anchor_at": written(holding["anchor_at"]),
        "not_before": written(holding["not_before"]),
        "erase_by": written(holding["erase_by"]),
        "due_at": {system: written(due) for system, due in holding["due_at"].items()},
        "state": "held" if holds.stops(holding, events, now) else state(holding, now),
    }


def state(holding: Holding, now: datetime) -> str:
    dues = [due for due in holding["due_at"].values() if due is not None]
    if not dues:
        return "open"
    return "ended" if all(now >= due for due in dues) else "scheduled"
