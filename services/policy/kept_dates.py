"""Dates of events as Termijn keeps them: no more exact than the policy needs.

Where every term that counts from a date waits for the end of one kind of year, quarter or month, the last
day of that is enough: of a birth date the year is kept. It gives the same ends, and is kept in its place.
Where a term counts from the day itself, the day is kept, since any instant computed from it gives it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from services.policy.conditions import rules_of
from services.policy.event_fields import MAX_DATE
from services.policy.event_type import EventType
from services.policy.gap_text import has_placeholder
from services.policy.model import Policy
from services.policy.rule import BOOK_YEAR
from services.policy.tagged_event import DecisionValue


def kept_periods(kind: EventType, policy: Policy) -> Mapping[str, str]:
    """Return, by field, the year, `quarter` or `month` of whose dates only the last day is kept."""
    uses: dict[str, set[str | None]] = {
        name: set() for name, field in kind.fields.items() if field.type == "date"
    }
    if not uses:
        return {}
    for move in kind.moves:
        if move.at:
            uses[move.at].add(None)
    for holding in kind.holdings:
        for name in rules_of(holding, policy):
            for part in policy.rules[name].parts:
                if part.anchor.field:
                    uses[part.anchor.field].add(part.anchor.waits_for)
    return {
        name: period
        for name, periods in uses.items()
        if len(periods) == 1 and (period := next(iter(periods))) is not None
    }


def kept_structure(kind: EventType, policy: Policy) -> list[tuple[str, str, str]]:
    """Return what the kept dates of an event type depend on: another policy cannot read them otherwise."""
    years = {**policy.controller.years, BOOK_YEAR: policy.controller.book_year_end}
    return [
        (field, period, years.get(period, ""))
        for field, period in sorted(kept_periods(kind, policy).items())
    ]


def kept_date(text: str, period: str | None, policy: Policy) -> str:
    """Return a date, as 2026-03-15, as it is kept; without a period as it is."""
    if period is None:
        return text
    last_day = policy.controller.end_of(period, date.fromisoformat(text))
    return last_day.isoformat() if last_day < MAX_DATE else text


def with_kept_dates(
    deciding: dict[str, DecisionValue], kind: EventType, policy: Policy
) -> dict[str, DecisionValue]:
    """Return an event's decision fields with its dates as they are kept."""
    for name, period in kept_periods(kind, policy).items():
        value = deciding.get(name)
        if isinstance(value, str) and not has_placeholder(value):
            deciding[name] = kept_date(value, period, policy)
    return deciding
