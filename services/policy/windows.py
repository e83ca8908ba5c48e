"""Windows: until when a holding must be kept, and by when it must be gone.

All instants are UTC. `erase_by` is the promise of a maximum, `not_before` the duty of a minimum, and
`due_at` the instant at which the command to a system leaves, earlier by the time that system needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.policy import calendar
from services.policy.calendar import Period
from services.policy.model import Policy, Rule
from services.policy.tagging import ClockKey, Holding

Anchors = Callable[[ClockKey], datetime | None]
"""Where a shared clock stands: the instant of its end, or nothing while it is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A holding's window; everything but `anchor_at` is absent while the clock is open."""

    anchor_at: datetime | None
    not_before: datetime | None
    erase_by: datetime | None
    due_at: Mapping[str, datetime | None]

    @property
    def ends_at(self) -> datetime | None:
        """When its last command leaves."""
        instants = [due for due in self.due_at.values() if due is not None]
        return max(instants) if len(instants) == len(self.due_at) else None


def window(holding: Holding, event_time: datetime, anchors: Anchors, policy: Policy) -> Window:
    """The window of a holding as far as its clock is known.

    A command leaves at `erase_by` minus the system's lead time, but never before the anchor itself: a
    term shorter than the lead time, P0D above all, is due at its own instant.
    """
    rule = policy.rules[holding.rule]
    anchor_at = anchors(holding.clock) if holding.clock else fixed_anchor(rule, event_time, policy)
    if anchor_at is None:
        return Window(
            anchor_at=None, not_before=None, erase_by=None, due_at=dict.fromkeys(holding.systems)
        )
    leads = {system: policy.systems[system].lead for system in holding.systems}
    due_at = {system: due(rule, anchor_at, lead, policy) for system, lead in leads.items()}
    if rule.kind == "at_least":
        not_before = _ends(rule, anchor_at, policy)
        longest = max(lead.exact for lead in leads.values())
        return Window(
            anchor_at=anchor_at,
            not_before=not_before,
            erase_by=not_before + longest,
            due_at=due_at,
        )
    return Window(
        anchor_at=anchor_at,
        not_before=None,
        erase_by=_ends(rule, anchor_at, policy),
        due_at=due_at,
    )


def fixed_anchor(rule: Rule, event_time: datetime, policy: Policy) -> datetime | None:
    """The anchor that the event itself fixes; a book year's is the instant at which it has ended."""
    if rule.anchor.kind == "event":
        return event_time
    zone = policy.controller.zone
    day = calendar.book_year_end(event_time, policy.controller.book_year, zone)
    return calendar.at_least(day, Period(), zone)


def due(rule: Rule, anchor_at: datetime, lead: Period, policy: Policy) -> datetime:
    """When the command for a system with this lead time leaves, given the anchor."""
    ends = _ends(rule, anchor_at, policy)
    return ends if rule.kind == "at_least" else max(anchor_at, ends - lead.exact)


def wakes(clock: str, anchor_at: datetime, policy: Policy) -> tuple[datetime, ...]:
    """Every instant at which something that hangs on an ended clock of this kind can become due."""
    leads = {system.lead for system in policy.systems.values()}
    rules: Iterable[Rule] = (r for r in policy.rules.values() if r.anchor.clock == clock)
    return tuple(sorted({due(rule, anchor_at, lead, policy) for rule in rules for lead in leads}))


def _ends(rule: Rule, anchor_at: datetime, policy: Policy) -> datetime:
    zone = policy.controller.zone
    if rule.kind == "at_most":
        return calendar.at_most(anchor_at, rule.period, zone)
    day = anchor_at.astimezone(zone).date()
    if rule.anchor.kind == "book-year":
        day -= calendar.DAY  # the anchor is the first instant after the book year's last day
    return calendar.at_least(day, rule.period, zone)
