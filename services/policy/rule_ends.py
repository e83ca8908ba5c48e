"""When a rule ends for a holding: from the event, from dates in it, and from retention clocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from services.policy import calendar
from services.policy.calendar import Period
from services.policy.model import Policy
from services.policy.rule import Anchor, Part, Rule


class ClockStanding(NamedTuple):
    """What is known of a retention clock."""

    ended_at: datetime | None = None
    """When it ended, or will end, UTC; None while it is open."""
    outcome: str | None = None
    """With what outcome it ended, if the event that ended it has one."""
    has_begun: bool = False
    """Whether any event has started or ended it."""


OPEN_CLOCK = ClockStanding()
StandingOf = Callable[[Any], ClockStanding]
"""Returns the standing of a clock, by its key or by its position in a plan."""


class PartEnd(NamedTuple):
    """One of the ends of a rule."""

    anchor_at: datetime | None
    """When its term started, UTC; None while that is not known."""
    ends_at: datetime | None
    """When its term ends, UTC; None while that is not known, and for `never`."""
    counts: bool = True
    """Whether it counts: one with `if_any` counts only once its clock has begun."""


class RuleEnd(NamedTuple):
    """When a rule ends; instants are UTC."""

    part: int
    """The position of the part that decides."""
    anchor_at: datetime
    ends_at: datetime
    minimum_ends_at: datetime | None
    """The end of the minimum beside a maximum."""

    def command_time(self, rule: Rule, lead: timedelta) -> datetime:
        """Return when the command to a system with this lead time is sent, UTC."""
        if rule.kind == "at_least":
            return self.ends_at
        at = max(self.anchor_at, self.ends_at - lead)
        return max(at, self.minimum_ends_at) if self.minimum_ends_at else at


def find_rule_end(
    rule: Rule,
    starts: Sequence[Any],
    event_time: datetime,
    standing_of: StandingOf,
    policy: Policy,
) -> RuleEnd | None:
    """Return when a rule ends for a holding; None while that is not known, and if it never does.

    `starts` has, for each part of the rule, its clock or its date, or None for the event itself.
    """
    ends = find_part_ends(rule, starts, event_time, standing_of, policy)
    part = deciding_part(rule, ends)
    if part is None:
        return None
    anchor_at, ends_at, _ = ends[part]
    if anchor_at is None or ends_at is None:
        return None
    minimum_ends_at = None
    if minimum := rule.minimum_period:
        anchor, zone = rule.parts[part].anchor, policy.controller.zone
        minimum_ends_at = calendar.earliest_erasure(
            anchor_at, minimum, zone, after_period=anchor.waits_for is not None
        )
    return RuleEnd(part, anchor_at, ends_at, minimum_ends_at)


def find_part_ends(
    rule: Rule,
    starts: Sequence[Any],
    event_time: datetime,
    standing_of: StandingOf,
    policy: Policy,
) -> list[PartEnd]:
    """Return each end of a rule, in the order of its parts."""
    return [
        _part_end(rule, part, start, event_time, standing_of, policy)
        for part, start in zip(rule.parts, starts, strict=True)
    ]


def deciding_part(rule: Rule, ends: Sequence[PartEnd]) -> int | None:
    """Return the position of the part that decides; None while no end is known.

    Of several parts that end at one instant, the first decides. The last end is not known while one that
    counts is not known; for the first end, one that is not known does not count.
    """
    counted = [position for position, end in enumerate(ends) if end.counts]
    known = [(end, n) for n in counted if (end := ends[n].ends_at) is not None]
    if not known:
        return None
    if rule.ends == "first":
        return min(known)[1]
    return max(known, key=lambda item: item[0])[1] if len(known) == len(counted) else None


def counts_from_begin(clock: str, policy: Policy) -> bool:
    """Return whether a rule counts the clock only once it has begun."""
    return any(
        part.if_any and part.anchor.clock == clock
        for rule in policy.rules.values()
        for part in (rule.parts if rule.of else ())
    )


def anchor_instant(anchor: Anchor, at: datetime, policy: Policy) -> datetime:
    """Return the instant, UTC, at which a term starts, given that of the event or of the clock's end.

    With an `end_of` it is the first instant after the last local day of the year, quarter or month.
    """
    end_of = anchor.waits_for
    if end_of is None:
        return at
    zone = policy.controller.zone
    last_day = policy.controller.end_of(end_of, at.astimezone(zone).date())
    return calendar.start_of_day(last_day + calendar.DAY, zone)


def part_command_times(
    rule: Rule, part: Part, at: datetime, outcome: str | None, lead: timedelta, policy: Policy
) -> list[datetime]:
    """Return the instants, UTC, at which a holding can become due for a part that starts at an instant."""
    period = part.period(outcome)
    if period is None:
        return []
    anchor_at = anchor_instant(part.anchor, at, policy)
    ends_at = _term_end(rule, part.anchor, anchor_at, period, policy)
    zone = policy.controller.zone
    times = [RuleEnd(0, anchor_at, ends_at, None).command_time(rule, lead)]
    if minimum := rule.minimum_period:
        waited = part.anchor.waits_for is not None
        times.append(calendar.earliest_erasure(anchor_at, minimum, zone, after_period=waited))
    return [
        *times,
        *(
            calendar.time_of_notice(at, notice.period, zone)
            for notice in rule.notices
            for at in times
        ),
    ]


def _part_end(
    rule: Rule,
    part: Part,
    start: Any,
    event_time: datetime,
    standing_of: StandingOf,
    policy: Policy,
) -> PartEnd:
    standing = OPEN_CLOCK
    counts = True
    at: datetime | None
    if part.anchor.kind == "clock":
        standing = standing_of(start)
        at = standing.ended_at
        counts = standing.has_begun or not part.if_any
    elif part.anchor.kind == "field":
        at = calendar.start_of_date(start, policy.controller.zone) if start else None
        counts = at is not None or not part.if_any
    else:
        at = event_time
    if at is None:
        return PartEnd(None, None, counts)
    anchor_at = anchor_instant(part.anchor, at, policy)
    period = part.period(standing.outcome)
    if period is None:
        return PartEnd(anchor_at, None, counts)
    return PartEnd(anchor_at, _term_end(rule, part.anchor, anchor_at, period, policy), counts)


def _term_end(
    rule: Rule, anchor: Anchor, anchor_at: datetime, period: Period, policy: Policy
) -> datetime:
    """Return when a maximum or a minimum ends that starts at an instant, UTC."""
    end = calendar.latest_erasure if rule.kind == "at_most" else calendar.earliest_erasure
    waited = anchor.waits_for is not None
    return end(anchor_at, period, policy.controller.zone, after_period=waited)
