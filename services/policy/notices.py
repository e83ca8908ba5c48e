"""Notices: what a system is commanded to announce to a person before the person's data is erased."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from services.policy.calendar import parse_period, time_of_notice
from services.policy.model import Policy
from services.policy.obligation import Obligation
from services.policy.reasons import END_ANNOUNCED
from services.policy.rule import Rule
from services.policy.tagged_event import ClockKey


class AnnouncedEnd(NamedTuple):
    """The end of a holding: when the first of its systems is commanded to erase it, UTC."""

    rule_name: str
    rule: Rule
    purpose: str
    at: datetime
    clocks: Sequence[ClockKey]
    """The clocks that decide it."""
    last_steps: frozenset[tuple[str, str]]
    """Its systems, and what the end of the record is there: `erase` or `transfer`."""


def find_notices(
    ends: Iterable[AnnouncedEnd], event_time: datetime, policy: Policy
) -> Iterator[Obligation]:
    """Return the obligations to give notice of the ends of a record's holdings.

    Holdings that end at one instant are announced together. A notice is never due before the event.
    """
    grouped: dict[tuple[str, str, datetime], list[AnnouncedEnd]] = {}
    for end in ends:
        for notice in end.rule.notices:
            grouped.setdefault((notice.system, notice.before, end.at), []).append(end)
    for (system, before, at), announced in grouped.items():
        notice_at = time_of_notice(at, parse_period(before), policy.controller.zone)
        yield Obligation(
            system=system,
            action="notify",
            due=max(event_time, notice_at),
            not_before=None,
            erase_by=at,
            rules=tuple(sorted({end.rule_name for end in announced})),
            purposes=tuple(sorted({end.purpose for end in announced})),
            clocks=tuple(dict.fromkeys(clock for end in announced for clock in end.clocks)),
            reason=END_ANNOUNCED,
            before=before,
            last_steps=frozenset[tuple[str, str]]().union(*(end.last_steps for end in announced)),
        )
