"""A holding, and its window computed from its rule and its anchor."""

from datetime import datetime, timedelta
from typing import TypedDict

from tests.oracle.clocks import Event
from tests.oracle.instants import instant, last_day_of_book_year, midnight_after, plus_months

LEAD = timedelta(hours=24)  # every system's in the shipped policy: 24 hours that pass, not a day

MONTHS = {
    "R1": 24,
    "R2": 0,
    "R3a": 1,
    "R3b": 12,
    "R4": 240,
    "D1": 6,
    "D2": 12,
    "D3": 12,
    "D4": 24,
    "D5": 12,
    "D6": 12,
    "D7": 6,
    "D8": 60,
    "D9": 0,
}
BOOK_YEARS_KEPT = 7


class Holding(TypedDict):
    """One (event, subject, purpose), in the systems that serve the purpose."""

    event: str
    source: str
    at: datetime
    type: str
    subject: str
    purpose: str
    basis: str
    rule: str
    systems: list[str]
    anchor: str
    anchor_at: datetime | None
    not_before: datetime | None
    erase_by: datetime | None
    due_at: dict[str, datetime | None]


def at_most(
    event: Event,
    subject: str,
    purpose: str,
    basis: str,
    rule: str,
    systems: list[str],
    anchor_at: datetime | None,
) -> Holding:
    """Return a holding whose data must be erased by the end of its term."""
    if anchor_at is None:
        erase_by = due = None
    elif MONTHS[rule] == 0:
        erase_by = due = anchor_at
    else:
        erase_by = plus_months(anchor_at, MONTHS[rule])
        due = max(anchor_at, erase_by - LEAD)
    return holding(event, subject, purpose, basis, rule, systems, anchor_at, None, erase_by, due)


def at_least(
    event: Event, subject: str, purpose: str, basis: str, rule: str, system: str
) -> Holding:
    """Return a holding whose data must be kept until its term, counted from the book year, has passed."""
    book_year_ends = last_day_of_book_year(instant(event["time"]))
    last_day_kept = book_year_ends.replace(year=book_year_ends.year + BOOK_YEARS_KEPT)
    anchor_at, not_before = midnight_after(book_year_ends), midnight_after(last_day_kept)
    erase_by = not_before + LEAD
    return holding(
        event,
        subject,
        purpose,
        basis,
        rule,
        [system],
        anchor_at,
        not_before,
        erase_by,
        not_before,
    )


def holding(
    event: Event,
    subject: str,
    purpose: str,
    basis: str,
    rule: str,
    systems: list[str],
    anchor_at: datetime | None,
    not_before: datetime | None,
    erase_by: datetime | None,
    due: datetime | None,
) -> Holding:
    return {
        "event": event["id"],
        "source": event["source"],
        "at": instant(event["time"]),
        "type": event["type"],
        "subject": subject,
        "purpose": purpose,
        "basis": basis,
        "rule": rule,
        "systems": sorted(set(systems)),
        "anchor": f"anchor of {rule}",
        "anchor_at": anchor_at,
        "not_before": not_before,
        "erase_by": erase_by,
        "due_at": dict.fromkeys(sorted(set(systems)), due),
    }
