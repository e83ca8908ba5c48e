"""How another policy changes when a holding ends: earlier, later, at once, or not at all.

A holding ends in a system when its command there is sent. That instant follows from the holding's anchor,
and a later anchor never gives an earlier end. So all anchors of a holding under two policies are in a few
ranges with one effect each, and a ledger counts the holdings of each range without reading their dates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final, Literal

from services.policy.calendar import DAY, start_of_day
from services.policy.model import Policy
from services.policy.retention_windows import NoFacts, compute_window
from services.policy.rule_ends import ClockStanding
from services.policy.tagged_event import ClockKey, Holding

EndChange = Literal["unchanged", "earlier", "at once", "later"]
"""`at once`: under the old policy it ends later than now, under the new one it has ended already."""

COUNTED_ANCHORS: Final = ("event", "book-year", "clock")
"""The kinds of anchors that are an instant of the event or of one clock."""
_NOT_DECIDING: Final = (
    *("title", "source", "rationale", "term_from", "anchor_from"),
    *("extends", "when"),
)
"""The keys of a rule that do not change any date of a holding under it."""
_RESOLUTION: Final = timedelta(microseconds=1)


class _OneAnchor(NoFacts):
    """Facts in which every clock has ended at one instant."""

    def __init__(self, anchor: datetime) -> None:
        self._anchor = anchor

    def standing(self, clock: ClockKey) -> ClockStanding:
        return ClockStanding(self._anchor, has_begun=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingEnd:
    """When a holding ends in one system under one policy, without anything that its subject decided."""

    holding: Holding
    system: str
    policy: Policy

    @property
    def is_counted(self) -> bool:
        """Whether it follows from one anchor; otherwise its end cannot be given for a range of anchors."""
        first, *others = self.policy.rules[self.holding.rule].parts
        return first.anchor.kind in COUNTED_ANCHORS and not others and not first.terms

    def at(self, anchor: datetime) -> datetime | None:
        """Return the end, UTC, for an event of that time or a clock that ended then; None for none."""
        window = compute_window(self.holding, anchor, _OneAnchor(anchor), self.policy)
        return window.due_at[self.system]


def deciding_values(policy: Mapping[str, Any], rule: str, system: str) -> Mapping[str, Any]:
    """Return what of a policy's values decides when a holding ends: with equal values two end alike.

    `policy` has the values of `loader.policy_values`.
    """
    controller = policy["controller"].items()
    return {
        "rule": {k: v for k, v in policy["rules"][rule].items() if k not in _NOT_DECIDING},
        "lead_time": policy["systems"][system]["lead_time"],
        "calendar": {k: v for k, v in controller if k == "time_zone" or "year" in k},
    }


def end_change(old: HoldingEnd, new: HoldingEnd, anchor: datetime, now: datetime) -> EndChange:
    """Return how the end of a holding with this anchor changes; `now` is UTC."""
    return change_of_ends(old.at(anchor), new.at(anchor), now)


def change_of_ends(before: datetime | None, after: datetime | None, now: datetime) -> EndChange:
    """Return how an end changes, UTC; None for one that is not known. `now` is UTC.

    If it has ended under both policies nothing changes.
    """
    was_open, is_open = (end is None or end > now for end in (before, after))
    if before == after or not (was_open or is_open):
        return "unchanged"
    if not is_open:
        return "at once"
    if after is None or (before is not None and before < after):
        return "later"
    return "earlier"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRange:
    """The anchors before `until`, UTC, and from the end of the range before it on."""

    until: datetime
    change: EndChange


def change_ranges(
    old: HoldingEnd, new: HoldingEnd, first: datetime, last: datetime, now: datetime
) -> Sequence[AnchorRange]:
    """Return the ranges of the anchors from `first` to `last`, in order; neighbours differ in their effect.

    The ends are compared for the first instant of each local day. Between two days that differ the boundary
    is exact to the microsecond.
    """

    def change_at(anchor: datetime) -> EndChange:
        return end_change(old, new, anchor, now)

    ranges: list[AnchorRange] = []
    points = [first, *_days_between(first, last, new.policy), last]
    for before, after in pairwise(points):
        change = change_at(before)
        if change != change_at(after):
            ranges.append(AnchorRange(until=_boundary(before, after, change_at), change=change))
    ranges.append(AnchorRange(until=last + _RESOLUTION, change=change_at(last)))
    return ranges


def _days_between(first: datetime, last: datetime, policy: Policy) -> Iterator[datetime]:
    zone = policy.controller.zone
    day = first.astimezone(zone).date() + DAY
    while (start := start_of_day(day, zone)) < last:
        yield start
        day += DAY


def _boundary(
    before: datetime, after: datetime, change_at: Callable[[datetime], EndChange]
) -> datetime:
    """Return the first instant after `before` with another effect than there."""
    change = change_at(before)
    while after - before > _RESOLUTION:
        middle = before + (after - before) / 2
        if change_at(middle) == change:
            before = middle
        else:
            after = middle
    return after
